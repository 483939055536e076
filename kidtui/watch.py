"""A run's events folded into what a screen shows. Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

Event = Mapping[str, Any]

_MOST_EVALS = 2000
_MOST_PROBES = 200
_MOST_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run is at: `done` of `total`, where total is known."""

    name: str = "starting"
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A run as its events tell it. Of what comes again and again the newest are kept."""

    generation: int = 0
    profile: str = ""
    total_steps: int = 0
    parameters: Event = field(default_factory=dict)
    progress: Progress = Progress()
    step: Event = field(default_factory=dict)  # the newest step event
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


def _with(scores: tuple[Event, ...], event: Event, most: int) -> tuple[Event, ...]:
    """A resumed run does the evaluations since its checkpoint again: the newer one counts.

    Of more than `most` the oldest goes; those of no step (the teacher, the student before) go last.
    """
    what = (event.get("step"), event.get("split"))
    kept = [old for old in scores if (old.get("step"), old.get("split")) != what]
    if len(kept) >= most:
        kept.pop(next((at for at, old in enumerate(kept) if old.get("step") is not None), 0))
    return (*kept, event)


def _warning(view: View, event: Event) -> View:
    kept = (*view.warnings, str(event.get("message")))[-_MOST_WARNINGS:]
    return replace(view, warnings=kept)


_CHANGES = {
    "run_start": _run_start,
    "phase": _phase,
    "step": _step,
    "eval": lambda view, event: replace(view, evals=_with(view.evals, event, _MOST_EVALS)),
    "probe": lambda view, event: replace(view, probes=_with(view.probes, event, _MOST_PROBES)),
    "warning": _warning,
    "run_end": lambda view, event: replace(view, end=event),
}
