"""`kid distill` in the foreground: what it shows and how it ends. Ctrl-C and kill -9 are real signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine import runs
from tests.cli.conftest import KID_WITH_FAKE, Answer, events, finish, kill_engine, wait_for_run, wait_until

Start = Callable[..., "subprocess.Popen[str]"]
DISTILL = ("distill", "--profile", "tiny")


def test_done(start: Start) -> None:
    answer = finish(start("--steps 12 --accident warning --at 3", *DISTILL))
    run = runs.all_runs()[0]
    assert answer.code == 0
    assert answer.out == "A report\n\n  model     EX\n  student  0.5\n"
    assert "tiny: 12 steps; parameters: student 12" in answer.err
    assert "warning: the teacher is poor" in answer.err
    assert "scoring the student" in answer.err
    assert "student: EX 0.500 on 2 questions" in answer.err
    assert f"done: {run.path}" in answer.err
    assert run.status()["state"] == "done"
    assert run.info()["argv"][1:] == list(DISTILL)


def test_json_is_the_events(start: Start) -> None:
    answer = finish(start("--steps 3 --accident garbage --at 2", *DISTILL, "--json"))
    told = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert [event["kind"] for event in told] == [
        "phase", "run_start", "step", "rewrite", "step", "from the future", "step", "checkpoint",
        "phase", "phase", "phase", "eval", "probe", "run_end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            "--accident fail --at 3",
            3,
            "error: model ./nowhere: nothing there\n  name a hub id or a directory\n",
        ),
        ("--accident raise --at 3", 1, "error: ZeroDivisionError: a fault\n  err.log has the details\n"),
        (
            "--accident killed --at 6",
            1,
            "its engine was killed (by hand, or by the system because memory ran out)",
        ),
        ("--accident exit --at 6", 1, "its engine ended with exit code 3 at step 6"),
        ("--accident disk-full --at 3", 1, "the disk is full"),
        ("--before-events 1", 1, "before it began\n  error: the engine does not like this machine\n"),
        ("--before-events 3", 3, "ended with exit code 3 before it began"),
        ("--before-events 9", 1, "ended with exit code 9 before it began"),
    ],
)
def test_failures(start: Start, options: str, code: int, words: str) -> None:
    answer = finish(start(options, *DISTILL))
    assert answer.code == code, answer.err
    assert words in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_a_dead_engine_leaves_its_last_words_and_a_way_on(start: Start) -> None:
    answer = finish(start("--accident exit --at 6", *DISTILL))
    run = runs.all_runs()[0]
    assert f"kid distill --resume {run.id} goes on from the last checkpoint" in answer.err
    assert "free(): corrupted chunk" in answer.err
    assert run.status()["state"] == "lost"


def test_first_interrupt_stops_cleanly_and_the_run_resumes(start: Start) -> None:
    process = start("--steps 300 --seconds 0.02", *DISTILL)
    run = wait_for_run("step", 3)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    stopped_at = run.status()["step"]
    assert answer.code == 130
    assert answer.out == ""
    assert "Ctrl-C again ends it at once" in answer.err
    assert f"stopped at step {stopped_at}; kid distill --resume {run.id}" in answer.err
    assert run.status()["state"] == "stopped"
    assert events(run, "checkpoint")[-1]["step"] == stopped_at

    again = finish(start(f"--steps {stopped_at + 5} --seconds 0.01", "distill", "--resume", run.id))
    assert again.code == 0
    assert [event["step"] for event in events(run, "step")] == list(range(1, stopped_at + 6))
    assert events(run, "step")[-1]["generation"] == 2


def test_second_interrupt_kills_at_once(start: Start) -> None:
    process = start("--seconds 60", *DISTILL)
    run = wait_for_run("run_start")
    pid = run.status()["pid"]
    process.send_signal(signal.SIGINT)
    wait_until((run.path / "control" / "stop").exists, "the request to stop")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert time.monotonic() - begun < 3
    assert answer.code == 130
    assert f"killed; kid distill --resume {run.id}" in answer.err
    assert not psutil.pid_exists(pid)
    assert run.status()["state"] == "lost"


def test_stopped_by_another_terminal(start: Start, kid: Callable[..., Answer]) -> None:
    process = start("--steps 300 --seconds 0.02", *DISTILL)
    run = wait_for_run("step", 2)
    assert kid("runs", "stop", run.id).code == 0
    assert finish(process).code == 130


def test_killed_front_end_leaves_the_run_alive(start: Start, kid: Callable[..., Answer]) -> None:
    process = start("--steps 40 --seconds 0.05", *DISTILL)
    run = wait_for_run("step", 2)
    process.kill()
    finish(process)
    listed = json.loads(kid("runs", "list", "--json").out)
    assert [(one["id"], one["state"]) for one in listed] == [(run.id, "running")]
    followed = kid("runs", "logs", "-f", run.id)
    assert followed.code == 0
    assert "done at step 40" in followed.out.splitlines()[-1]
    assert run.status()["state"] == "done"


def test_closed_terminal_leaves_the_run_alive(project: Path, start: Start) -> None:
    front, screen = pty.fork()
    if front == 0:
        options = "--steps 60 --seconds 0.05"
        os.execv(sys.executable, [sys.executable, str(KID_WITH_FAKE), options, *DISTILL])
    run = wait_for_run("step", 2)
    shown = b""
    while b"kd " not in shown:  # the bar, with the loss in its parts
        shown += os.read(screen, 4096)
    os.close(screen)  # the kernel sends SIGHUP to what runs in that terminal
    assert os.waitpid(front, 0)[1] == signal.SIGHUP
    assert run.status()["state"] == "running"
    wait_for_run("run_end")
    assert run.status()["state"] == "done"


def test_interrupt_typed_in_a_terminal_stops_cleanly(project: Path, start: Start) -> None:
    front, screen = pty.fork()
    if front == 0:
        os.execv(sys.executable, [sys.executable, str(KID_WITH_FAKE), "--steps 300 --seconds 0.02", *DISTILL])
    run = wait_for_run("step", 2)
    os.write(screen, b"\x03")
    shown = b""
    try:
        while piece := os.read(screen, 4096):
            shown += piece
    except OSError:  # how a terminal tells that nobody is there any more
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(front, 0)[1]) == 130
    assert b"stopped at step" in shown
    assert run.status()["state"] == "stopped"


def test_killed_engine_is_lost_and_resumes(start: Start, kid: Callable[..., Answer]) -> None:
    process = start("--steps 300 --seconds 0.02", *DISTILL)
    run = wait_for_run("checkpoint")
    kill_engine(run)
    answer = finish(process)
    assert answer.code == 1
    assert f"kid distill --resume {run.id}" in answer.err
    assert json.loads(kid("runs", "list", "--json").out)[0]["state"] == "lost"
    last = events(run, "checkpoint")[-1]["step"]
    assert finish(start(f"--steps {last + 7}", "distill", "--resume", run.id)).code == 0
    again = [event["step"] for event in events(run, "step") if event["generation"] == 2]
    assert again == list(range(last + 1, last + 8))


def test_a_reader_that_leaves_does_not_stop_the_run(start: Start) -> None:
    process = start("--steps 40 --seconds 0.05", *DISTILL, "--json")
    run = wait_for_run("step", 1)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert f"the run goes on: kid runs logs -f {run.id}" in process.stderr.read()
    wait_for_run("run_end")
    assert run.status()["state"] == "done"
    process.stdout = None


def test_detached(start: Start) -> None:
    answer = finish(start("--steps 20 --seconds 0.05", *DISTILL, "--detach"))
    run = runs.all_runs()[0]
    assert answer.code == 0
    assert answer.out == f"{run.id}\n"
    assert run.status()["state"] in ("starting", "running")
    assert os.getsid(run.status()["pid"]) == run.status()["pid"]
    wait_for_run("run_end")


def test_detached_engine_that_cannot_begin(start: Start) -> None:
    answer = finish(start("--before-events 3", *DISTILL, "--detach"))
    assert answer.code == 3
    assert answer.out == ""
    assert "the engine does not like this machine" in answer.err
