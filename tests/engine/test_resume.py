"""A run that is stopped and resumed ends with the same weights, bit for bit, whatever the method carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from engine import profile, runs, settings
from engine.distill.batches import Plan
from engine.distill.control import StopRequested
from engine.distill.trainer import Trainer
from engine.event_reader import EventReader
from engine.models.pair import add_lora
from engine.run_writer import RunWriter
from engine.runs import Run
from tests.engine import tiny
from tests.engine.test_methods import objective

STEPS = 7
METHODS = {
    "taid": {"name": "taid", "taid_start": 0.1},
    "gkd": {"name": "gkd", "on_policy": 0.5},
    "seqkd": {"name": "seqkd"},
    "f-distill": {"name": "f-distill"},
    "copies": {"name": "kid", "copies": 2, "rewrite": "sample"},
    "curriculum": {"name": "kid", "mask_ratio": 0.0, "mask_ratio_end": 0.6},
}


class StopAt:
    def __init__(self, step: int) -> None:
        self.left = step

    def check(self) -> None:
        if not self.left:
            raise StopRequested
        self.left -= 1


class Tokenizer:
    def decode(self, ids) -> str:
        return str(ids)


class Encoder:
    tokenizer = Tokenizer()

    def prefix(self, database) -> list[int]:
        return tiny.prefix()


@contextmanager
def trainer(run: Run, method: dict, stop_at: int, **train) -> Iterator[Trainer]:
    """A new process's trainer: its models are made anew, with dropout that draws from the global state."""
    items = tiny.items(6)
    lora = settings.Lora(rank=4, alpha=8, dropout=0.2)
    torch.manual_seed(1)
    student = add_lora(tiny.model("llama"), settings.Student(model="x", lora=lora))
    torch.manual_seed(2)
    plan = Plan(["a"] * 6, [item.length for item in items], 4, 1, "grouped", 0)
    given = settings.Train(**{"max_steps": STEPS, "learning_rate": 1e-2, **train})
    with RunWriter(run) as writer:
        made = Trainer(
            objective(**method, student=student), items, plan, Encoder(), given, writer, StopAt(stop_at)
        )
        made.restore()
        yield made
        writer.finish("stopped")


def train(run: Run, method: dict, stops: list[int], **given) -> dict[str, torch.Tensor]:
    for stop in stops:
        with trainer(run, method, stop, **given) as made, pytest.raises(StopRequested):
            made.train()
    with trainer(run, method, 100, **given) as made:
        made.train()
        return {name: value.detach().clone() for name, value in made.student.named_parameters()}


@pytest.fixture
def new_run():
    return lambda: runs.create(profile.load("demo"), ["test"])


@pytest.mark.parametrize("method", METHODS)
def test_resumed_is_undisturbed(new_run, method):
    # Timing the reference must leave no trace either.
    whole = train(new_run(), METHODS[method], [])
    parts = train(new_run(), METHODS[method], [2, 3], reference_every=2)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_the_end_by_time(new_run):
    run = new_run()
    with trainer(run, {"name": "kid"}, 10**6, max_steps=10**6, max_seconds=0.3) as made:
        made.train()
        assert 0.3 <= made.progress.train_seconds < 1.5
        assert 1 < made.progress.step < 10**5
    events = EventReader(run).poll()
    rates = [event["lr"] for event in events if event["kind"] == "step"]
    assert rates[-1] < rates[len(rates) // 2]  # the schedule goes by time
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [len(rates)]


def test_reference_events_beside_their_step(new_run):
    run = new_run()
    train(run, {"name": "kid"}, [], reference_every=3)
    events = [event for event in EventReader(run).poll() if event["kind"] == "reference"]
    assert [event["step"] for event in events] == [4, 7]
    assert all(
        event["plain_sft_ms"] > 0 and event["sft_ms"] > 0 and event["method_ms"] > 0 for event in events
    )
