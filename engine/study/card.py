"""A comparison as Markdown: scores, costs, the paired test, the settings that differ, and what to look at."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Final

from wcwidth import wcswidth

from engine.markdown import in_table
from engine.study.differing import UNKNOWN
from engine.study.group import Group, metric

if TYPE_CHECKING:
    from engine.study.comparison import Comparison
    from engine.study.paired import PairedTest
    from engine.study.standing import Score, Standing

_NONE: Final = "–"
_COSTS: Final = ("latency", "latency_shared", "step_ms", "tokens_per_s", "seconds")


Table = list[tuple[str, ...]]
"""Rows of cells; the first is the heading."""


def card(comparison: Comparison, *, with_runs: bool = False, width: int | None = None) -> str:
    """The comparison for people.

    Args:
        with_runs: a line for each run under a recipe of several seeds.
        width: columns that a table may take; where the labels are too long for that, letters stand for them.
    """
    names = {group.label: group.label for group in comparison.groups}
    lines = ["# Comparison", ""]
    tables = _tables(comparison, names, with_runs)
    if width is not None and any(_width(table) > width for table in tables):
        names = dict(zip(names, _letters(), strict=False))
        lines += [*(f"- **{letter}** {label}" for label, letter in names.items()), ""]
        tables = _tables(comparison, names, with_runs)
    if same := _same(comparison.groups):
        lines += [same, ""]
    for table in tables:
        lines += [*_markdown(table), ""]
    lines += [f"- {_row_of(one, names)}: {one.problem}" for one in comparison.standings if one.problem]
    lines.append("")
    if len(comparison.groups) > 1:
        lines += [f"**Paired test:** {_renamed(comparison.test, names).words}", ""]
    if settings := list(_settings(comparison, names)):
        lines += ["## Settings that differ", "", *settings, ""]
    lines += [line for sign in comparison.signatures for line in (f"**Look:** {sign}.", "")]
    lines += [line for note in comparison.notes for line in (f"**Note:** {note}.", "")]
    return _without_doubled_blanks(lines)


def _letters() -> Iterator[str]:
    """A, B, …, Z, AA, AB, …"""
    size = 1
    while True:
        yield from ("".join(letters) for letters in product(string.ascii_uppercase, repeat=size))
        size += 1


def _same(groups: Sequence[Group]) -> str:
    """What is the same for all and needs no column: questions, EX before training and of the teacher."""
    parts = []
    for what, values in _constants(groups).items():
        if len(values) == 1 and (value := next(iter(values))) != _NONE:
            parts.append(f"{value} questions" if what == "questions" else f"{metric(groups)} {what} {value}")
    return "; ".join(parts) + ("." if parts else "")


def _constants(groups: Sequence[Group]) -> dict[str, set[str]]:
    return {
        "questions": {str(group.score.num) for group in groups if group.score},
        "before training": {_decimal(group.mean("before"), 3) for group in groups},
        "of the teacher": {_decimal(group.mean("teacher"), 3) for group in groups},
    }


def _tables(comparison: Comparison, names: Mapping[str, str], with_runs: bool) -> list[Table]:
    return [_scores(comparison, names, with_runs), _costs(comparison, names, with_runs)]


def _scores(comparison: Comparison, names: Mapping[str, str], with_runs: bool) -> Table:
    groups = comparison.groups
    differs = {what: len(values) > 1 for what, values in _constants(groups).items()}
    best = max(
        (group.score.value for group in groups if group.score and group.score.step is None), default=None
    )
    wanted = {
        "recipe": True,
        metric(groups): True,
        "95 % interval": True,
        "questions": differs["questions"],
        "seeds: min–max": any(len(group.standings) > 1 for group in groups),
        "before": differs["before training"],
        "teacher": differs["of the teacher"],
        "ExAccErr": True,
        "state": any(group.problem for group in groups),
    }
    rows = [tuple(wanted)]
    for group in groups:
        own = _ex(group.score, bold=group.score is not None and group.score.value == best)
        spread = f"{len(group.standings)}: {_range(*group.spread)}" if group.spread else "1"
        others = (group.mean("before"), group.mean("teacher"), group.exaccerr)
        rows.append((names[group.label], *own, spread, *_known(*others), _state(group.standings)))
        for one in _members(group, with_runs):
            others = (one.before, one.teacher, one.exaccerr.value if one.exaccerr else None)
            rows.append((f"· seed {one.seed}", *_ex(one.score), "", *_known(*others), _state([one])))
    kept = [at for at, heading in enumerate(wanted) if wanted[heading]]
    return [tuple(row[at] for at in kept) for row in rows]


def _costs(comparison: Comparison, names: Mapping[str, str], with_runs: bool) -> Table:
    rows: Table = [
        ("recipe", "× plain SFT", "× our SFT", "ms/step", "tokens/s", "seconds", "peak MB", "steps")
    ]
    for group in comparison.groups:
        figures = [group.mean(name) for name in _COSTS]
        steps = _whole(one.steps for one in group.standings)
        rows.append((names[group.label], *_cost(figures), _amount(group.memory_mb), steps))
        for one in _members(group, with_runs):
            figures = [getattr(one, name) for name in _COSTS]
            rows.append((f"· seed {one.seed}", *_cost(figures), _amount(one.memory_mb), _whole([one.steps])))
    return rows


def _members(group: Group, with_runs: bool) -> tuple[Standing, ...]:
    return group.standings if with_runs and len(group.standings) > 1 else ()


def _known(before: float | None, teacher: float | None, exaccerr: float | None) -> tuple[str, str, str]:
    return _decimal(before, 3), _decimal(teacher, 3), _percent(exaccerr)


def _cost(figures: Sequence[float | None]) -> tuple[str, ...]:
    return *map(_times, figures[:2]), *map(_amount, figures[2:])


def _ex(score: Score | None, *, bold: bool = False) -> tuple[str, str, str]:
    if score is None:
        return _NONE, _NONE, _NONE
    value = f"{score.value:.3f}"
    return f"**{value}**" if bold else value, _range(score.low, score.high), str(score.num)


def _state(standings: Sequence[Standing]) -> str:
    """A word; where some of several runs are not done, how many are."""
    bad = [one for one in standings if one.problem]
    if not bad:
        return "done"
    if len(standings) == 1:
        return bad[0].state if bad[0].state != "done" else "damaged"
    return f"{len(standings) - len(bad)} of {len(standings)} done"


def _settings(comparison: Comparison, names: Mapping[str, str]) -> Iterator[str]:
    """A line a setting: the value that most have, then the others with who has them.

    Who it is is left out where the runs of one recipe differ, as seeds do. The method is in every label.
    """
    for key, values in comparison.settings:
        at = {one.run: value for one, value in zip(comparison.standings, values, strict=True)}
        who: dict[str, list[str]] = {}
        for group in comparison.groups:
            for value in dict.fromkeys(at[one.run] for one in group.standings):
                who.setdefault(value, []).append(names[group.label])
        who.pop(UNKNOWN, None)
        if key == "method.name":
            continue
        several = sum(map(len, who.values())) > len(comparison.groups)
        usual = max(who, key=lambda value: len(who[value]))
        parts = [
            f"`{value or 'empty'}`" + ("" if several or value == usual else f" ({', '.join(who[value])})")
            for value in sorted(who, key=lambda value: value != usual)
        ]
        yield f"- {key}: {', '.join(parts) if several else '; '.join(parts)}"


def _row_of(one: Standing, names: Mapping[str, str]) -> str:
    """The run's id, with the row that it stands in."""
    label = next(
        (label for label in names if one.label == label or one.label == f"{label} seed={one.seed}"), ""
    )
    row = names.get(label, "")
    return f"{row} ({one.run.id})" if row and one.run.id not in row else row or one.run.id


def _renamed(test: PairedTest, names: Mapping[str, str]) -> PairedTest:
    first, second = (names.get(label, label) for label in (test.first, test.second))
    return replace(test, first=first, second=second)


def _width(table: Table) -> int:
    """Columns that a table takes on a terminal (kidtui/report.py): two before each cell."""
    columns = zip(*table, strict=True)
    return sum(2 + max(_columns(cell.replace("**", "")) for cell in column) for column in columns)


def _columns(text: str) -> int:
    return max(len(text), wcswidth(text))


def _markdown(table: Table) -> Iterator[str]:
    heading, *rows = table
    yield _line(heading)
    yield "| --- |" + " ---: |" * (len(heading) - 1)
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(in_table(text) for text in cells) + " |"


def _without_doubled_blanks(lines: Sequence[str]) -> str:
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def _decimal(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _range(low: float, high: float) -> str:
    return f"{low:.3f}–{high:.3f}"


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f} %"


def _times(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}×"


def _amount(value: float | None) -> str:
    """A size in three digits at least, thousands set apart."""
    if value is None:
        return _NONE
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}".replace(",", " ")


def _whole(values: Iterable[int | None]) -> str:
    found = sorted({value for value in values if value is not None})
    return f"{found[0]}–{found[-1]}" if len(found) > 1 else str(found[0]) if found else _NONE
