"""Prefix and rows in one packed row: [prefix | row 1 | row 2 | …], for models that cannot keep a cache.

Every row sees the prefix and itself, by a block mask, and counts its positions on from the prefix. One
forward and one backward pass do what the cached form does in two of each: half the launches on a GPU,
and it works with activation checkpointing, which drops caches. In return each pass runs the prefix anew.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.models.head import read_at
from engine.models.rows import Rows


class PackedPrefix:
    """A `Prefix` (prefix.py) whose passes each run prefix and rows together.

    Args:
        ids: [P].
    """

    def __init__(self, model: Any, ids: Tensor) -> None:
        self.model = model
        self.ids = ids

    def logits(self, rows: Rows) -> Tensor:
        size, width = rows.ids.shape
        length = len(self.ids)
        positions = torch.arange(length + width, device=self.ids.device)
        with read_at(self.model, torch.zeros_like(rows.rows), length + rows.rows * width + rows.columns):
            output = self.model(
                input_ids=torch.cat([self.ids, rows.ids.flatten()])[None],
                position_ids=torch.cat([positions[:length], positions[length:].repeat(size)])[None],
                attention_mask=self._mask(size, width),
                use_cache=False,
            )
        return output.logits[0]

    def backward(self) -> None:
        """Nothing is held back: the rows' own backward passes went all the way."""

    def _mask(self, size: int, width: int) -> Tensor:
        """[1, 1, L, L] what each token sees: the prefix, and of its own row what stands before it."""
        device, length = self.ids.device, len(self.ids)
        places = torch.arange(length + size * width, device=device)
        blocks = torch.where(places < length, -1, (places - length) // width)
        same = blocks[:, None] == blocks
        seen = (same | (places < length)) & (places[:, None] >= places)
        if self.model.config._attn_implementation != "eager":
            return seen[None, None]
        dtype = self.model.dtype  # eager attention adds its mask
        return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)[
            None, None
        ]
