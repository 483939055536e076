"""Frozen weights in 8 or 4 bits, by bitsandbytes: a teacher, or the model under an adapter (QLoRA).

"8bit" is LLM.int8 (arXiv 2208.07339), "4bit" is NF4 with double quantisation (QLoRA, arXiv 2305.14314).
Linear layers are quantised; embeddings, norms and head stay as they are. What is quantised is never
trained, and no adapter is ever merged into it: adapters stay beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.utils import is_bitsandbytes_available

from engine.errors import ModelError
from engine.settings import Bits

_BYTES: dict[Bits, float] = {"8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}
"""Of a linear layer's weight; in 4 bits with the scales of its blocks of 64, which are in 8 bits."""


@dataclass(frozen=True)
class Quantization:
    """How a model is quantised while it is loaded.

    device: where it is loaded to.
    compute: what its layers compute in.
    """

    bits: Bits
    device: torch.device
    compute: torch.dtype

    def arguments(self, spec: str) -> dict[str, Any]:
        """What `from_pretrained` is told. `spec` names the model in errors.

        Raises:
            ModelError: bitsandbytes is missing or too old, or does not know the device.
        """
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at every layer of every pass
        if not is_bitsandbytes_available():
            raise ModelError(
                f"model {spec} in {self.bits} needs the package `bitsandbytes`, which is missing or too old",
                "pip install 'kid-sql[quant]'",
            )
        import bitsandbytes

        if self.device.type not in bitsandbytes.supported_torch_devices:
            raise ModelError(
                f"model {spec}: bitsandbytes {bitsandbytes.__version__} has no {self.bits} weights on"
                f" {self.device.type}",
                "choose another device, or remove quantize",
            )
        return {"quantization_config": self._config(), "device_map": {"": self.device}}

    def _config(self) -> BitsAndBytesConfig:
        if self.bits == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=self.compute,
        )


def is_quantized(model: Any) -> bool:
    return bool(getattr(model, "is_quantized", False))


def keep_gradients(model: nn.Module) -> None:
    """Keeps 4-bit weights in the form that gradients pass through.

    On CPUs with AVX512-BF16, bitsandbytes packs them anew in the first pass in evaluation mode. Packed
    weights compute in bfloat16 and cut the gradient off without a word (0.50.2), in training too.
    """
    layers: Iterator[Any] = model.modules()
    for module in layers:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def num_parameters(model: nn.Module) -> int:
    """As many as before quantisation: of 4-bit weights a tensor holds two in a byte."""
    return sum(_numel(parameter) for parameter in model.parameters())


def _numel(parameter: Any) -> int:
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def weight_bytes(model: Any, dtype: torch.dtype, bits: Bits | None) -> int:
    """Bytes of a model's weights, once loaded so. `model` may be on the meta device, not quantised yet."""
    total = sum(parameter.numel() for parameter in model.parameters())
    head = model.get_output_embeddings()
    linear = sum(
        module.weight.numel()
        for module in model.modules()
        if bits and isinstance(module, nn.Linear) and module is not head
    )
    return int((total - linear) * dtype.itemsize + linear * (_BYTES[bits] if bits else 0))
