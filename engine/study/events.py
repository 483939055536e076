"""What a comparison needs of a run's events, folded while they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.errors import RunError
from engine.event_reader import EventReader
from engine.runs import Run

_AT_ONCE: Final = 8 * 1024 * 1024
DIVERGENCES: Final = ("fkl", "rkl", "jsd", "tvd", "student_entropy", "teacher_entropy", "top1_agreement")


@dataclass(frozen=True, slots=True)
class Step:
    loss: float | None
    ms: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Reference:
    """Milliseconds of three steps on one batch: plain SFT, our SFT with shared prompts, the run's method."""

    step: int
    plain_ms: float | None
    sft_ms: float | None
    method_ms: float


@dataclass
class Told:
    """All that was told. A resumed run tells some steps twice: the newer word counts."""

    steps: dict[int, Step] = field(default_factory=dict)
    evals: dict[tuple[Any, Any], Mapping[str, Any]] = field(default_factory=dict)
    measured: dict[int, Reference] = field(default_factory=dict)
    divergences: dict[str, dict[int, float]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    memory_mb: float | None = None
    metric: str = ""
    error: str = ""

    @property
    def last_step(self) -> int | None:
        return max(self.steps, default=None)

    @property
    def references(self) -> list[Reference]:
        return [self.measured[step] for step in sorted(self.measured)]


def read_events(run: Run, problems: list[str]) -> Told:
    """Everything that the run's events tell up to now; why some cannot be read is added to `problems`."""
    told = Told()
    reader = EventReader(run)
    try:
        while (events := reader.poll(_AT_ONCE)) or reader.behind:
            for event in events:
                _take(told, event)
    except RunError as error:
        problems.append(error.message)
    if reader.num_skipped:
        problems.append(f"{reader.num_skipped} lines of its events cannot be read")
    return told


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _take(told: Told, event: Mapping[str, Any]) -> None:
    kind, at = event["kind"], number(event.get("step"))
    step = None if at is None else int(at)
    if kind == "step" and step is not None:
        ms = event.get("ms")
        total = number(ms.get("total")) if isinstance(ms, Mapping) else None
        told.steps[step] = Step(number(event.get("loss")), total, number(event.get("tokens_per_s")))
        memory = number(event.get("memory_mb"))
        if memory is not None:
            told.memory_mb = max(memory, told.memory_mb or 0.0)
    elif kind == "eval":
        key = (event.get("split"), step)
        told.evals.pop(key, None)  # the newest stands last
        told.evals[key] = event
        told.metric = str(event.get("metric") or "")
    elif kind == "reference" and step is not None:
        plain, shared, own = (number(event.get(f"{name}_ms")) for name in ("plain_sft", "sft", "method"))
        if own is not None:
            told.measured[step] = Reference(step, plain, shared, own)
    elif kind == "divergences" and step is not None:
        for name in DIVERGENCES:
            if (value := number(event.get(name))) is not None:
                told.divergences.setdefault(name, {})[step] = value
    elif kind == "run_start" and isinstance(event.get("parameters"), Mapping):
        told.parameters = event["parameters"]
    elif kind == "run_end":
        failure = event.get("error")
        told.error = str(failure.get("message") or "") if isinstance(failure, Mapping) else ""
