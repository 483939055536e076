"""One of several processes that train tiny models: `python -m tests.engine.rank_process RUN…`.

Each run is trained from its checkpoint on, as its folder's method.json says, to its end or to where
it is to stop. Every process leaves its weights there.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine import settings
from engine.distill.batches import Plan
from engine.distill.control import StopRequested
from engine.distill.ranks import Ranks, joined
from engine.distill.trainer import Trainer
from engine.event_reader import EventReader
from engine.models.encode import Item
from engine.models.pair import add_lora
from engine.run_writer import RunWriter, SilentWriter
from engine.runs import Run
from tests.engine import tiny
from tests.engine.test_methods import objective
from tests.engine.test_resume import Encoder, StopAt

OTHER = Path("b.sqlite")


def items() -> list[Item]:
    return [*tiny.items(7), *tiny.items(5, seed=5, database=OTHER, start=7)]


def train(run: Run, ranks: Ranks) -> dict[str, torch.Tensor]:
    """The student's weights at the end, or at the step where the run is to stop."""
    given = json.loads((run.path / "method.json").read_text())
    student = tiny.model("llama")
    torch.manual_seed(1)
    if "lora" in given:
        student = add_lora(
            student, settings.Student(model="x", lora=settings.Lora(rank=4, alpha=8, dropout=given["lora"]))
        )
    made = objective(**given["method"], student=student)
    made.normalise = given.get("normalise", "token")
    known = items()
    questions = given.get("questions", 4)
    databases = [item.database.stem for item in known]
    plan = Plan(
        databases, [item.length for item in known], questions, 2 if questions > 1 else 1, "grouped", 0
    )
    learning = settings.Train(learning_rate=1e-3, checkpoint_every=2, max_steps=given["max_steps"])
    with (RunWriter if ranks.is_main else SilentWriter)(run) as writer:
        control = StopAt(given.get("stop_at", 10**9))
        trainer = Trainer(made, known, plan, Encoder(), learning, writer, control, ranks=ranks)
        trainer.restore()
        with suppress(StopRequested):
            trainer.train()
        writer.finish("stopped")
    return {name: value.detach().clone() for name, value in student.named_parameters()}


def steps(run: Run) -> list[dict]:
    return [event for event in EventReader(run).poll() if event["kind"] == "step"]


def main() -> None:
    torch.set_num_threads(1)
    with joined() as ranks:
        for path in map(Path, sys.argv[1:]):
            weights = train(Run(path.name, path), ranks)
            save_file(weights, path / f"weights{ranks.index}.safetensors")


if __name__ == "__main__":
    main()
