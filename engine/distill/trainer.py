"""The training loop: steps, events, evaluations, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from engine import settings
from engine.distill import checkpoint
from engine.distill.batches import Group, Plan
from engine.distill.checkpoint import Progress
from engine.distill.control import Control, StopRequested
from engine.distill.memory import is_out_of_memory, memory_mb
from engine.distill.objective import Objective
from engine.distill.ranks import Ranks
from engine.distill.reference import time_sft
from engine.distill.step_result import StepResult
from engine.distill.taid import TaidSchedule
from engine.distill.ways import Choice, Way, choose
from engine.errors import DataError, KidError
from engine.models.encode import Encoder, Item
from engine.models.endpoint import OutageError
from engine.models.stored_items import StoredItems, mark
from engine.run_writer import RunWriter

_MAX_BAD_STEPS = 3


class Trainer:
    """Trains a student until `total_steps`, or until it is asked to stop.

    Args:
        objective: gives an optimizer step's gradient.
        items: the training set.
        plan: which items make which step; positions are into `items`.
        evaluate: called with the step every `eval_every` steps; returns EX.
        keep_best: called when an evaluation is the best so far.
        ranks: the processes that train; each of them has a trainer.
    """

    def __init__(
        self,
        objective: Objective,
        items: Sequence[Item],
        plan: Plan,
        encoder: Encoder,
        train: settings.Train,
        writer: RunWriter,
        control: Control,
        *,
        warmup_steps: int = 0,
        eval_every: int = 0,
        evaluate: Callable[[int], float] = lambda step: 0.0,
        keep_best: Callable[[], None] = lambda: None,
        ranks: Ranks | None = None,
    ) -> None:
        self.objective, self.items, self.plan, self.encoder = objective, items, plan, encoder
        self.settings, self.writer, self.control = train, writer, control
        self.warmup_steps, self.eval_every = warmup_steps, eval_every
        self.evaluate, self.keep_best = evaluate, keep_best
        self.ranks = ranks or Ranks()
        self.student = objective.student
        self.optimizer = torch.optim.AdamW(
            checkpoint.trained_weights(self.student).values(),
            lr=train.learning_rate,
            weight_decay=train.weight_decay,
        )
        self.prefixes = _Prefixes(encoder)
        self.total_steps = plan.total_steps(train.epochs, train.max_steps)
        self.progress = Progress(data=items.mark if isinstance(items, StoredItems) else mark(items))
        self._epoch_steps: tuple[int, Sequence[list[Group]]] = (-1, [])
        self._checkpoints: Path = writer.run.path / "checkpoints"

    def restore(self) -> None:
        """Takes up the newest readable checkpoint, if there is one.

        Raises:
            RunError: there are checkpoints, and none can be read.
            DataError: the training set is another one by now, or other processes have found another place.
        """
        progress, broken = checkpoint.restore(self._checkpoints, self.student, self.optimizer)
        for path, reason in broken.items():
            self.writer.event(
                "warning", message=f"checkpoint {path.name} cannot be read, an older one is used: {reason}"
            )
        if progress and progress.data != self.progress.data:
            raise DataError(
                "the training data has changed since this run's checkpoint",
                "put the files back as they were, or start a new run",
            )
        if progress:
            self.progress = progress
            if progress.taid:
                self.objective.taid = TaidSchedule(**progress.taid)
        if self.ranks.from_main(self.progress) != self.progress:
            raise DataError(
                "the processes have found different checkpoints or training data",
                "the run's directory and the data must be the same files on every machine",
            )
        self.ranks.seed(self.settings.seed, self.progress.step)

    def train(self) -> None:
        """Raises StopRequested after a checkpoint, KidError when the run cannot go on."""
        self.student.train()
        while True:
            try:
                self._evaluate_if_due()
                if self._finished:
                    return
                self.ranks.on_main(self.control.check)
                self._step()
            except StopRequested:
                if self.progress.step:
                    self._save()
                raise
            except OutageError:
                if self.progress.step and self.ranks.size == 1:  # the others wait for us inside the step
                    self._save()
                raise
            if self.progress.step % self.settings.checkpoint_every == 0 or self._finished:
                self._save()

    def choose_way(self, usual: Way, others: Sequence[Way]) -> Choice:
        """The fastest way to compute, by the next step's questions."""
        left = self.total_steps - self.progress.step
        return choose(self.objective, usual, others, self._next_groups(), self.prefixes, left)

    @property
    def _done(self) -> float:
        """How much of training is done, 0 to 1: by steps or, with a time limit, by time if that is more."""
        by_steps = self.progress.step / self.total_steps
        limit = self.settings.max_seconds
        return min(1.0, max(by_steps, self.progress.train_seconds / limit if limit else 0.0))

    @property
    def _finished(self) -> bool:
        return self._done == 1.0

    def _step(self) -> None:
        progress, groups = self.progress, self.ranks.deal(self._next_groups())
        reference = self._time_reference(groups) if groups else {}
        started = time.perf_counter()
        random_states = checkpoint.random_states()
        try:
            result = self._accumulate(groups) if groups else StepResult(0, 0)
        except (StopRequested, OutageError):  # while a served teacher was waited for: as if never begun
            checkpoint.set_random_states(random_states)
            raise
        accumulated = time.perf_counter() - started
        result = self._add_up(result)
        with self.objective.stopwatch.part("optimizer"):
            norm = torch.nn.utils.clip_grad_norm_(
                checkpoint.trained_weights(self.student).values(), self.settings.max_grad_norm
            ).item()
            rate = learning_rate(self._done, self.total_steps, self.settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            good = math.isfinite(result.loss) and math.isfinite(norm)
            if good:
                self.optimizer.step()
                self.objective.settle(result, self._done)
            self.optimizer.zero_grad(set_to_none=True)
        seconds = self.ranks.from_main(time.perf_counter() - started)
        self._advance(len(self._steps_of(progress.epoch)))
        progress.train_seconds += seconds
        progress.taid = asdict(self.objective.taid)
        self._report_step(result, norm, rate, seconds)
        if reference:
            method_ms = round(accumulated * 1000, 3)
            self.writer.event("reference", step=progress.step, **reference, method_ms=method_ms)
        if not good:
            self._skip()
        else:
            progress.bad_in_a_row = 0

    def _accumulate(self, groups: Sequence[Sequence[Item]]) -> StepResult:
        """The gradient of these groups; with fewer rows a pass where memory does not suffice."""
        while True:
            try:
                return self.objective.accumulate(
                    groups,
                    self.prefixes,
                    epoch=self.progress.epoch,
                    progress=min(1.0, self._done * self.total_steps / max(1, self.total_steps - 1)),
                    warming_up=self.progress.step < self.warmup_steps,
                    max_rows=self.progress.max_rows,
                    measure=self._is_scored(self.progress.step + 1),
                    sample=self.progress.step % self.settings.rewrite_every == 0,
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self.optimizer.zero_grad(set_to_none=True)
            self.objective.teacher_prefixes.give_up()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            rows = self.progress.max_rows or max(map(len, groups))
            if rows == 1:
                raise KidError(
                    "out of memory with a single question at a time",
                    "lower data.max_prompt_tokens, use student.lora, or choose a smaller model",
                )
            self.progress.max_rows = rows // 2
            self.writer.event(
                "warning",
                message=f"out of memory: {rows // 2} questions a pass from here on, at the same batch size "
                "(train.questions_per_database sets it)",
            )

    def _add_up(self, result: StepResult) -> StepResult:
        """The whole step's result and gradient, of all processes' shares."""
        weights = list(checkpoint.trained_weights(self.student).values())
        return self.ranks.add_up(result, weights, self.objective.normalise, self.objective.stopwatch)

    def _time_reference(self, groups: Sequence[Sequence[Item]]) -> dict[str, float]:
        every, step = self.settings.reference_every, self.progress.step
        if not every or not step or step % every:  # the first step warms up: it is not the usual one
            return {}
        try:
            return time_sft(self.objective, groups, self.prefixes, self.progress.max_rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self.optimizer.zero_grad(set_to_none=True)
        self.writer.event("warning", message="out of memory while timing plain SFT: it is not timed here")
        return {}

    def _next_groups(self) -> list[list[Item]]:
        steps = self._steps_of(self.progress.epoch)
        return [[self.items[index] for index in group] for group in steps[self.progress.index]]

    def _steps_of(self, epoch: int) -> Sequence[list[Group]]:
        if self._epoch_steps[0] != epoch:
            self._epoch_steps = (epoch, self.plan.steps(epoch))
        return self._epoch_steps[1]

    def _advance(self, steps_in_epoch: int) -> None:
        self.progress.step += 1
        self.progress.index += 1
        if self.progress.index == steps_in_epoch:
            self.progress.epoch, self.progress.index = self.progress.epoch + 1, 0

    def _skip(self) -> None:
        progress = self.progress
        progress.bad_in_a_row += 1
        if progress.bad_in_a_row == _MAX_BAD_STEPS:
            kept = checkpoint.names(self._checkpoints)
            raise KidError(
                f"the loss was not finite in {_MAX_BAD_STEPS} steps in a row, up to step {progress.step}",
                "lower train.learning_rate; "
                + (f"the last good checkpoint is {kept[-1].name}" if kept else "there is no checkpoint yet"),
            )
        self.writer.event("warning", message=f"step {progress.step} skipped: its loss is not finite")

    def _evaluate_if_due(self) -> None:
        step, progress = self.progress.step, self.progress
        if not step or self._finished or not self._is_scored(step) or progress.evaluated_step == step:
            return
        ex = self.ranks.on_main(lambda: self.evaluate(step))
        self.student.train()
        progress.evaluated_step = step
        if ex > progress.best_ex:
            progress.best_ex, progress.best_step = ex, step
            self.ranks.on_main(self.keep_best)

    def _is_scored(self, step: int) -> bool:
        """Whether the student is scored after this step; after the last one it always is."""
        return step == self.total_steps or bool(self.eval_every and step % self.eval_every == 0)

    def _save(self) -> None:
        self.ranks.on_main(self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        path = checkpoint.save(
            self._checkpoints, self.student, self.optimizer, self.progress, self.settings.keep_checkpoints
        )
        self.writer.event(
            "checkpoint", step=self.progress.step, path=str(path.relative_to(self.writer.run.path))
        )

    def _report_step(self, result: StepResult, norm: float, rate: float, seconds: float) -> None:
        progress = self.progress
        mean = progress.train_seconds / progress.step
        eta = round(progress.train_seconds * (1 / self._done - 1), 1)
        self.writer.event(
            "step",
            step=progress.step,
            epoch=progress.epoch,
            loss=result.loss,
            loss_kd=result.loss_kd,
            loss_mle=result.loss_mle,
            lr=rate,
            grad_norm=norm,
            ms={**self.objective.stopwatch.read(), "total": round(seconds * 1000, 3)},
            tokens_per_s=round(result.num_tokens / seconds, 1),
            num_tokens=result.num_tokens,
            memory_mb=memory_mb(),
            recovered_rate=None if result.num_recovered is None else result.num_recovered / result.num_rows,
            token_efficiency=round(result.tokens_useful / result.tokens_computed, 4),
            teacher_tail_mass=result.teacher_tail_mass,
            teacher_prefix_hit_rate=self.objective.teacher_prefixes.hit_rate(),
            eta_s=eta,
        )
        self.writer.update(
            state="running",
            step=progress.step,
            epoch=progress.epoch,
            loss=result.loss,
            step_ms=round(mean * 1000, 1),
            eta_s=eta,
        )
        if result.measures:
            self.writer.event("divergences", step=progress.step, **result.measures)
        if result.sample:
            texts = {
                name: [self.encoder.tokenizer.decode([token]) for token in result.sample[name]]
                for name in ("gold", "masked", "imperfect")
            }
            self.writer.event("rewrite", step=progress.step, example=result.sample["example"], **texts)


class _Prefixes(dict[Path, list[int]]):
    """The ids of every database's prefix. The encoder keeps them, as far as they are kept."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._encoder = encoder

    def __missing__(self, database: Path) -> list[int]:
        return self._encoder.prefix(database)


def learning_rate(done: float, total: int, train: settings.Train) -> float:
    """The next step's rate: linear warm-up, then the schedule down to 0. `done`: share of `total` steps."""
    step, warmup = done * total, math.ceil(train.warmup_ratio * total)
    if step < warmup:
        return train.learning_rate * min(1.0, (step + 1) / warmup)
    left = 1 - (step - warmup) / max(1, total - warmup)
    share = {"cosine": 0.5 * (1 - math.cos(math.pi * left)), "linear": left, "constant": 1.0}
    return train.learning_rate * share[train.schedule]
