"""The failure signatures of method.md, section 6, where a comparison shows them. They are hints, no proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.study.group import Group
    from engine.study.standing import Standing

_FALLEN: Final = 0.5  # a training loss that has lost half of itself
_EXACCERR: Final = 20.0  # per cent; the paper's KID has 5, its RKD 16, its FKD 35
_LARGE_GAP: Final = 8.0  # the paper's students lose from a teacher of 14 times their size, not from 8 times


def signatures(groups: Sequence[Group]) -> list[str]:
    """One line for each sign that is seen, with its numbers."""
    return [*_overfitted(groups), *_mismatched(groups), *_outgrown(groups)]


def _overfitted(groups: Sequence[Group]) -> Iterator[str]:
    """Training loss good, score poor."""
    for group in groups:
        for one in group.standings:
            fall = _fall(one)
            if fall is None or one.score is None:
                continue
            loss = f"{one.label}: the training loss fell from {fall[0]:.3g} to {fall[1]:.3g}"
            best = max(one.curve, key=lambda point: point[1], default=(0, 0.0))
            if one.before is not None and one.score.high < one.before:
                yield (
                    f"{loss}, but {one.metric} from {one.before:.3f} to {one.score.value:.3f}: "
                    "it may have overfitted to imperfect data"
                )
            elif one.score.high < best[1]:
                yield (
                    f"{loss}, but {one.metric} from {best[1]:.3f} at step {best[0]} to "
                    f"{one.score.value:.3f}: it may have overfitted to imperfect data; "
                    "the best student is kept as RUN/best"
                )


def _fall(one: Standing) -> tuple[float, float] | None:
    """Mean loss of the first and of the last tenth of the steps, where it has fallen far."""
    tenth = len(one.losses) // 10
    if tenth < 1:
        return None
    losses = [loss for _, loss in one.losses]
    first, last = fmean(losses[:tenth]), fmean(losses[-tenth:])
    return (first, last) if last < first * _FALLEN else None


def _mismatched(groups: Sequence[Group]) -> Iterator[str]:
    """High ExAccErr."""
    for group in groups:
        for one in group.standings:
            if one.exaccerr and one.exaccerr.value >= _EXACCERR:
                found = one.exaccerr
                interval = (
                    "" if found.low is None else f" (95 % interval {found.low:.1f} to {found.high:.1f})"
                )
                yield (
                    f"{one.label}: ExAccErr is {found.value:.1f} % at {found.length} tokens{interval}: "
                    "what it reads in training may still be unlike what it writes itself"
                )


def _outgrown(groups: Sequence[Group]) -> Iterator[str]:
    """Worse with a larger teacher, or worse than without one."""
    for first, second in combinations(groups, 2):
        small, large = sorted((first, second), key=_gap)
        if not (small.score and large.score and _gap(small) < _gap(large)):
            continue
        if _but_for_teacher(small) == _but_for_teacher(large) and large.score.value < small.score.value:
            yield (
                f"{large.label}: {large.first.metric} {large.score.value:.3f} with a teacher of "
                f"{_gap(large):.1f} times the student's size, {small.score.value:.3f} with one of "
                f"{_gap(small):.1f} times: the gap may be too large"
            )
    for group, sft in product(groups, groups):
        if sft.method != "sft" or group.method == "sft" or _gap(group) < _LARGE_GAP:
            continue
        if not (sft.score and group.score) or _but_for_method(sft) != _but_for_method(group):
            continue
        if group.score.high < sft.score.value:
            yield (
                f"{group.label}: {group.first.metric} {group.score.value:.3f} is below the "
                f"{sft.score.value:.3f} of {sft.label}, with a teacher of {_gap(group):.1f} times "
                "the student's size: the gap may be too large"
            )


def _gap(group: Group) -> float:
    """The teacher's parameters over the student's; 0 where that is not known."""
    sizes: Mapping[str, Any] = group.first.parameters
    return sizes["teacher"] / sizes["student"] if sizes.get("teacher") and sizes.get("student") else 0.0


def _but_for_teacher(group: Group) -> tuple[tuple[str, str], ...]:
    return _without(group, "teacher.")


def _but_for_method(group: Group) -> tuple[tuple[str, str], ...]:
    return _without(group, "method.", "teacher.")


def _without(group: Group, *tables: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in group.first.recipe if not key.startswith(tables))
