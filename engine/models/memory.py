"""How much memory a model needs, known before it is loaded."""

from __future__ import annotations

from typing import Any

import psutil
import torch

from engine.errors import ModelError
from engine.models.kind import from_config
from engine.models.quantize import Quantization, weight_bytes
from engine.settings import Bits


def count_parameters(config: Any) -> int:
    """The number of parameters of a language model, from its configuration alone."""
    return sum(parameter.numel() for parameter in _outline(config).parameters())


def count_bytes(config: Any, dtype: torch.dtype, bits: Bits | None = None) -> int:
    """The bytes of its weights, from its configuration alone."""
    return weight_bytes(_outline(config), dtype, bits)


def _outline(config: Any) -> Any:
    with torch.device("meta"):
        return from_config(config)


def require_memory(config: Any, dtype: torch.dtype, spec: str, quantize: Quantization | None = None) -> None:
    """Raises ModelError when the weights alone would not fit into this machine's free memory."""
    if quantize and quantize.device.type != "cpu":
        return  # it is loaded there
    need = count_bytes(config, dtype, quantize.bits if quantize else None)
    have = psutil.virtual_memory().available
    if need > have:
        in_what = quantize.bits if quantize else str(dtype).removeprefix("torch.")
        raise ModelError(
            f"model {spec}: its weights need {need / 2**30:.1f} GiB in {in_what}, "
            f"{have / 2**30:.1f} GiB are free",
            "choose a smaller model or a smaller dtype",
        )
