"""Small random models of real architectures, and items of random tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, PreTrainedModel

from engine.models.encode import Item
from engine.models.kind import model_class

VOCABULARY = 61
EOS, PAD, MASK = 1, 0, 2
DATABASE = Path("a.sqlite")

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "tie_word_embeddings": True,
}
ARCHITECTURES = {
    "llama": _COMMON,
    "qwen2": _COMMON,
    "qwen3": _COMMON,
    "mistral": {**_COMMON, "sliding_window": None},
    "gemma": _COMMON,
    "codegen": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "rotary_dim": 4,
        "n_positions": 256,
        "bos_token_id": EOS,
        "eos_token_id": EOS,
        "tie_word_embeddings": False,
    },
    "t5": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 3,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": PAD,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    },
}
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
"""What makes a T5 a T5 v1.1."""


def model(kind: str, seed: int = 0, **changes: object) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**ARCHITECTURES.get(kind, _COMMON), **changes})
    made = model_class(config).from_config(config, dtype=torch.float32)
    with torch.no_grad():  # fresh weights give a nearly uniform student, whose errors hide in rounding
        for name, parameter in made.named_parameters():
            parameter.mul_(_t5_scale(name) if kind == "t5" else 3.0)
    return made.eval()


def _t5_scale(name: str) -> float:
    """Fresh T5 embeddings drown all else: the model would say one token over and over."""
    scales = {"shared": 0.1, "decoder.final_layer_norm": 6.0, ".q.": 1.0, "Attention": 3.0}
    return next((scale for part, scale in scales.items() if part in name), 1.0)


def prefix(length: int = 23, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(3, VOCABULARY, length).tolist()


def items(number: int = 5, seed: int = 2, database: Path = DATABASE, start: int = 0) -> list[Item]:
    """Items with suffixes and answers of different lengths."""
    generator = np.random.default_rng(seed)
    return [
        Item(
            start + index,
            database,
            tuple(generator.integers(3, VOCABULARY, 2 + index % 4).tolist()),
            (*generator.integers(3, VOCABULARY, 3 + 2 * (index % 3)).tolist(), EOS),
        )
        for index in range(number)
    ]
