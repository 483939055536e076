"""A chart of curves: cursor with exact values, zoom, logarithmic scale, smoothing."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from kidtui import keys, narrate
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
_WIDEST_NAME: Final = 20
_FEWEST_POINTS: Final = 3


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


class Chart(Widget, can_focus=True):
    """Curves over one x axis.

    Args:
        title: stands in the border.
        x_label: what x counts; stands at the axis and at the cursor.
        unit: of the values.
        log: begin with a logarithmic scale.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("chart")]
    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; min-height: 3; }
    """

    class Ranged(Message):
        """Another range of x is shown; None = the whole. The owner may `show` finer curves for it."""

        def __init__(self, chart: Chart, start: float | None, end: float | None) -> None:
            super().__init__()
            self.chart, self.start, self.end = chart, start, end

        @property
        def control(self) -> Chart:
            return self.chart

    class CursorMoved(Message):
        """The cursor is at another x; None = it is hidden."""

        def __init__(self, chart: Chart, x: float | None) -> None:
            super().__init__()
            self.chart, self.x = chart, x

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self,
        title: str,
        *,
        x_label: str = "step",
        unit: str = "",
        log: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = Content(title)
        self.x_label, self.unit = x_label, unit
        self._log = log
        self._smoothing = SMOOTHING[0]
        self._lines: tuple[Line, ...] = ()
        self._note = ""
        self._whole: Range | None = None
        self._zoom: Range | None = None
        self._pinned: float | None = None  # where keys or a click have put the cursor
        self._hover: float | None = None
        self._drawn: tuple[Grid, Frame | None] | None = None
        self._drawn_for: tuple[int, int] = (0, 0)

    @property
    def cursor(self) -> float | None:
        """The x that the cursor is at."""
        return self._pinned if self._hover is None else self._hover

    def show(self, lines: Sequence[Line], note: str = "") -> None:
        """Show these lines from now on; nothing is drawn where nothing has changed."""
        if tuple(lines) == self._lines and note == self._note:
            return
        self._lines, self._note = tuple(lines), note
        data = plot.range_of(x for line in self._lines for x in line.xs if plot.can_be_drawn(x))
        if self._zoom is None or self._whole is None or data is None:
            self._whole = data
        else:
            self._whole = plot.range_of([self._whole.low, self._whole.high, data.low, data.high])
        self._redraw()

    def retitle(self, title: str, *, x_label: str, unit: str = "") -> None:
        """Say that something else is shown: another metric or another x."""
        self.border_title = Content(title)
        self.x_label, self.unit = x_label, unit
        self._redraw()

    # What keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """With nothing to reset, escape is the screen's."""
        return action != "reset" or self._zoom is not None or self.cursor is not None

    def action_cursor(self, by: int) -> None:
        xs = self._all_xs()
        if not xs:
            return
        if self.cursor is None:
            self._move_cursor(xs[-1])
            return
        at = _nearest(xs, self.cursor) + by
        if self._zoom is not None and not 0 <= at < len(xs):
            self._pan(1 if at > 0 else -1)
            xs = self._all_xs() or xs
            at = _nearest(xs, self.cursor) + by
        self._move_cursor(xs[min(max(at, 0), len(xs) - 1)])

    def action_zoom(self, factor: float) -> None:
        self._zoom_around(self.cursor, factor)

    def action_reset(self) -> None:
        was_zoomed, self._zoom = self._zoom is not None, None
        self._hover = None
        if self._pinned is not None:
            self._move_cursor(None)
        if was_zoomed:
            data = plot.range_of(x for line in self._lines for x in line.xs if plot.can_be_drawn(x))
            self._whole = self._whole or data
            self._tell_range()

    def action_toggle_log(self) -> None:
        self._log = not self._log
        self._redraw()

    def action_smoothe(self) -> None:
        self._smoothing = SMOOTHING[(SMOOTHING.index(self._smoothing) + 1) % len(SMOOTHING)]
        self._redraw()

    # What the mouse does

    def on_mouse_move(self, event: events.MouseMove) -> None:
        x = self._x_under(event)
        if x != self._hover:
            self._hover = x
            self._cursor_has_moved()

    def on_leave(self, event: events.Leave) -> None:
        if self._hover is not None:
            self._hover = None
            self._cursor_has_moved()

    def on_click(self, event: events.Click) -> None:
        x = self._x_under(event)
        if x is not None:
            self._move_cursor(x)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 2)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        scrolls = any(isinstance(node, Widget) and node.max_scroll_y for node in self.ancestors)
        if self.has_focus or not scrolls:  # else the wheel is for the page that the chart stands on
            event.stop()
            self._zoom_around(self._x_under(event), factor)

    def _x_under(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        frame = self._drawn[1] if self._drawn else None
        xs = self._all_xs()
        if offset is None or frame is None or not xs or offset.x < frame.left:
            return None
        return xs[_nearest(xs, frame.x_at(offset.x))]

    # State

    def _move_cursor(self, x: float | None) -> None:
        self._hover = None
        if x != self._pinned:
            self._pinned = x
            self._cursor_has_moved()

    def _cursor_has_moved(self) -> None:
        self.post_message(self.CursorMoved(self, self.cursor))
        self.refresh()

    def _zoom_around(self, x: float | None, factor: float) -> None:
        shown_now = self._zoom or self._whole
        if shown_now is None or self._whole is None:
            return
        x = (shown_now.low + shown_now.high) / 2 if x is None else x
        low = max(self._whole.low, x - (x - shown_now.low) * factor)
        high = min(self._whole.high, x + (shown_now.high - x) * factor)
        if factor < 1 and sum(low <= value <= high for value in self._all_xs()) < _FEWEST_POINTS:
            return
        if (low, high) != (shown_now.low, shown_now.high) and low < high:
            is_whole = (low, high) == (self._whole.low, self._whole.high)
            self._zoom = None if is_whole else Range(low, high)
            self._tell_range()

    def _pan(self, direction: int) -> None:
        assert self._zoom is not None
        assert self._whole is not None
        span = self._zoom.high - self._zoom.low
        room = self._whole.high - self._zoom.high if direction > 0 else self._zoom.low - self._whole.low
        by = direction * min(span / 2, max(0.0, room))
        if by:
            self._zoom = Range(self._zoom.low + by, self._zoom.high + by)
            self._tell_range()

    def _tell_range(self) -> None:
        start, end = (self._zoom.low, self._zoom.high) if self._zoom else (None, None)
        self.post_message(self.Ranged(self, start, end))
        self._redraw()

    def _all_xs(self) -> list[float]:
        """Every x of a line that is in sight, ascending."""
        found = {x for line in self._lines for x in line.xs if plot.can_be_drawn(x)}
        zoom = self._zoom
        return sorted(x for x in found if zoom is None or zoom.low <= x <= zoom.high)

    # Drawing

    def _redraw(self) -> None:
        self._drawn = None
        self._describe()
        self.refresh()

    def render(self) -> Content:
        """The chart in its size of now."""
        width, height = self.content_size
        if width < 1 or height < 1:
            return Content("")
        if not plot.is_loaded() and self._lines:
            self.run_worker(self._load(), exclusive=True)
            return Content("")
        if self._drawn is None or self._drawn_for != (width, height):
            self._drawn, self._drawn_for = self._draw(width, height), (width, height)
        grid, frame = self._drawn
        grid = grid.copy()
        if frame is not None:
            if self.cursor is not None and frame.x.low <= self.cursor <= frame.x.high:
                rows = range(frame.top, frame.top + frame.height)
                grid.rule(frame.column_of(self.cursor), rows, "$foreground dim")
            self._draw_legend(grid, frame.top)
        return grid.content()

    async def _load(self) -> None:
        await asyncio.to_thread(plot.load)
        self.refresh()

    def _draw(self, width: int, height: int) -> tuple[Grid, Frame | None]:
        grid = Grid(width, height)
        series: list[Series] = []
        x = self._zoom or self._whole
        for index, line in enumerate(self._lines):
            pairs = [pair for pair in zip(line.xs, line.ys, strict=True) if plot.can_be_drawn(pair[0])]
            kept = [pair for pair in pairs if plot.can_be_drawn(pair[1], self._log)]
            if x is not None and kept:
                series += self._series(index, line, kept, x, width)
        in_sight = [y for each in series for y in _ys_in(each, x)] if x else []
        y = plot.range_of(in_sight, self._log)
        if x is None or y is None:
            words = "no data in this range" if self._zoom else "no data yet"
            if self._log and self._num_hidden():
                words = "only values of 0 or less: g for a linear scale"
            grid.put(max(0, (width - len(words)) // 2), height // 2, words, "$foreground dim")
            return grid, None
        series.sort(key=lambda each: "dim" not in each.style)  # what is dim lies below
        top = min(self._num_legend_rows(width), max(0, height - 2))
        return grid, plot.draw(series, grid, top, x, y, self.x_label, "$foreground dim")

    def _series(
        self, index: int, line: Line, pairs: Sequence[tuple[float, float]], x: Range, width: int
    ) -> list[Series]:
        style = STYLES[index % len(STYLES)]
        xs, ys = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found: list[Series] = []
        if self._smoothing:
            found.append(Series(xs, ys, BRAILLE, f"{style} dim"))
            ys = smoothed(ys, self._smoothing)
        elif (index == 0 or len(self._lines) <= 2) and line.low is not None and line.high is not None:
            found.append(_band(line, f"{style} dim", self._log))
        found.append(Series(xs, ys, BRAILLE, f"{style} dim" if line.dim else style))
        glyph = self._glyph(index)
        if glyph != GLYPHS[0] or len(xs) == 1:
            marked = _spread(xs, x, max(2, width // _COLUMNS_A_MARK), index)
            mark = "•" if glyph == GLYPHS[0] else glyph
            found.append(
                Series([xs[at] for at in marked], [ys[at] for at in marked], mark, style, joined=False)
            )
        return found

    def _glyph(self, index: int) -> str:
        return shown(self._lines[index].glyph, 1) if self._lines[index].glyph else GLYPHS[index % len(GLYPHS)]

    def _num_hidden(self) -> int:
        """Values that a logarithmic scale has no place for."""
        ys = (y for line in self._lines for y in line.ys if plot.can_be_drawn(y))
        return sum(not plot.can_be_drawn(y, log=True) for y in ys)

    def _describe(self) -> None:
        num_hidden = self._num_hidden() if self._log else 0
        parts = [
            "log" if self._log else "",
            f"smoothed {self._smoothing}" if self._smoothing else "",
            "zoomed" if self._zoom else "",
            f"{num_hidden} values of 0 or less not shown" if num_hidden else "",
            shown(self._note, 60) if self._note else "",
        ]
        self.border_subtitle = Content(" · ".join(part for part in parts if part))

    def _num_legend_rows(self, width: int) -> int:
        widest = sum(min(_WIDEST_NAME, len(line.name)) + 12 for line in self._lines) + len(self.x_label) + 9
        return min(3, -(-widest // width))

    def _draw_legend(self, grid: Grid, num_rows: int) -> None:
        entries = []
        for index, line in enumerate(self._lines):
            label = f"{self._glyph(index)} {shown(line.name, _WIDEST_NAME)} "
            entries.append((label, STYLES[index % len(STYLES)], self._value_of(line)))
        if self.cursor is not None:
            entries.insert(0, (f"{self.x_label} ", "$foreground dim", _exact_x(self.cursor)))
        column, row = 0, 0
        for label, style, value in entries:
            needed = num_columns(label) + len(value)
            if column and column + needed > grid.width and row + 1 < num_rows:
                column, row = 0, row + 1
            if row < num_rows:
                grid.put(column, row, label, style)
                grid.put(column + num_columns(label), row, value, "bold")
            column += needed + 2

    def _value_of(self, line: Line) -> str:
        """The value at the cursor, else the last one."""
        points = [pair for pair in zip(line.xs, line.ys, strict=True) if plot.can_be_drawn(pair[1])]
        if not points:
            return "–"
        if self.cursor is None:
            return f"{points[-1][1]:.4g}{self.unit}"
        xs = [pair[0] for pair in points]
        if not xs[0] <= self.cursor <= xs[-1]:
            return "–"
        return f"{points[_nearest(xs, self.cursor)][1]:.6g}{self.unit}"


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


def _nearest(xs: Sequence[float], x: float) -> int:
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
