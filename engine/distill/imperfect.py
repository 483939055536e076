"""KID's imperfect answers: gold tokens masked, then guessed by the student in one pass (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import settings
from engine.distill.chunk import Chunk
from engine.distill.divergences import entropy
from engine.distill.rewrite import choose_positions, predict, uniform_numbers
from engine.distill.rollin import Row
from engine.models.prefix import Prefix
from engine.models.rows import Rows, send


@dataclass(frozen=True)
class Imperfect:
    """Rows as the student has rewritten them. ids of the rows: [B, S] each.

    recovered: the number of rows that came out as gold, a tensor on the device.
    """

    gold: Rows
    masked: Tensor
    rows: Rows
    recovered: Tensor

    def sample(self, row: Row) -> dict[str, Any]:
        """The first of the rows, token by token, for the events."""
        answer = slice(len(row.item.suffix), row.length)
        return {
            "example": row.item.index,
            "gold": list(row.answer[:-1]),
            "masked": self.masked[0, answer].tolist(),
            "imperfect": self.rows.ids[0, answer].tolist(),
        }


@dataclass(frozen=True)
class Rewriter:
    """Masks and rewrites, as the profile says.

    banned: [b] ids that no guess is: padding, EOS and the mask token.
    vocabulary: ids from this on are no guess either (None: all can be).
    ratio: the share of tokens that is masked in this step.
    """

    given: settings.Method
    mask_id: int
    banned: Tensor
    vocabulary: int | None
    seed: int
    epoch: int
    ratio: float

    def rewrite(self, prefix: Prefix, chunk: Chunk, gold_logits: Tensor | None) -> Imperfect:
        """The chunk's rows with some answer tokens replaced by the student's own guesses.

        Args:
            gold_logits: [N, V] over the gold rows, where a pass over them was made already.
        """
        gold = chunk.context
        masked = send(self._choose(prefix, chunk, gold_logits), gold.ids.device)
        places = (gold.rows[masked], gold.columns[masked] + 1)
        masked_ids = gold.ids.index_put(places, torch.full_like(masked, self.mask_id))
        ids = masked_ids
        if self.given.rewrite != "mask" and len(masked):
            logits = prefix.logits(gold.with_ids(masked_ids).at(masked))
            uniform = self._uniform(chunk)[masked] if self.given.rewrite == "sample" else None
            guesses = predict(logits[:, : self.vocabulary], self.banned, uniform, self.given.temperature)
            ids = masked_ids.index_put(places, guesses)
        return Imperfect(gold, masked_ids, gold.with_ids(ids), (ids == gold.ids).all(dim=1).sum())

    def _choose(self, prefix: Prefix, chunk: Chunk, gold_logits: Tensor | None) -> np.ndarray:
        """[k] which of the chunk's N answer tokens are masked, ascending."""
        strategy = self.given.mask_strategy
        lengths = [len(row.answer) for row in chunk.rows]
        starts = np.cumsum([0, *lengths])
        entropies: Sequence[np.ndarray | None] = [None] * len(lengths)
        if strategy in ("hard", "easy") and self.ratio > 0:
            logits = gold_logits if gold_logits is not None else prefix.logits(chunk.context)
            entropies = np.split(entropy(logits).float().cpu().numpy(), starts[1:-1])
        return np.concatenate(
            [
                start + choose_positions(length, self.ratio, strategy, self._key(row), values)
                for start, row, length, values in zip(starts, chunk.rows, lengths, entropies, strict=False)
            ]
        ).astype(np.int64)

    def _uniform(self, chunk: Chunk) -> Tensor:
        """[N] numbers in [0, 1), each answer's from a generator of its own."""
        drawn = [uniform_numbers(len(row.answer), self._key(row)) for row in chunk.rows]
        return send(np.concatenate(drawn), chunk.context.ids.device)

    def _key(self, row: Row) -> tuple[int, int, int, int]:
        return self.seed, self.epoch, row.item.index, row.copy
