"""A line for questions that remembers them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import Input

from kidtui import keys


class Question(Input):
    """Up and down turn to earlier and later questions."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("question")]

    def __init__(self, placeholder: str, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(placeholder=placeholder, id=id, classes=classes)
        self._asked: list[str] = []
        self._at = 0
        self._draft = ""  # what was typed before one turned to an earlier question

    def remember(self, question: str) -> None:
        """Keeps a question that has been asked."""
        if not self._asked or self._asked[-1] != question:
            self._asked.append(question)
        self._at, self._draft = len(self._asked), ""

    def action_turn(self, by: int) -> None:
        at = min(len(self._asked), max(0, self._at + by))
        if at == self._at:
            return
        if self._at == len(self._asked):
            self._draft = self.value
        self._at = at
        self.value = self._asked[at] if at < len(self._asked) else self._draft
        self.cursor_position = len(self.value)
