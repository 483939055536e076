"""What a run of a profile would take, and the question before one is started."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
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

from engine import profile, runs
from engine.errors import KidError
from engine.profile import Profile
from kidtui import launch
from kidtui.cells import shown
from kidtui.narrate import count, duration

_TAIL_BYTES = 1 << 20
_PARTS = {
    "teacher": "teacher",
    "student": "student",
    "gradients_and_optimizer": "optimizer",
    "activations": "activations",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    memory_mb: MiB by part.
    here_mb, free_mb: this machine's memory, and what of it is free now.
    step_ms: mean of a step of an earlier run of the profile, whose id is `earlier`; None without one.
    """

    memory_mb: dict[str, int]
    steps: int
    here_mb: int
    free_mb: int
    step_ms: float | None
    earlier: str

    def words(self) -> str:
        """One line: whether it fits, memory by part, steps, time."""
        needed = self.memory_mb["total"]
        if needed > self.here_mb:
            verdict = "✗ does not fit"
        else:
            verdict = "! tight" if needed > self.free_mb else "✓ fits"
        parts = ", ".join(
            f"{_PARTS.get(part, part)} {size / 1024:.1f}"
            for part, size in self.memory_mb.items()
            if part != "total"
        )
        if self.step_ms is None:
            time = "minutes: after the first run"
        else:
            time = f"about {duration(self.steps * self.step_ms / 1000)} of steps, as in {self.earlier}"
        memory = f"{needed / 1024:.1f} GB of {self.here_mb / 1024:.1f} ({self.free_mb / 1024:.1f} free)"
        return f"{verdict}: {memory}: {parts} · {count(self.steps)} steps · {time}"


def estimate(chosen: Profile, data_dir: Path | None, command: Sequence[str]) -> Estimate:
    """Ask the engine what a run would take; takes seconds.

    Raises:
        KidError: as the engine says, such as a model that is not there.
    """
    import psutil

    try:
        plan = launch.plan(chosen, data_dir, command)
        memory_mb = {str(part): int(size) for part, size in plan["memory_mb"].items()}
        steps, _ = int(plan["steps"]), memory_mb["total"]
    except OSError as error:
        raise KidError(f"cannot start the engine: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KidError(f"the engine's answer is no plan ({error!r})") from error
    memory = psutil.virtual_memory()
    earlier, step_ms = _earlier(chosen.name)
    return Estimate(memory_mb, steps, memory.total >> 20, memory.available >> 20, step_ms, earlier)


def _earlier(name: str) -> tuple[str, float | None]:
    """The newest run of that profile that tells how long its steps were, and their mean in ms."""
    for run in runs.all_runs():
        try:
            if run.info()["profile"]["name"] == name and (mean := _step_ms(run)):
                return run.id, mean
        except (KidError, KeyError, TypeError, OSError):
            continue  # a broken run tells nothing
    return "", None


def _step_ms(run: runs.Run) -> float | None:
    """Mean over the steps in the last MiB of the newest events."""
    generations = run.generations()
    if not generations:
        return None
    with run.events_path(generations[-1]).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        lines = file.read(_TAIL_BYTES).splitlines()
    found = []
    for line in lines:
        try:
            event = json.loads(line)
            if event["kind"] == "step":
                found.append(float(event["ms"]["total"]))
        except (ValueError, KeyError, TypeError):
            continue  # half a line, or no event
    return sum(found) / len(found) if found else None


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
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave")]

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

    def action_leave(self) -> None:
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
