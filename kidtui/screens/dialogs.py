"""Small windows that ask one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from kidtui import keys
from kidtui.cells import told


class Confirm(ModalScreen[bool]):
    """Asks before something is lost; True when the user means it.

    Args:
        question: names what is meant, such as the run and the pid.
        consequence: what will be lost.
        verb, refusal: of the buttons that do it and that do not.
    """

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("dialog")

    def __init__(self, question: str, consequence: str, verb: str, refusal: str = "Keep") -> None:
        super().__init__()
        self._question, self._consequence, self._verb, self._refusal = question, consequence, verb, refusal

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(told(self._question), style="bold"), markup=False)
            yield Static(Text(told(self._consequence)), markup=False)
            with Horizontal(classes="buttons"):
                yield Button(f"{self._verb} (y)", variant="error", id="yes")
                yield Button(f"{self._refusal} (n)", id="no")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)


class Prompt(ModalScreen[str | None]):
    """Asks for one line of text; None when the user has changed their mind.

    Args:
        question: what is wanted.
        value: what stands there at first.
        problem: what is wrong with a text, "" for nothing; shown while the user types.
    """

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("prompt")

    def __init__(
        self, question: str, value: str = "", problem: Callable[[str], str] = lambda text: ""
    ) -> None:
        super().__init__()
        self._question, self._value, self._problem = question, value, problem

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(told(self._question), style="bold"), markup=False)
            yield Input(self._value)
            yield Static("", markup=False, classes="problem")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one(".problem", Static).update(told(self._problem(event.value)))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if not self._problem(event.value):
            self.dismiss(event.value)

    def action_no(self) -> None:
        self.dismiss(None)
