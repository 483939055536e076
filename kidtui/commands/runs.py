"""`kid runs`: what ran, where it is, and what to ask of it."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kidtui.commands.group import group
from kidtui.commands.options import Json

if TYPE_CHECKING:
    from engine.runs import Run
    from kidtui.board import Row

Which = Annotated[str, typer.Argument(metavar="RUN", help="Id, start of an id, or directory.")]
WhichOrNewest = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Id, start of an id, or directory. Default: the newest.")
]

_FOLLOW_SECONDS = 0.3

app = group("runs", "What ran, and where it is.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every run, newest first."""
    from engine.errors import RunError
    from kidtui import console, narrate, states
    from kidtui.board import Board

    board = Board()
    found = [_summary(row) for row in board.refresh()]
    if board.problem:
        raise RunError(board.problem, "check its permissions")
    if as_json:
        console.data_json(found)
        return
    if not found:
        console.note("no runs yet; kid distill starts one")
        return
    rows = [
        (
            states.GLYPHS.get(one["state"], "?"), one["id"], _state(one), _steps(one),
            narrate.number(one.get("loss")), narrate.number(one.get("ex")),
            _when(one.get("created")), one.get("problem") or "",
        )
        for one in found
    ]  # fmt: skip
    console.table(rows, ("", "run", "state", "step", "loss", "EX", "created", ""))


@app.command()
def show(which: WhichOrNewest = None, as_json: Json = False) -> None:
    """Where a run stands, what it is made of, its report."""
    from kidtui import console, narrate

    run = _find(which)
    info, status = run.info(), run.status()
    if as_json:
        console.data_json({"id": run.id, "path": str(run.path), "status": status, "info": info})
        return
    facts = {
        "run": run.id,
        "path": run.path,
        "state": _state(status),
        "step": _steps(status),
        "loss": narrate.number(status.get("loss")),
        "eta": narrate.duration(status.get("eta_s")),
        "pid": status.get("pid"),
        "generation": status.get("generation"),
        "created": _when(info["created"]),
        "command": " ".join(info["argv"]),
    }
    for name, value in facts.items():
        console.data(f"{name:<11} {value}")
    if error := status.get("error"):
        console.data(f"{'error':<11} {error['message']}\n{'':<11} {error['mend']}")
    if (run.path / "report.md").exists():
        console.data("")
        console.markdown((run.path / "report.md").read_text("utf-8"))
    if status["state"] in ("lost", "stopped", "failed"):
        console.note(f"kid distill --resume {run.id} goes on from the last checkpoint")


@app.command()
def logs(
    which: WhichOrNewest = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    out: Annotated[bool, typer.Option("--out", help="What the engine printed (out.log).")] = False,
    err: Annotated[bool, typer.Option("--err", help="What the engine complained of (err.log).")] = False,
    as_json: Json = False,
) -> None:
    """What happened in a run: its events, one line each; with --json as they are."""
    from engine import runs
    from engine.errors import UsageError
    from engine.event_reader import EventReader
    from kidtui import console, narrate

    if out + err + as_json > 1:
        raise UsageError("--out, --err and --json exclude each other")
    run = _find(which)
    if out or err:
        _follow_file(run, run.path / ("out.log" if out else "err.log"), follow)
        return
    reader = EventReader(run)
    while True:
        # Before reading: the last events are then all there.
        alive = run.status()["state"] in runs.LIVE_STATES
        for event in reader.poll():
            if as_json:
                console.data_json(event, lines=True)
            elif words := narrate.event(event):
                console.data(f"{_clock(event.get('time'))}  {words}")
        if not follow or not alive:
            return
        time.sleep(_FOLLOW_SECONDS)


@app.command()
def stop(
    which: Which,
    now: Annotated[
        bool, typer.Option("--now", help="Kill it: what it did since the last checkpoint is lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask a run to end after this step, with a checkpoint."""
    if now:
        from kidtui import launch

        run = _find(which)
        pid = launch.kill(run)
        _asked(run, "kill", f"run {run.id} (pid {pid}) is killed", as_json)
        return
    _request(which, "stop", "stops after this step, with a checkpoint", as_json)


@app.command()
def pause(which: Which, as_json: Json = False) -> None:
    """Hold a run at the next step; it keeps its memory."""
    _request(which, "pause", "pauses after this step; kid runs resume lets it go on", as_json)


@app.command()
def resume(which: Which, as_json: Json = False) -> None:
    """Let a paused run go on. (A run that has ended: kid distill --resume RUN.)"""
    _request(which, "resume", "goes on", as_json)


@app.command()
def remove(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a run: its directory with checkpoints, student and report."""
    from engine import runs
    from engine.errors import KidError, UsageError

    run = _find(which)
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask whether to delete it", "--yes deletes without asking")
    if not yes and not typer.confirm(f"delete run {run.id} in {run.path}?", err=True):
        raise KidError(f"run {run.id} is kept")
    runs.remove(run)
    _asked(run, "remove", f"run {run.id} is removed", as_json)


def _request(which: str, what: str, promise: str, as_json: bool) -> None:
    from engine import runs

    run = _find(which)
    runs.request(run, what)
    _asked(run, what, f"run {run.id} {promise}", as_json)


def _asked(run: Run, what: str, words: str, as_json: bool) -> None:
    from kidtui import console

    if as_json:
        console.data_json({"id": run.id, "asked": what})
    else:
        console.note(words)


def _find(which: str | None) -> Run:
    from engine import runs
    from engine.errors import RunError

    if which is not None:
        return runs.find(which)
    newest = runs.all_runs()[:1]
    if not newest:
        raise RunError("there are no runs yet", "kid distill starts one")
    return newest[0]


def _summary(row: Row) -> dict[str, Any]:
    """A run for the list; of one that cannot be read, the reason."""
    told = {**asdict(row), "path": str(row.path)}
    if row.problem:
        return {name: told[name] for name in ("id", "path", "state", "problem")}
    return {name: value for name, value in told.items() if name != "problem"}


def _state(status: dict[str, Any]) -> str:
    from kidtui import states

    return states.word(status["state"], status.get("quiet_s") or 0.0)


def _steps(status: dict[str, Any]) -> str:
    from kidtui.narrate import count

    if status.get("step") is None and status["state"] in ("starting", "running"):
        return str(status.get("phase") or "–")
    if status.get("step") is None and status.get("total_steps") is None:
        return "–"
    return f"{count(status.get('step'))}/{count(status.get('total_steps'))}"


def _when(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "–"


def _clock(seconds: float | None) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds else "–"


def _follow_file(run: Run, path: Path, follow: bool) -> None:
    """The file as it is, and with `follow` as it grows until the run ends."""
    from engine import runs

    if not path.exists():
        return
    with path.open("rb") as file:
        while True:
            alive = run.status()["state"] in runs.LIVE_STATES
            sys.stdout.buffer.write(file.read())
            sys.stdout.flush()
            if not follow or not alive:
                return
            time.sleep(_FOLLOW_SECONDS)
