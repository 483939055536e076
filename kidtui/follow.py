"""Follow a run in the foreground: progress on stderr, two steps of Ctrl-C, the outcome as an exit code."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from engine import runs
from engine.errors import KidError
from engine.event_reader import EventReader
from kidtui import console, launch, narrate
from kidtui.launch import Engine
from kidtui.watch import Event, View, fold

INTERRUPTED = 130
_POLL_SECONDS = 0.1


class Display(Protocol):
    """What shows the progress of a run."""

    def show(self, view: View) -> None: ...

    def say(self, text: str) -> None: ...


def follow(engine: Engine, *, as_json: bool = False) -> int:
    """Follow a run until its engine ends; the exit code that says how it did.

    The first Ctrl-C asks for a clean stop and waits for it, the second kills the engine.
    """
    reader = EventReader(engine.run, engine.generation)
    view = View()
    asked = False
    with _interrupts() as interrupts, _display(as_json) as display:
        display.say(f"run {engine.run.id}  {engine.run.path}")
        while view.end is None:
            ended = engine.process.poll() is not None  # before reading: its last events are then all there
            for event in reader.poll():
                view = fold(view, event)
                _tell(event, display, as_json)
            display.show(view)
            if ended:
                break
            if interrupts.count >= 2 and view.end is None:
                launch.kill(engine.run)
                engine.process.wait()
                display.say(f"killed; {_resume_hint(engine)}")
                return INTERRUPTED
            if interrupts.count == 1 and not asked:
                asked = True
                display.say("stopping after this step, with a checkpoint; Ctrl-C again ends it at once")
                runs.request(engine.run, "stop")
            if view.end is None:
                time.sleep(_POLL_SECONDS)
    return _outcome(engine, view, as_json)


def wait_until_begun(engine: Engine, seconds: float) -> None:
    """Return when the engine has opened its events, or is still at it after so long.

    Raises:
        KidError: it ended before that.
    """
    deadline = time.monotonic() + seconds
    while not engine.run.events_path(engine.generation).exists() and time.monotonic() < deadline:
        if engine.process.poll() is not None:
            raise _silent_end(engine)
        time.sleep(_POLL_SECONDS)


def _tell(event: Event, display: Display, as_json: bool) -> None:
    if as_json:
        console.data_json(event, lines=True)
    if event["kind"] in ("run_start", "eval", "warning"):
        display.say(narrate.event(event) or "")


def _outcome(engine: Engine, view: View, as_json: bool) -> int:
    run = engine.run
    if view.end is None:
        if view == View():
            raise _silent_end(engine)
        step = narrate.count(view.step.get("step", 0))
        console.note(f"error: run {run.id} is lost: its engine {_how(engine)} at step {step}")
        console.note(f"  {_resume_hint(engine)}")
        if words := engine.last_words():
            console.note(f"the end of {run.path / 'err.log'}:\n{words}")
        return 1
    if view.end["state"] == "failed":
        failure = view.end.get("error") or {"message": f"run {run.id} failed", "exit_code": 1}
        console.error(failure)
        return int(failure["exit_code"])
    if view.end["state"] == "stopped":
        console.note(f"stopped at step {narrate.count(view.end.get('step'))}; {_resume_hint(engine)}")
        return INTERRUPTED
    report = run.path / "report.md"
    if report.exists() and not as_json:
        console.data(report.read_text("utf-8").rstrip())
    console.note(f"done: {run.path}")
    return 0


def _silent_end(engine: Engine) -> KidError:
    code = engine.process.returncode
    failure = KidError(
        f"the engine of run {engine.run.id} {_how(engine)} before it began", engine.last_words()
    )
    if code in (2, 3, 4, 5):
        failure.exit_code = code
    return failure


def _how(engine: Engine) -> str:
    code = engine.process.returncode
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def _resume_hint(engine: Engine) -> str:
    return f"kid distill --resume {engine.run.id} goes on from the last checkpoint"


class _Interrupts:
    count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    """Count Ctrl-C instead of being ended by it."""
    interrupts = _Interrupts()
    before = signal.signal(signal.SIGINT, interrupts)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _display(as_json: bool) -> Iterator[Display]:
    """A bar where there is a terminal to draw it on, else a line now and then."""
    if not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        yield _Lines()
        return
    from kidtui.bar import Bar

    with Bar() as bar:
        yield bar


class _Lines:
    """Progress for a file or a pipe: each phase as it begins and ends, steps every ten seconds."""

    _EVERY_SECONDS = 10.0

    def __init__(self) -> None:
        self._name = ""
        self._next = 0.0

    def say(self, text: str) -> None:
        console.note(text)

    def show(self, view: View) -> None:
        progress = view.progress
        now = time.monotonic()
        if progress.name == self._name and now < self._next:
            return
        if progress.name != self._name or progress.name == "training":
            words = narrate.event(view.step) if progress.name == "training" else None
            console.note(words or progress.name)
        self._name = progress.name
        self._next = now + self._EVERY_SECONDS
