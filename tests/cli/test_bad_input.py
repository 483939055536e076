"""What a user can get wrong: one clear message, the right exit code, nothing half-written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from engine import paths, profile, runs
from engine.run_writer import RunWriter
from kidtui import cli, launch
from tests.cli.conftest import Answer, finish, wait_for_run
from tests.fakes.fake_trainer import full_disk
from tests.fakes.kid import FAKE_TRAINER

Kid = Callable[..., Answer]
Start = Callable[..., "subprocess.Popen[str]"]


def distill(kid: Kid, *arguments: str) -> Answer:
    return kid("distill", "--profile", "tiny", *arguments)


def nothing_is_left() -> bool:
    """No run, not even a hidden half of one."""
    return not paths.runs_dir().exists() or not list(paths.runs_dir().iterdir())


@pytest.mark.parametrize(
    ("arguments", "message", "mend"),
    [
        (["--profile", "tinny"], "there is no profile 'tinny'", "did you mean 'tiny'?"),
        (["--profile", "./tiny.toml"], "there is no profile file tiny.toml", "kid profiles list"),
        (["--set", "train.sed=1"], "--set: unknown key 'train.sed'", "did you mean 'train.seed'?"),
        (["--set", "seed=1"], "--set: unknown key 'seed'", "did you mean 'train.seed'?"),
        (["--set", "train.epochs=0"], "train.epochs = 0 must be more than 0", "train.epochs: Passes over"),
        (["--set", "method.name=kitt"], "must be one of 'sft', 'seqkd', 'fkd', ", "did you mean 'kid'?"),
        (["--set", "method.name=kid"], 'method.name = "kid" needs a teacher', "add [teacher] with a model"),
        (["--set", "train.epochs"], "--set train.epochs: not key=value", "for example --set"),
        (["--reusme", "x"], "No such option: --reusme", "kid distill --help shows how"),
        (["--resume", "x", "--set", "a=b"], "--set cannot be changed when a run is resumed", "leave it out"),
    ],
)
def test_usage_and_profiles(kid: Kid, arguments: list[str], message: str, mend: str) -> None:
    known = [] if arguments[0] in ("--profile", "--resume") else ["--profile", "tiny"]
    answer = kid("distill", *known, *arguments)
    assert answer.code == 2
    first, second = answer.err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert second.startswith(f"  {mend}")
    assert answer.out == ""
    assert nothing_is_left()


def test_key_misspelt_in_a_file(kid: Kid, project: Path) -> None:
    path = project / "profiles" / "tiny.toml"
    path.write_text(path.read_text() + "[train]\nepoch = 3\n")
    answer = distill(kid)
    assert (answer.code, nothing_is_left()) == (2, True)
    assert (
        answer.err == "error: profiles/tiny.toml: unknown key 'train.epoch'\n  did you mean 'train.epochs'?\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"db_id": "zoo", "question": "?", "query": "SELECT 1"}\n{"db_id": "zoo",\n', "line 2: not JSON"),
        ('{"db_id": "zoo", "question": "?"}\n', "line 1: no query"),
        ("", "file:train.jsonl is empty"),
        ('{"db_id": "zo", "question": "?", "query": "SELECT 1"}\n', "no database 'zo'"),
        (None, "data set not found: no file"),
    ],
)
def test_data(kid: Kid, project: Path, content: str | None, message: str) -> None:
    data = project / "train.jsonl"
    data.unlink()
    if content is not None:
        data.write_text(content)
    answer = distill(kid)
    assert answer.code == 3
    assert message in answer.err
    assert "train.jsonl" in answer.err
    assert len(answer.err.splitlines()) == 2
    assert nothing_is_left()


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4096], ids=["text", "head"]
)
def test_corrupt_database(kid: Kid, project: Path, content: bytes) -> None:
    (project / "databases" / "zoo.sqlite").write_bytes(content)
    answer = distill(kid)
    assert answer.code == 3
    assert "zoo.sqlite" in answer.err
    assert nothing_is_left()


def test_unknown_and_missing_sets(kid: Kid) -> None:
    unknown = distill(kid, "--set", "data.train=spider/trian")
    assert unknown.code == 3
    assert "unknown data set 'spider/trian'\n  did you mean 'spider/train'?" in unknown.err
    missing = distill(kid, "--set", "data.train=spider/train", "--data-dir", "nowhere")
    assert missing.code == 3
    assert "nowhere/spider/train_spider.json" in missing.err
    assert nothing_is_left()


def test_model_not_found_by_the_real_engine(kid: Kid) -> None:
    answer = distill(kid, "--set", 'student.model="./no-such-model"')
    run = runs.all_runs()[0]
    assert answer.code == 3
    assert "error: model ./no-such-model: nothing at no-such-model\n" in answer.err
    assert "Traceback" not in answer.err
    assert run.status()["state"] == "failed"
    planned = distill(kid, "--dry-run")
    assert planned.code == 3
    assert "error: model ./no-such-model" in planned.err
    assert len(runs.all_runs()) == 1


def test_runs_folder_that_cannot_be_made(kid: Kid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KID_HOME", str(tmp_path / "file" / "home"))
    answer = distill(kid)
    assert answer.code == 3
    assert answer.err.startswith(f"error: cannot write the runs folder {tmp_path}/file/home/runs: ")
    assert "set KID_HOME to a folder you can write" in answer.err


def test_no_permission(kid: Kid, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *rest: object, **more: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    answer = distill(kid)
    assert answer.code == 3
    assert "Permission denied\n  check its permissions, or set KID_HOME" in answer.err


def test_full_disk(kid: Kid, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_disk)
        answer = distill(kid)
    assert answer.code == 1
    assert ": the disk is full\n  free some space" in answer.err
    assert not runs.all_runs()


def test_full_disk_when_a_profile_is_made(kid: Kid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "write", full_disk)
    answer = kid("profiles", "new", "mine", "--to", str(tmp_path / "own"))
    assert answer.code == 1
    assert "the disk is full" in answer.err
    assert not list((tmp_path / "own").iterdir())


def test_resume_of_no_run(kid: Kid) -> None:
    answer = kid("distill", "--resume", "tiny-0000")
    assert answer.code == 3
    assert answer.err == "error: there is no run 'tiny-0000'\n  kid distill starts the first one\n"


def test_resume_of_a_finished_run(kid: Kid, start: Start) -> None:
    assert finish(start("--steps 2", "distill", "--profile", "tiny")).code == 0
    run = runs.all_runs()[0]
    answer = kid("distill", "--resume", run.id)
    assert answer.code == 2
    assert (
        answer.err == f"error: run {run.id} is done: there is nothing to resume\n  kid runs show {run.id}\n"
    )
    assert run.generations() == [1]


def test_resume_of_a_running_run(kid: Kid, start: Start) -> None:
    start("--steps 300 --seconds 0.05", "distill", "--profile", "tiny")
    run = wait_for_run("step", 1)
    answer = kid("distill", "--resume", run.id)
    assert answer.code == 3
    assert f"error: run {run.id} is already running (pid {run.status()['pid']})" in answer.err
    assert run.generations() == [1]


def test_resumed_twice_at_once(start: Start) -> None:
    """Two front ends: one goes on with the run, the other is told."""
    run = runs.create(profile.load("tiny"), ["kid"])
    both = [start("--steps 20 --seconds 0.05", "distill", "--resume", run.id) for _ in range(2)]
    answers = sorted((finish(process) for process in both), key=lambda answer: answer.code)
    assert [answer.code for answer in answers] == [0, 3]
    assert f"error: run {run.id} is already " in answers[1].err
    assert run.generations() == [1]


def test_two_engines_on_one_run(project: Path) -> None:
    """Engines started by hand: the second finds the run locked, and writes nothing."""
    run = runs.create(profile.load("tiny"), ["kid"])
    with RunWriter(run) as writer:
        command = [sys.executable, "-P", str(FAKE_TRAINER), "train", "--run", str(run.path)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 3
        assert f"run {run.id} is already being written by process {os.getpid()}" in second.stderr
        assert run.generations() == [1]
        writer.finish("done")


def test_a_fault_of_ours_is_one_line(
    kid: Kid, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(run: object, processes: int) -> NoReturn:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(launch, "start", broken)
    answer = distill(kid)
    assert answer.code == 1
    assert "error: ZeroDivisionError: by zero (a fault in kid)\n  --debug shows where" in answer.err
    assert "Traceback" not in answer.err
    assert cli.run(["distill", "--profile", "tiny"], debug=True) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_home_folder_in_databases_is_understood(
    kid: Kid, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project))
    answer = kid("data", "check", "file:train.jsonl", "--databases", "~/databases")
    assert answer.code == 0, answer.err
