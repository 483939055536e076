"""Runs: one directory each, the only thing that the trainer and the screens share.

    run.json                    what the run is made from; never changed
    status.json                 where it stands; rewritten every second by the trainer
    events.<generation>.jsonl   what happened; a resumed run starts the next generation
    control/                    requests to stop or pause
    out.log  err.log            what the engine printed
    checkpoints/  student/  predictions-before.jsonl  predictions.jsonl  report.json  report.md

Writing events is in `engine.run_writer`, reading them in `engine.event_reader`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from engine import files, paths, provenance
from engine.errors import RunError, UsageError, nearest
from engine.profile import Profile

LIVE_STATES = frozenset({"starting", "running", "paused", "stopping"})
END_STATES = frozenset({"done", "stopped", "failed"})
REQUESTS = frozenset({"stop", "pause"})

# Between `create` and the engine's first word a run has no process to ask; after this long it never started.
_START_SECONDS = 60.0
# status.json of a run on another machine (a shared disk) is the only sign of life there is.
_HEARTBEAT_SECONDS = 30.0
_LAST_WORDS_BYTES = 2**16  # a run_end event is shorter; the events before it may be hundreds of megabytes


@dataclass(frozen=True, slots=True)
class Run:
    """A run on disk."""

    id: str
    path: Path

    def info(self) -> dict[str, Any]:
        """run.json: argv, resolved profile, versions, machine; never changes."""
        info = _read_json(self.path / "run.json")
        if not isinstance(info.get("profile"), dict) or not isinstance(info.get("cwd"), str):
            raise RunError(
                f"run.json of run {self.id} is damaged: it names no profile or folder",
                "kid runs remove deletes a broken run",
            )
        return info

    def profile(self) -> Profile:
        """The profile that the run was created with."""
        return Profile.model_validate(self.info()["profile"])

    def status(self) -> dict[str, Any]:
        """status.json with what only a reader can tell.

        `state` is "lost" when the process is gone without a word; `quiet_s` are the
        seconds since the last event.
        """
        try:
            return self._status()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"status.json or launch.json of run {self.id} is damaged: {type(error).__name__}: {error}",
                "kid runs remove deletes a broken run",
            ) from error

    def _status(self) -> dict[str, Any]:
        status = _read_json(self.path / "status.json")
        launched = self._launched()
        if launched is not None and launched["generation"] > status["generation"] and is_alive(launched):
            # An engine that has not yet opened its events.
            status = {**status, **launched, "state": "starting"}
        elif status["state"] in LIVE_STATES:
            status["state"] = self._live_state(status, launched)
        status["quiet_s"] = max(0.0, time.time() - status["last_event"])
        return status

    def report(self) -> dict[str, Any] | None:
        """report.json, once the run is done."""
        path = self.path / "report.json"
        return _read_json(path) if path.exists() else None

    def next_generation(self) -> int:
        """The generation that the next engine of this run will write."""
        return max(self.generations(), default=0) + 1

    def generations(self) -> list[int]:
        """The generations that have events, ascending."""
        numbers = (file.name.split(".")[1] for file in self.path.glob("events.*.jsonl"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def events_path(self, generation: int) -> Path:
        return self.path / f"events.{generation}.jsonl"

    def _launched(self) -> dict[str, Any] | None:
        """The process that a front end has started for this run, if one has."""
        path = self.path / "launch.json"
        return _read_json(path) if path.exists() else None

    def _live_state(self, status: dict[str, Any], launched: dict[str, Any] | None) -> str:
        state = str(status["state"])
        if status.get("pid") is None:
            waiting = launched is None and time.time() - status["updated"] < _START_SECONDS
            return state if waiting else "lost"
        if is_alive(status):
            return state
        return self._last_words() or "lost"

    def _last_words(self) -> str | None:
        """The state that the newest generation ended with, if it said so before it went."""
        generations = self.generations()
        if not generations:
            return None
        with self.events_path(generations[-1]).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
            lines = file.read().splitlines()[-1:]
        try:
            event = json.loads(lines[0]) if lines else {}
        except ValueError:
            return None
        return str(event["state"]) if event.get("kind") == "run_end" else None


def create(
    profile: Profile,
    argv: Sequence[str],
    run_id: str | None = None,
    data_dir: Path | None = None,
    sweep: dict[str, str] | None = None,
) -> Run:
    """A new run directory, whole or not there.

    Args:
        profile: the resolved profile.
        argv: the command line that asked for it.
        run_id: a chosen id; left out: the profile's name and four hex digits.
        data_dir: where data sets are looked for first, as given by --data-dir.
        sweep: of a sweep's cell: the sweep's `id` and the cell's `label`.

    Raises:
        RunError: the id is taken, or the runs folder cannot be written.
        KidError: the disk is full.
    """
    root = paths.runs_dir()
    now = time.time()
    info = {
        "v": 1,
        "created": now,
        "argv": list(argv),
        "cwd": str(Path.cwd()),
        "data_dir": str(data_dir.expanduser().absolute()) if data_dir is not None else None,
        "profile": profile.model_dump(mode="json"),
        **({"sweep": sweep} if sweep else {}),
        **provenance.record(),
    }
    status = {"v": 1, "state": "starting", "generation": 0, "updated": now, "last_event": now, "pid": None}
    try:
        root.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
    except OSError as error:
        raise RunError(
            f"cannot write the runs folder {root}: {error.strerror}",
            "check its permissions, or set KID_HOME to a folder you can write",
        ) from error
    try:
        building.chmod(0o755)
        (building / "control").mkdir()
        files.write_json(building / "status.json", status)
        for _ in range(1 if run_id else 100):
            chosen = run_id or f"{profile.name}-{secrets.token_hex(2)}"
            files.write_json(building / "run.json", {"id": chosen, **info}, sync=True)
            target = root / chosen
            try:
                # Fails when the target is a directory with anything in it, as every run is.
                building.rename(target)
            except OSError as error:
                if not target.exists():
                    raise files.write_error(target, error) from error
            else:
                return Run(chosen, target)
        raise RunError(f"there is already a run '{run_id or profile.name}'", "choose another id")
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def find(ref: str | Path) -> Run:
    """The run of that id, unambiguous start of an id, or directory.

    Raises:
        RunError: there is none, or more than one.
    """
    text = os.fspath(ref)
    path = Path(text).expanduser()
    if isinstance(ref, Path) or os.sep in text:
        if (path / "run.json").is_file():
            return Run(path.resolve().name, path.resolve())
        raise RunError(f"{path} is not a run directory", "kid runs list shows what there is")
    runs = {run.id: run for run in all_runs()}
    if text in runs:
        return runs[text]
    matches = [run for name, run in runs.items() if text and name.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(
            f"'{text}' could be any of {', '.join(run.id for run in matches)}", "give more of the id"
        )
    mend = nearest(text, list(runs)[:50]) if runs else "kid distill starts the first one"
    raise RunError(f"there is no run '{text}'", mend)


def all_runs() -> list[Run]:
    """Every run, newest first."""
    root = paths.runs_dir()
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if not path.name.startswith(".")]
    dated = [(path / "run.json", path) for path in found if (path / "run.json").is_file()]
    dated.sort(key=lambda pair: (pair[0].stat().st_mtime_ns, pair[1].name), reverse=True)
    return [Run(path.name, path) for _, path in dated]


def request(run: Run, what: str) -> None:
    """Ask the trainer to "stop" or "pause" at the next step boundary, or to "resume" from a pause.

    Raises:
        RunError: the run is not alive.
        UsageError: "resume" without a pause.
    """
    state = run.status()["state"]
    if state not in LIVE_STATES:
        mend = "" if state == "done" else f"kid distill --resume {run.id} takes it up again"
        raise RunError(f"run {run.id} is {state}", mend)
    control = run.path / "control"
    if what == "resume":
        if not (control / "pause").exists():
            raise UsageError(f"run {run.id} is not paused")
        (control / "pause").unlink(missing_ok=True)
        return
    assert what in REQUESTS, what
    control.mkdir(exist_ok=True)
    files.write_text(control / what, f"{time.time()}\n")


def remove(run: Run) -> None:
    """Delete a run's directory.

    Raises:
        RunError: it is running, or cannot be deleted.
    """
    try:
        status = run.status()
    except RunError:
        # Broken: whether somebody still writes it, only the lock can tell.
        status = {"state": "running" if _is_locked(run) else "lost"}
    if status["state"] in LIVE_STATES:
        raise RunError(
            f"run {run.id} is {status['state']} (pid {status.get('pid')})", f"kid runs stop {run.id} first"
        )
    try:
        # Out of sight first: a half-deleted run is never listed.
        hidden = run.path.with_name(f".removed-{run.id}-{secrets.token_hex(2)}")
        run.path.rename(hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        raise RunError(f"cannot remove {run.path}: {error.strerror}", "check its permissions") from error


def process_mark(pid: int | None = None) -> dict[str, Any]:
    """What tells a process (default: this one) from a later one with the same number."""
    process = psutil.Process(pid)
    return {"pid": process.pid, "pid_created": _created(process), "host": socket.gethostname()}


def is_alive(mark: dict[str, Any]) -> bool:
    """Whether the process of a `process_mark` still runs."""
    if mark.get("host") != socket.gethostname():
        return bool(time.time() - mark.get("updated", 0.0) < _HEARTBEAT_SECONDS)
    try:
        process = psutil.Process(mark["pid"])
        same = abs(_created(process) - mark["pid_created"]) < 2.0  # whole seconds on some systems
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _created(process: psutil.Process) -> float:
    """Seconds from the start of the machine to that of a process: setting the clock does not change them."""
    return process.create_time() - psutil.boot_time()


def _is_locked(run: Run) -> bool:
    """Whether a RunWriter holds the run."""
    try:
        with (run.path / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}", "kid runs remove deletes a broken run") from error
    if not isinstance(value, dict):
        raise RunError(f"cannot read {path}: not a JSON object", "kid runs remove deletes a broken run")
    return value
