"""What is compared between runs that may still go on: which are worth their cost, and their curves. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.study.differing import is_dominated
from kidtui.watch import Event, View

FRONT: Final = "front"
DOMINATED: Final = "dominated"
NO_SCORE: Final = "no score yet"
NO_TIMING: Final = "no timing yet"

_FULL: Final = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run has reached and what a step of it takes.

    ex: of its student, in the newest evaluation.
    ms: milliseconds of a step, the median of the newest ones.
    """

    ex: float | None = None
    ms: float | None = None


def places(standings: Sequence[Standing]) -> list[str]:
    """For each run a word: on the Pareto front, dominated, or what is missing for that.

    Dominated: another run is at least as good and at least as fast, and better in one of the two.
    """
    known = [(one.ex, one.ms) for one in standings if one.ex is not None and one.ms is not None]
    return [_place(one, known) for one in standings]


def _place(one: Standing, known: Sequence[tuple[float, float]]) -> str:
    if one.ex is None:
        return NO_SCORE
    if one.ms is None:
        return NO_TIMING
    return DOMINATED if is_dominated(one.ex, one.ms, known) else FRONT


def percentile(values: Sequence[float], share: float) -> float | None:
    """What `share` % of the values lie at or below; between two values on a straight line.

    None of nothing.
    """
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    below, part = int(place), place % 1
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + part * (ordered[above] - ordered[below])


def ex_of(view: View) -> float | None:
    """EX of the student in its newest evaluation."""
    scores = [event["ex"] for event in view.evals if event.get("split") == "student" and _is_score(event)]
    return float(scores[-1]) if scores else None


def ex_over_steps(view: View) -> tuple[list[float], list[float]]:
    """Steps and the student's EX there, ascending; before training is step 0, after it the last step."""
    found: dict[float, float] = {}
    last = (view.end or {}).get("step") or view.step.get("step") or view.total_steps
    for event in view.evals:
        if not _is_score(event):
            continue
        if event.get("split") == "student_before":
            found[0.0] = event["ex"]
        elif event.get("split") == "student":
            step = last if event.get("step") is None else event["step"]
            found[float(step)] = event["ex"]
    steps = sorted(found)
    return steps, [found[step] for step in steps]


def _is_score(event: Event) -> bool:
    ex = event.get("ex")
    return isinstance(ex, int | float) and 0 <= ex <= _FULL


def along(values: Sequence[float], here: Sequence[float], there: Sequence[float]) -> list[float]:
    """Values on one axis as values on another: `here` and `there` are the same points on both.

    Both ascend. Between two points on a straight line; before the first in proportion to it, after
    the last as there.
    """
    if not here:
        return []
    here, there = [0.0, *here], [0.0, *there]
    found = []
    for value in values:
        at = min(max(1, bisect_left(here, value)), len(here) - 1)
        span = here[at] - here[at - 1]
        part = min(1.0, max(0.0, (value - here[at - 1]) / span)) if span else 1.0
        found.append(there[at - 1] + part * (there[at] - there[at - 1]))
    return found
