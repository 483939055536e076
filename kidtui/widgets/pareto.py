"""Runs as points: how good against how slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from kidtui.comparison import FRONT
from kidtui.widgets import plot
from kidtui.widgets.plot import Grid, Series


@dataclass(frozen=True, slots=True)
class Point:
    """A run that has both. `style` is of Textual, `place` one of the words of `kidtui.comparison`."""

    run_id: str
    glyph: str
    style: str
    ex: float
    ms: float
    place: str


class Pareto(Widget, can_focus=True):
    """EX against the milliseconds of a step; those that no other run beats are joined by a line."""

    DEFAULT_CSS = """
    Pareto { width: 1fr; height: 1fr; min-height: 3; }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = Content("EX against ms per step")
        self._points: tuple[Point, ...] = ()

    @property
    def copy_text(self) -> str:
        """The points, for the clipboard: a tab between what belongs to one."""
        rows = (f"{each.run_id}\t{each.ms!r}\t{each.ex!r}\t{each.place}" for each in self._points)
        return "\n".join(["run\tms/step\tEX\tplace", *rows])

    def show(self, points: Sequence[Point]) -> None:
        """Show these points from now on."""
        if tuple(points) != self._points:
            self._points = tuple(points)
            self.border_subtitle = Content("up and left is better" if points else "")
            self.refresh()

    def render(self) -> Content:
        """The points in the size of now."""
        width, height = self.content_size
        if width < 1 or height < 1:
            return Content("")
        grid = Grid(width, height)
        x = plot.range_of((point.ms for point in self._points), room=0.1)
        y = plot.range_of((point.ex for point in self._points), room=0.1)
        if x is None or y is None:
            words = "no run with a score and a timing yet"[:width]
            grid.put((width - len(words)) // 2, height // 2, words, "$foreground dim")
        else:
            plot.draw(_series(self._points), grid, 0, x, y, "ms", "$foreground dim")
        return grid.content()


def _series(points: Sequence[Point]) -> list[Series]:
    front = sorted(
        (point for point in points if point.place == FRONT), key=lambda point: (point.ms, point.ex)
    )
    joined = Series([each.ms for each in front], [each.ex for each in front], "$foreground dim")
    first = sorted(points, key=lambda point: point.place == FRONT)  # what is on the front lies above
    return [joined, *(_mark(point) for point in first)]


def _mark(point: Point) -> Series:
    style = f"{point.style} bold" if point.place == FRONT else f"{point.style} dim"
    return Series([point.ms], [point.ex], style, point.glyph)
