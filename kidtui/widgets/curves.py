"""Curves as a picture: which are drawn where, marked how, smoothed and on which scale. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kidtui.cells import shown
from kidtui.widgets import plot
from kidtui.widgets.plot import BRAILLE, Frame, Grid, Range, Series

STYLES: Final = (
    "$primary",
    "$accent",
    "$secondary",
    "$error",
    "$warning",
    "$foreground",
    "$success",
    "$primary",
)
GLYPHS: Final = ("⠒", "•", "×", "+", "○", "◆", "□", "▲")
"""What tells lines apart without colours; the first has no marks on it."""
SMOOTHING: Final = (0.0, 0.6, 0.9)

_COLUMNS_A_MARK: Final = 14
WIDEST_NAME: Final = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A curve; xs ascending, all sequences of the same length. Values that are no numbers are left out.

    low, high: what the values of a bucket lie between.
    glyph: marks its points; left out: by its place among the lines.
    dim: of less weight than the others.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    glyph: str = ""
    dim: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Lines and how to draw them.

    whole: the range of all xs; None without any.
    zoom: the part of it that is shown; None = all.
    smoothing: weight of the moving average.
    """

    lines: tuple[Line, ...] = ()
    whole: Range | None = None
    zoom: Range | None = None
    log: bool = False
    smoothing: float = 0.0
    x_label: str = ""

    def draw(self, width: int, height: int) -> tuple[Grid, Frame | None]:
        """The canvas with its axes, below room for a legend; words where there is nothing to draw."""
        grid = Grid(width, height)
        x = self.zoom or self.whole
        series = [each for index in range(len(self.lines)) for each in self._series(index, width)]
        y = plot.range_of((y for each in series for y in _ys_in(each, x)), self.log) if x else None
        if x is None or y is None:
            words = self._why_nothing()
            grid.put(max(0, (width - len(words)) // 2), height // 2, words, "$foreground dim")
            return grid, None
        series.sort(key=lambda each: "dim" not in each.style)  # what is dim lies below
        top = min(self.num_legend_rows(width), max(0, height - 2))
        return grid, plot.draw(series, grid, top, x, y, self.x_label, "$foreground dim")

    def num_hidden(self) -> int:
        """Values that the scale has no place for."""
        ys = (y for line in self.lines for y in line.ys if plot.can_be_drawn(y))
        return sum(not plot.can_be_drawn(y, self.log) for y in ys)

    def num_legend_rows(self, width: int) -> int:
        """Rows for names and values, three at most; the same with and without a cursor."""
        widest = sum(min(WIDEST_NAME, len(line.name)) + 12 for line in self.lines) + len(self.x_label) + 9
        return min(3, -(-widest // width))

    def glyph(self, index: int) -> str:
        """What marks the points of a line."""
        own = self.lines[index].glyph
        return shown(own, 1) if own else GLYPHS[index % len(GLYPHS)]

    def _series(self, index: int, width: int) -> list[Series]:
        line, x = self.lines[index], self.zoom or self.whole
        points = zip(line.xs, line.ys, strict=True)
        pairs = [(at, y) for at, y in points if plot.can_be_drawn(at) and plot.can_be_drawn(y, self.log)]
        if x is None or not pairs:
            return []
        style = STYLES[index % len(STYLES)]
        xs, ys = [at for at, _ in pairs], [y for _, y in pairs]
        found: list[Series] = []
        if self.smoothing:
            found.append(Series(xs, ys, BRAILLE, f"{style} dim"))
            ys = smoothed(ys, self.smoothing)
        elif (index == 0 or len(self.lines) <= 2) and line.low is not None and line.high is not None:
            found.append(_band(line, f"{style} dim", self.log))
        found.append(Series(xs, ys, BRAILLE, f"{style} dim" if line.dim else style))
        glyph = self.glyph(index)
        if glyph != GLYPHS[0] or len(xs) == 1:
            marked = _spread(xs, x, max(2, width // _COLUMNS_A_MARK), index)
            mark = "•" if glyph == GLYPHS[0] else glyph
            found.append(
                Series([xs[at] for at in marked], [ys[at] for at in marked], mark, style, joined=False)
            )
        return found

    def _why_nothing(self) -> str:
        if self.num_hidden():
            return "only values of 0 or less: g for a linear scale"
        return "no data in this range" if self.zoom else "no data yet"


def smoothed(ys: Sequence[float], weight: float) -> list[float]:
    """The exponential moving average: each value counts `weight` times as much as the one after it.

    Without the pull towards zero that the first values would have (as in Adam).
    """
    found: list[float] = []
    total = mass = 0.0
    for y in ys:
        total = weight * total + (1 - weight) * y
        mass = weight * mass + (1 - weight)
        found.append(total / mass)
    return found


def _ys_in(series: Series, x: Range) -> list[float]:
    """The values in sight; where none are, those on both sides, that a line is drawn between."""
    found = [y for at, y in zip(series.xs, series.ys, strict=True) if x.low <= at <= x.high]
    if found or not series.joined or not series.xs[0] <= x.low <= series.xs[-1]:
        return found
    after = bisect_left(series.xs, x.low)
    return [series.ys[at] for at in (after - 1, after) if 0 <= at < len(series.ys)]


def _band(line: Line, style: str, log: bool) -> Series:
    """From the lowest to the highest value of every bucket, up and down."""
    xs: list[float] = []
    ys: list[float] = []
    for x, *ends in zip(line.xs, line.low or (), line.high or (), strict=True):
        if plot.can_be_drawn(x) and all(plot.can_be_drawn(end, log) for end in ends):
            xs += [x, x]
            ys += ends if len(xs) % 4 else reversed(ends)
    return Series(xs, ys, BRAILLE, style)


def _spread(xs: Sequence[float], x: Range, at_most: int, shift: int) -> list[int]:
    """Indices of so many points in sight, evenly; those of different lines are not above each other."""
    seen = [index for index, value in enumerate(xs) if x.low <= value <= x.high]
    if len(seen) <= at_most:
        return seen
    stride = len(seen) / at_most
    return [seen[int((number + (shift * 0.37) % 1) * stride)] for number in range(at_most)]
