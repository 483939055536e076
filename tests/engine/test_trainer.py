"""What the loop does when a step goes wrong."""

from __future__ import annotations

import pytest
import torch

from engine import profile, runs, settings
from engine.distill.batches import Plan
from engine.distill.checkpoint import names
from engine.distill.control import StopRequested
from engine.distill.objective import Objective
from engine.distill.trainer import Trainer, learning_rate
from engine.errors import KidError
from engine.event_reader import EventReader
from engine.run_writer import RunWriter
from tests.engine import tiny


class Control:
    def check(self) -> None:
        """Nobody asks for anything."""


class Encoder:
    def prefix(self, database) -> list[int]:
        return tiny.prefix()


@pytest.fixture
def made():
    run = runs.create(profile.load("demo"), ["test"])
    items = tiny.items(12)
    objective = Objective(tiny.model("llama"), None, settings.Method(name="sft"), mask_id=tiny.MASK,
                          banned=[tiny.EOS], eos_id=tiny.EOS, pad_id=tiny.PAD, seed=0)  # fmt: skip
    plan = Plan(["a"] * 12, [item.length for item in items], 4, 1, "grouped", 0)
    with RunWriter(run) as writer:
        yield Trainer(objective, items, plan, Encoder(), settings.Train(max_steps=8), writer, Control())
        writer.finish("done")


def messages(trainer: Trainer) -> list[str]:
    return [e["message"] for e in EventReader(trainer.writer.run).poll() if e["kind"] == "warning"]


def break_at(trainer: Trainer, calls: set[int], damage) -> None:
    real, count = trainer.objective.accumulate, iter(range(1, 1000))

    def accumulate(*arguments, **options):
        result = real(*arguments, **options)
        if next(count) in calls:
            damage(result)
        return result

    trainer.objective.accumulate = accumulate


def not_finite(result) -> None:
    result.loss = float("nan")


def test_a_loss_that_is_not_finite_skips_the_step(made):
    break_at(made, {2, 3, 5}, not_finite)
    made.train()
    assert made.progress.step == 8
    assert [message.split()[1] for message in messages(made)] == ["2", "3", "5"]
    assert all(value.isfinite().all() for value in made.student.parameters())


def test_three_in_a_row_end_the_run(made):
    break_at(made, {4, 5, 6}, not_finite)
    with pytest.raises(KidError, match="3 steps in a row"):
        made.train()
    assert made.progress.step == 6


def test_out_of_memory_halves_the_rows_and_goes_on(made):
    def exhausted(result) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    break_at(made, {3}, exhausted)
    made.train()
    assert made.progress.step == 8
    assert made.progress.max_rows == 2
    assert "2 questions a pass" in messages(made)[0]


def test_out_of_memory_with_one_row_says_what_to_lower(made):
    def exhausted(result) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    break_at(made, set(range(1, 99)), exhausted)
    with pytest.raises(KidError, match="single question") as raised:
        made.train()
    assert "data.max_prompt_tokens" in raised.value.mend


def test_other_errors_are_not_swallowed(made):
    def wrong(result) -> None:
        raise RuntimeError("shape mismatch")

    break_at(made, {1}, wrong)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        made.train()


def test_a_stop_during_an_evaluation_keeps_the_steps(made):
    def stop(step: int) -> float:
        raise StopRequested

    made.eval_every, made.evaluate = 3, stop
    with pytest.raises(StopRequested):
        made.train()
    assert [path.name for path in names(made.writer.run.path / "checkpoints")] == ["step-00000003"]


def test_schedules():
    warm = settings.Train(learning_rate=1.0, warmup_ratio=0.1)
    assert [learning_rate(step / 100, 100, warm) for step in (0, 9)] == pytest.approx([0.1, 1.0])
    assert learning_rate(0.10, 100, warm) == pytest.approx(1.0)
    assert learning_rate(0.55, 100, warm) == pytest.approx(0.5)
    assert learning_rate(0.99, 100, warm) < 0.001
    flat = settings.Train(learning_rate=1.0, warmup_ratio=0.0, schedule="constant")
    assert {learning_rate(step / 10, 10, flat) for step in range(10)} == {1.0}
