"""A pane that shows one of several things, and turns to the one before or after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static


class Flip(VerticalScroll, can_focus=True):
    """Shows the newest, until the user turns back.

    Args:
        draw: one thing as text, given all, its number and the width.
        empty: what to say where there is none.
    """

    def __init__(self, draw: Callable[[Any, int, int], Text], empty: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draw, self._empty = draw, empty
        self._things: tuple[Any, ...] | None = None
        self._text = Text(empty, style="dim")
        self._back = 0  # how many behind the newest

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    @property
    def copy_text(self) -> str:
        """What is shown."""
        return self._text.plain

    def show(self, things: tuple[Any, ...]) -> None:
        if things == self._things:
            return
        if self._things and self._back:  # what is read stays where it is
            self._back += max(0, len(things) - len(self._things))
        self._things = things
        self._redraw()

    def turn(self, by: int) -> None:
        """To the one before (-1) or after (1)."""
        if self._things:
            self._back = min(len(self._things) - 1, max(0, self._back - by))
            self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        if self._things:
            self._back = min(self._back, len(self._things) - 1)
            at = len(self._things) - 1 - self._back
            self._text = self._draw(self._things, at, max(20, self.size.width - 2))
        else:
            self._text = Text(self._empty, style="dim")
        self.query_one(Static).update(self._text)
