"""Some rows of a step as tensors, with the weight of every token in the step's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.distill.rollin import Row
from engine.models.rows import Rows, answer_rows, send


@dataclass(frozen=True)
class Chunk:
    """Rows as one pass reads them: on one database, or on several, one after the other.

    context: the rows, wanted at the N places that predict an answer token.
    answers: [N] the answer token at each.
    weights: [N], summing to 1 over the whole optimizer step.
    mle_weights: [N] the same, 0 where MLE does not ask for the token.
    """

    rows: Sequence[Row]
    context: Rows
    answers: Tensor
    weights: Tensor
    mle_weights: Tensor


@dataclass(frozen=True)
class Weighing:
    """How the tokens of a step are averaged: `token`, or `sequence` (1/|y| per answer first)."""

    normalise: str
    num_tokens: int
    num_rows: int

    def of(self, row: Row) -> float:
        """The weight of each of the row's tokens."""
        if self.normalise == "token":
            return 1 / self.num_tokens
        return 1 / (self.num_rows * len(row.answer))


def make_chunk(
    groups: Sequence[Sequence[Row]], weighing: Weighing, pad_id: int, device: torch.device
) -> Chunk:
    """The rows of groups that each stand behind a prefix of their own."""
    rows = [row for group in groups for row in group]
    lengths = [len(row.answer) for row in rows]
    weights = np.repeat([weighing.of(row) for row in rows], lengths)
    taught = np.repeat([row.taught for row in rows], lengths)

    return Chunk(
        rows,
        answer_rows(
            [row.item.suffix for row in rows],
            [row.answer for row in rows],
            pad_id,
            device,
            [number for number, group in enumerate(groups) for _ in group],
        ),
        send(np.concatenate([row.answer for row in rows]).astype(np.int64), device),
        send(weights.astype(np.float32), device),
        send((weights * taught).astype(np.float32), device),
    )
