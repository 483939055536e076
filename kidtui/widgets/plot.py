"""Drawing: curves and points as cells of characters, with axes. Knows neither widgets nor themes.

Everything is scaled to 0–1 first, so that huge, tiny and equal values are drawn as any others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from textual.content import Content, Span
from wcwidth import iter_graphemes

from kidtui.cells import num_columns

_LARGEST: Final = 1e300
_SIZES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_ROOM_OF_Y: Final = 8
_COLUMNS_A_TICK: Final = 10
_NO_DOTS: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille cell, row by row


@dataclass(frozen=True, slots=True)
class Series:
    """Points to draw.

    style: of Textual, such as "$primary".
    marker: one character, put where a point is; without one, x ascends and a line joins the points.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    style: str
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, low < high. `log`: equal ratios are equally far apart (both > 0)."""

    low: float
    high: float
    log: bool = False

    def part(self, value: float) -> float:
        """Where a value lies, 0 at `low` and 1 at `high`."""
        low, high, value = map(self._scaled, (self.low, self.high, value))
        return (value - low) / (high - low)

    def at(self, part: float) -> float:
        """The value that lies there; the inverse of `part`."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = low + part * (high - low)
        return math.exp(scaled) if self.log else scaled * 2

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value / 2  # half: the largest span is no infinity


def range_of(values: Iterable[float], log: bool = False, room: float = 0.0) -> Range | None:
    """The range that holds all values, wider by `room` of itself at both ends; None without values."""
    found = [value for value in values if not log or value > 0]
    if not found:
        return None
    low, high = min(found), max(found)
    if math.isclose(low, high, rel_tol=1e-12, abs_tol=1 / _LARGEST):
        if log:
            return Range(low / 2, low * 2, log)
        room_around = abs(low) / 10 if abs(low) > 1 / _LARGEST else 1.0
        return Range(low - room_around, low + room_around)
    whole = Range(low, high, log)
    return Range(whole.at(-room), whole.at(1 + room), log) if room else whole


def can_be_drawn(value: float, log: bool = False) -> bool:
    """Whether a value has a place: a finite number, above 0 on a logarithmic scale."""
    return -_LARGEST < value < _LARGEST and (not log or value > 1 / _LARGEST)


def short(value: float) -> str:
    """A number in six characters at most, such as 12k, 0.25, −3e−07."""
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e15:
        return f"{value:.0e}"
    for unit, name in _SIZES:
        if size >= unit * 0.9995 or unit == 1.0:
            text = f"{value / unit:.3g}"
            return (text if "e" not in text else f"{value / unit:.0f}") + name
    raise AssertionError(value)


def ticks(span: Range, at_most: int) -> list[float]:
    """Round numbers in a range."""
    if at_most < 1:
        return []
    if span.log and span.high / span.low > 10:
        first, last = math.ceil(math.log10(span.low) - 1e-9), math.floor(math.log10(span.high) + 1e-9)
        stride = max(1, -(-(last - first + 1) // at_most))
        return [10.0**power for power in range(first, last + 1, stride)]
    raw = (span.high / 2 - span.low / 2) / at_most * 2
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= raw)
    first = math.ceil(span.low / step - 1e-9)
    found = [(first + index) * step for index in range(2 * at_most + 2)]
    return [value for value in found if span.low <= value <= span.high * (1 + 1e-12) + 1e-12 * step][
        : at_most + 1
    ]


class Grid:
    """Cells of one character and one style each, row 0 on top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[(" ", "")] * width for _ in range(height)]

    def copy(self) -> Grid:
        """The same cells, to write on."""
        copy = Grid(self.width, 0)
        copy.height, copy._cells = self.height, [row.copy() for row in self._cells]
        return copy

    def put(self, column: int, row: int, text: str, style: str = "") -> None:
        """Write characters of one column each; what lies outside is cut off."""
        for at, character in enumerate(text, column):
            if 0 <= at < self.width and 0 <= row < self.height:
                self._cells[row][at] = (character, style)

    def write(self, column: int, row: int, text: str, style: str = "") -> None:
        """Write a text of characters of any width; what lies outside is cut off."""
        for piece in iter_graphemes(text):
            room = num_columns(piece)
            if column + room > self.width:
                return
            self._cells[row][column : column + room] = [(piece, style), *[("", style)] * (room - 1)]
            column += room

    def rule(self, column: int, rows: range, style: str) -> None:
        """A vertical line behind what is there; what is there is lit up."""
        for row in rows:
            character, own = self._cells[row][column]
            is_free = character in " \u2800"
            self._cells[row][column] = ("│", style) if is_free else (character, f"bold {own} on $panel")

    def content(self) -> Content:
        """The cells as text, a run of one style in one span."""
        spans: list[Span] = []
        lines: list[str] = []
        at = 0
        for row in self._cells:
            for style, cells in groupby(row, itemgetter(1)):
                text = "".join(character for character, _ in cells)
                if style:
                    spans.append(Span(at, at + len(text), style))
                lines.append(text)
                at += len(text)
            lines.append("\n")
            at += 1
        return Content("".join(lines[:-1]), spans)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the canvas lies in a grid, and which values it shows."""

    x: Range
    y: Range
    left: int
    top: int
    width: int
    height: int

    def column_of(self, x: float) -> int:
        """The column of the grid in which a value on the x axis is drawn."""
        return self.left + math.floor(0.5 + (self.width - 1) * min(1.0, max(0.0, self.x.part(x))))

    def row_of(self, y: float) -> int:
        return self.top + self.height - 1 - math.floor(0.5 + (self.height - 1) * self.y.part(y))

    def x_at(self, column: int) -> float:
        """The x of a column of the grid; the nearest one that is shown."""
        part = (column - self.left) / max(1, self.width - 1)
        return self.x.at(min(1.0, max(0.0, part)))


def draw(
    series: Sequence[Series], grid: Grid, top: int, x: Range, y: Range, x_label: str = "", dim: str = "dim"
) -> Frame | None:
    """Draw axes and series into the grid, from row `top` down; None where there is no room."""
    rows_below = 2 if grid.height - top >= 5 else 0
    height = grid.height - top - rows_below
    marks = ticks(y, min(8, max(2, (height + 1) // 2)))
    room = min(_ROOM_OF_Y, max((len(short(mark)) for mark in marks), default=0))
    left = room + 1 if grid.width >= 24 else 0
    frame = Frame(x, y, left, top, grid.width - left, height)
    if frame.width < 2 or height < 1:
        return None
    _draw_canvas(series, grid, frame)
    if left:
        for row in range(top, top + height):
            grid.put(left - 1, row, "│", dim)
        for mark in marks:
            row = frame.row_of(mark)
            grid.put(0, row, short(mark)[:room].rjust(room), dim)
            grid.put(left - 1, row, "┤", dim)
    if rows_below:
        _draw_x_axis(grid, frame, x_label, dim)
    return frame


def _draw_x_axis(grid: Grid, frame: Frame, label: str, dim: str) -> None:
    row = frame.top + frame.height
    grid.put(max(0, frame.left - 1), row, "└" + "─" * frame.width if frame.left else "─" * frame.width, dim)
    label_at = grid.width - len(label)
    used = 0
    for mark in ticks(frame.x, max(2, frame.width // _COLUMNS_A_TICK)):
        text, column = short(mark), frame.column_of(mark)
        start = min(max(0, column - len(text) // 2), grid.width - len(text))
        grid.put(column, row, "┬", dim)
        if start >= used and start + len(text) < label_at:
            grid.put(start, row + 1, text, dim)
            used = start + len(text) + 1
    if frame.width > 2 * len(label):
        grid.put(label_at, row + 1, label, dim)


def _draw_canvas(series: Sequence[Series], grid: Grid, frame: Frame) -> None:
    """What comes later lies above."""
    for each in series:
        points = _visible(each, frame)
        if not each.marker:
            for (column, row), dots in _cells_of_line(points, frame.width, frame.height).items():
                grid.put(frame.left + column, frame.top + row, chr(_NO_DOTS + dots), each.style)
        else:
            for x, y in points:
                column, row = _nearest(x, frame.width), _nearest(1 - y, frame.height)
                grid.put(frame.left + column, frame.top + row, each.marker, each.style)


def _cells_of_line(
    points: Sequence[tuple[float, float]], width: int, height: int
) -> dict[tuple[int, int], int]:
    """The braille dots of a line: those of each cell that it goes through, by column and row."""
    cells: dict[tuple[int, int], int] = {}
    ends = [(_nearest(x, 2 * width), _nearest(1 - y, 4 * height)) for x, y in points]
    for begin, end in zip([*ends[:1], *ends], ends, strict=False):
        for x, y in _dots_between(begin, end):
            cell = (x // 2, y // 4)
            cells[cell] = cells.get(cell, 0) | _DOTS[y % 4][x % 2]
    return cells


def _dots_between(begin: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots on the straight way from one to another, without the first."""
    x, y = begin
    dx, dy = end[0] - x, end[1] - y
    num = max(abs(dx), abs(dy), 1)
    return (
        (x + (2 * dx * at + num) // (2 * num), y + (2 * dy * at + num) // (2 * num))
        for at in range(1, num + 1)
    )


def _nearest(part: float, places: int) -> int:
    """Which of so many places lies at a part of their whole width."""
    return math.floor(0.5 + (places - 1) * part)


def _visible(series: Series, frame: Frame) -> list[tuple[float, float]]:
    """The points within the frame as parts of it; a line is cut where it leaves the frame."""
    points = [(frame.x.part(x), frame.y.part(y)) for x, y in zip(series.xs, series.ys, strict=True)]
    if series.marker:
        return [(x, y) for x, y in points if 0 <= x <= 1 and 0 <= y <= 1]
    kept: list[tuple[float, float]] = []
    for index, (x, y) in enumerate(points):
        if 0 <= x <= 1:
            if index and points[index - 1][0] < 0:
                kept.append((0.0, _between(points[index - 1], (x, y), 0.0)))
            kept.append((x, y))
        elif index and x > 1 >= points[index - 1][0]:
            if points[index - 1][0] < 0:
                kept.append((0.0, _between(points[index - 1], (x, y), 0.0)))
            kept.append((1.0, _between(points[index - 1], (x, y), 1.0)))
    return [(x, min(1.0, max(0.0, y))) for x, y in kept]


def _between(before: tuple[float, float], after: tuple[float, float], x: float) -> float:
    return before[1] + (after[1] - before[1]) * (x - before[0]) / (after[0] - before[0])
