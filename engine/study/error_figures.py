"""Figures of a student's errors, as PNG and SVG. matplotlib is imported when called.

Real errors are grey bars; those of each strategy have a colour and a marker of their own (looks.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.study.error_distribution import STRATEGIES
from engine.study.looks import finish, legend_below, look
from engine.study.saved import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REAL: Final[dict[str, Any]] = {
    "color": "#D9D9D9",
    "edgecolor": "black",
    "linewidth": 0.8,
    "label": "real, in wrong answers",
}
_SIZE = (7.0, 4.4)


def write(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Every figure of a report on errors (error_distribution.py), as files in `folder`.

    Raises:
        KidError: matplotlib is not installed; a file cannot be written.
    """
    views = report["dimensions"]
    figures = {
        "token-class": _bars(views["token_class"], "wrong tokens", "What the wrong tokens are"),
        "position": _lines(views["position"], "Where in the answer the wrong tokens are"),
        "error-class": _bars(views["error_class"], "wrong queries", "What is wrong with the whole SQL"),
        "distance": _distances(report),
    }
    return [
        path for name, figure in figures.items() for path in save_figure(figure, folder, f"errors-{name}")
    ]


def _bars(part: Mapping[str, Any], of_what: str, title: str) -> Figure:
    """A bar for the real errors, and over it a mark for each strategy's."""
    shares, names = part["shares"], part["names"]
    kept = [at for at in range(len(names)) if any(of and of[at] >= 0.005 for of in shares.values())]
    height = max(_SIZE[1], 1.6 + 0.42 * len(kept))
    figure = new_figure((_SIZE[0], height))
    axes = figure.add_subplot()
    rows = range(len(kept))
    real = _percent(shares["inference"], kept)
    axes.barh(rows, real, height=0.86, **_REAL)
    for index, strategy in enumerate(STRATEGIES):
        if shares[strategy]:
            heights = [row + 0.2 * (index - 1.5) for row in rows]
            style = {**look(index).of_line, "linestyle": "none"}
            axes.plot(_percent(shares[strategy], kept), heights, clip_on=False, zorder=3,
                      label=f"{strategy} masks", **style)  # fmt: skip
    axes.set_yticks(rows, [names[at].replace("_", " ") for at in kept])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"% of the {of_what} of each kind")
    axes.set_title(title, loc="left")
    finish(axes, grid="x")
    legend_below(figure, axes)
    return figure


def _lines(part: Mapping[str, Any], title: str) -> Figure:
    figure = new_figure(_SIZE)
    axes = figure.add_subplot()
    shares, places = part["shares"], list(range(len(part["names"])))
    middles = [10 * place + 5 for place in places]
    axes.bar(middles, _percent(shares["inference"], places), width=9.4, **_REAL)
    for index, strategy in enumerate(STRATEGIES):
        if shares[strategy]:
            axes.plot(middles, _percent(shares[strategy], places), linewidth=1.6, clip_on=False, zorder=3,
                      label=f"{strategy} masks", **look(index).of_line)  # fmt: skip
    axes.set_xticks(range(0, 101, 10))
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("position in the gold answer, % of its tokens")
    axes.set_ylabel("% of the wrong tokens of each kind")
    axes.set_title(title, loc="left")
    finish(axes, grid="y")
    legend_below(figure, axes)
    return figure


def _distances(report: Mapping[str, Any]) -> Figure:
    """For each view the strategies' distances with their intervals."""
    titles = {
        "token_class": "by token class",
        "position": "by position",
        "error_class": "by error of the SQL",
    }
    figure = new_figure((8.4, 3.6))
    panels: Sequence[Axes] = figure.subplots(1, len(titles), sharey=True)
    for axes, (view, title) in zip(panels, titles.items(), strict=True):
        part = report["dimensions"][view]
        for row, strategy in enumerate(STRATEGIES):
            cell, style = part["distances"][strategy], look(row)
            if cell["value"] is None:
                axes.text(0.02, row, "no errors", va="center")
                continue
            axes.plot([cell["low"], cell["high"]], [row, row], color=style.colour, linewidth=2)
            axes.plot([cell["value"]], [row], **style.of_line)
            axes.annotate(f"{cell['value']:.2f}", (cell["value"], row), (0, 8), textcoords="offset points",
                          ha="center")  # fmt: skip
        if part["chance"] is not None:
            axes.axvspan(0, part["chance"], color="#000000", alpha=0.12, linewidth=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        finish(axes, grid="x")
    panels[0].set_yticks(range(len(STRATEGIES)), STRATEGIES)
    panels[0].set_ylim(len(STRATEGIES) - 0.5, -0.7)
    figure.suptitle("How far artificial errors are from real ones", fontsize=12)
    figure.supxlabel(
        "Jensen–Shannon distance, base 2, with 95 % interval; shaded: by chance alone", fontsize=9
    )
    return figure


def _percent(shares: Sequence[float] | None, kept: Sequence[int]) -> list[float]:
    return [100 * shares[at] if shares else 0.0 for at in kept]
