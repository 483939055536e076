"""Figures of what masking changes, what training repairs and what grouping gives.

matplotlib is imported when called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.study import mask_figures
from engine.study.looks import finish, look, plain
from engine.study.repairs import RIGHT
from engine.study.saved import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from engine.study.group import Group

_COLOURS = "Blues"
_DARK = 0.55  # from this share on a number is written in white
_LABEL_WIDTH = 18


def write_sensitivity(groups: Sequence[Group], folder: Path) -> list[Path]:
    """EX by mask_ratio and by mask_strategy, as far as the groups of runs differ in them, in `folder`."""
    drawn = {
        "sensitivity-alpha": mask_figures.alpha(groups),
        "sensitivity-strategies": mask_figures.strategies(groups),
    }
    return [path for name, figure in drawn.items() if figure for path in save_figure(figure, folder, name)]


def write_repairs(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """The shares repaired of every method, and each method's matrix (repairs.py), in `folder`.

    Raises:
        KidError: a file cannot be written.
    """
    written = save_figure(_overview(report), folder, "repairs")
    for number, group in enumerate(report["groups"], 1):
        name = re.sub(r"[^A-Za-z0-9.=]+", "-", group["label"]).strip("-.")[:40]
        figure = _matrix(group, report["classes"])
        written += save_figure(figure, folder, f"repairs-{number:02d}-{name}".rstrip("-"))
    return written


def write_grouping(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """EX of grouped and of mixed batches (grouping.py), in `folder`."""
    return save_figure(_grouping(report["pairs"]), folder, "grouping")


def _overview(report: Mapping[str, Any]) -> Figure:
    classes, groups = report["classes"], report["groups"]
    rows = [
        [(group["matrix"][at][0], sum(group["matrix"][at])) for group in groups] for at in range(len(classes))
    ]
    names = ["right (kept)" if kind == RIGHT else kind for kind in classes]
    texts = [[f"{100 * right / of:.0f} %\nof {of}" if of else "–" for right, of in row] for row in rows]
    shares = [[right / of if of else 0.0 for right, of in row] for row in rows]
    title = "Right after training, by what was wrong before"
    columns = [group["label"] for group in groups]
    return _heat_map(shares, texts, names, columns, title, ("before training", "method"))


def _matrix(group: Mapping[str, Any], classes: Sequence[str]) -> Figure:
    matrix = group["matrix"]
    texts = [[str(count) if count else "" for count in row] for row in matrix]
    shares = [[count / sum(row) if sum(row) else 0.0 for count in row] for row in matrix]
    title = f"What became of the answers: {plain(group['label'], 60)}"
    return _heat_map(shares, texts, classes, classes, title, ("before training", "after training"))


def _heat_map(
    shares: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    axis_names: tuple[str, str],
) -> Figure:
    """Cells as dark as their shares are large, each with its number. `axis_names`: of rows and columns."""
    figure = new_figure((2.6 + 0.85 * max(len(columns), 4), 1.9 + 0.46 * len(rows)))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    for row, cells in enumerate(texts):
        for column, text in enumerate(cells):
            colour = "white" if shares[row][column] > _DARK else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(
        range(len(columns)),
        [plain(name, _LABEL_WIDTH) for name in columns],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
    axes.set_ylabel(axis_names[0])
    axes.set_xlabel(axis_names[1])
    axes.set_xticks([at - 0.5 for at in range(1, len(columns))], minor=True)
    axes.set_yticks([at - 0.5 for at in range(1, len(rows))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    figure.suptitle(title, fontsize=11)
    return figure


def _grouping(pairs: Sequence[Mapping[str, Any]]) -> Figure:
    """A point with its interval for both kinds of each pair, and a small one for each seed."""
    figure = new_figure((max(5.6, 2.0 + 2.2 * len(pairs)), 4.4))
    axes = figure.add_subplot()
    for index, kind in enumerate(("grouped", "mixed")):
        own, told = look(index), [pair[kind] for pair in pairs]
        xs = [place + 0.24 * (index - 0.5) for place in range(len(pairs))]
        values = [each["ex"]["value"] for each in told]
        errors = [[each["ex"]["value"] - each["ex"]["low"] for each in told],
                  [each["ex"]["high"] - each["ex"]["value"] for each in told]]  # fmt: skip
        axes.errorbar(xs, values, errors, capsize=4, elinewidth=1.4, label=f"{kind} batches",
                      **{**own.of_line, "linestyle": "none"})  # fmt: skip
        for x, each in zip(xs, told, strict=True):
            axes.annotate(f"{each['ex']['value']:.3f}", (x, each["ex"]["high"]), (0, 6),
                          textcoords="offset points", ha="center", fontsize=9)  # fmt: skip
            if each["seeds"] > 1:
                axes.plot([x + 0.07] * len(each["each"]), each["each"], "_", color=own.colour, markersize=10)
    names = [f"{pair['budget']}\n{plain(pair['label'], 24)}" for pair in pairs]
    axes.set_xticks(range(len(pairs)), names)
    axes.set_xlim(-0.5, len(pairs) - 0.5)
    axes.margins(y=0.15)
    axes.set_ylabel("EX, mean over seeds, with 95 % interval;\ndashes: each seed")
    axes.set_title("Questions of a batch: grouped by database, or mixed", loc="left", fontsize=11)
    finish(axes, grid="y")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
