"""The plots of a comparison that a terminal can show: score against training latency and against steps."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from engine.study.comparison import Comparison
from engine.study.differing import is_dominated
from engine.study.group import Group, costs, metric
from kidtui.cells import shown
from kidtui.widgets import plot
from kidtui.widgets.plot import Grid, Series

_WIDTH: Final = 100
_HEIGHT: Final = 20
_LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase
_STYLES: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")


def plots(comparison: Comparison) -> Iterator[Text]:
    """Each plot that the runs allow with its legend, as text of 100 columns; letters stand for recipes."""
    groups = comparison.groups[: len(_LETTERS)]
    letters = {group.label: letter for group, letter in zip(groups, _LETTERS, strict=False)}
    unit, points = costs(groups)
    if points:
        yield _against_latency(
            unit, metric(groups), [(group, letters[group.label], x, y) for group, x, y in points]
        )
    learnt = [(group, letters[group.label]) for group in groups if len(group.curve) > 1]
    if learnt:
        yield _against_steps(metric(groups), learnt)


def _against_latency(unit: str, what: str, timed: Sequence[tuple[Group, str, float, float]]) -> Text:
    known = [(score, cost) for _, _, cost, score in timed]
    front = sorted({(cost, score) for score, cost in known if not is_dominated(score, cost, known)})
    series = [Series([x for x, _ in front], [y for _, y in front], "dim")]
    series += [Series([cost], [score], f"bold {_style(letter)}", letter) for _, letter, cost, score in timed]
    legend = [
        (letter, f"{_amount(cost):>7} {unit}  {what} {score:.3f}  {group.label}")
        for group, letter, cost, score in timed
    ]
    title = f"{what} against the time of a training step; the line joins what nothing beats"
    return _drawn(title, unit, series, legend)


def _against_steps(what: str, learnt: Sequence[tuple[Group, str]]) -> Text:
    lines, marks = [], []
    for group, letter in learnt:
        xs, ys = [step for step, _ in group.curve], [ex for _, ex in group.curve]
        lines.append(Series(xs, ys, _style(letter)))
        marks.append(Series(xs, ys, f"bold {_style(letter)}", letter))
    legend = [
        (letter, f"{what} {group.curve[-1][1]:.3f} at step {group.curve[-1][0]}  {group.label}")
        for group, letter in learnt
    ]
    return _drawn(f"{what} against steps", "steps", [*lines, *marks], legend)


def _drawn(title: str, x_label: str, series: Sequence[Series], legend: Sequence[tuple[str, str]]) -> Text:
    grid = Grid(_WIDTH, _HEIGHT)
    x = plot.range_of((value for each in series for value in each.xs), room=0.05)
    y = plot.range_of((value for each in series for value in each.ys), room=0.05)
    assert x is not None
    assert y is not None
    plot.draw(series, grid, 0, x, y, x_label)
    content = grid.content()
    drawing = Text(content.plain)
    for span in content.spans:
        drawing.stylize(str(span.style), span.start, span.end)
    text = Text.assemble((f"{title}\n", "bold"), drawing)
    for letter, words in legend:
        text.append(f"\n  {letter} ", f"bold {_style(letter)}").append(shown(words, _WIDTH - 4))
    return text


def _amount(cost: float) -> str:
    return f"{cost:.2f}" if cost < 100 else f"{cost:.0f}"


def _style(letter: str) -> str:
    return _STYLES[_LETTERS.index(letter) % len(_STYLES)]
