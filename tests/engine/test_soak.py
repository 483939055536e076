"""Fifty kills over one run of the demo: what comes out is bit for bit what comes out undisturbed.

    pytest -m slow -s tests/engine/test_soak.py

KID_SOAK_KILLS and KID_SOAK_SEED choose other numbers of kills and other moments.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine import profile, runs
from engine.event_reader import EventReader
from engine.runs import Run

KILLS = int(os.environ.get("KID_SOAK_KILLS", "50"))
STEPS = 6 * KILLS + 8
SETTINGS = [
    f"train.max_steps={STEPS}",
    "train.epochs=1000",
    "train.checkpoint_every=3",
    "train.questions_per_database=2",
    "train.databases_per_step=1",
    "train.threads=1",
    "data.train_limit=100",
    "eval.limit=4",
    f"eval.every={STEPS // 4}",
    "eval.before=false",
]
_LIFE_SECONDS = 60.0
_STEPS_A_LIFE = 10


def live(path: str) -> None:
    """One life of the engine, in a process that has the libraries imported: training begins at once."""
    from engine.__main__ import _train

    with (Path(path) / "err.log").open("ab") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    os._exit(_train(Path(path)))


@pytest.fixture
def start() -> Callable[[Run], ForkServerProcess]:
    """Starts the engine on a run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["engine.distill.job", "engine.models.save"])

    warm_up = context.Process(target=os.getpid)
    warm_up.start()
    warm_up.join()

    def started(run: Run) -> ForkServerProcess:
        process = context.Process(target=live, args=(str(run.path),))
        process.start()
        return process

    return started


def after_some_time(run: Run, process: ForkServerProcess, chance: random.Random, longest: float) -> None:
    """Any moment of so many seconds."""
    process.join(chance.uniform(0.0, longest))


def while_it_saves(run: Run, process: ForkServerProcess, chance: random.Random, longest: float) -> None:
    """A moment after one of the first checkpoints of this life was begun."""
    passed, deadline = chance.randrange(3), time.monotonic() + _LIFE_SECONDS
    seen: set[str] = {path.name for path in (run.path / "checkpoints").glob(".step-*")}
    while process.is_alive() and time.monotonic() < deadline:
        begun = {path.name for path in (run.path / "checkpoints").glob(".step-*")} - seen
        if len(begun) > 0:
            if not passed:
                break
            passed, seen = passed - 1, seen | begun
        time.sleep(0.0005)
    time.sleep(chance.uniform(0.0, 0.05))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_again_and_again(start: Callable[[Run], ForkServerProcess]) -> None:
    made = profile.load("demo", SETTINGS)
    undisturbed, run = (runs.create(made, ["test"]) for _ in range(2))
    began = time.monotonic()
    process = start(undisturbed)
    while "step" not in kinds(undisturbed) and process.is_alive():
        time.sleep(0.05)
    to_first_step = time.monotonic() - began
    process.join()
    assert process.exitcode == 0, (undisturbed.path / "err.log").read_text()
    alone = time.monotonic() - began
    longest = to_first_step + _STEPS_A_LIFE * mean_step_seconds(undisturbed)
    chance = random.Random(int(os.environ.get("KID_SOAK_SEED", "0")))
    told: Counter[str] = Counter()
    for number in range(KILLS):
        wait, blow = while_it_saves if number % 2 else after_some_time, signal.SIGKILL
        if number % 5 == 4:
            wait, blow = after_some_time, signal.SIGTERM
        process = start(run)
        wait(run, process, chance, longest)
        assert process.is_alive(), (run.path / "err.log").read_text()
        os.kill(process.pid or 0, blow)
        process.join(_LIFE_SECONDS)
        assert process.exitcode in (0, -blow), (run.path / "err.log").read_text()
        told[f"{blow.name} {wait.__name__}"] += 1
        told[f"at {hit(run)}"] += 1
    process = start(run)
    process.join()
    assert process.exitcode == 0, (run.path / "err.log").read_text()
    seconds = time.monotonic() - began
    print(f"\n{KILLS} kills, {STEPS} steps, {len(run.generations())} generations, {seconds:.0f} s")
    print(f"undisturbed: {alone:.0f} s, of them {to_first_step:.1f} s to the first step; {dict(told)}")
    assert {event["step"] for event in EventReader(run).poll() if event["kind"] == "step"} == set(
        range(1, STEPS + 1)
    )
    assert not [event for event in EventReader(run).poll() if event["kind"] == "warning"]
    assert sorted(path.name for path in run.path.iterdir()) == sorted(
        {path.name for path in undisturbed.path.iterdir()} | {path.name for path in run.path.glob("events.*")}
    )
    for folder in ("student/last", "student/best", "checkpoints"):
        assert names(run, folder) == names(undisturbed, folder)
    for file in sorted(undisturbed.path.rglob("*.safetensors")):
        expected, found = load_file(file), load_file(run.path / file.relative_to(undisturbed.path))
        assert expected.keys() == found.keys()
        assert all(torch.equal(value, found[name]) for name, value in expected.items()), file
    for file in sorted(undisturbed.path.rglob("optimizer.pt")):
        expected, found = (
            torch.load(one, weights_only=True)
            for one in (file, run.path / file.relative_to(undisturbed.path))
        )
        assert_same(expected, found)
    assert (run.path / "predictions.jsonl").read_text() == (
        undisturbed.path / "predictions.jsonl"
    ).read_text()


def mean_step_seconds(run: Run) -> float:
    events = EventReader(run).poll()
    return mean(event["ms"]["total"] for event in events if event["kind"] == "step") / 1000


def kinds(run: Run) -> set[str]:
    return {event["kind"] for event in EventReader(run).poll()}


def names(run: Run, folder: str) -> list[str]:
    return sorted(path.name for path in (run.path / folder).iterdir())


def hit(run: Run) -> str:
    """Where the newest life was when it ended."""
    if any((run.path / "checkpoints").glob(".step-*")):
        return "saving"
    events = EventReader(run, run.next_generation() - 1).poll() if run.generations() else []
    if not events:
        return "starting"
    if events[-1]["kind"] == "run_end":
        return "stopped"
    return "training" if any(event["kind"] == "step" for event in events) else "loading"


def assert_same(expected: Any, found: Any) -> None:
    """Two nests of dictionaries, lists, numbers and tensors."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(expected, found)
    elif isinstance(expected, dict):
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert_same(value, found[key])
    elif isinstance(expected, list):
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other)
    else:
        assert expected == found
