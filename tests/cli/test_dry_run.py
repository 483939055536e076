"""`kid distill --dry-run`: what is printed, and what becomes of an engine that cannot say."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Sequence

import pytest

from engine import profile, runs
from engine.errors import KidError
from kidtui import launch, preflight
from kidtui.estimate import Estimate
from tests.cli.conftest import Answer

Kid = Callable[..., Answer]
FOUND = {
    "fits": True,
    "reason": "",
    "memory_mb": 2048,
    "here_mb": 16384,
    "free_mb": 8192,
    "step_ms": 1500.0,
    "train_seconds": 90.0,
    "eval_seconds": 200.0,
    "teacher_text_seconds": 0.0,
    "notes": [],
}
PLAN = {
    "parameters": {"teacher": 0, "student": 5},
    "memory_mb": {"student": 1, "total": 1},
    "steps": 9,
    "steps_per_epoch": 3,
    "examples": 6,
    "corrections": 0,
}
SMALL = ("--set", "student.model=package:engine/data/demo/teacher", "--set", "student.init=random")


def engine(*lines: object, then: str = "") -> Sequence[str]:
    """An engine that says these lines, whatever it is asked."""
    said = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return sys.executable, "-c", f"import sys, os; sys.stdin.read(); print({said!r}, flush=True); {then}"


def measure(command: Sequence[str], tell: Callable[[str, int, int], None] = lambda *told: None) -> dict:
    return preflight.measure(profile.load("demo"), None, tell, command)


@pytest.mark.slow  # three imports of torch
def test_plan_measurement_and_profile(kid: Kid) -> None:
    """By the real engine, which leaves nothing behind."""
    answer = kid("distill", "-p", "tiny", "--dry-run", *SMALL, "--set", "train.threads=1")
    assert answer.code == 0, answer.err
    told = [line for line in answer.out.splitlines() if line.startswith("# ")]
    assert [line.split(":")[0] for line in told[:2]] == ["# parameters", "# memory, estimated"]
    assert told[3].startswith(("# measured, fits: ", "# measured, tight: "))
    assert "# measured, time: steps " in told[4]
    assert tomllib.loads(answer.out)["student"]["init"] == "random"
    assert "measuring steps" in answer.err
    assert runs.all_runs() == []


def test_what_was_measured_is_printed_beside_the_sizes(kid: Kid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "plan", lambda chosen, data_dir: dict(PLAN))
    monkeypatch.setattr(preflight, "measure", lambda chosen, data_dir, tell: FOUND)
    asked = ("distill", "-p", "tiny", "--dry-run")
    told = kid(*asked).out.splitlines()
    assert told[2:5] == [
        "# steps: 9 (3 an epoch, 6 examples)",
        "# measured, fits: 2.0 GB of 16.0 (8.0 free)",
        "# measured, time: steps 1m 30s (each 1 500 ms), evaluations 3m 20s with answers as long as now",
    ]
    assert json.loads(kid(*asked, "--json").out)["plan"] == {**PLAN, "measured": FOUND}
    assert json.loads(kid(*asked, "--json", "--no-measure").out)["plan"] == PLAN
    assert "measured" not in kid(*asked, "--no-measure").out
    alone = kid("distill", "-p", "tiny", "--no-measure")
    assert alone.code == 2
    assert "--dry-run" in alone.err


def test_what_the_engine_finds_is_handed_on() -> None:
    told: list[tuple[str, int, int]] = []
    phase = {"kind": "phase", "name": "measuring steps", "done": 1, "total": 4}
    report = {"kind": "report", "report": FOUND}
    assert measure(engine(phase, report), lambda *one: told.append(one)) == FOUND
    assert told == [("measuring steps", 1, 4)]


def test_an_engine_that_memory_kills_is_an_answer() -> None:
    found = measure(
        engine('{"kind": "phase", "name": "a", "done": 0, "total": 0}', then="os.kill(os.getpid(), 9)")
    )
    assert not found["fits"]
    assert preflight.words(found) == [f"does not fit: {found['reason']}"]
    assert "memory runs out" in found["reason"]


def test_engines_that_give_no_answer() -> None:
    error = {"kind": "error", "message": "no such model", "mend": "name another", "exit_code": 3}
    with pytest.raises(KidError, match="no such model") as raised:
        measure(engine(error, then="sys.exit(3)"))
    assert raised.value.exit_code == 3
    with pytest.raises(KidError, match=r"could not measure this run \(exit code 7"):
        measure(engine('{"kind": "other"}', then="sys.exit(7)"))
    for garbage in ("[]", "{}", "not JSON"):
        with pytest.raises(KidError, match="is no measurement"):
            measure(engine(garbage, then="import time; time.sleep(60)"))


def test_who_stops_listening_ends_the_engine() -> None:
    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    phase = {"kind": "phase", "name": "loading", "done": 0, "total": 0}
    with pytest.raises(KeyboardInterrupt):
        measure(engine(phase, then="import time; time.sleep(60)"), stop)


def test_words() -> None:
    assert preflight.words(FOUND) == [
        "fits: 2.0 GB of 16.0 (8.0 free)",
        "time: steps 1m 30s (each 1 500 ms), evaluations 3m 20s with answers as long as now",
    ]
    full = {**FOUND, "free_mb": 1024, "teacher_text_seconds": 60.0, "notes": ["an estimate"]}
    tight, time, note = preflight.words(full)
    assert tight.startswith("tight: ")
    assert "the teacher's answers 1m 00s, steps" in time
    assert note == "note: an estimate"


def test_the_monitors_line() -> None:
    estimate = Estimate({"total": 1}, 60, 16384, 8192, None, "")
    assert estimate.words(FOUND).startswith("✓ fits: 2.0 GB of 16.0 (8.0 free) · time: steps 1m 30s")
    assert estimate.words({**FOUND, "free_mb": 1}).startswith("! tight")
    no = {"fits": False, "reason": "out of memory", "notes": []}
    assert estimate.words(no).startswith("✗ does not fit: out of memory")
