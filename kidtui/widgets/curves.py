"""Curves as a picture: which are drawn where, marked how, smoothed and on which scale. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kidtui import narrate
from kidtui.cells import num_columns, shown
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

    def write_legend(self, grid: Grid, num_rows: int, cursor: float | None, unit: str) -> None:
        """Glyph, name and value of every line in the first rows: at the cursor, else the last one."""
        entries = []
        for index, line in enumerate(self.lines):
            label = f"{self.glyph(index)} {shown(line.name, WIDEST_NAME)} "
            entries.append((label, STYLES[index % len(STYLES)], _value_of(line, cursor, unit)))
        if cursor is not None:
            entries.insert(0, (f"{self.x_label} ", "$foreground dim", _exact_x(cursor)))
        column, row = 0, 0
        for label, style, value in entries:
            needed = num_columns(label) + len(value)
            if column and column + needed > grid.width:
                if row + 1 >= num_rows:
                    grid.put(min(column, grid.width - 1), row, "…", "$foreground dim")
                    return
                column, row = 0, row + 1
            if row < num_rows:
                grid.write(column, row, label, style)
                grid.put(column + num_columns(label), row, value, "bold")
            column += needed + 2

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


def _value_of(line: Line, cursor: float | None, unit: str) -> str:
    """The value at the cursor, else the last one."""
    unit = f" {unit}" if unit else ""
    points = [pair for pair in zip(line.xs, line.ys, strict=True) if all(map(plot.can_be_drawn, pair))]
    if not points:
        return "–"
    if cursor is None:
        return f"{points[-1][1]:.4g}{unit}"
    xs = [pair[0] for pair in points]
    if not xs[0] <= cursor <= xs[-1]:
        return "–"
    return f"{points[nearest(xs, cursor)][1]:.6g}{unit}"


def nearest(xs: Sequence[float], x: float) -> int:
    """Index of the value nearest to x among ascending ones."""
    at = bisect_left(xs, x)
    if at == len(xs):
        return at - 1
    return at - 1 if at and x - xs[at - 1] < xs[at] - x else at


def _exact_x(x: float) -> str:
    return narrate.count(x) if x == int(x) else f"{x:.6g}"


def _ys_in(series: Series, x: Range) -> list[float]:
    """The values in sight; where none are, those on both sides, that a line is drawn between."""
    found = [y for at, y in zip(series.xs, series.ys, strict=True) if x.low <= at <= x.high]
    if found or not series.joined or not series.xs or not series.xs[0] <= x.low <= series.xs[-1]:
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
