"""The question before a run is started, with changes to the profile for that run alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from engine import profile
from engine.errors import KidError
from engine.profile import Profile
from kidtui import keys
from kidtui.cells import shown
from kidtui.narrate import count


def overrides(text: str) -> list[str]:
    """The `key=value`s of a text, separated by white space; a value may have spaces in it."""
    return re.split(r"\s+(?=[A-Za-z_][\w.]*\s*=)", text.strip()) if text.strip() else []


class LaunchDialog(ModalScreen[Profile | None]):
    """Asks before a run is started; the profile to start, or None.

    Args:
        path, text: the profile's file, and what stands in for what it says.
        notes: lines on what the run is made from.
    """

    DEFAULT_CSS = """
    LaunchDialog { align: center middle; }
    LaunchDialog .dialog { width: 76; }
    LaunchDialog #launch-facts { margin: 1 0; }
    LaunchDialog #launch-problem { height: auto; min-height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("prompt")

    def __init__(self, path: Path, text: str, notes: Sequence[str] = ()) -> None:
        super().__init__()
        self._path, self._text, self._notes = path, text, notes
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content.styled(f"Launch {shown(self._path.stem, 50)}", "bold"), markup=False)
            yield Static("", id="launch-facts", markup=False)
            yield Static(Content("\n".join(self._notes)), id="launch-notes", markup=False)
            yield OverridesInput(placeholder="overrides, such as train.max_steps=100 method.name=rkd")
            yield Static("", id="launch-problem", markup=False)
            yield Static(Content.styled("enter starts the run · escape leaves", "dim"), markup=False)

    def on_mount(self) -> None:
        self.query_one("#launch-notes").display = bool(self._notes)
        self._judge()

    @on(Input.Changed)
    def _changed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(0.1, self._judge)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if chosen := self._judge():
            self.dismiss(chosen)

    def action_no(self) -> None:
        self.dismiss(None)

    def _judge(self) -> Profile | None:
        """The profile with the overrides on top; None, and why, where they make none."""
        problem = self.query_one("#launch-problem", Static)
        try:
            chosen = profile.from_file(self._path, overrides(self.query_one(Input).value), text=self._text)
        except KidError as error:
            words = shown(error.message.removeprefix("--set: ").removeprefix("--set "), 140)
            mend = f"\n{shown(error.mend, 140)}" if error.mend else ""
            problem.update(Content.styled(f"✗ {words}{mend}", "$error"))
            return None
        problem.update(Content.styled("✓ valid", "dim"))
        self.query_one("#launch-facts", Static).update(Content("\n".join(_facts(chosen))))
        return chosen


class OverridesInput(Input):
    """One line that takes pasted lines, too."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(" ".join(event.text.split()))


def _facts(chosen: Profile) -> list[str]:
    """What is learnt from what, how, and for how long."""
    student = chosen.student.model or f"layers {chosen.student.keep_layers} of the teacher"
    by_epochs = f"{chosen.train.epochs:g} epochs"
    return [
        f"method   {chosen.method.name}",
        f"student  {shown(student, 56)}",
        f"teacher  {shown(chosen.teacher.model, 56) if chosen.teacher else '–'}",
        f"data     {shown(chosen.data.train, 56)}",
        f"steps    {count(chosen.train.max_steps) if chosen.train.max_steps else by_epochs}",
    ]
