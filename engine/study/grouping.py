"""What grouping a batch's questions by database costs or gives: grouped against mixed batches, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import RunError
from engine.evaluation.statistics import paired_bootstrap
from engine.runs import Run
from engine.study.comparison import compare
from engine.study.group import Group

BATCHING = "train.batching"
_KINDS = ("grouped", "mixed")


def grouping(which: Sequence[Run]) -> dict[str, Any]:
    """Each pair of recipes that differ in train.batching alone, plain enough for JSON.

    Returns:
        `pairs`: each with `budget` ("equal steps" or "equal time"), `label`, `grouped` and `mixed` {ex, each,
        seeds, steps, step_ms, seconds}, `difference` of EX, grouped − mixed {value, low, high over the
        questions, p, seeds: one for each seed that both have}, and `time_ratio`: a mixed step's time over
        a grouped one's.

    Raises:
        RunError: there is no such pair with scores.
    """
    compared = compare(which)
    found: dict[tuple[tuple[str, str], ...], dict[str, Group]] = {}
    problems = [f"{group.label}: {group.problem}" for group in compared.groups if group.problem]
    for group in compared.groups:
        rest = tuple(pair for pair in group.first.recipe if pair[0] != BATCHING)
        kind = dict(group.first.recipe).get(BATCHING, "")
        if group.score and kind in _KINDS:
            first = found.setdefault(rest, {}).setdefault(kind, group)
            if first is not group:
                problems.append(f"{group.label}: left out, it repeats {first.label}")
    pairs = [_pair(both["grouped"], both["mixed"]) for both in found.values() if len(both) == len(_KINDS)]
    if not pairs:
        raise RunError(
            "of these runs no two with a score differ in train.batching alone",
            "kid sweep grouping and kid sweep grouping-time make such runs",
        )
    return {
        "v": 1,
        "study": "grouping",
        "pairs": pairs,
        "problems": problems,
        "signatures": list(compared.signatures),
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = ["# Grouped against mixed batches", ""]
    for pair in report["pairs"]:
        lines += [
            f"## At {pair['budget']}: {pair['label']}",
            "",
            "| batches | EX | 95 % interval | seeds | steps | ms a step | seconds |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_row(kind, pair[kind]) for kind in _KINDS),
            "",
            verdict(pair),
            "",
        ]
    lines += [f"**Note:** {line}\n" for line in (*report["problems"], *report["signatures"])]
    return "\n".join(lines).rstrip() + "\n"


def verdict(pair: Mapping[str, Any]) -> str:
    """What grouping gives or costs, in plain words."""
    found, ratio = pair["difference"], pair["time_ratio"]
    told = f"Grouped − mixed: {found['value']:+.3f} EX"
    if found["low"] is None:
        told += "; they answered other questions, so there is no interval"
    else:
        told += f", 95 % interval over the questions {found['low']:+.3f} to {found['high']:+.3f}"
        clear = found["low"] > 0 or found["high"] < 0
        told += f" ({'told apart' if clear else 'not told apart'})"
    if found["seeds"]:
        told += f"; seed by seed {', '.join(f'{value:+.3f}' for value in found['seeds'])}"
    return told + (f". A mixed step takes {ratio:.2f} times as long as a grouped one." if ratio else ".")


def _pair(grouped: Group, mixed: Group) -> dict[str, Any]:
    recipe = dict(grouped.first.recipe)
    ours, theirs = grouped.answers, mixed.answers
    assert grouped.score is not None
    assert mixed.score is not None
    difference: dict[str, Any] = {
        "value": grouped.score.value - mixed.score.value,
        "low": None,
        "high": None,
        "p": None,
        "seeds": _by_seed(grouped, mixed),
    }
    if ours and set(ours) == set(theirs):
        test = paired_bootstrap(list(ours.values()), list(theirs.values()))
        low, high = test.interval
        difference |= {"value": test.difference, "low": low, "high": high, "p": test.p_value}
    times = [group.mean("step_ms") for group in (grouped, mixed)]
    return {
        "budget": "equal time" if float(recipe.get("train.max_seconds", "0")) else "equal steps",
        "label": _label(grouped),
        "grouped": _told(grouped),
        "mixed": _told(mixed),
        "difference": difference,
        "time_ratio": times[1] / times[0] if times[0] and times[1] else None,
    }


def _by_seed(grouped: Group, mixed: Group) -> list[float]:
    """The differences of the seeds that both have, ascending by seed."""
    first, second = (
        {one.seed: one.score.value for one in group.standings if one.score and one.seed is not None}
        for group in (grouped, mixed)
    )
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def _told(group: Group) -> dict[str, Any]:
    assert group.score is not None
    steps = group.mean("steps")
    return {
        "runs": [one.run.id for one in group.standings],
        "seeds": sum(one.score is not None for one in group.standings),
        "ex": {"value": group.score.value, "low": group.score.low, "high": group.score.high},
        "each": [one.score.value for one in group.standings if one.score],
        "steps": steps,
        "step_ms": group.mean("step_ms"),
        "seconds": group.mean("seconds"),
    }


def _label(group: Group) -> str:
    """The recipe's label without what is compared."""
    words = [word for word in group.label.split(" ") if "batching=" not in word]
    return " ".join(words)


def _row(kind: str, told: Mapping[str, Any]) -> str:
    ex = told["ex"]
    cells = [
        kind,
        f"{ex['value']:.3f}",
        f"{ex['low']:.3f} to {ex['high']:.3f}",
        f"{told['seeds']}"
        + (f" ({min(told['each']):.3f} to {max(told['each']):.3f})" if told["seeds"] > 1 else ""),
        _number(told["steps"], 0),
        _number(told["step_ms"], 1),
        _number(told["seconds"], 1),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
