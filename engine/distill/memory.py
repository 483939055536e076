"""Memory while training: how much is held, and whether an error says that there was too little."""

from __future__ import annotations

import psutil
import torch


def is_out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        text in str(error).lower() for text in words
    )


def memory_mb() -> int:
    """Peak allocated GPU memory, or this process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() // 2**20
    return psutil.Process().memory_info().rss // 2**20
