"""Prefix and rows in one packed row: [prefix | row 1 | row 2 | …], for models that cannot keep a cache.

Every row sees the prefix and itself, by a block mask, and counts its positions on from the prefix. One
forward and one backward pass do what the cached form does in two of each: half the launches on a GPU,
and it works with activation checkpointing, which drops caches. Several databases are as many packed
rows of one pass. In return each pass runs the prefix anew.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from engine.models.head import read_at
from engine.models.rows import Rows


class PackedPrefix:
    """A `Prefix` (prefix.py) whose passes each run prefixes and rows together.

    Args:
        ids: [P_i] each, of one database or of several.
    """

    def __init__(self, model: Any, *ids: Tensor) -> None:
        self.model = model
        self.lengths = torch.tensor([len(one) for one in ids], device=ids[0].device)
        self.ids = pad_sequence(list(ids), batch_first=True)

    def logits(self, rows: Rows) -> Tensor:
        """[N, V]. A row of G: a prefix, padded to the longest, and as many rows as the fullest one has."""
        size, width = rows.ids.shape
        groups, length = self.ids.shape
        counts = torch.bincount(rows.groups, minlength=groups)
        slots = torch.arange(size, device=rows.ids.device) - (counts.cumsum(0) - counts)[rows.groups]
        number = rows.most if groups > 1 else size
        own = rows.ids.new_zeros(groups, number, width)
        own[rows.groups, slots] = rows.ids
        places = torch.arange(length, device=rows.ids.device).expand(groups, length)
        after = self.lengths[:, None] + torch.arange(width, device=rows.ids.device).repeat(number)
        with read_at(self.model, rows.groups[rows.rows], length + slots[rows.rows] * width + rows.columns):
            output = self.model(
                input_ids=torch.cat([self.ids, own.flatten(1)], dim=1),
                position_ids=torch.cat([places, after], dim=1),
                attention_mask=self._mask(number, width),
                use_cache=False,
            )
        return output.logits[0]

    def backward(self) -> None:
        """Nothing is held back: the rows' own backward passes went all the way."""

    def _mask(self, number: int, width: int) -> Tensor:
        """[G, 1, L, L] what each token sees: the prefix, and of its own row what stands before it."""
        device, length = self.ids.device, self.ids.shape[1]
        places = torch.arange(length + number * width, device=device)
        blocks = torch.where(places < length, -1, (places - length) // width)
        same = blocks[:, None] == blocks
        in_prefix = places < self.lengths[:, None, None]
        seen = ((same | in_prefix) & (places[:, None] >= places))[:, None]
        if self.model.config._attn_implementation != "eager":
            return seen
        dtype = self.model.dtype  # eager attention adds its mask
        return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
