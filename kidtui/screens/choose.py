"""Small windows of Ask: choose one of many, change SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from engine.errors import KidError, fault
from kidtui import keys, narrate
from kidtui.cells import shown

_MOST = 300  # options that are shown
_ROOM = 200

Pair = tuple[str, str]
"""A value, and how it is shown."""


class Choose(ModalScreen[str | None]):
    """One of many, found by typing a part of it; None when the user has changed their mind.

    Args:
        question: what is wanted.
        load: gets the choices, in a thread.
        typed: what a text that fits none of them may be, such as "a database file"; "" where it cannot.
    """

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("choose")
    DEFAULT_CSS = """
    Choose { align: center middle; }
    Choose .dialog { width: 90; height: 80%; }
    Choose OptionList { height: 1fr; border: none; background: $surface; }
    """

    def __init__(self, question: str, load: Callable[[], Sequence[Pair]], typed: str = "") -> None:
        super().__init__()
        self._question, self._load, self._typed = question, load, typed
        self._choices: Sequence[Pair] = ()
        self._status = "looking…"

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, style="bold"), markup=False)
            hint = f"a part of its name, or {self._typed}" if self._typed else "a part of its name"
            yield Input(placeholder=hint)
            yield OptionList(markup=False)
            yield Static(self._status, markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.run_worker(self._find, thread=True)

    def _find(self) -> None:
        try:
            choices, status = self._load(), "↑ ↓ Enter chooses, Esc leaves"
        except Exception as caught:  # the window lives on, and says what happened
            error = caught if isinstance(caught, KidError) else fault(caught)
            choices, status = (), f"✗ {shown(error.message, _ROOM)}"
        self.call_later(self._found, choices, status)

    def _found(self, choices: Sequence[Pair], status: str) -> None:
        self._choices, self._status = choices, status
        self._show(self.query_one(Input).value)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, text: str) -> None:
        words = text.lower().split()
        found = [pair for pair in self._choices if all(word in pair[1].lower() for word in words)]
        self._values = [value for value, _ in found[:_MOST]]
        labels = [shown(label, _ROOM) for _, label in found[:_MOST]]
        if self._typed and text.strip() and (not found or os.sep in text):
            self._values.append(text.strip())
            labels.append(f"{shown(text.strip(), _ROOM)}  ({self._typed})")
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(Text(label, no_wrap=True)) for label in labels])
        options.highlighted = 0 if labels else None
        more = f"{narrate.count(len(found) - _MOST)} more; " if len(found) > _MOST else ""
        self.query_one(".dialog", Vertical).query(Static).last().update(Text(more + self._status))

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        (options.action_cursor_down if by > 0 else options.action_cursor_up)()

    def action_page(self, by: int) -> None:
        options = self.query_one(OptionList)
        (options.action_page_down if by > 0 else options.action_page_up)()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.dismiss(self._values[at])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._values[event.option_index])

    def action_leave(self) -> None:
        self.dismiss(None)


class EditSql(ModalScreen[str | None]):
    """SQL to change and run; None when the user has changed their mind."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("sql")
    DEFAULT_CSS = """
    EditSql { align: center middle; }
    EditSql .dialog { width: 100; height: 80%; }
    EditSql TextArea { height: 1fr; }
    """

    def __init__(self, sql: str) -> None:
        super().__init__()
        self._sql = sql

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text("Your SQL: one query, run as it is", style="bold"), markup=False)
            yield TextArea(self._sql, soft_wrap=True, show_line_numbers=False)
            with Horizontal(classes="buttons"):
                yield Button("Run (ctrl+r)", variant="primary", id="run")
                yield Button("Leave (esc)", id="leave")

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.focus()
        area.move_cursor(area.document.end)

    @on(Button.Pressed, "#run")
    def action_run(self) -> None:
        sql = self.query_one(TextArea).text.strip()
        self.dismiss(sql or None)

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        self.dismiss(None)
