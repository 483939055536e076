"""Several processes train what one does: the same loss curve and, up to rounding, the same weights."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine import profile, runs
from engine.distill.lifeline import Door, Lifeline, knock
from engine.distill.ranks import Ranks, joined
from engine.distill.shares import deal, merged
from engine.distill.step_result import StepResult
from engine.errors import ProfileError, UsageError
from engine.event_reader import EventReader
from engine.runs import Run
from engine.settings import Launch
from kidtui import launch
from tests.engine import rank_process, tiny
from tests.engine.test_run import SETTINGS, teacher  # noqa: F401  (a fixture)

STEPS, STOP = 6, 3
LOSS_TOLERANCE = 1e-5  # relative
WEIGHT_TOLERANCE = 1e-4  # a tenth of one step of AdamW at this learning rate
METHODS = {
    "kid": {"method": {"name": "kid", "copies": 2}},
    "gkd": {"method": {"name": "gkd", "on_policy": 0.5}, "normalise": "sequence"},
    "taid": {"method": {"name": "taid"}},
    "one question": {"method": {"name": "sft"}, "questions": 1},
}


def new_run(given: dict, **more: int) -> Run:
    run = runs.create(profile.load("demo"), ["test"])
    (run.path / "method.json").write_text(json.dumps({**given, "max_steps": STEPS, **more}))
    return run


def ask_to_stop_at(run: Run, step: int) -> None:
    given = json.loads((run.path / "method.json").read_text())
    (run.path / "method.json").write_text(json.dumps({**given, "stop_at": step}))


def start(command: Sequence[str], folders: Sequence[str | Path] = (".", ".")) -> list[subprocess.Popen]:
    """As many processes as there are folders to start them in, as a launcher does it."""
    number = len(folders)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number),
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, folder in enumerate(folders)
    ]


def losses(run: Run) -> list[float]:
    return [step["loss"] for step in rank_process.steps(run)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, tuple[Run, Run, list[dict[str, torch.Tensor]]]]:
    """By name: a run of one process, the same of two, and the weights of the one and of each of the two.

    "1 to 2" and "2 to 1" are stopped after some steps and go on with the other number.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KID_HOME", str(tmp_path_factory.mktemp("home")))
        torch.manual_seed(0)
        alone = {name: new_run(given) for name, given in METHODS.items()}
        together = {name: new_run(given) for name, given in METHODS.items()}
        grown, shrunk = (new_run(METHODS["kid"], stop_at=STOP) for _ in range(2))
        rank_process.train(grown, Ranks())
        ask_to_stop_at(grown, STEPS)
        paths = [str(run.path) for run in (*together.values(), grown, shrunk)]
        processes = start(["-m", "tests.engine.rank_process", *paths])
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        one = {name: rank_process.train(run, Ranks()) for name, run in alone.items()}
        ask_to_stop_at(shrunk, STEPS)
        rank_process.train(shrunk, Ranks())
        together |= {"1 to 2": grown, "2 to 1": shrunk}
        alone |= dict.fromkeys(("1 to 2", "2 to 1"), alone["kid"])
        one |= dict.fromkeys(("1 to 2", "2 to 1"), one["kid"])
        return {
            name: (alone[name], run, [one[name], *map(load_file, sorted(run.path.glob("weights*")))])
            for name, run in together.items()
        }


@pytest.mark.parametrize("name", [*METHODS, "1 to 2", "2 to 1"])
def test_two_processes_train_what_one_does(trained, name):
    alone, together, (expected, main, other) = trained[name]
    assert losses(together) == pytest.approx(losses(alone), rel=LOSS_TOLERANCE)
    assert len(losses(together)) == STEPS
    for key, value in main.items():
        assert torch.equal(value, other[key]), key
    if name != "2 to 1":  # what these two left is older than the run's end
        for key, value in expected.items():
            assert torch.allclose(value, main[key], rtol=0, atol=WEIGHT_TOLERANCE), key


def test_their_events_count_all_rows(trained):
    alone, together, _ = trained["kid"]
    for one, both in zip(rank_process.steps(alone), rank_process.steps(together), strict=True):
        assert both["num_tokens"] == one["num_tokens"]
        assert both["recovered_rate"] == one["recovered_rate"]
        assert both["loss_kd"] == pytest.approx(one["loss_kd"], rel=LOSS_TOLERANCE)
        assert "reduce" in both["ms"]
        assert "reduce" not in one["ms"]


def test_every_process_has_rows_while_there_are_enough():
    groups = [tiny.items(5), tiny.items(2, start=5)]
    for number in (1, 2, 3, 4, 7, 9):
        shares = deal(groups, number)
        assert len(shares) == number
        rows = [sum(map(len, share)) for share in shares]
        assert sum(rows) == 7
        assert min(rows) > 0 or (number > 7 and sorted(rows) == [0, 0, *[1] * 7])
        assert shares[0][0][0] is groups[0][0]
        assert all(len({item.database for item in group}) == 1 for share in shares for group in share)
    assert deal([*groups, *groups], 2) == [[groups[0], groups[0]], [groups[1], groups[1]]]


def test_a_result_of_all_weighs_by_tokens_or_answers():
    left = StepResult(30, 2, loss=1.0, num_recovered=1, measures={"fkl": 1.0})
    right = StepResult(10, 2, loss=2.0, num_recovered=2, measures={"fkl": 5.0})
    nothing = StepResult(0, 0)
    by_token = merged([left, right, nothing], "token")
    assert (by_token.loss, by_token.measures, by_token.num_tokens) == (1.25, {"fkl": 2.0}, 40)
    assert by_token.num_recovered == 3
    assert merged([left, nothing, right], "sequence").loss == 1.5
    assert merged([nothing, nothing, left], "token").num_recovered == 1


@pytest.mark.parametrize(
    ("end", "heard"), [(None, []), (b"", [(1, b"")]), (b'{"message": "x"}', [(1, b'{"message": "x"}')])]
)
def test_who_leaves_without_a_farewell_is_lost(end, heard):
    door = Door("127.0.0.1")
    stranger = knock("127.0.0.1", door.port, "0" * len(door.token), 1)
    there = knock("127.0.0.1", door.port, door.token, 1)
    found: list[tuple[int, bytes]] = []
    peers = door.admit(1)
    with stranger, peers[1]:
        assert stranger.recv(1) == b""
        line = Lifeline(peers)
        line.watch(lambda rank, words: found.append((rank, words)), lambda: found.append((0, b"orphan")))
        other = Lifeline({0: there})
        other.leave() if end is None else other.leave(end)
        there.close()
        line.wait(5)
    assert found == heard
    assert not any(thread.name == "kid-lifeline" for thread in threading.enumerate())


def test_what_the_launcher_is_told(tmp_path, monkeypatch):
    assert launch.trainer_command(Launch(processes=1), tmp_path) == launch.ENGINE_COMMAND
    command = " ".join(launch.trainer_command(Launch(processes=2), tmp_path))
    assert "--num_processes 2" in command
    assert command.endswith("-m engine")
    with pytest.raises(ProfileError, match="there is no file"):
        launch.trainer_command(Launch(config="two.yaml"), tmp_path)
    (tmp_path / "two.yaml").touch()
    assert str(tmp_path / "two.yaml") in launch.trainer_command(Launch(config="two.yaml"), tmp_path)
    monkeypatch.setenv("KID_PROCESSES", "2")
    with pytest.raises(UsageError, match="2 processes were asked for and 1 started"), joined():
        pass
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="FSDP"), joined():
        pass


def create(teacher: Path, *more: str) -> Run:  # noqa: F811
    return runs.create(
        profile.load("demo", [*SETTINGS, f"teacher.model={teacher}", "eval.before=false", *more]), ["test"]
    )


def wait_for_step(run: Run, alive: subprocess.Popen) -> None:
    while not rank_process.steps(run):
        assert alive.poll() is None, (run.path / "err.log").read_text()
        time.sleep(0.05)


def rank_pids(parent: int) -> list[int]:
    """The processes that a launcher has started, by rank."""
    listed = subprocess.run(
        ["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


def test_a_dead_process_ends_the_run(teacher):  # noqa: F811
    run = create(teacher, "train.max_steps=100000")
    main, other = start(["-P", "-m", "engine", "train", "--run", str(run.path)])
    wait_for_step(run, main)
    other.kill()
    killed_at = time.monotonic()
    assert main.wait(timeout=30) == 1
    assert time.monotonic() - killed_at < 10
    main.communicate()
    other.communicate()
    end = EventReader(run).poll()[-1]
    assert (end["kind"], end["state"]) == ("run_end", "failed")
    assert end["error"]["message"] == "process 1 of 2 died"
    assert "err.rank1.log" in end["error"]["mend"]
    assert run.status()["state"] == "failed"


@pytest.mark.slow
def test_the_front_end_starts_stops_and_resumes_with_another_number(teacher):  # noqa: F811
    run = create(teacher, "train.max_steps=4000", "launch.processes=2", "train.checkpoint_every=1000")
    engine = launch.start(run)
    wait_for_step(run, engine.process)
    assert run.status()["pid"] in rank_pids(engine.process.pid)
    runs.request(run, "pause")
    while run.status()["state"] != "paused":
        time.sleep(0.05)
    runs.request(run, "resume")
    os.killpg(engine.process.pid, signal.SIGTERM)
    engine.process.wait(timeout=60)
    assert run.status()["state"] == "stopped"
    assert [event["kind"] for event in EventReader(run).poll()][-2:] == ["checkpoint", "run_end"]
    assert (run.path / "err.rank1.log").exists()
    done = len(rank_process.steps(run))
    engine = launch.start(run, processes=1)
    while len(rank_process.steps(run)) == done:
        assert engine.process.poll() is None, engine.last_words()
        time.sleep(0.05)
    assert rank_process.steps(run)[done]["step"] == rank_process.steps(run)[done - 1]["step"] + 1
    engine.kill()


@pytest.mark.slow
def test_a_whole_run_of_two_under_the_launcher(teacher):  # noqa: F811
    run = create(teacher, "launch.processes=2", "eval.every=5")
    assert launch.start(run).process.wait(timeout=240) == 0
    assert run.status()["state"] == "done"
    assert json.loads((run.path / "report.json").read_text())["steps"] == 14


@pytest.mark.slow
def test_nobody_outlives_a_killed_launcher(teacher):  # noqa: F811
    run = create(teacher, "train.max_steps=100000", "launch.processes=2")
    engine = launch.start(run)
    wait_for_step(run, engine.process)
    started = rank_pids(engine.process.pid)
    assert len(started) == 2
    engine.kill()
    deadline = time.monotonic() + 10
    while started and time.monotonic() < deadline:
        for pid in list(started):
            with suppress(ProcessLookupError):
                os.kill(pid, 0)
                continue
            started.remove(pid)
        time.sleep(0.1)
    assert not started
    assert run.status()["state"] == "lost"


@pytest.mark.slow
def test_a_mistake_of_the_user_keeps_its_exit_code(teacher):  # noqa: F811
    run = create(teacher, "data.train=file:/nowhere/x.jsonl")
    processes = start(["-P", "-m", "engine", "train", "--run", str(run.path)])
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [3, 3]
    assert "/nowhere/x.jsonl" in EventReader(run).poll()[-1]["error"]["message"]


@pytest.mark.slow
def test_what_another_process_says_ends_the_run(teacher, monkeypatch):  # noqa: F811
    monkeypatch.chdir(teacher.parent)
    run = create(Path(teacher.name), "train.max_steps=100000")
    processes = start(["-P", "-m", "engine", "train", "--run", str(run.path)], folders=[teacher.parent, "/"])
    for process in processes:
        process.communicate(timeout=60)
    assert processes[0].returncode == 3
    message = EventReader(run).poll()[-1]["error"]["message"]
    assert message.startswith("process 1 of 2: ")
    assert teacher.name in message
