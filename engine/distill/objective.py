"""One optimizer step's loss and gradient: roll in, mask, predict, rewrite, learn.

The steps of KID (arXiv 2410.11371, section 3) over groups of questions that share a prefix; every
other method is a subset of them (methods.py). The loss is the mean over all trained tokens of the
optimizer step, however the step is cut into groups and chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine import settings
from engine.distill.by_parts import gradients_by_parts
from engine.distill.chunk import Chunk, Weighing, make_chunk
from engine.distill.divergences import entropy, measures
from engine.distill.imperfect import Rewriter
from engine.distill.methods import METHODS, Divergence, Method, choose_divergence
from engine.distill.rollin import RollIn, Row
from engine.distill.step_result import StepResult
from engine.distill.stopwatch import Stopwatch
from engine.distill.taid import TaidSchedule
from engine.models.encode import Item
from engine.models.kept_prefixes import KeptPrefixes
from engine.models.prefix import Form, Prefix, open_prefixes
from engine.models.rows import Rows
from engine.models.served import ServedPrefix
from engine.models.topk import TopK


class Objective:
    """Accumulates the gradient of one optimizer step in the student's parameters.

    Args:
        student, teacher: language models on their devices; `teacher` may be None for SFT and SeqKD.
        method: the profile's settings of it.
        mask_id: the token that stands for a masked one.
        banned: ids that a rewrite never contains: padding, EOS, the mask token.
        max_new_tokens: the longest answer that the student samples.
        vocabulary: ids from this on are never sampled or guessed (None: all can be).
        teacher_text: the teacher's answer by the example's index, for methods that read it.
        student_form, teacher_form: how each shares a prefix (prefix.choose_form).
        databases_per_pass: groups that run in one pass (0: all of a step); cached ones run alone.
        teacher_prefix_bytes: memory for teacher's prefixes that are kept from step to step.
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
        eos_id: int,
        pad_id: int,
        seed: int,
        max_new_tokens: int = 128,
        vocabulary: int | None = None,
        teacher_text: Mapping[int, Sequence[int]] | None = None,
        student_form: Form = "cached",
        teacher_form: Form = "cached",
        databases_per_pass: int = 1,
        teacher_prefix_bytes: int = 0,
        normalise: str = "token",
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.student, self.teacher = student, teacher
        self.settings = method
        self.mask_id, self.pad_id, self.seed = mask_id, pad_id, seed
        self.vocabulary = vocabulary
        self.device = next(student.parameters()).device
        self.banned = torch.tensor(sorted(set(banned)), device=self.device)
        self.student_form = student_form
        self.databases_per_pass = databases_per_pass
        self.teacher_form = teacher_form
        self.teacher_prefixes = KeptPrefixes(teacher, teacher_form, teacher_prefix_bytes)
        self._teacher_prefix_bytes = teacher_prefix_bytes
        self.normalise = normalise
        self.autocast = autocast
        self.stopwatch = Stopwatch(self.device)
        self.taid = TaidSchedule(method.taid_start)
        self.roll_in = RollIn(student, method, seed, eos_id, pad_id, vocabulary, max_new_tokens,
                              student_form != "naive", teacher_text or {})  # fmt: skip

    def accumulate(
        self,
        groups: Sequence[Sequence[Item]],
        prefixes: Mapping[Path, Sequence[int]],
        *,
        epoch: int,
        progress: float = 0.0,
        warming_up: bool = False,
        max_rows: int = 0,
        measure: bool = False,
        sample: bool = False,
    ) -> StepResult:
        """Adds the gradient of one optimizer step's mean loss to the student's parameters.

        Args:
            groups: each on one database.
            prefixes: token ids of each database's prefix.
            progress: how much of training is done, 0 to 1, for what changes on the way.
            warming_up: take plain SFT instead of the profile's method.
            max_rows: rows a pass at most (0: whole groups), for memory; the result is the same.
            measure: also take every divergence, of the logits that the method has at hand.
            sample: also keep an answer as it was rewritten.
        """
        method = METHODS["sft" if warming_up else self.settings.name]
        # All groups before the first loss: its mean is over the tokens of all.
        rolled = self._roll_in(method, groups, prefixes, epoch, max_rows)
        rows = [row for group in rolled for row in group]
        result = StepResult(sum(len(row.answer) for row in rows), len(rows))
        weighing = Weighing(self.normalise, result.num_tokens, result.num_rows)
        step = _Step(self, method, weighing, epoch, progress, measure, sample, result)
        size = 1 if max_rows else self.databases_per_pass or len(rolled)
        with self.autocast():  # around all passes: weights are converted once
            for start in range(0, len(rolled), size):
                together = rolled[start : start + size]
                step.learn(together, [prefixes[group[0].item.database] for group in together], max_rows)
        step.read()
        return result

    def _roll_in(
        self,
        method: Method,
        groups: Sequence[Sequence[Item]],
        prefixes: Mapping[Path, Sequence[int]],
        epoch: int,
        max_rows: int,
    ) -> list[list[Row]]:
        def rows() -> list[list[Row]]:
            return [
                self.roll_in.rows(method, group, prefixes[group[0].database], epoch, max_rows)
                for group in groups
            ]

        if "student" not in method.sources:
            return rows()
        with self.stopwatch.part("sample"), self.autocast():
            return rows()

    def compute(
        self, student_form: Form, teacher_form: Form, databases_per_pass: int, bfloat16: bool
    ) -> None:
        """Computes another way from here on: see the arguments; `bfloat16`: by autocast."""
        self.student_form, self.teacher_form = student_form, teacher_form
        self.databases_per_pass = databases_per_pass
        self.teacher_prefixes = KeptPrefixes(self.teacher, teacher_form, self._teacher_prefix_bytes)
        self.autocast = lambda: torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16)

    def settle(self, result: StepResult, progress: float) -> None:
        """After an optimizer step was taken: moves what the method carries from step to step."""
        if self.settings.name == "taid":
            self.taid.update(result.loss_kd, progress)


@dataclass
class _Step:
    """An optimizer step under way. Its sums stay on the device until `read`: a GPU is waited for once."""

    objective: Objective
    method: Method
    weighing: Weighing
    epoch: int
    progress: float
    measure: bool
    sample: bool
    result: StepResult
    sums: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings, self.stopwatch = self.objective.settings, self.objective.stopwatch
        self.divergence: Divergence | None = choose_divergence(
            self.method, self.settings, self.objective.taid.t
        )
        # A method without a divergence is MLE, and nothing weighs it.
        self.mle_weight = self.settings.mle_weight if self.divergence else 1.0
        start, end = self.settings.mask_ratio, self.settings.mask_ratio_end
        self.rewriter = Rewriter(
            self.settings,
            self.objective.mask_id,
            self.objective.banned,
            self.objective.vocabulary,
            self.objective.seed,
            self.epoch,
            start if end is None else start + (end - start) * self.progress,
        )

    def learn(
        self, groups: Sequence[Sequence[Row]], prefixes: Sequence[Sequence[int]], max_rows: int
    ) -> None:
        """Forward and backward of groups that share their passes; with `max_rows` one group, by chunks."""
        made = self.objective
        ids = [torch.tensor(prefix, device=made.device) for prefix in prefixes]
        teacher = None
        with self.stopwatch.part("prefix"):
            student = open_prefixes(made.student, ids, made.student_form)
            if self.divergence:
                assert made.teacher is not None, "the profile's own checks see to it"
                databases = [group[0].item.database for group in groups]
                with torch.no_grad():
                    teacher = made.teacher_prefixes.open(
                        databases, [one.to(made.teacher.device) for one in ids]
                    )
        for chunk in _chunks(groups, max_rows):
            self._learn(student, teacher, make_chunk(chunk, self.weighing, made.pad_id, made.device))
            self._count_tokens(chunk, prefixes)
        with self.stopwatch.part("backward"):
            student.backward()
        lengths = sum(map(len, prefixes))
        self.result.tokens_useful += lengths
        self.result.tokens_computed += lengths if made.student_form == "cached" else 0

    def _learn(self, prefix: Prefix, teacher: Prefix | ServedPrefix | None, chunk: Chunk) -> None:
        gold_logits, context = None, chunk.context
        if "imperfect" in self.method.sources:
            if self.settings.mle_context == "gold":
                with self.stopwatch.part("student"):
                    gold_logits = prefix.logits(chunk.context)
            context = self._rewrite(prefix, chunk, gold_logits)
        taught = self._teach(teacher, context) if teacher is not None else None
        if isinstance(taught, TopK):
            self._add("teacher_tail_mass", (taught.tail_mass() * chunk.weights).sum())
        with self.stopwatch.part("student"):
            logits = _student_logits(prefix, chunk.context, context, gold_logits)
            read = [logits] if gold_logits is None else [logits, gold_logits]
            gradients = gradients_by_parts(
                read, lambda part, found: self._loss(chunk, part, found[0], found[-1], taught)
            )
        with self.stopwatch.part("backward"):
            torch.autograd.backward(read, gradients)

    def _rewrite(self, prefix: Prefix, chunk: Chunk, gold_logits: Tensor | None) -> Rows:
        with self.stopwatch.part("mask"), torch.no_grad():
            imperfect = self.rewriter.rewrite(prefix, chunk, gold_logits)
            if self.settings.rewrite != "mask":
                self._add("num_recovered", imperfect.recovered)
            if self.objective.student_form != "cached":
                # Autocast keeps weights as first converted, here without gradient: what learns needs its own.
                torch.clear_autocast_cache()
        if self.sample and not self.result.sample:
            self.result.sample = imperfect.sample(chunk.rows[0])
        return imperfect.rows

    def _teach(self, teacher: Prefix | ServedPrefix, context: Rows) -> Tensor | TopK:
        made = self.objective
        with self.stopwatch.part("teacher"), torch.no_grad():
            return teacher.logits(context.to(made.teacher.device)).to(made.device)

    def _loss(
        self, chunk: Chunk, part: slice, logits: Tensor, mle_logits: Tensor, taught: Tensor | TopK | None
    ) -> Tensor:
        """What some of the chunk's places add to the step's loss. All logits but the teacher's are theirs."""
        loss = logits.new_zeros((), dtype=torch.float32)
        if self.method.mle:
            mle = F.cross_entropy(mle_logits.float(), chunk.answers[part], reduction="none")
            loss_mle = (mle * chunk.mle_weights[part]).sum()
            self._add("loss_mle", loss_mle)
            loss = loss + self.mle_weight * loss_mle
        pair = None if taught is None else _common(logits, taught[part])
        if self.divergence and pair:
            loss_kd = (self.divergence(*pair) * chunk.weights[part]).sum()
            self._add("loss_kd", loss_kd)
            loss = loss + loss_kd
        self._add("loss", loss)
        if self.measure:
            found = measures(*pair) if pair else {"student_entropy": entropy(logits.detach())}
            for name, values in found.items():
                self._add(f"measures.{name}", (values * chunk.weights[part]).sum())
        return loss

    def _add(self, name: str, value: Tensor) -> None:
        value = value.detach()
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def read(self) -> None:
        """Puts the sums into the result."""
        values = torch.stack([value.float() for value in self.sums.values()]).tolist()
        for name, value in zip(self.sums, values, strict=True):
            if name == "num_recovered":
                self.result.num_recovered = round(value)
            elif name.startswith("measures."):
                self.result.measures[name.removeprefix("measures.")] = value
            else:
                setattr(self.result, name, value)

    def _count_tokens(self, chunk: Sequence[Sequence[Row]], prefixes: Sequence[Sequence[int]]) -> None:
        """Of a pass. Useful: every distinct token once. Computed: what the student's pass really ran over."""
        lengths = [row.length for group in chunk for row in group]
        self.result.tokens_useful += sum(lengths)
        num_rows, longest = len(lengths), max(map(len, prefixes))
        if self.objective.student_form == "packed":
            num_rows = len(chunk) * max(map(len, chunk))
            self.result.tokens_computed += len(chunk) * longest
        elif self.objective.student_form == "naive":
            self.result.tokens_computed += sum(
                len(prefix) * len(group) for prefix, group in zip(prefixes, chunk, strict=True)
            )
        self.result.tokens_computed += num_rows * max(lengths)


def _chunks(groups: Sequence[Sequence[Row]], max_rows: int) -> Iterator[Sequence[Sequence[Row]]]:
    """The groups in one pass; where memory is short, a single group a few rows at a time."""
    if not max_rows:
        yield groups
        return
    (group,) = groups
    for start in range(0, len(group), max_rows):
        yield [group[start : start + max_rows]]


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


def _common(student: Tensor, teacher: Tensor | TopK) -> tuple[Tensor, Tensor]:
    """Both over the ids that both have: vocabularies of a family differ in padding rows."""
    if isinstance(teacher, TopK):
        return student, teacher.against(student)
    size = min(student.shape[-1], teacher.shape[-1])
    return student[:, :size], teacher[:, :size]
