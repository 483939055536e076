"""Curves as a picture: which are drawn where, marked how, smoothed and on which scale. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kidtui import narrate
from kidtui.cells import num_columns, shown
from kidtui.widgets import plot
from kidtui.widgets.plot import Frame, Grid, Range, Series

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
_LOWEST_OF_FOUR: Final = 12
_LEGENDS: Final = ((6, 2), (4, 2), (3, 2), (3, 1))
"""Digits of a value and columns between lines, the best first; six digits are for the cursor alone."""

_Entry = tuple[str, str, str]  # label, its style, value


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
        top = min(self.num_legend_rows(width, height), max(0, height - 2))
        return grid, plot.draw(series, grid, top, x, y, self.x_label, "$foreground dim")

    def num_hidden(self) -> int:
        """Values that the scale has no place for."""
        ys = (y for line in self.lines for y in line.ys if plot.can_be_drawn(y))
        return sum(not plot.can_be_drawn(y, self.log) for y in ys)

    def num_legend_rows(self, width: int, height: int) -> int:
        """Rows for names and values, few of a low chart; the same with and without a cursor."""
        widest = sum(min(WIDEST_NAME, len(line.name)) + 12 for line in self.lines) + len(self.x_label) + 9
        return min(4 if height >= _LOWEST_OF_FOUR else 3, -(-widest // width))

    def write_legend(self, grid: Grid, num_rows: int, cursor: float | None) -> None:
        """Glyph, name and value of every line in the first rows: at the cursor, else the last one.

        Values have fewer digits where that gives all lines room.
        """
        for digits, gap in _LEGENDS[cursor is None :]:
            entries = self._entries(cursor, digits, " " if gap > 1 else "")
            places = _places(entries, grid.width, num_rows, gap)
            if len(places) == len(entries):
                break
        end = (0, 0)
        for (label, style, value), (column, row) in zip(entries, places, strict=False):
            grid.write(column, row, label, style)
            grid.put(column + num_columns(label), row, value, "bold")
            end = (column + num_columns(label) + len(value) + gap, row)
        if 0 < len(places) < len(entries):
            grid.put(min(end[0], grid.width - 1), end[1], "…", "$foreground dim")

    def _entries(self, cursor: float | None, digits: int, space: str) -> list[_Entry]:
        entries = []
        if cursor is not None:
            mean = "≈" if any(_is_merged(line, cursor) for line in self.lines) else ""
            entries.append((f"{self.x_label} ", "$foreground dim", mean + _exact_x(cursor)))
        for index, line in enumerate(self.lines):
            label = f"{self.glyph(index)}{space}{shown(line.name, WIDEST_NAME)} "
            entries.append((label, STYLES[index % len(STYLES)], _value_of(line, cursor, digits)))
        return entries

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
            found.append(Series(xs, ys, f"{style} dim"))
            ys = smoothed(ys, self.smoothing)
        elif (index == 0 or len(self.lines) <= 2) and line.low is not None and line.high is not None:
            found.append(_band(line, f"{style} dim", self.log))
        found.append(Series(xs, ys, f"{style} dim" if line.dim else style))
        glyph = self.glyph(index)
        if glyph != GLYPHS[0] or len(xs) == 1:
            marked = _spread(xs, x, max(2, width // _COLUMNS_A_MARK), index)
            mark = "•" if glyph == GLYPHS[0] else glyph
            found.append(Series([xs[at] for at in marked], [ys[at] for at in marked], style, mark))
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


def _places(entries: Sequence[_Entry], width: int, num_rows: int, gap: int) -> list[tuple[int, int]]:
    """Column and row of each entry, as far as there is room."""
    places: list[tuple[int, int]] = []
    column, row = 0, 0
    for label, _, value in entries:
        needed = num_columns(label) + len(value)
        if column and column + needed > width:
            column, row = 0, row + 1
        if row >= num_rows:
            break
        places.append((column, row))
        column += needed + gap
    return places


def _is_merged(line: Line, cursor: float) -> bool:
    """Whether the value at the cursor is the mean of several."""
    if line.low is None or line.high is None or not line.xs:
        return False
    at = nearest(line.xs, cursor)
    return line.low[at] != line.high[at]


def _value_of(line: Line, cursor: float | None, digits: int) -> str:
    """The value at the cursor, else the last one."""
    points = [pair for pair in zip(line.xs, line.ys, strict=True) if all(map(plot.can_be_drawn, pair))]
    if not points:
        return "–"
    value = points[-1][1]
    if cursor is not None:
        xs = [pair[0] for pair in points]
        if not xs[0] <= cursor <= xs[-1]:
            return "–"
        value = points[nearest(xs, cursor)][1]
    return plot.short(value) if digits == 3 else f"{value:.{digits}g}"


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
    if found or series.marker or not series.xs or not series.xs[0] <= x.low <= series.xs[-1]:
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
    return Series(xs, ys, style)


def _spread(xs: Sequence[float], x: Range, at_most: int, shift: int) -> list[int]:
    """Indices of so many points in sight, evenly; those of different lines are not above each other."""
    seen = [index for index, value in enumerate(xs) if x.low <= value <= x.high]
    if len(seen) <= at_most:
        return seen
    stride = len(seen) / at_most
    return [seen[int((number + (shift * 0.37) % 1) * stride)] for number in range(at_most)]
