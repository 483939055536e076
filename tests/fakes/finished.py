"""Runs as a finished trainer leaves them, without training: for tests of comparisons."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine import paths, profile
from engine.runs import Run

STEPS = 20


def finished(
    run_id: str,
    method: str = "sft",
    *,
    correct: Sequence[bool] = (True, False, True, True),
    sets: Sequence[str] = (),
    latency: float | None = 2.0,
    curve: Mapping[int, float] | None = None,
    losses: tuple[float, float] = (2.0, 1.5),
    before: float = 0.25,
    errors: Mapping[str, int] | None = None,
    parameters: Mapping[str, int] | None = None,
    more: Sequence[Mapping[str, Any]] = (),
) -> Run:
    """A run in the runs folder that is done.

    correct: of each question. sets: as --set. latency: of its steps over those of plain SFT; None: not timed.
    curve: step -> EX. losses: of the first and of the last step. more: events at the end.
    """
    run = Run(run_id, paths.runs_dir() / run_id)
    run.path.mkdir(parents=True)
    chosen = profile.load("demo", [f"method.name={method}", f"train.max_steps={STEPS}", *sets])
    ex, num = sum(correct) / len(correct), len(correct)
    write(run, "run.json", {"id": run_id, "cwd": "/", "data_dir": None, "machine": {"host": "here"},
                            "profile": chosen.model_dump(mode="json")})  # fmt: skip
    now = time.time()
    write(run, "status.json", {"v": 1, "state": "done", "generation": 1, "updated": now, "last_event": now,
                               "pid": None})  # fmt: skip
    wrong = errors if errors is not None else {"value": num - sum(correct)}
    write(
        run,
        "report.json",
        {
            "v": 1,
            "steps": STEPS,
            "train_seconds": 5.0,
            "parameters": dict(parameters or {"teacher": 2_000, "student": 1_000}),
            "data": {"eval": {"name": "demo/dev", "fingerprint": "f1"}},
            "scores": {
                "teacher": {"ex": _cell(0.9, num), "errors": {}},
                "student_before": {"ex": _cell(before, num), "errors": {"syntax": {"first": 3, "any": 3}}},
                "student": {
                    "ex": _cell(ex, num),
                    "errors": {kind: {"first": count, "any": count} for kind, count in wrong.items()},
                },
            },
        },
    )
    answers = [{"index": at, "correct": is_right, "error": None if is_right else "value"}
               for at, is_right in enumerate(correct)]  # fmt: skip
    (run.path / "predictions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
    events = list(_events(latency, curve if curve is not None else {10: 0.5, STEPS: ex}, losses, before, num))
    tell(run, [*events, *more, {"kind": "run_end", "state": "done", "step": STEPS}])
    return run


def write(run: Run, name: str, value: Any) -> None:
    (run.path / name).write_text(json.dumps(value))


def tell(run: Run, events: Sequence[Mapping[str, Any]], generation: int = 1) -> None:
    """Events added to a run's."""
    with run.events_path(generation).open("a") as file:
        file.writelines(json.dumps({"time": 0.0, **event}) + "\n" for event in events)


def step(number: int, loss: float = 1.0, ms: float = 100.0) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": loss, "ms": {"total": ms}, "tokens_per_s": 1000.0,
            "memory_mb": 500.0 + number}  # fmt: skip


def reference(number: int, plain: float, sft: float, own: float) -> dict[str, Any]:
    return {"kind": "reference", "step": number, "plain_sft_ms": plain, "sft_ms": sft, "method_ms": own}


def scored(at: int | None, ex: float, num: int, split: str = "student") -> dict[str, Any]:
    return {
        "kind": "eval",
        "step": at,
        "split": split,
        "ex": ex,
        "num_questions": num,
        "errors": {"value": 1},
    }


def _events(
    latency: float | None, curve: Mapping[int, float], losses: tuple[float, float], before: float, num: int
) -> Any:
    yield scored(None, before, num, "student_before")
    for number in range(1, STEPS + 1):
        part = (number - 1) / (STEPS - 1)
        yield step(number, losses[0] + part * (losses[1] - losses[0]), 100 * (latency or 1.0))
        if latency is not None and number % 5 == 0:
            yield reference(number, 100.0, 50.0, 100.0 * latency)
        if number in curve:
            yield scored(number, curve[number], num)


def _cell(value: float, num: int) -> dict[str, Any]:
    return {"value": value, "interval": [max(0.0, value - 0.1), min(1.0, value + 0.1)], "num": num}
