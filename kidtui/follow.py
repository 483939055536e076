"""Follow a run in the foreground: progress on stderr, two steps of Ctrl-C, the outcome as an exit code."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import suppress

from engine import runs
from engine.errors import KidError, RunError
from engine.event_reader import EventReader
from engine.runs import Run
from kidtui import console, interrupts, launch, narrate
from kidtui.display import Display, open_display
from kidtui.interrupts import Interrupts
from kidtui.launch import Engine
from kidtui.watch import Event, View, fold

INTERRUPTED = 130
_POLL_SECONDS = 0.1
_EXIT_SECONDS = 10.0


def run_to_end(run: Run, *, as_json: bool = False, processes: int | None = None) -> int:
    """Start a run's engine and follow it until it ends; the exit code that says how it did.

    The first Ctrl-C asks for a clean stop and waits for it, the second kills the engine.

    Args:
        processes: as launch.start takes it.

    Raises:
        KidError: the engine cannot be started, or ended before its first event.
    """
    with interrupts.counted() as pressed:
        engine = launch.start(run, processes=processes)
        try:
            with open_display(as_json=as_json) as display:
                display.say(f"run {run.id}  {run.path}")
                view = _watch(engine, pressed, display, as_json)
        except BrokenPipeError:
            console.note(f"nobody reads on; the run goes on: kid runs logs -f {run.id} follows it")
            raise
    if view.end is None and pressed.count >= 2:
        console.note(f"killed; {_resume_hint(run)}")
        return INTERRUPTED
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


def _watch(engine: Engine, pressed: Interrupts, display: Display, as_json: bool) -> View:
    """Show a run's events until there are no more."""
    reader = EventReader(engine.run, engine.generation)
    view = View()
    asked = False
    while True:
        ended = engine.process.poll() is not None  # before reading: its last events are then all there
        for event in reader.poll():
            view = fold(view, event)
            _tell(event, display, as_json)
        display.show(view)
        if view.end is not None and not ended:
            with suppress(subprocess.TimeoutExpired):
                engine.process.wait(_EXIT_SECONDS)  # so that whoever looks next finds it ended
            return view
        if ended:
            return view
        if pressed.count >= 2:
            engine.kill()
        elif pressed.count == 1 and not asked:
            asked = True
            display.say("stopping after this step, with a checkpoint; Ctrl-C again ends it at once")
            with suppress(RunError):  # it has just ended by itself
                runs.request(engine.run, "stop")
        else:
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
        at = f" at step {narrate.count(view.step['step'])}" if view.step else ""
        console.error(
            {
                "message": f"run {run.id}: its engine {how(engine.process.returncode)}{at}",
                "mend": _resume_hint(run),
            }
        )
        if words := engine.last_words():
            console.note(f"the end of {run.path / 'err.log'}:\n{words}")
        return 1
    if view.end["state"] == "failed":
        failure = view.end.get("error") or {"message": f"run {run.id} failed", "exit_code": 1}
        console.error(failure)
        return int(failure["exit_code"])
    if view.end["state"] == "stopped":
        at = (
            f" at step {narrate.count(view.end['step'])}"
            if view.end.get("step")
            else " before the first step"
        )
        console.note(f"stopped{at}; {_resume_hint(run)}")
        return INTERRUPTED
    if not as_json and (run.path / "report.md").exists():
        console.markdown((run.path / "report.md").read_text("utf-8"))
    console.note(f"done: {run.path}")
    return 0


def _silent_end(engine: Engine) -> KidError:
    code = engine.process.returncode
    failure = KidError(
        f"the engine of run {engine.run.id} {how(engine.process.returncode)} before it began",
        engine.last_words(),
    )
    if code in (2, 3, 4, 5):
        failure.exit_code = code
    return failure


def how(code: int) -> str:
    """How a process with this return code ended."""
    if code == -signal.SIGKILL:
        return "was killed (by hand, or by the system because memory ran out)"
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def _resume_hint(run: Run) -> str:
    return f"kid distill --resume {run.id} goes on from the last checkpoint"
