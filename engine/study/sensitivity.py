"""How much the score depends on what KID masks: EX by mask_ratio (α) and mask_strategy, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import RunError
from engine.markdown import in_table
from engine.runs import Run
from engine.study.comparison import compare
from engine.study.group import Group
from engine.study.labels import labels
from engine.study.paired import between

RATIO, STRATEGY = "method.mask_ratio", "method.mask_strategy"
_STRATEGIES = ("random", "uniform", "hard", "easy")


def sensitivity(which: Sequence[Run]) -> tuple[dict[str, Any], list[Group]]:
    """The tables, plain enough for JSON, and the groups of runs that they are of.

    Returns:
        `families`: KID's recipes that differ in ratio and strategy alone: a `label` and `cells`, each with
        ratio, strategy, seeds, ex {value, low, high, num} and the `spread` of the seeds; `others`: the
        scores of other methods among the runs; `test`: of the best two cells, in words.

    Raises:
        RunError: no two finished runs differ in ratio or strategy.
    """
    compared = compare(which)
    kid: dict[tuple[tuple[str, str], ...], list[Group]] = {}
    for group in compared.groups:
        if group.method == "kid" and group.score:
            rest = tuple(pair for pair in group.first.recipe if pair[0] not in (RATIO, STRATEGY))
            kid.setdefault(rest, []).append(group)
    families = [groups for groups in kid.values() if len(groups) > 1]
    if not families:
        raise RunError(
            "of these runs no two finished ones of kid differ in mask_ratio or mask_strategy alone",
            "kid sweep alpha and kid sweep strategies make such runs",
        )
    names = labels([groups[0].first.settings for groups in families], [one[0].label for one in families])
    cells = [group for groups in families for group in groups]
    others = [group for group in compared.groups if group not in cells]
    report = {
        "v": 1,
        "study": "sensitivity",
        "families": [
            {"label": _without(name), "cells": [_told(group) for group in groups]}
            for name, groups in zip(names, families, strict=True)
        ],
        "others": [{"label": group.label, "ex": _score(group), "problem": group.problem} for group in others],
        "test": between(cells).words,
        "signatures": list(compared.signatures),
        "notes": [
            *compared.notes,
            *(f"{one.label}: {one.problem}" for one in cells if one.problem),
            *_repeats(families),
        ],
    }
    return report, list(compared.groups)


def _repeats(families: Sequence[Sequence[Group]]) -> Iterator[str]:
    """Groups that stand where another one does: a table has room for the first."""
    for groups in families:
        first: dict[tuple[str, ...], Group] = {}
        for group in groups:
            settings = dict(group.first.recipe)
            taken = first.setdefault((settings[RATIO], settings[STRATEGY]), group)
            if taken is not group:
                yield f"{group.label}: not in the table, it repeats {taken.label}"


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = ["# Sensitivity to what is masked", ""]
    for family in report["families"]:
        lines += [*_table(family), ""]
    lines += [f"Best against second best: {report['test']}", ""]
    for other in report["others"]:
        ex = other["ex"]
        told = f"EX {ex['value']:.3f} ({ex['low']:.3f} to {ex['high']:.3f})" if ex else other["problem"]
        lines.append(f"- beside them {in_table(other['label'])}: {told}")
    lines += [f"\n**Note:** {line}" for line in (*report["notes"], *report["signatures"])]
    return "\n".join(lines).rstrip() + "\n"


def _table(family: Mapping[str, Any]) -> list[str]:
    cells = {(one["ratio"], one["strategy"]): one for one in reversed(family["cells"])}
    strategies = [name for name in _STRATEGIES if any(name == strategy for _, strategy in cells)]
    best, worst = (which(cell["ex"]["value"] for cell in cells.values()) for which in (max, min))
    seeds = sorted({cell["seeds"] for cell in cells.values()})
    lines = [
        f"## {in_table(family['label'])}",
        "",
        f"EX, mean over {' or '.join(map(str, seeds))} seed{'' if seeds == [1] else 's'}, with the 95 % "
        f"interval over the questions; lowest {worst:.3f}, highest {best:.3f}.",
        "",
        f"| mask_ratio | {' | '.join(strategies)} |",
        f"| --- |{' ---: |' * len(strategies)}",
    ]
    for ratio in sorted({ratio for ratio, _ in cells}):
        shown = (_shown(cells.get((ratio, name)), best) for name in strategies)
        lines.append(f"| {ratio:g} | {' | '.join(shown)} |")
    return lines


def _shown(cell: Mapping[str, Any] | None, best: float) -> str:
    if cell is None:
        return "–"
    ex, spread = cell["ex"], cell["spread"]
    value = f"**{ex['value']:.3f}**" if ex["value"] == best else f"{ex['value']:.3f}"
    seeds = f"; seeds {spread[0]:.3f} to {spread[1]:.3f}" if spread else ""
    return f"{value} ({ex['low']:.3f} to {ex['high']:.3f}{seeds})"


def _told(group: Group) -> dict[str, Any]:
    recipe = dict(group.first.recipe)
    return {
        "ratio": float(recipe[RATIO]),
        "strategy": recipe[STRATEGY],
        "seeds": sum(standing.score is not None for standing in group.standings),
        "runs": [standing.run.id for standing in group.standings],
        "ex": _score(group),
        "spread": list(group.spread) if group.spread else None,
        "problem": group.problem,
    }


def _score(group: Group) -> dict[str, float] | None:
    score = group.score
    if score is None:
        return None
    return {"value": score.value, "low": score.low, "high": score.high, "num": score.num}


def _without(label: str) -> str:
    """A family's label does not tell what varies in it."""
    return " ".join(
        word for word in label.split(" ") if not word.startswith(("mask_ratio=", "mask_strategy="))
    )
