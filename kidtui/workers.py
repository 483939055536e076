"""Engines that work on the cells of a sweep: started here, or found at work."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from engine import runs
from engine.errors import RunError
from engine.provenance import usable_cores
from engine.runs import Run
from kidtui import follow, launch
from kidtui.launch import Engine


class Worker(Protocol):
    """An engine at work on a run."""

    def ended(self) -> bool: ...

    def kill(self) -> None: ...

    def end_in_words(self) -> str:
        """How it ended, for one that said nothing itself."""


class Launcher(Protocol):
    """What starts engines; `slots`: how many at a time, unless the user says."""

    slots: int

    def threads(self, jobs: int) -> int:
        """Threads for each of so many engines at a time."""

    def start(self, run: Run) -> Worker:
        """Raises KidError: it cannot be started."""


@dataclass
class Local:
    """Processes of this machine."""

    slots: int = 1

    def threads(self, jobs: int) -> int:
        return max(1, usable_cores() // jobs)

    def start(self, run: Run) -> Worker:
        return _Process(launch.start(run))


@dataclass
class Found:
    """An engine that was at work on the run before: the sweep's former process started it, or somebody."""

    run: Run

    def ended(self) -> bool:
        return self.run.status()["state"] not in runs.LIVE_STATES

    def kill(self) -> None:
        with suppress(RunError):  # it has just ended
            launch.kill(self.run)

    def end_in_words(self) -> str:
        return f"its engine is gone; {self.run.path / 'err.log'} may say why"


@dataclass
class _Process:
    engine: Engine

    def ended(self) -> bool:
        return self.engine.process.poll() is not None

    def kill(self) -> None:
        self.engine.kill()

    def end_in_words(self) -> str:
        words = self.engine.last_words(1)
        return f"its engine {follow.how(self.engine.process.returncode)}" + (f": {words}" if words else "")
