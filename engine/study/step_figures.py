"""Figures over the training steps: EX, and how far the student is from its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.study.events import DIVERGENCES
from engine.study.group import Group, metric
from engine.study.looks import GREY, finish, legend_below, look, plain
from engine.study.saved import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES: Final = {
    "fkl": "forward KL(p‖q), nats a token",
    "rkl": "reverse KL(q‖p), nats a token",
    "jsd": "JSD(½), nats a token",
    "tvd": "total variation distance",
    "student_entropy": "student's entropy, nats",
    "teacher_entropy": "teacher's entropy, nats",
    "top1_agreement": "top-1 agreement",
}


def score(groups: Sequence[Group]) -> Figure | None:
    """EX against steps; beside it the final scores with their intervals."""
    from matplotlib.ticker import MaxNLocator

    learnt = [group for group in groups if len(group.curve) > 1]
    if not learnt:
        return None
    finals = [group for group in learnt if group.score]
    figure = new_figure((8.0, 4.6))
    share = min(0.4, 0.12 + 0.02 * len(finals))
    axes, ends = figure.subplots(1, 2, sharey=True, width_ratios=[1 - share, share])
    for group in learnt:
        own = look(groups.index(group))
        axes.plot(*zip(*group.curve, strict=True), linewidth=1.6, label=plain(group.label), **own.of_line)
    _teacher(axes, groups)
    axes.set_xlim(0, 1.03 * max(group.curve[-1][0] for group in learnt))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("training steps")
    axes.set_ylabel(metric(groups))
    axes.set_title("Score against steps", loc="left")
    finish(axes)
    for place, group in enumerate(finals):
        assert group.score
        value = group.score.value
        error = [[value - group.score.low], [group.score.high - value]]
        look_of = look(groups.index(group)).of_line | {"linestyle": "none"}
        ends.errorbar([place], [value], error, capsize=3, elinewidth=1.2, **look_of)
    ends.set_xlim(-0.8, max(1, len(finals)) - 0.2)
    ends.set_xticks([])
    ends.set_xlabel("at the end,\n95 %\ninterval")
    finish(ends, grid="y")
    legend_below(figure, axes)
    return figure


def divergences(groups: Sequence[Group]) -> Figure | None:
    """One small figure for each divergence, as measured on each method's own sequences of a training step."""
    from matplotlib.ticker import MaxNLocator

    measured = [name for name in DIVERGENCES if any(group.divergence(name) for group in groups)]
    if not measured:
        return None
    columns = min(len(measured), 3 if len(measured) <= 6 else 4)
    rows = -(-len(measured) // columns)
    figure = new_figure((2.9 * columns + 0.4, 2.5 * rows + 0.4))
    panels = figure.subplots(rows, columns, squeeze=False)
    fullest = panels.flat[0]
    for axes, name in zip(panels.flat, measured, strict=False):
        for group in groups:
            if points := group.divergence(name):
                own = look(groups.index(group))
                axes.plot(*zip(*points, strict=True), linewidth=1.4, label=plain(group.label),
                          **(own.of_line | {"markersize": 5}))  # fmt: skip
        axes.set_title(_NAMES[name], loc="left", fontsize=9.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.margins(y=0.1)
        finish(axes)
        if len(axes.lines) > len(fullest.lines):
            fullest = axes
    for at, axes in enumerate(panels.flat):
        axes.set_visible(at < len(measured))
        if len(measured) - columns <= at < len(measured):
            axes.set_xlabel("training steps")
    figure.suptitle("How far the student is from its teacher\non what each trained on", x=0.02, ha="left")
    legend_below(figure, fullest)
    return figure


def _teacher(axes: Axes, groups: Sequence[Group]) -> None:
    """The teacher's EX as a line, where all have the same one."""
    scores = {round(value, 9) for group in groups if (value := group.mean("teacher")) is not None}
    if len(scores) == 1:
        value = scores.pop()
        axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, (1, 2)), label=f"teacher ({value:.3f})")
