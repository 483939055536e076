"""One optimizer step's loss and gradient: mask, predict, rewrite, learn.

The steps of KID (arXiv 2410.11371, section 3) over groups of questions that share a prefix; every
other method is a subset of them (methods.py). The loss is the mean over all trained tokens of the
optimizer step, however the step is cut into groups and chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import settings
from engine.distill.divergences import entropy
from engine.distill.methods import METHODS, Method
from engine.distill.rewrite import choose_positions, predict
from engine.distill.stopwatch import Stopwatch
from engine.models.encode import Item
from engine.models.prefix import Prefix, open_prefix
from engine.models.rows import Rows, answer_rows


@dataclass
class StepResult:
    """What one optimizer step saw. Losses are means over the step's trained tokens.

    num_recovered: rows in which the student guessed every masked token right; None without rewriting.
    """

    loss_kd: float = 0.0
    loss_mle: float = 0.0
    loss: float = 0.0
    num_tokens: int = 0
    num_rows: int = 0
    num_recovered: int | None = None
    tokens_useful: int = 0
    tokens_computed: int = 0
    sample: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """Some questions on one database as tensors, with the gold answers as context.

    rows: the B rows, read at the N places that predict an answer token.
    gold: [N] the gold token at each. weights: [N], summing to 1 over the whole optimizer step.
    """

    items: Sequence[Item]
    rows: Rows
    gold: Tensor
    weights: Tensor


class Objective:
    """Accumulates the gradient of one optimizer step in the student's parameters.

    Args:
        student, teacher: causal language models on their devices; `teacher` may be None for SFT.
        method: the profile's settings of it.
        mask_id: the token that stands for a masked one.
        banned: ids that a rewrite never contains: padding, EOS, the mask token.
        shared_student, shared_teacher: whether each may share its prefix (prefix.shareable).
        normalise: "token" or "sequence" (1/|y| per example first).
        autocast: a fresh context for mixed precision.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        method: settings.Method,
        *,
        mask_id: int,
        banned: Sequence[int],
        pad_id: int,
        seed: int,
        shared_student: bool = True,
        shared_teacher: bool = True,
        normalise: str = "token",
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.student, self.teacher = student, teacher
        self.settings = method
        self.mask_id, self.pad_id, self.seed = mask_id, pad_id, seed
        self.device = next(student.parameters()).device
        self.banned = torch.tensor(sorted(set(banned)), device=self.device)
        self.shared_student, self.shared_teacher = shared_student, shared_teacher
        self.normalise = normalise
        self.autocast = autocast
        self.stopwatch = Stopwatch(self.device)

    def accumulate(
        self,
        groups: Sequence[Sequence[Item]],
        prefixes: Mapping[Path, Sequence[int]],
        *,
        epoch: int,
        warming_up: bool = False,
        max_rows: int = 0,
    ) -> StepResult:
        """Adds the gradient of one optimizer step's mean loss to the student's parameters.

        Args:
            groups: each on one database.
            prefixes: token ids of each database's prefix.
            warming_up: take plain SFT instead of the profile's method.
            max_rows: rows a pass at most (0: a whole group), for memory; the result is the same.
        """
        method = METHODS["sft" if warming_up else self.settings.name]
        items = [item for group in groups for item in group]
        result = StepResult(num_tokens=sum(len(item.answer) for item in items), num_rows=len(items))
        for group in groups:
            ids = torch.tensor(prefixes[group[0].database], device=self.device)
            with self.stopwatch.part("prefix"), self.autocast():
                prefix = open_prefix(self.student, ids, shared=self.shared_student)
                teacher = self._open_teacher(ids) if method.divergence else None
            size = max_rows or len(group)
            for start in range(0, len(group), size):
                chunk = self._chunk(group[start : start + size], result)
                self._learn(method, prefix, teacher, chunk, epoch, result)
            with self.stopwatch.part("backward"):
                prefix.backward()
            self._count_tokens(group, len(ids), size, result)
        return result

    def _learn(
        self,
        method: Method,
        prefix: Prefix,
        teacher: Prefix | None,
        chunk: Chunk,
        epoch: int,
        result: StepResult,
    ) -> None:
        """Forward and backward of one chunk."""
        imperfect = method.sequences == "imperfect"
        gold_logits = None
        if imperfect and self.settings.mle_context == "gold":
            with self.stopwatch.part("student"), self.autocast():
                gold_logits = prefix.logits(chunk.rows)
        context = self._rewrite(prefix, chunk, gold_logits, epoch, result) if imperfect else chunk.rows
        teacher_logits = None
        if teacher is not None:
            with self.stopwatch.part("teacher"), torch.no_grad(), self.autocast():
                teacher_logits = teacher.logits(context.to(self.teacher.device)).to(self.device)
        with self.stopwatch.part("student"), self.autocast():
            logits = _student_logits(prefix, chunk.rows, context, gold_logits)
            mle_logits = logits if gold_logits is None else gold_logits
            mle = F.cross_entropy(mle_logits.float(), chunk.gold, reduction="none")
            loss_mle = (mle * chunk.weights).sum()
            loss = self._mle_weight(method) * loss_mle
            if method.divergence and teacher_logits is not None:
                common = min(logits.shape[-1], teacher_logits.shape[-1])
                values = method.divergence(logits[:, :common], teacher_logits[:, :common])
                loss_kd = (values * chunk.weights).sum()
                loss = loss + loss_kd
                result.loss_kd += loss_kd.item()
        with self.stopwatch.part("backward"):
            loss.backward()
        result.loss_mle += loss_mle.item()
        result.loss += loss.item()

    def _mle_weight(self, method: Method) -> float:
        """A method without a divergence is MLE, and nothing weighs it."""
        return self.settings.mle_weight if method.divergence else 1.0

    def _rewrite(
        self, prefix: Prefix, chunk: Chunk, gold_logits: Tensor | None, epoch: int, result: StepResult
    ) -> Rows:
        """The chunk's rows with masked answer tokens replaced by the student's own guesses."""
        with self.stopwatch.part("mask"), torch.no_grad(), self.autocast():
            masked = self._choose(prefix, chunk, gold_logits, epoch)
            ids = chunk.rows.ids.clone()
            places = (chunk.rows.rows[masked], chunk.rows.columns[masked] + 1)
            ids[places] = self.mask_id
            masked_ids = ids
            if self.settings.rewrite == "predict" and masked.any():
                guesses = predict(prefix.logits(chunk.rows.with_ids(ids).at(masked)), self.banned)
                ids = ids.clone()
                ids[places] = guesses
            recovered = (ids == chunk.rows.ids).all(dim=1)
            result.num_recovered = (result.num_recovered or 0) + int(recovered.sum())
        if not result.sample:
            first = chunk.items[0]
            answer = slice(len(first.suffix), first.length)
            result.sample = {
                "example": first.index,
                "gold": list(first.answer[:-1]),
                "masked": masked_ids[0, answer].tolist(),
                "imperfect": ids[0, answer].tolist(),
            }
        return chunk.rows.with_ids(ids)

    def _choose(self, prefix: Prefix, chunk: Chunk, gold_logits: Tensor | None, epoch: int) -> Tensor:
        """[N] booleans: which answer tokens are masked."""
        strategy, ratio = self.settings.mask_strategy, self.settings.mask_ratio
        entropies: list[np.ndarray | None] = [None] * len(chunk.items)
        lengths = [len(item.answer) for item in chunk.items]
        if strategy in ("hard", "easy") and ratio > 0:
            logits = gold_logits if gold_logits is not None else prefix.logits(chunk.rows)
            entropies = list(np.split(entropy(logits).float().cpu().numpy(), np.cumsum(lengths)[:-1]))
        masked = np.zeros(sum(lengths), dtype=bool)
        start = 0
        for item, length, values in zip(chunk.items, lengths, entropies, strict=True):
            key = (self.seed, epoch, item.index, 0)
            masked[start + choose_positions(length, ratio, strategy, key, values)] = True
            start += length
        return torch.from_numpy(masked).to(self.device)

    def _open_teacher(self, ids: Tensor) -> Prefix:
        assert self.teacher is not None, "the profile's own checks see to it"
        with torch.no_grad():
            return open_prefix(self.teacher, ids.to(self.teacher.device), shared=self.shared_teacher)

    def _chunk(self, items: Sequence[Item], result: StepResult) -> Chunk:
        lengths = np.array([len(item.answer) for item in items])
        if self.normalise == "token":
            weights = np.full(lengths.sum(), 1 / result.num_tokens)
        else:
            weights = np.repeat(1 / (lengths * result.num_rows), lengths)

        def tensor(values: Any) -> Tensor:
            return torch.from_numpy(np.asarray(values)).to(self.device)

        rows = answer_rows([item.suffix for item in items], [item.answer for item in items], self.pad_id)
        gold = tensor(np.concatenate([item.answer for item in items]))
        return Chunk(items, rows.to(self.device), gold, tensor(weights.astype(np.float32)))

    def _count_tokens(self, group: Sequence[Item], prefix_length: int, size: int, result: StepResult) -> None:
        """Useful: every distinct token once. Computed: what the student's pass really ran over."""
        result.tokens_useful += prefix_length + sum(item.length for item in group)
        chunks = [group[start : start + size] for start in range(0, len(group), size)]
        result.tokens_computed += sum(max(item.length for item in chunk) * len(chunk) for chunk in chunks)
        result.tokens_computed += prefix_length * (1 if self.shared_student else len(group))


def _student_logits(prefix: Prefix, gold: Rows, context: Rows, gold_logits: Tensor | None) -> Tensor:
    """[N, V] logits over the imperfect rows; a row that equals its gold reuses the gold pass."""
    if gold_logits is None:
        return prefix.logits(context)
    changed = (gold.ids != context.ids).any(dim=1)
    if not changed.any():
        return gold_logits
    fresh = prefix.logits(context.only(changed))
    kept = changed[context.rows]
    return gold_logits.index_put((kept.nonzero()[:, 0],), fresh.to(gold_logits.dtype))
