"""A project folder with a small profile and data set, and ways to run `kid` in it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import runs
from engine.event_reader import EventReader
from engine.runs import Run
from kidtui import cli, launch

KID_WITH_FAKE = Path(__file__).parents[1] / "fakes" / "kid.py"
PROFILE = """description = "for tests"
[student]
model = "./no-such-model"
[method]
name = "sft"
[data]
train = "file:train.jsonl"
eval = "file:train.jsonl"
databases = "databases"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ./profiles/tiny.toml, train.jsonl and databases/zoo.sqlite; tests stand in it."""
    folder = tmp_path / "project"
    (folder / "profiles").mkdir(parents=True)
    (folder / "databases").mkdir()
    (folder / "profiles" / "tiny.toml").write_text(PROFILE)
    item = {"db_id": "zoo", "question": "How many animals are there?", "query": "SELECT count(*) FROM animal"}
    (folder / "train.jsonl").write_text(f"{json.dumps(item)}\n" * 2)
    with sqlite3.connect(folder / "databases" / "zoo.sqlite") as connection:
        connection.executescript("CREATE TABLE animal (name TEXT); INSERT INTO animal VALUES ('okapi')")
    connection.close()
    monkeypatch.chdir(folder)
    return folder


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def kid(project: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run `kid` in this process."""

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = cli.run(list(arguments))
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `kid` with the fake trainer as a process of its own: start("--steps 5", "distill", …)."""
    started: list[subprocess.Popen[str]] = []

    def run(fake_options: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(KID_WITH_FAKE), fake_options, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for left in runs.all_runs():
        if left.status()["state"] in runs.LIVE_STATES:
            launch.kill(left)


def finish(process: subprocess.Popen[str], seconds: float = 30.0) -> Answer:
    out, err = process.communicate(timeout=seconds)
    return Answer(process.returncode, out, err)


def wait_for_run(kind: str = "step", num: int = 1, seconds: float = 20.0) -> Run:
    """The newest run, once it has told so many events of that kind."""
    found: list[Run] = []

    def told() -> bool:
        found[:] = runs.all_runs()[:1]
        events = EventReader(found[0]).poll() if found else []
        return sum(event["kind"] == kind for event in events) >= num

    wait_until(told, f"a run with {num} × {kind}", seconds)
    return found[0]


def wait_until(true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


def kill_engine(run: Run) -> None:
    os.killpg(run.status()["pid"], signal.SIGKILL)


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [dict(event) for event in EventReader(run).poll() if event["kind"] == kind]
