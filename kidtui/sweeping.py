"""Work through a sweep: one run a cell, so many at a time; what fails is told, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine import runs
from engine.errors import KidError, RunError
from engine.event_reader import EventReader
from engine.runs import Run
from engine.study import sweep as sweeps
from engine.study.shared_scores import SharedScores, score_keys
from engine.study.sweep import Entry, Sweep
from kidtui import cells, interrupts, narrate, states
from kidtui.display import Display, open_display
from kidtui.follow import INTERRUPTED
from kidtui.watch import Progress, View, fold
from kidtui.workers import Found, Launcher, Worker

_POLL_SECONDS = 0.1
_LABEL_WIDTH = 60
_MESSAGE_WIDTH = 300


class Tuner(Protocol):
    """What chooses cells by the results of those before: a search."""

    def ask(self) -> Entry | None:
        """The next cell, added to the sweep; None when there are enough."""

    def tell(self, entry: Entry) -> None:
        """What a cell that is done or failed reached."""


@dataclass
class _Job:
    entry: Entry
    run: Run
    worker: Worker
    reader: EventReader
    begun: float = field(default_factory=time.monotonic)
    view: View = field(default_factory=View)


def work(
    sweep: Sweep, launcher: Launcher, jobs: int, tuner: Tuner | None = None, *, as_json: bool = False
) -> int:
    """Do what is left of a sweep; the exit code: 0, 1 where a cell is not done, 130 after Ctrl-C.

    The first Ctrl-C stops the running cells cleanly and starts no more, the second kills them.

    Args:
        jobs: cells at a time.

    Raises:
        KidError: the sweep's own files cannot be written.
    """
    with interrupts.counted() as pressed, open_display(as_json=as_json) as display:
        floor = _Floor(sweep, launcher, jobs, tuner, display)
        floor.work(lambda: pressed.count)
    if pressed.count:
        return INTERRUPTED
    return 0 if all(cell.state == "done" for cell in sweep.cells) else 1


class _Floor:
    """The cells at work and those that wait."""

    def __init__(
        self, sweep: Sweep, launcher: Launcher, jobs: int, tuner: Tuner | None, display: Display
    ) -> None:
        self.sweep, self.launcher, self.jobs, self.tuner = sweep, launcher, jobs, tuner
        self.display = display
        self.running: list[_Job] = []
        self._begun: set[str] = set()  # here and now; what ends without being done is not begun again
        self._scores = SharedScores()
        self._keys: dict[str, dict[str, str]] = {}
        for entry in (*sweep.warm_starts, *sweep.cells):
            if entry.state == "done":
                self._offer(entry)

    def work(self, interrupted: Callable[[], int]) -> None:
        """Until nothing is left, or all have stopped after an interrupt."""
        stopping = False
        while True:
            for job in list(self.running):
                self._look(job)
            count = interrupted()
            if count >= 2:
                for job in self.running:
                    job.worker.kill()
            elif count == 1:
                if self.running and not stopping:
                    self.display.say("stopping, with a checkpoint; Ctrl-C again ends it at once")
                stopping = True
                self._stop()
            else:
                self._fill()
            if not self.running:
                return
            self._show()
            time.sleep(_POLL_SECONDS)

    def _stop(self) -> None:
        """Ask until it is heard: an engine that a cluster only now begins drops what was asked before."""
        for job in self.running:
            if not (job.run.path / "control" / "stop").exists():
                with suppress(RunError):  # it has just ended by itself
                    runs.request(job.run, "stop")

    def _fill(self) -> None:
        while len(self.running) < self.jobs:
            entry = self._next()
            if entry is None:
                return
            self._begin(entry)

    def _next(self) -> Entry | None:
        """A cell, or a warm start that a cell waits for; None where none can begin now."""
        waits = False
        for cell in self.sweep.cells:
            if cell.state not in sweeps.UNFINISHED or cell.run in self._begun:
                continue
            warm = self.sweep.warm_starts[cell.warm] if cell.warm is not None else None
            if warm is None or warm.state == "done":
                if not self._scores.awaited(self._score_keys(cell), cell.run):
                    return cell
                waits = True
            elif warm.run not in self._begun and warm.state in sweeps.UNFINISHED:
                return warm
            elif any(job.entry is warm for job in self.running):
                waits = True
            else:
                self._fail(cell, f"its warm start {warm.run} is {warm.state}")
        if waits or self.tuner is None:
            return None
        return self._asked()

    def _asked(self) -> Entry | None:
        assert self.tuner is not None
        entry = self.tuner.ask()
        if entry is None:
            return None
        self.sweep.save()
        return self._next()

    def _begin(self, entry: Entry) -> None:
        self._begun.add(entry.run)
        try:
            run = self._run(entry)
            status = run.status()
            if status["state"] in runs.LIVE_STATES and status.get("pid") is not None:
                worker: Worker = Found(run)
                generation = status["generation"]
            else:
                if entry not in self.sweep.warm_starts:
                    self._scores.hand(self._score_keys(entry), run)
                generation = run.next_generation()
                worker = self.launcher.start(run)
        except KidError as error:
            self._scores.withdraw(entry.made)
            self._fail(entry, error.message)
            return
        entry.state, entry.problem = "running", ""
        self.running.append(_Job(entry, run, worker, EventReader(run, generation)))
        self.sweep.save()
        self.display.say(f"{states.GLYPHS['running']} {self._name(entry)}  {run.id}")

    def _run(self, entry: Entry) -> Run:
        if entry.has_run:
            return entry.made
        data_dir = Path(self.sweep.data_dir) if self.sweep.data_dir else None
        told = {"id": self.sweep.id, "label": entry.label}
        if entry.warm is not None:
            told["warm_start"] = self.sweep.warm_starts[entry.warm].run
        return runs.create(self.sweep.profile(entry), self.sweep.argv, entry.run, data_dir, sweep=told)

    def _look(self, job: _Job) -> None:
        try:
            ended = job.worker.ended()  # before reading: its last events are then all there
            events = job.reader.poll()
        except RunError as error:  # somebody removed or damaged it while it ran
            self.running.remove(job)
            self._scores.withdraw(job.run)
            self._fail(job.entry, error.message)
            return
        for event in events:
            job.view = fold(job.view, event)
            if event["kind"] == "warning":
                self.display.say(f"{self._name(job.entry)}: {_line(str(narrate.event(event)))}")
        if not ended:
            return
        self.running.remove(job)
        sweeps.refresh(job.entry)
        self._scores.withdraw(job.run)
        if job.entry.state == "done":
            self._offer(job.entry)
        elif job.entry.state not in ("failed", "stopped"):
            job.entry.problem = job.worker.end_in_words()
        self.sweep.save()
        self._tell(job.entry, time.monotonic() - job.begun)

    def _fail(self, entry: Entry, message: str) -> None:
        entry.state, entry.problem = "failed", message
        self.sweep.save()
        self._tell(entry, None)

    def _tell(self, entry: Entry, seconds: float | None) -> None:
        ex = entry.reached() if entry.state == "done" else None
        words = [states.GLYPHS.get(entry.state, "?"), self._name(entry)]
        words += [f" EX {narrate.number(ex)}" if entry.state == "done" else f" {entry.state}"]
        if seconds is not None:
            words += [f" {narrate.duration(seconds)}", f" {entry.run}"]
        problem = f": {_line(entry.problem)}" if entry.problem else ""
        self.display.say(" ".join(words) + problem)
        if self.tuner is not None and entry.trial is not None and entry.state in ("done", "failed"):
            self.tuner.tell(entry)

    def _show(self) -> None:
        """Of one cell its own progress, of several how many there are."""
        if len(self.running) == 1 and self.jobs == 1:
            self.display.show(self.running[0].view)
        else:
            done = sum(cell.state not in sweeps.UNFINISHED for cell in self.sweep.cells)
            self.display.show(View(progress=Progress("cells", done, self._total())))

    def _offer(self, entry: Entry) -> None:
        """A warm start's last score is the score before training of the cells that begin from it."""
        run = entry.made
        warm = entry in self.sweep.warm_starts
        for role, key in self._score_keys(entry).items():
            made = "student" if warm and role == "student_before" else role
            if (run.path / f"scores-{made}.json").is_file():
                self._scores.offer(key, run, made)

    def _score_keys(self, entry: Entry) -> dict[str, str]:
        if entry.run not in self._keys:
            with suppress(KidError):  # a search's cell that the profile refuses: told when its turn comes
                self._keys[entry.run] = score_keys(self.sweep.plain_profile(entry))
        return self._keys.get(entry.run, {})

    def _name(self, entry: Entry) -> str:
        label = cells.shown(entry.label, _LABEL_WIDTH)
        if entry in self.sweep.warm_starts:
            return label
        return f"{self.sweep.cells.index(entry) + 1}/{self._total()} {label}"

    def _total(self) -> int:
        return max(len(self.sweep.cells), self.sweep.search["trials"] if self.sweep.search else 0)


def _line(text: str) -> str:
    return cells.shown(text.replace("\n", " "), _MESSAGE_WIDTH)
