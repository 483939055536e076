"""How much memory a model needs, known before it is loaded."""

from __future__ import annotations

from typing import Any

import psutil
import torch

from engine.errors import ModelError
from engine.models.kind import model_class


def count_parameters(config: Any) -> int:
    """The number of parameters of a language model, from its configuration alone."""
    with torch.device("meta"):
        model = model_class(config).from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def require_memory(config: Any, dtype: torch.dtype, spec: str) -> None:
    """Raises ModelError when the weights alone would not fit into this machine's free memory."""
    need = count_parameters(config) * dtype.itemsize
    have = psutil.virtual_memory().available
    if need > have:
        raise ModelError(
            f"model {spec}: its weights need {need / 2**30:.1f} GiB in {str(dtype).removeprefix('torch.')}, "
            f"{have / 2**30:.1f} GiB are free",
            "choose a smaller model or a smaller dtype",
        )
