"""How recipes look in figures: colours that colour-blind readers tell apart, and a second sign beside each.

The colours are those of Okabe and Ito, without the yellow that is not seen on white.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_LINES: Final = ("-", "--", "-.", ":")
_HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "---", "+++", "ooo")
_INCHES_A_CHARACTER: Final = 0.085  # of 9 points
_INCHES_OF_A_SIGN: Final = 0.7
GREY: Final = "#666666"


@dataclass(frozen=True, slots=True)
class Look:
    colour: str
    marker: str
    line: str
    hatch: str

    @property
    def of_line(self) -> dict[str, Any]:
        """Keywords of `Axes.plot` and `Axes.errorbar`."""
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line, "markersize": 7, **edge}


def look(index: int) -> Look:
    """The look of the recipe with that number; colour and marker together repeat after 70."""
    return Look(
        _COLOURS[index % len(_COLOURS)],
        _MARKERS[index % len(_MARKERS)],
        _LINES[index % len(_LINES)],
        _HATCHES[index % len(_HATCHES)],
    )


def plain(text: str, width: int = 0) -> str:
    """Words as they are: no formula, nothing unseen; with `width`, on lines of about so many characters."""
    seen = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    lines = textwrap.wrap(seen, width, break_on_hyphens=False, break_long_words=False) if width else [seen]
    return "\n".join(lines).replace("$", r"\$")


def wrapped(text: str, inches: float) -> str:
    """Text of 9 points on lines that are no wider than that."""
    room = int(inches / _INCHES_A_CHARACTER)
    return "\n".join(textwrap.wrap(text, room, break_on_hyphens=False, subsequent_indent="  "))


def finish(axes: Axes, *, grid: str = "both") -> None:
    """A pale grid behind, no frame at top and right."""
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of `axes` under everything, in as many columns as fit; the figure grows for it."""
    handles, names = axes.get_legend_handles_labels()
    if not handles:
        return
    width, height = figure.get_size_inches()
    names = [wrapped(name, width - _INCHES_OF_A_SIGN) for name in names]
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(len(names), int(width / (longest * _INCHES_A_CHARACTER + _INCHES_OF_A_SIGN))))
    rows = -(-len(names) // columns)
    heights = [name.count("\n") + 1 for name in names]
    lines = sum(heights) if columns == 1 else max(heights) * rows
    figure.set_size_inches(width, height + 0.19 * lines)
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
