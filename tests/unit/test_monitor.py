"""The background thread: what it reports, that it is fair, and that it outlives what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import paths, profile, runs
from engine.run_writer import RunWriter
from engine.runs import Run
from kidtui import hardware, monitor
from kidtui.board import Board, Row
from kidtui.hardware import Hardware
from kidtui.history import GONE, History
from kidtui.monitor import Monitor

PROFILE = profile.Profile.model_validate({"name": "t", "student": {"model": "m"}, "method": {"name": "sft"}})


class Heard:
    """What a monitor has reported."""

    def __init__(self) -> None:
        self.boards: list[tuple[Row, ...]] = []
        self.run_ids: list[str] = []


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watching(heard: Heard) -> Iterator[Monitor]:
    found = Monitor(heard.boards.append, heard.run_ids.append)
    yield found
    found.stop()
    if found._thread.ident:
        assert not found._thread.is_alive()


def until(true: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def with_steps(name: str, num: int) -> Run:
    run = runs.create(PROFILE, ["kid", "distill"], name)
    write(run, 1, num + 1)
    return run


def write(run: Run, start: int, stop: int) -> None:
    with run.events_path(1).open("a") as file:
        for step in range(start, stop):
            event = {"v": 1, "kind": "step", "time": 1.0, "step": step, "loss": 1.0, "filler": "x" * 400}
            file.write(json.dumps(event) + "\n")


def num_events(of: Monitor, run: Run) -> int:
    found = of.history(run.id)
    return found.snapshot().num_events if found else 0


def test_runs_appear_change_and_go(watching: Monitor, heard: Heard) -> None:
    watching.start()
    with RunWriter(runs.create(PROFILE, [], "a")) as writer:
        watching.wake()
        until(lambda: [row.state for row in watching.rows] == ["starting"])
        writer.finish("stopped")
    watching.wake()
    until(lambda: [row.state for row in watching.rows] == ["stopped"])
    runs.remove(runs.find("a"))
    watching.wake()
    until(lambda: heard.boards and heard.boards[-1] == () == watching.rows)
    assert heard.boards[0] == ()  # it tells that there is none
    assert heard.boards[-2][0].state == "stopped"


def test_an_unchanged_board_is_not_reported_again(
    watching: Monitor, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_BOARD_SECONDS", 0.0)
    looks: list[int] = []
    refresh = Board.refresh
    monkeypatch.setattr(Board, "refresh", lambda board: (looks.append(1), refresh(board))[1])
    monkeypatch.setattr(monitor, "_POLL_SECONDS", 0.01)
    runs.create(PROFILE, [], "a")
    status = runs.find("a").path / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "done"}))
    watching.start()
    until(lambda: len(looks) > 5)
    assert len(heard.boards) == 1


def test_a_followed_run_is_read_to_its_end_and_on(watching: Monitor, heard: Heard) -> None:
    run = with_steps("a", 3000)
    watching.follow(["a"])
    watching.start()
    until(lambda: num_events(watching, run) == 3000)
    until(lambda: "a" in heard.run_ids)
    write(run, 3001, 3003)
    until(lambda: num_events(watching, run) == 3002)
    assert watching.history("b") is None


def test_a_heavy_run_does_not_keep_a_light_one_waiting(
    watching: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy, light = with_steps("heavy", 8000), with_steps("light", 3)
    turns: list[tuple[str, int | None]] = []
    poll = History.poll

    def noted(self: History, max_bytes: int | None = None) -> bool:
        turns.append((self.run.id, max_bytes))
        return poll(self, max_bytes)

    monkeypatch.setattr(History, "poll", noted)
    watching.follow(["heavy", "light"])
    watching.start()
    until(lambda: num_events(watching, heavy) == 8000)
    assert num_events(watching, light) == 3
    assert [name for name, _ in turns[:6]] == ["heavy", "light"] * 3
    assert {most for _, most in turns} == {256 * 1024}


def test_news_of_a_run_come_at_most_four_times_a_second(watching: Monitor, heard: Heard) -> None:
    run = with_steps("a", 10)
    watching.follow(["a"])
    watching.start()
    began = time.monotonic()
    at = 11
    while time.monotonic() - began < 1.1:
        write(run, at, at + 1)
        at += 1
        watching.wake()
        time.sleep(0.01)
    assert 3 <= len(heard.run_ids) <= 6
    until(lambda: num_events(watching, run) == at - 1)


def test_what_was_followed_before_is_kept_but_not_all_of_it(watching: Monitor) -> None:
    with_steps("a", 2)
    watching.follow(["a"])
    first = watching.history("a")
    watching.follow(["b"])
    watching.follow(["a", "b"])
    assert watching.history("a") is first
    for at in range(20):
        watching.follow([f"other-{at}"])
    assert watching.history("a") is None
    assert watching.history("other-12") is not None
    watching.follow([])


def test_a_run_that_cannot_be_followed_leaves_the_others_alone(
    watching: Monitor, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = with_steps("bad", 5), with_steps("good", 5)
    take = History._take

    def fault(self: History, events: list[dict[str, Any]], place: tuple[int, int]) -> None:
        if self.run.id == "bad":
            raise ZeroDivisionError("a fault")
        take(self, events, place)

    monkeypatch.setattr(History, "_take", fault)
    watching.follow(["bad", "good", "nowhere"])
    watching.start()
    until(lambda: {"bad", "good", "nowhere"} <= set(heard.run_ids))
    assert num_events(watching, good) == 5
    shutil.rmtree(good.path)
    until(lambda: (found := watching.history("good")) and found.snapshot().problem == GONE)
    assert num_events(watching, good) == 5
    told = [found.snapshot() for name in ("bad", "nowhere") if (found := watching.history(name))]
    assert [one.problem for one in told] == ["cannot be followed: ZeroDivisionError: a fault", GONE]
    assert not told[0].behind


def test_a_listener_that_fails_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_BOARD_SECONDS", 0.05)
    monkeypatch.setattr(Hardware, "refresh", lambda self: 1 / 0)
    run = with_steps("a", 5)
    failing = Monitor(lambda rows: 1 // 0, lambda run_id: None)  # type: ignore[arg-type, return-value]
    failing.follow(["a"])
    failing.start()
    until(lambda: num_events(failing, run) == 5 and failing.rows)
    failing.stop()
    assert "ZeroDivisionError" in failing.problem


def test_a_folder_of_runs_that_cannot_be_read_is_said(watching: Monitor) -> None:
    paths.runs_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.runs_dir().write_text("")
    watching.start()
    until(lambda: watching.problem.endswith("runs: Not a directory"))


def test_it_loads_nothing_heavy_until_there_are_steps() -> None:
    code = "import sys, kidtui.monitor; print([n for n in ('torch', 'numpy', 'textual') if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# --- the machine ---


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script on PATH as the tool that tells of GPUs."""
    monkeypatch.setattr(hardware, "_FIRST_SECONDS", 0.0)

    def put(script: str) -> None:
        path = tmp_path / "bin" / "nvidia-smi"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return put


def test_cpu_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(hardware, "_FIRST_SECONDS", 0.05)
    machine = Hardware()
    assert machine.refresh() == ""
    time.sleep(0.06)
    words = machine.refresh()
    assert words.startswith("CPU ")
    assert words.endswith(" GB")
    assert "GPU" not in words
    assert machine.refresh() is words


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("71, 11264, 81920", "GPU 71%  11.0/80 GB"),
        ("71, 11264, 81920\\n5, 1024, 81920", "GPU 0: 71%  11.0/80 GB  GPU 1: 5%  1.0/80 GB"),
        ("[N/A], 1024, 2048", "GPU 1.0/2 GB"),
        ("no devices were found\\n1, 2", "GB"),
    ],
)
def test_gpus(tool: Callable[[str], None], lines: str, words: str) -> None:
    tool(f'test "$1" = --query-gpu=utilization.gpu,memory.used,memory.total && printf "{lines}\\n"')
    machine = Hardware()
    assert "GPU" not in machine.refresh()
    until(lambda: machine.refresh().endswith(words) and machine._question is None)
    assert machine.words.count("GPU") == words.count("GPU")


def test_a_tool_that_hangs_is_not_waited_for(
    tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(hardware, "_PATIENCE_SECONDS", 0.05)
    tool('echo x >> "$0.calls"; exec sleep 30')
    machine = Hardware()
    calls = Path(f"{machine._tool}.calls")
    took = []
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        before = time.monotonic()
        machine.refresh()
        took.append(time.monotonic() - before)
        time.sleep(0.01)
    machine.close()
    assert max(took) < 0.3
    assert calls.read_text().count("x") <= 3
    assert "GPU" not in machine.words


def test_a_tool_that_fails_is_not_believed(tool: Callable[[str], None]) -> None:
    tool('echo "71, 11264, 81920"; exit 9')
    machine = Hardware()
    machine.refresh()
    until(lambda: machine.refresh() and machine._question is None)
    assert "GPU" not in machine.words
