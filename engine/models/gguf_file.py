"""A model as one GGUF file, which llama.cpp and Ollama read: weights, configuration and tokenizer.

Of the types Llama, Qwen2 and Qwen3, in float16 or float32. Names, keys and writer are those of the `gguf`
package (an extra). The two things that are not mere copies are as in llama.cpp's own converter:

- the rows of Llama's query and key projections change places, since llama.cpp rotates neighbouring
  dimensions where transformers rotates those half a head apart;
- a byte-level tokenizer's rule for cutting text into words goes by a name of llama.cpp's own.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from engine.errors import ModelError
from engine.files import write_error

Precision = Literal["f16", "f32"]
TYPES = ("llama", "qwen2", "qwen3")

_MEND = "--format hf writes it for transformers"
_ROPES = ("default", "llama3")
# tokenizer.json's pattern -> llama.cpp's name of it
_SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
_LIKE_NO_OTHER = "gpt-2"  # what a tokenizer is called whose way of cutting has no name: the oldest way


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    cuts_alike: llama.cpp cuts text into the words that this tokenizer cuts it into.
    """

    precision: Precision
    cuts_alike: bool


def require_writable(config: Any) -> None:
    """Raises ModelError where the `gguf` package is missing or the model is of another type."""
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(
            "GGUF files need the package `gguf`, which is not installed", "pip install 'kid-sql[gguf]'"
        )
    if config.model_type not in TYPES:
        raise ModelError(
            f"a {config.model_type} model cannot be written as a GGUF file: only {', '.join(TYPES)} can",
            _MEND,
        )
    rope = _rope(config)
    if rope["rope_type"] not in _ROPES:
        raise ModelError(
            f"rotary embeddings of type '{rope['rope_type']}' cannot be written as a GGUF file", _MEND
        )


def write_gguf(
    model: Any, tokenizer: Any, path: Path, *, name: str, precision: Precision, add_bos: bool
) -> Written:
    """Writes the file. Vectors (norms, biases) stay float32.

    Args:
        model, tokenizer: of transformers; `require_writable` has let the model pass.
        name: what the model calls itself.
        add_bos: whether every prompt begins with BOS.

    Raises:
        ModelError: a tokenizer of another kind than byte-level BPE and Llama's SentencePiece.
        KidError: disk full, no permission.
    """
    import gguf

    writer = gguf.GGUFWriter(path, model.config.model_type)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if precision == "f16" else gguf.LlamaFileType.ALL_F32)
    _add_shape(writer, model.config)
    cuts_alike = _add_tokenizer(writer, tokenizer, model.config.vocab_size, add_bos)
    for tensor_name, tensor in _tensors(model):
        halved = precision == "f16" and tensor.dim() > 1
        writer.add_tensor(tensor_name, tensor.to(torch.float16 if halved else torch.float32).numpy())
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        # numpy says how much of an array it could not write, and not why.
        why = error if error.errno else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise write_error(path, why) from error
    return Written(precision, cuts_alike)


def _rope(config: Any) -> Mapping[str, Any]:
    return {"rope_type": "default", **config.rope_parameters}


def _head_dim(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _add_shape(writer: Any, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_key_length(_head_dim(config))
    writer.add_value_length(_head_dim(config))
    writer.add_rope_dimension_count(_head_dim(config))


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights under GGUF's names. A head that is the embedding itself is left out, as GGUF wants it."""
    import gguf

    config = model.config
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == config.model_type)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert known, f"GGUF has no name for {name}"
        tensor = tensor.detach().cpu()
        if config.model_type == "llama" and ".q_proj." in name:
            tensor = _interleaved(tensor, config.num_attention_heads)
        if config.model_type == "llama" and ".k_proj." in name:
            tensor = _interleaved(tensor, config.num_key_value_heads)
        yield known, tensor
    if _rope(config)["rope_type"] == "llama3":
        yield "rope_freqs.weight", _slower(config)


def _interleaved(tensor: Tensor, num_heads: int) -> Tensor:
    """Rows [heads, 2, half a head] -> [heads, half a head, 2]: rotated pairs stand side by side."""
    halves = tensor.reshape(num_heads, 2, tensor.shape[0] // num_heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def _slower(config: Any) -> Tensor:
    """[half a head] by how much each frequency of Llama 3's long contexts is lowered."""
    dim = _head_dim(config)
    plain = 1.0 / _rope(config)["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    lowered, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return plain / lowered


def _add_tokenizer(writer: Any, tokenizer: Any, vocab_size: int, add_bos: bool) -> bool:
    """Returns whether llama.cpp cuts text into words as the tokenizer does."""
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    model = inner["model"]
    merges = [
        merge if isinstance(merge, str) else " ".join(merge)
        for merge in (model.get("merges") or [])  # older files keep them as texts
    ]
    name = None
    if model["type"] == "BPE" and model.get("byte_fallback"):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_add_space_prefix(_puts_space_first(inner))
    elif model["type"] == "BPE" and _parts(inner, "pre_tokenizer", "pretokenizers", "ByteLevel"):
        name = _name_of_cuts(inner)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(name or _LIKE_NO_OTHER)
        writer.add_token_merges(merges)
    else:
        raise ModelError(
            "the tokenizer is neither byte-level BPE nor Llama's SentencePiece: GGUF files hold no other",
            _MEND,
        )
    tokens, types = _vocabulary(tokenizer, model, vocab_size)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if model.get("byte_fallback"):
        writer.add_token_scores(_scores(tokens, merges))
    for token_id, add in (
        (tokenizer.bos_token_id, writer.add_bos_token_id),
        (tokenizer.eos_token_id, writer.add_eos_token_id),
        (tokenizer.pad_token_id, writer.add_pad_token_id),
    ):
        if token_id is not None:
            add(token_id)
    writer.add_add_bos_token(add_bos)
    writer.add_add_eos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    return bool(model.get("byte_fallback")) or name is not None


def _vocabulary(tokenizer: Any, model: Mapping[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    """Every row of the embedding: its token, and GGUF's type of it. Rows that mean nothing are unused."""
    from gguf import TokenType

    tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    texts, types = [], []
    for index in range(vocab_size):
        token = tokens.get(index, f"[PAD{index}]")
        if index not in tokens:
            kind = TokenType.UNUSED
        elif model.get("byte_fallback") and token == model.get("unk_token"):
            kind = TokenType.UNKNOWN
        elif index in added:
            kind = TokenType.CONTROL if added[index].special else TokenType.USER_DEFINED
        elif model.get("byte_fallback") and token.startswith("<0x") and token.endswith(">"):
            kind = TokenType.BYTE
        else:
            kind = TokenType.NORMAL
        texts.append(token)
        types.append(int(kind))
    return texts, types


def _scores(tokens: Sequence[str], merges: Sequence[str]) -> list[float]:
    """SentencePiece's scores: the earlier a token is merged, the higher; what is never merged has least."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", ""), rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def _name_of_cuts(inner: Mapping[str, Any]) -> str | None:
    """llama.cpp's name for the way in which a byte-level tokenizer cuts text into words."""
    parts = _parts(inner, "pre_tokenizer", "pretokenizers")
    if parts[-1].get("add_prefix_space"):
        return None
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"] and parts[0]["use_regex"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0]["individual_digits"] and parts[1]["use_regex"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not parts[1]["use_regex"] and parts[0]["behavior"] == "Isolated":
        return _SPLITS.get(parts[0]["pattern"].get("Regex"))
    return None


def _puts_space_first(inner: Mapping[str, Any]) -> bool:
    """Whether a SentencePiece tokenizer reads a text as if a space stood before it."""
    metaspaces = _parts(inner, "pre_tokenizer", "pretokenizers", "Metaspace")
    return bool(_parts(inner, "normalizer", "normalizers", "Prepend")) or any(
        part.get("prepend_scheme") in ("always", "first") for part in metaspaces
    )


def _parts(
    inner: Mapping[str, Any], what: str, several: str, kind: str | None = None
) -> list[Mapping[str, Any]]:
    """A tokenizer's step `what`, or those it is a sequence of; of one `kind` where that is given."""
    step = inner.get(what)
    steps = [] if step is None else step[several] if step["type"] == "Sequence" else [step]
    return [step for step in steps if kind in (None, step["type"])]
