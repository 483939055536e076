"""Figures of what recipes reach in the end: EX against training latency, and the classes of their errors."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.study.differing import is_dominated
from engine.study.group import Group, costs, metric
from engine.study.looks import GREY, finish, legend_below, look, plain, wrapped
from engine.study.placing import Point, place
from engine.study.saved import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRONT: Final = "joins what nothing beats; pale: another is better and faster"
_PALE: Final = 0.45
_LOG_FROM: Final = 6.0  # largest latency over smallest
_LABEL_WIDTH: Final = 22
_MOST_LABELS: Final = 16
_LONGEST_HEADING: Final = 16
_LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase
_ERRORS_UNIT: Final = "wrong answers of 100 questions, by their first cause"
_RARE: Final = 0.005  # classes that no recipe has more often are left out


def against_latency(groups: Sequence[Group]) -> Figure | None:
    """EX against training latency; up and left is better."""
    unit, points = costs(groups)
    if len(points) < 2:
        return None
    figure = _latency_figure(groups, unit, points, with_labels=True)
    return figure or _latency_figure(groups, unit, points, with_labels=False)


def _latency_figure(
    groups: Sequence[Group], unit: str, points: Sequence[tuple[Group, float, float]], *, with_labels: bool
) -> Figure | None:
    """The figure with labels at the points, None where they do not fit; or with a legend."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter

    figure = new_figure((8.0, 5.4))
    axes = figure.add_subplot()
    known = [(ex, cost) for _, cost, ex in points]
    front = sorted({(cost, ex) for ex, cost in known if not is_dominated(ex, cost, known)})
    axes.plot(*zip(*front, strict=True), color=GREY, linewidth=1.2, zorder=1, label=_FRONT)
    labels = []
    for group, cost, ex in points:
        assert group.score
        own = look(groups.index(group))
        alpha = _PALE if is_dominated(ex, cost, known) else 1.0
        error = [[ex - group.score.low], [group.score.high - ex]]
        style = own.of_line | {"linestyle": "none", "markersize": 9, "alpha": alpha}
        name = plain(group.label)
        axes.errorbar([cost], [ex], error, capsize=3, elinewidth=1.2, zorder=2, label=name, **style)
        label = plain(_named(group), _LABEL_WIDTH)
        labels.append(Point(cost, ex, label, group.score.low, group.score.high, own.colour))
    smallest, largest = min(cost for _, cost, _ in points), max(cost for _, cost, _ in points)
    if smallest > 0 and largest / smallest > _LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(smallest / 1.5, largest * 1.6)
        axes.set_xticks(_round_ticks(smallest, largest))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = (largest - smallest or abs(largest) or 1.0) * 0.25
        axes.set_xlim(max(0.0, smallest - room), largest + room)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(y=0.12)
    axes.set_xlabel(f"time of a training step, {unit}; less is better")
    axes.set_ylabel(f"{metric(groups)}, with 95 % interval ({_questions(groups)})")
    axes.set_title("Score against training latency", loc="left")
    finish(axes)
    if not with_labels:
        legend_below(figure, axes)
        return figure
    handles, names = axes.get_legend_handles_labels()
    at = names.index(_FRONT)
    axes.legend(handles[at : at + 1], [_FRONT], loc="lower right",
                frameon=False, fontsize=8)  # fmt: skip
    return figure if len(labels) <= _MOST_LABELS and place(axes, labels, front) else None


def error_classes(groups: Sequence[Group]) -> Figure | None:
    """A heat map with numbers: how many of 100 questions have each class of error, before and after."""
    known = [group for group in groups if group.score]
    columns = _error_columns(known)[: len(_LETTERS)]
    kinds = dict.fromkeys(kind for _, shares in columns for kind in shares)
    kept = [kind for kind in kinds if any(shares.get(kind, 0) >= _RARE for _, shares in columns)]
    if not kept:
        return None
    kept.sort(key=lambda kind: -max(shares.get(kind, 0) for _, shares in columns))
    names = [plain(name) for name, _ in columns]
    key = ""
    if max(map(len, names)) > _LONGEST_HEADING:
        lines = [f"{letter}  {name}" for letter, name in zip(_LETTERS, names, strict=False)]
        names = list(_LETTERS[: len(names)])
        width = max(5.6, 2.2 + 0.62 * len(columns))
        key = "\n".join(wrapped(line, width) for line in lines)
    else:
        width = max(5.6, 2.2 + 0.95 * len(columns))
    words = _ERRORS_UNIT + (f"\n\n{key}" if key else "")
    figure = new_figure((width, 1.9 + 0.36 * (len(kept) + 1) + 0.17 * words.count("\n")))
    axes = figure.add_subplot()
    values = [[100 * shares.get(kind, 0.0) for _, shares in columns] for kind in kept]
    totals = [100 * sum(shares.values()) for _, shares in columns]
    image = axes.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=max(map(max, values)) * 1.15)
    for row, line in enumerate([*values, totals]):
        for column, value in enumerate(line):
            is_dark = row < len(kept) and value > image.norm.vmax * 0.6  # type: ignore[operator]
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9,
                      color="white" if is_dark else "black")  # fmt: skip
    axes.set_ylim(len(kept) + 0.5, -0.5)
    axes.axhline(len(kept) - 0.5, color="black", linewidth=1)
    axes.set_yticks(
        range(len(kept) + 1), [*(plain(kind.replace("_", " ")) for kind in kept), "all wrong answers"]
    )
    axes.set_xticks(range(len(columns)), [name.replace(" ", "\n") for name in names], fontsize=9)
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    figure.supxlabel(words, x=0.02, ha="left", fontsize=9)
    figure.suptitle("Error classes before and after training", x=0.02, ha="left")
    return figure


def _error_columns(groups: Sequence[Group]) -> list[tuple[str, dict[str, float]]]:
    """Name and shares of each column; what all were before training stands once."""
    before = [dict(group.errors_before) for group in groups]
    told = [shares for shares in before if shares]
    is_shared = all(shares == told[0] for shares in told)
    columns = [("before training", told[0])] if told and is_shared else []
    for group, own in zip(groups, before, strict=True):
        if own and not is_shared:
            columns.append((f"{group.label}, before", own))
        if group.errors_after:
            columns.append((_named(group), dict(group.errors_after)))
    return columns


def _named(group: Group) -> str:
    """The label, with the step where the run has not ended."""
    step = group.score.step if group.score else None
    return group.label if step is None else f"{group.label} (step {step})"


def _questions(groups: Sequence[Group]) -> str:
    nums = sorted({group.score.num for group in groups if group.score})
    return f"{nums[0]} questions" if len(nums) == 1 else f"{nums[0]} to {nums[-1]} questions"


def _round_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, … from `low` to `high` and a little more."""
    ticks = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    return [tick for tick in ticks if low / 1.5 <= tick <= high * 1.6]
