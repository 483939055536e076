"""Every run at a glance: what is shown, what is read again, and what cannot be read."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from engine import files, paths, profile, runs
from engine.run_writer import RunWriter
from engine.runs import Run
from kidtui.board import Board

PROFILE = profile.Profile.model_validate({"name": "t", "student": {"model": "m"}, "method": {"name": "sft"}})


def ended(name: str, **fields: Any) -> Run:
    run = runs.create(PROFILE, ["kid", "distill"], name)
    status = {"v": 1, "state": "done", "generation": 1, "pid": 7, "last_event": time.time(), **fields}
    files.write_json(run.path / "status.json", status)
    return run


@pytest.fixture
def num_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    read: list[str] = []
    whole = runs._read_json
    monkeypatch.setattr(runs, "_read_json", lambda path: (read.append(path.name), whole(path))[1])
    return read


def test_no_runs() -> None:
    assert Board().refresh() == ()


def test_a_row() -> None:
    run = ended("a", step=3, total_steps=4, loss=0.5, eta_s=1.5, phase="training", step_ms=20.5, epoch=1)
    files.write_json(run.path / "report.json", {"ex": {"student": 0.75}})
    (row,) = Board().refresh()
    assert (row.id, row.path, row.profile, row.state, row.problem) == ("a", run.path, "t", "done", "")
    assert (row.step, row.total_steps, row.loss, row.eta_s) == (3, 4, 0.5, 1.5)
    assert (row.ex, row.phase, row.generation, row.pid) == (0.75, "training", 1, 7)
    assert (row.step_ms, row.epoch) == (20.5, 1)
    assert row.created == run.info()["created"]
    assert 0 <= row.quiet_s < 5


def test_newest_first_as_elsewhere() -> None:
    for name in ("b", "a", "c"):
        ended(name)
    assert [row.id for row in Board().refresh()] == [run.id for run in runs.all_runs()] == ["c", "a", "b"]


def test_a_living_run_is_read_each_time_an_ended_one_once(num_read: list[str]) -> None:
    ended("a")
    board = Board()
    with RunWriter(runs.create(PROFILE, [], "b")) as writer:
        assert [row.state for row in board.refresh()] == ["starting", "done"]
        writer.update(state="running", step=1)
        num_read.clear()
        assert [(row.state, row.step) for row in board.refresh()] == [("running", 1), ("done", None)]
        assert num_read == ["status.json"]
        writer.finish("stopped")
    assert [row.state for row in board.refresh()] == ["stopped", "done"]
    num_read.clear()
    board.refresh()
    assert num_read == []


def test_an_ended_run_that_changes_is_read_again() -> None:
    run = ended("a")
    board = Board()
    assert board.refresh()[0].ex is None
    files.write_json(run.path / "report.json", {"ex": {"student": 0.5}})
    assert board.refresh()[0].ex == 0.5
    files.write_json(run.path / "launch.json", {"generation": 2, **runs.process_mark()})
    assert board.refresh()[0].state == "starting"
    runs.remove(ended("b"))
    (run.path / "launch.json").unlink()
    runs.remove(run)
    assert board.refresh() == ()
    ended("a", step=9)
    assert board.refresh()[0].step == 9


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("status.json", ""), ("status.json", "[]"), ("status.json", "{}"),
        ("status.json", '{"state": "done"}'),
        ("status.json", '{"state": [], "generation": 1, "last_event": "x"}'),
        ("run.json", "\x00"), ("run.json", "{}"), ("run.json", '{"profile": [], "created": 1}'),
        ("launch.json", "{}"), pytest.param("launch.json", "[" * 9999, id="deep"),
    ],
)  # fmt: skip
def test_a_broken_run_is_listed_with_the_reason(name: str, content: str) -> None:
    ended("fine")
    run = ended("broken")
    (run.path / name).write_text(content)
    board = Board()
    for _ in range(2):
        broken, fine = sorted(board.refresh(), key=lambda row: row.id)
        assert (fine.state, fine.problem) == ("done", "")
        assert (broken.id, broken.state) == ("broken", "lost")
        assert broken.problem


def test_a_damaged_report_hides_the_score_alone() -> None:
    (ended("broken").path / "report.json").write_text("[" * 9999)
    (row,) = Board().refresh()
    assert (row.state, row.ex, row.problem) == ("done", None, "")


def test_a_run_without_status_or_run_json_is_listed_another_folder_is_not() -> None:
    run = ended("a")
    (run.path / "status.json").unlink()
    ended("b").path.joinpath("run.json").unlink()
    (paths.runs_dir() / "notes").mkdir()
    (paths.runs_dir() / "file").write_text("")
    (paths.runs_dir() / ".new-x").mkdir()
    (paths.runs_dir() / ".new-x" / "run.json").write_text("{}")
    rows = {row.id: row for row in Board().refresh()}
    assert {row.state for row in rows.values()} == {"lost"}
    assert "status.json" in rows["a"].problem
    assert "run.json" in rows["b"].problem


def test_numbers_that_are_none_are_not_shown_as_such() -> None:
    ended("a", step="7", loss=True, eta_s=10**400, total_steps=2.0, phase=None)
    (row,) = Board().refresh()
    assert (row.step, row.loss, row.eta_s, row.total_steps, row.phase) == (None, None, None, 2, "")


def test_a_folder_that_cannot_be_listed_is_not_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ended("a")
    board = Board()
    rows = board.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
        )
        assert board.refresh() == rows
        assert board.problem.endswith("runs: Permission denied")
    assert board.refresh() == rows
    assert board.problem == ""


def test_the_trainers_word_is_taken_for_a_lost_run() -> None:
    run = ended("a")
    status = json.loads((run.path / "status.json").read_text())
    files.write_json(
        run.path / "status.json", status | {"state": "running", **runs.process_mark(), "pid_created": 0}
    )
    assert Board().refresh()[0].state == "lost"
