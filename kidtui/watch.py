"""A run's events folded into what a screen shows. Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run is at: `done` of `total`, where total is known."""

    name: str = "starting"
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A run as its events tell it."""

    generation: int = 0
    profile: str = ""
    total_steps: int = 0
    parameters: Event = field(default_factory=dict)
    progress: Progress = Progress()
    step: Event = field(default_factory=dict)  # the newest step event
    rewrite: Event = field(default_factory=dict)  # the newest sample of rewritten tokens
    checkpoint: Event = field(default_factory=dict)
    evals: tuple[Event, ...] = ()
    probes: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()
    end: Event | None = None  # the run_end event, once there is one


def fold(view: View, event: Event) -> View:
    """The view after one more event; events of unknown kinds change nothing."""
    if event.get("generation", view.generation) > view.generation:
        # A resumed run: what the last engine was at, and how it ended, is past.
        view = replace(view, generation=event["generation"], progress=Progress(), end=None)
    change = _CHANGES.get(event["kind"])
    return change(view, event) if change else view


def fold_all(view: View, events: Iterable[Event]) -> View:
    return reduce(fold, events, view)


def _run_start(view: View, event: Event) -> View:
    total = event.get("total_steps") or 0
    return replace(
        view,
        profile=event.get("profile") or "",
        total_steps=total,
        parameters=event.get("parameters") or {},
        progress=Progress("training", 0, total),  # unless a phase says what comes before
    )


def _phase(view: View, event: Event) -> View:
    name = str(event.get("name") or "working")
    return replace(view, progress=Progress(name, event.get("done") or 0, event.get("total") or 0))


def _step(view: View, event: Event) -> View:
    return replace(view, step=event, progress=Progress("training", event.get("step") or 0, view.total_steps))


def _with(scores: tuple[Event, ...], event: Event) -> tuple[Event, ...]:
    """A resumed run does the evaluations since its checkpoint again: the newer one counts."""
    what = (event.get("step"), event.get("split"))
    return (*(old for old in scores if (old.get("step"), old.get("split")) != what), event)


_CHANGES = {
    "run_start": _run_start,
    "phase": _phase,
    "step": _step,
    "eval": lambda view, event: replace(view, evals=_with(view.evals, event)),
    "rewrite": lambda view, event: replace(view, rewrite=event),
    "probe": lambda view, event: replace(view, probes=_with(view.probes, event)),
    "checkpoint": lambda view, event: replace(view, checkpoint=event),
    "warning": lambda view, event: replace(view, warnings=(*view.warnings, str(event.get("message")))),
    "run_end": lambda view, event: replace(view, end=event),
}
