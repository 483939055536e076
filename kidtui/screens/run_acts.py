"""What a user can do to a run from the screen. What destroys asks first, naming run and pid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from engine import runs
from engine.runs import Run
from kidtui import launch
from kidtui.board import Row
from kidtui.screens.dialogs import Confirm

if TYPE_CHECKING:
    from kidtui.app import KidApp


class RunActs:
    """Acts are done in a thread; how they went is said in the corner."""

    def __init__(self, app: KidApp) -> None:
        self._app = app

    def pause(self, row: Row) -> None:
        """Hold it; a paused one goes on."""
        if (row.path / "control" / "pause").exists():
            self._do(row, lambda run: runs.request(run, "resume"), "goes on")
        else:
            self._do(row, lambda run: runs.request(run, "pause"), "pauses after this step")

    def stop(self, row: Row) -> None:
        self._do(row, lambda run: runs.request(run, "stop"), "stops after this step, with a checkpoint")

    def resume(self, row: Row) -> None:
        """Let a paused run go on, or start an engine for one that has ended before it was done."""
        if row.state == "paused":
            self._do(row, lambda run: runs.request(run, "resume"), "goes on")
        elif row.state == "done":
            self._app.say(f"run {row.id} is done: there is nothing to resume")
        else:
            self._do(row, lambda run: launch.start(run, self._app.command), "is taken up again")

    def kill(self, row: Row) -> None:
        if row.state not in runs.LIVE_STATES:
            self._app.say(f"run {row.id} is {row.state}: there is no process to kill")
            return
        self._asked(
            Confirm(
                f"Kill run {row.id} (pid {row.pid or 'not known yet'})?",
                "Its steps since the last checkpoint, if it has one, are lost; r takes it up again.",
                "Kill",
            ),
            row,
            partial(launch.kill, only=row.pid),
            "is killed",
        )

    def remove(self, row: Row) -> None:
        pid = f" (pid {row.pid})" if row.state in runs.LIVE_STATES else ""
        self._asked(
            Confirm(
                f"Remove run {row.id}{pid}?",
                f"{row.path} is deleted, with its checkpoints, student and report.",
                "Remove",
            ),
            row,
            runs.remove,
            "is removed",
        )

    def _asked(self, question: Confirm, row: Row, act: Callable[[Run], object], done: str) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._do(row, act, done)

        self._app.push_screen(question, answered)

    def _do(self, row: Row, act: Callable[[Run], object], done: str) -> None:
        def work() -> None:
            try:
                act(Run(row.id, row.path))
            finally:
                self._app.monitor.wake()
            self._app.call_from_thread(self._app.say, f"run {row.id} {done}")

        self._app.in_thread(work)
