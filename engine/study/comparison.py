"""Runs side by side: scores with intervals, costs, settings that differ, a test between the best two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from engine.runs import Run
from engine.study.card import card
from engine.study.differing import UNKNOWN, differing
from engine.study.group import Group
from engine.study.labels import labels
from engine.study.paired import PairedTest, between
from engine.study.signatures import signatures
from engine.study.standing import Score, Standing, read

_FIGURES: Final = (
    "method", "seed", "state", "problem", "before", "teacher", "steps", "seconds", "latency",
    "latency_shared", "step_ms", "tokens_per_s", "memory_mb",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    standings: one a run, in the order given; groups: one for runs that differ in their seed alone.
    settings: those that differ, as dotted key and the value of each standing, "?" where it is not known.
    test: of the two groups with the best scores.
    signatures: what looks like one of the known ways to fail, one line each.
    notes: what to know before believing the figures, one line each.
    """

    standings: tuple[Standing, ...]
    groups: tuple[Group, ...]
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    test: PairedTest
    signatures: tuple[str, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares runs by their files alone; a damaged or unfinished one takes part as far as it can be read."""
    groups = _groups([read(run) for run in dict.fromkeys(runs)])
    labelled = {one.run: one for group in groups for one in group.standings}
    standings = [labelled[run] for run in dict.fromkeys(runs)]
    return Comparison(
        tuple(standings),
        tuple(groups),
        tuple(_settings(standings)),
        between(groups),
        tuple(signatures(groups)),
        tuple(_notes(standings)),
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that is told, plain enough for JSON: fractions of 1, milliseconds, MiB."""
    return {
        "v": 1,
        "runs": [_run(one) for one in comparison.standings],
        "groups": [_group(group) for group in comparison.groups],
        "settings": {
            key: {one.label: value for one, value in zip(comparison.standings, values, strict=True)}
            for key, values in comparison.settings
        },
        "test": _test(comparison.test),
        "signatures": list(comparison.signatures),
        "notes": list(comparison.notes),
    }


def markdown(comparison: Comparison, *, with_runs: bool = False, width: int | None = None) -> str:
    """The comparison for people.

    Args:
        with_runs: a line for each run under a recipe of several seeds.
        width: columns that a table may take; where the labels are too long for that, letters stand for them.
    """
    return card(comparison, with_runs=with_runs, width=width)


def _groups(standings: Sequence[Standing]) -> list[Group]:
    """Runs of one recipe and of different seeds together; repeated runs of one seed each alone."""
    together: dict[Any, list[Standing]] = {}
    for one in standings:
        together.setdefault(one.recipe or one.run, []).append(one)
    parts: list[list[Standing]] = []
    for members in together.values():
        seeds = Counter(one.seed for one in members)
        are_seeds = max(seeds.values()) == 1 and None not in seeds
        parts += [members] if are_seeds else [[one] for one in members]
    ids = Counter(part[0].run.id for part in parts)
    own = [str(run.path) if ids[run.id] > 1 else run.id for run in (part[0].run for part in parts)]
    names = labels([part[0].settings for part in parts], own)
    return [_named(name, part) for name, part in zip(names, parts, strict=True)]


def _named(name: str, members: Sequence[Standing]) -> Group:
    if len(members) == 1:
        return Group(name, (replace(members[0], label=name),))
    return Group(name, tuple(replace(one, label=f"{name} seed={one.seed}") for one in members))


def _settings(standings: Sequence[Standing]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What differs between the runs whose settings are known; of the others the value is UNKNOWN."""
    known = [one for one in standings if one.settings]
    for key, values in differing([one.settings for one in known]):
        if key != "name":
            of = {one.run: value for one, value in zip(known, values, strict=True)}
            yield key, tuple(of.get(one.run, UNKNOWN) for one in standings)


def _notes(standings: Sequence[Standing]) -> list[str]:
    notes: list[str] = []
    scored = [one for one in standings if one.score]
    if len({one.data for one in scored if one.data}) > 1:
        notes.append("the runs were scored on different data sets: their scores cannot be compared")
    nums = _different(scored, lambda one: one.score.num if one.score else None)
    if nums:
        notes.append(f"the runs were scored on different numbers of questions ({nums})")
    if steps := _different(scored, lambda one: one.steps):
        notes.append(f"the runs were not trained for the same number of steps ({steps})")
    if len({one.host for one in standings if one.host}) > 1:
        notes.append("the runs come from different machines: compare latencies relative to SFT alone")
    if standings and not any(one.latency for one in standings):
        notes.append(
            "no run has timed plain SFT beside its own steps: there is no latency relative to SFT "
            "(--set train.reference_every=10 does it)"
        )
    return notes


def _different(standings: Sequence[Standing], what: Callable[[Standing], Any]) -> str:
    found = sorted({value for one in standings if (value := what(one)) is not None})
    return ", ".join(map(str, found)) if len(found) > 1 else ""


def _run(one: Standing) -> dict[str, Any]:
    return {
        "id": one.run.id,
        "path": str(one.run.path),
        "label": one.label,
        **{name: getattr(one, name) for name in _FIGURES},
        "score": _score(one.score),
        "exaccerr": asdict(one.exaccerr) if one.exaccerr else None,
        "curve": [list(point) for point in one.curve],
        "errors_before": dict(one.errors_before),
        "errors_after": dict(one.errors_after),
        "divergences": {name: [list(point) for point in points] for name, points in one.divergences.items()},
        "parameters": dict(one.parameters),
        "data": one.data,
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "label": group.label,
        "runs": [one.run.id for one in group.standings],
        "seeds": [one.seed for one in group.standings],
        "score": _score(group.score),
        "spread": list(group.spread) if group.spread else None,
        **{name: group.mean(name) for name in ("before", "teacher", "latency", "latency_shared")},
        **{name: group.mean(name) for name in ("step_ms", "tokens_per_s", "seconds")},
        "memory_mb": group.memory_mb,
        "exaccerr": group.exaccerr,
    }


def _score(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"value": score.value, "interval": [score.low, score.high], "num": score.num, "step": score.step}


def _test(test: PairedTest) -> dict[str, Any]:
    if test.difference is None:
        return {"reason": test.reason}
    return {
        "first": test.first,
        "second": test.second,
        "num": test.num,
        "difference": test.difference.difference,
        "interval": list(test.difference.interval),
        "bootstrap_p": test.difference.p_value,
        "mcnemar_p": test.mcnemar.p_value if test.mcnemar else None,
        "only_first": test.mcnemar.only_first if test.mcnemar else None,
        "only_second": test.mcnemar.only_second if test.mcnemar else None,
    }
