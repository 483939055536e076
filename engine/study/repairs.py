"""Which error classes a method repairs: what each question's answer was before training, and what after.

Before and after are the judged answers that a run keeps, predictions-before.jsonl and predictions.jsonl.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.evaluation.items import GOLD_FAILED
from engine.markdown import in_table
from engine.runs import Run
from engine.sql.diagnose import CLASSES
from engine.study.comparison import compare
from engine.study.group import Group

RIGHT = "right"
_BEFORE, _AFTER = "predictions-before.jsonl", "predictions.jsonl"


def repairs(which: Sequence[Run]) -> dict[str, Any]:
    """The matrices, plain enough for JSON; runs that differ in their seed alone are summed.

    Returns:
        `classes`: RIGHT, then the error classes that occur; `groups`: each with `label`, `runs`, `num`
        answers and `matrix`, [before][after] counts in that order; `problems`: runs that are not in it.

    Raises:
        RunError: no run has kept both answers.
    """
    compared = compare(which)
    problems: list[str] = []
    counted = [(group, *_counts(group, problems)) for group in compared.groups]
    counted = [each for each in counted if each[1]]
    if not counted:
        raise RunError(
            f"no run has kept its answers from before and after training ({problems[0]})",
            "a finished run keeps them where eval.before is true",
        )
    found = {kind for _, _, counts in counted for pair in counts for kind in pair}
    classes = [RIGHT, *sorted(found - {RIGHT} - set(CLASSES)), *filter(found.__contains__, CLASSES)]
    return {
        "v": 1,
        "study": "repairs",
        "classes": classes,
        "groups": [
            {
                "label": group.label,
                "runs": used,
                "num": sum(counts.values()),
                "matrix": [[counts[before, after] for after in classes] for before in classes],
            }
            for group, used, counts in counted
        ],
        "problems": problems,
        "signatures": list(compared.signatures),
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people: the share of each class that is right after training, then every matrix."""
    groups, classes = report["groups"], report["classes"]
    lines = ["# What training repairs", ""]
    lines += [
        "Of the questions whose answer before training was in the class, the share that is right after it.",
        "",
        f"| before | {' | '.join(in_table(group['label']) for group in groups)} |",
        f"| --- |{' ---: |' * len(groups)}",
    ]
    for at, kind in enumerate(classes):
        name = "right (stays right)" if kind == RIGHT else kind
        lines.append(f"| {name} | {' | '.join(_share(group['matrix'][at]) for group in groups)} |")
    for group in groups:
        lines += ["", *_matrix(group, classes)]
    lines += [f"\n**Note:** {line}" for line in (*report["problems"], *report["signatures"])]
    return "\n".join(lines) + "\n"


def _matrix(group: Mapping[str, Any], classes: Sequence[str]) -> Iterator[str]:
    several = f", {len(group['runs'])} runs" if len(group["runs"]) > 1 else ""
    yield f"## {in_table(group['label'])}: {group['num']} answers{several}"
    yield ""
    yield f"| before ↓ after → | {' | '.join(classes)} | all |"
    yield f"| --- |{' ---: |' * (len(classes) + 1)}"
    for kind, row in zip(classes, group["matrix"], strict=True):
        yield f"| {kind} | {' | '.join(str(count or '·') for count in row)} | {sum(row)} |"
    totals = [sum(column) for column in zip(*group["matrix"], strict=True)]
    yield f"| **all** | {' | '.join(map(str, totals))} | {group['num']} |"


def _share(row: Sequence[int]) -> str:
    """The part of a row that is right after training."""
    return f"{100 * row[0] / sum(row):.0f} % of {sum(row)}" if sum(row) else "–"


def _counts(group: Group, problems: list[str]) -> tuple[list[str], Counter[tuple[str, str]]]:
    """The runs that have both answers, and how often a class became which."""
    used, counts = [], Counter[tuple[str, str]]()
    for standing in group.standings:
        run = standing.run
        after, before = _classes(run.path / _AFTER), _classes(run.path / _BEFORE)
        if not after or not before:
            missing = _BEFORE if after else _AFTER
            problems.append(f"run {run.id}: {standing.problem or f'no {missing}'}")
            continue
        used.append(run.id)
        counts.update((kind, after[index]) for index, kind in before.items() if index in after)
    return used, counts


def _classes(path: Path) -> dict[int, str]:
    """Question's index -> RIGHT or its error class, where gold runs; empty where there is no whole file."""
    try:
        items = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return {
            int(item["index"]): RIGHT if item["correct"] else str(item["error"] or "other")
            for item in items
            if item.get("error") != GOLD_FAILED
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
