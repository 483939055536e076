"""A chart of curves: cursor with exact values, zoom, logarithmic scale, smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from kidtui import keys
from kidtui.cells import shown
from kidtui.cycle import turned
from kidtui.widgets import plot
from kidtui.widgets.curves import SMOOTHING, Line, Picture, nearest
from kidtui.widgets.plot import Frame, Grid, Range

__all__ = ["Chart", "Line"]

_FEWEST_POINTS: Final = 3


@dataclass(frozen=True, slots=True)
class _Drawn:
    picture: Picture
    size: tuple[int, int]
    grid: Grid
    frame: Frame | None


class Chart(Widget, can_focus=True):
    """Curves over one x axis.

    Args:
        title: stands in the border.
        x_label: what x counts; stands at the axis and at the cursor.
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

    class Widened(Message):
        """The chart has another width. The owner may `show` curves of as many points as have room."""

        def __init__(self, chart: Chart) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self, title: str, *, x_label: str = "step", id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = Content(title)
        self._title, self.x_label = title, x_label
        self._picture = Picture(x_label=x_label)
        self._width = 0
        self._note = ""
        self._pinned: float | None = None  # where keys or a click have put the cursor
        self._hover: float | None = None
        self._drawn: _Drawn | None = None

    @property
    def cursor(self) -> float | None:
        """The x that the cursor is at."""
        return self._pinned if self._hover is None else self._hover

    @property
    def copy_text(self) -> str:
        """What is shown, for the clipboard: name, x and value, a tab between them."""
        pairs = (
            (line.name, x, y) for line in self._picture.lines for x, y in zip(line.xs, line.ys, strict=True)
        )
        return "\n".join([f"name\t{self.x_label}\tvalue", *(f"{name}\t{x:g}\t{y!r}" for name, x, y in pairs)])

    def show(self, lines: Sequence[Line], note: str = "", whole: tuple[float, float] | None = None) -> None:
        """Show these lines from now on; nothing is drawn where nothing has changed.

        whole: first and last x there is, for lines of a part of it; left out, the lines are the whole.
        """
        data = plot.range_of(whole) if whole else _range_of_xs(lines)
        before = (self._picture.lines, self._note, self._picture.whole)
        if before != (tuple(lines), note, data):
            self._note = note
            self._change(lines=tuple(lines), whole=data)

    def retitle(self, title: str, *, x_label: str) -> None:
        """Say that something else is shown: another metric or another x."""
        if (title, x_label) != (self._title, self.x_label):
            self._title, self.x_label = title, x_label
            self.border_title = Content(title)
            self._change(x_label=x_label)

    # What keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """With nothing to reset, escape is the screen's."""
        return action != "reset" or self._picture.zoom is not None or self.cursor is not None

    def action_cursor(self, by: int) -> None:
        xs = self._all_xs()
        if not xs:
            return
        if self.cursor is None:
            self._move_cursor(xs[-1])
            return
        at = nearest(xs, self.cursor) + by
        if self._picture.zoom is not None and not 0 <= at < len(xs):
            self._pan(1 if at > 0 else -1)
            xs = self._all_xs() or xs
            at = nearest(xs, self.cursor) + by
        self._move_cursor(xs[min(max(at, 0), len(xs) - 1)])

    def action_zoom(self, factor: float) -> None:
        self._zoom_around(self.cursor, factor)

    def action_reset(self) -> None:
        self._hover = None
        if self._pinned is not None:
            self._move_cursor(None)
        if self._picture.zoom is not None:
            self._show_range(None)

    def action_toggle_log(self) -> None:
        self._change(log=not self._picture.log)

    def action_smoothe(self) -> None:
        self._change(smoothing=turned(SMOOTHING, self._picture.smoothing))

    def on_resize(self, event: events.Resize) -> None:
        if event.size.width != self._width:
            self._width = event.size.width
            self.post_message(self.Widened(self))

    # What the mouse does

    def on_mouse_move(self, event: events.MouseMove) -> None:
        x = self._x_under(event)
        if x != self._hover:
            self._hover = x
            self.refresh()

    def on_leave(self, event: events.Leave) -> None:
        if self._hover is not None:
            self._hover = None
            self.refresh()

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
        frame = self._drawn.frame if self._drawn else None
        xs = self._all_xs()
        if offset is None or frame is None or not xs or offset.x < frame.left:
            return None
        return xs[nearest(xs, frame.x_at(offset.x))]

    # State

    def _move_cursor(self, x: float | None) -> None:
        self._hover = None
        if x != self._pinned:
            self._pinned = x
            self.refresh()

    def _zoom_around(self, x: float | None, factor: float) -> None:
        whole, now = self._picture.whole, self._picture.zoom or self._picture.whole
        if whole is None or now is None:
            return
        x = (now.low + now.high) / 2 if x is None else x
        low = max(whole.low, x - (x - now.low) * factor)
        high = min(whole.high, x + (now.high - x) * factor)
        if factor < 1 and sum(low <= value <= high for value in self._all_xs()) < _FEWEST_POINTS:
            return
        if (low, high) != (now.low, now.high) and low < high:
            self._show_range(None if (low, high) == (whole.low, whole.high) else Range(low, high))

    def _pan(self, direction: int) -> None:
        zoom, whole = self._picture.zoom, self._picture.whole
        assert zoom is not None
        assert whole is not None
        room = whole.high - zoom.high if direction > 0 else zoom.low - whole.low
        by = direction * min((zoom.high - zoom.low) / 2, max(0.0, room))
        if by:
            self._show_range(Range(zoom.low + by, zoom.high + by))

    def _show_range(self, zoom: Range | None) -> None:
        self._change(zoom=zoom)
        self.post_message(self.Ranged(self, *((zoom.low, zoom.high) if zoom else (None, None))))

    def _all_xs(self) -> list[float]:
        """Every x of a line that is in sight, ascending."""
        found = {x for line in self._picture.lines for x in line.xs if plot.can_be_drawn(x)}
        zoom = self._picture.zoom
        return sorted(x for x in found if zoom is None or zoom.low <= x <= zoom.high)

    # Drawing

    def _change(self, **what: Any) -> None:
        self._picture = replace(self._picture, **what)
        self._describe()
        self.refresh()

    def render(self) -> Content:
        """The picture, drawn once a size, with cursor and legend over it."""
        width, height = self.content_size
        if width < 1 or height < 1:
            return Content("")
        picture, drawn = self._picture, self._drawn
        if drawn is None or drawn.picture is not picture or drawn.size != (width, height):
            drawn = self._drawn = _Drawn(picture, (width, height), *picture.draw(width, height))
        grid, frame = drawn.grid.copy(), drawn.frame
        if frame is not None:
            if self.cursor is not None and frame.x.low <= self.cursor <= frame.x.high:
                rows = range(frame.top, frame.top + frame.height)
                grid.rule(frame.column_of(self.cursor), rows, "$foreground dim")
            picture.write_legend(grid, frame.top, self.cursor)
        return grid.content()

    def _describe(self) -> None:
        picture = self._picture
        num_hidden = picture.num_hidden() if picture.log else 0
        parts = [
            "log" if picture.log else "",
            f"smoothed {picture.smoothing}" if picture.smoothing else "",
            "zoomed" if picture.zoom else "",
            f"{num_hidden} values of 0 or less not shown" if num_hidden else "",
            shown(self._note, 60) if self._note else "",
        ]
        self.border_subtitle = Content(" · ".join(part for part in parts if part))


def _range_of_xs(lines: Sequence[Line]) -> Range | None:
    return plot.range_of(x for line in lines for x in line.xs if plot.can_be_drawn(x))
