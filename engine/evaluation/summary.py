"""Judged items as figures: every accuracy with its interval, plain enough for JSON.

Fractions of 1, but for VES and R-VES, which are points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from engine.data.releases import BIRD_LEVELS, bird_release
from engine.errors import DataError
from engine.evaluation.bird import r_ves_points, ves_points
from engine.evaluation.evaluate import SetScore
from engine.evaluation.items import Item
from engine.evaluation.statistics import bootstrap_interval, mcnemar, mean_interval, paired_bootstrap
from engine.sql.hardness import LEVELS


def metric(kind: Literal["sql", "text"]) -> str:
    """What `ex` is on a data set of this kind, as files name it."""
    return "exact_match" if kind == "text" else "execution_accuracy"


def summarise(scored: SetScore) -> dict[str, Any]:
    """The figures of one data set.

    `metric` says what `ex` is. It and all other accuracies are over the items whose gold runs; each is
    {"value", "interval": the bootstrap's 95 %, "num"}, or None where there is nothing to take it over.
    """
    text = scored.data.kind == "text"
    counted = [item for item in scored.items if not item.gold_failed]
    wrong = [item for item in counted if not item.ex]
    return {
        "name": scored.data.name,
        "fingerprint": scored.data.fingerprint,
        "release": bird_release(Counter(example.difficulty for example in scored.data.examples)),
        "rules": scored.rules,
        "metric": metric(scored.data.kind),
        "num_questions": len(scored.items),
        "num_counted": len(counted),
        "gold_failed": len(scored.items) - len(counted),
        "vacuous": sum(item.vacuous for item in counted),
        "ex": accuracy(item.ex for item in counted),
        "ex_without_vacuous": accuracy(item.ex for item in counted if not item.vacuous),
        "executable": accuracy(None if text else item.executable for item in counted),
        "exact_match": accuracy(item.exact_match for item in counted),
        "test_suite": accuracy(item.test_suite for item in counted),
        "soft_f1": accuracy(item.soft_f1 for item in counted),
        **_efficiency(scored, counted),
        "by_difficulty": {
            level: {
                "num": len(items),
                **{
                    metric: accuracy(getattr(item, metric) for item in items)
                    for metric in ("ex", "exact_match", "test_suite", "soft_f1")
                },
            }
            for level, items in ({} if text else _by_difficulty(counted)).items()
        },
        "errors": _errors(wrong),
        "answers": _cost(scored.items),
        "notes": [note.message for note in scored.notes],
    }


def average(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The unweighted mean of the sets' EX, as the paper's Avg, in the form of `accuracy`."""
    cells = [summary["ex"] for summary in summaries if summary["ex"]]
    if not cells:
        return None
    return {
        "value": sum(cell["value"] for cell in cells) / len(cells),
        "interval": list(mean_interval([(cell["value"], cell["num"]) for cell in cells])),
        "num": sum(cell["num"] for cell in cells),
    }


def paired(first: SetScore, second: SetScore) -> dict[str, Any]:
    """Two systems' EX on the items that both answer and whose gold runs, compared item by item.

    Raises:
        DataError: there are no such items.
    """
    others = {item.index: item for item in second.items}
    pairs = [
        (item.ex, others[item.index].ex)
        for item in first.items
        if item.index in others and not item.gold_failed
    ]
    if not pairs:
        raise DataError("the two files of predictions answer no common question", "compare others")
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    counts = mcnemar(ours, theirs)
    difference = paired_bootstrap(ours, theirs)
    return {
        "num": len(pairs),
        "ex": [accuracy(ours), accuracy(theirs)],
        "only_first": counts.only_first,
        "only_second": counts.only_second,
        "mcnemar_p": counts.p_value,
        "difference": {"value": difference.difference, "interval": list(difference.interval)},
        "bootstrap_p": difference.p_value,
    }


def accuracy(values: Iterable[float | None]) -> dict[str, Any] | None:
    """Mean and 95 % interval of the values that are not None."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    low, high = bootstrap_interval(known)
    return {"value": sum(known) / len(known), "interval": [low, high], "num": len(known)}


def _efficiency(scored: SetScore, counted: Sequence[Item]) -> dict[str, Any]:
    """BIRD's VES and R-VES, over all items; a wrong one gives nothing."""
    if not (scored.rules == "bird" and scored.options.timed):
        return {"ves": None, "r_ves": None}
    ratios = [item.time_ratio for item in counted]
    return {
        name: accuracy(0.0 if ratio is None else points(ratio) for ratio in ratios)
        for name, points in (("ves", ves_points), ("r_ves", r_ves_points))
    }


def _by_difficulty(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Spider's or BIRD's levels in their order, with the items of each; others by name."""
    found = {item.difficulty for item in items}
    known = BIRD_LEVELS if found & set(BIRD_LEVELS) else LEVELS
    levels = [*known, *sorted(found - set(known))]
    return {level: [item for item in items if item.difficulty == level] for level in levels}


def _errors(wrong: Sequence[Item]) -> dict[str, Any]:
    """Class -> items that have it first, and items that have it at all; most frequent first."""
    first = Counter(item.error_class for item in wrong)
    at_all = Counter(kind for item in wrong for kind in item.classes)
    kinds = sorted(at_all, key=lambda kind: (-first[kind], -at_all[kind], kind))
    return {kind: {"first": first[kind], "any": at_all[kind]} for kind in kinds}


def _cost(items: Sequence[Item]) -> dict[str, Any]:
    return {
        name: sum(known) / len(known) if (known := [v for v in values if v is not None]) else None
        for name, values in (
            ("tokens", [item.num_tokens for item in items]),
            ("ms", [item.milliseconds for item in items]),
        )
    }
