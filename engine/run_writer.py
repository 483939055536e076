"""The trainer's pen: the one process that writes a run's events and status."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from engine import files
from engine.errors import KidError, RunError, describe
from engine.runs import END_STATES, REQUESTS, Run, process_mark

log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 0.8  # status.json is promised to be at most 1 s old
_RESERVE_BYTES = 2**15


class RunWriter:
    """Writes the next generation of a run's events, and its status.json every second.

    Use it as a context manager, or end it with `finish`: leaving the block by an
    exception finishes the run as failed.

    Raises:
        RunError: another process writes this run.
        KidError: the disk is full (from every method that writes).
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._finishing = threading.Lock()
        self._heartbeat_error: BaseException | None = None
        self._lock = self._take_lock()
        try:
            self.generation = run.next_generation()
            self._path = run.events_path(self.generation)
            self._clear_stale_requests()
            self._clear_leftovers()
            # Room that is given back at the end: on a disk that is full by then, the run can still say so.
            files.write_text(self.run.path / ".reserve", " " * _RESERVE_BYTES)
            now = time.time()
            self._status: dict[str, Any] = {
                "v": 1,
                "state": "starting",
                "generation": self.generation,
                **process_mark(),
                "updated": now,
                "last_event": now,
            }
            self._events = _open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
            self._write_status()
        except BaseException:
            os.close(self._lock)
            raise
        self._heartbeat = threading.Thread(target=self._beat, name="kid-heartbeat", daemon=True)
        self._heartbeat.start()

    def event(self, kind: str, **fields: Any) -> None:
        """Append one event; numbers that are not finite become null."""
        self._raise_heartbeat_error()
        now = time.time()
        line = json.dumps({"v": 1, "kind": kind, "time": now, **_plain(fields)}, ensure_ascii=False)
        with self._mutex:
            self._append(line.encode() + b"\n")
            self._status["last_event"] = now

    def update(self, **fields: Any) -> None:
        """Set fields of status.json; on disk within a second, a new `state` at once."""
        self._raise_heartbeat_error()
        with self._mutex:
            changed = fields.get("state", self._status["state"]) != self._status["state"]
            self._status.update(_plain(fields))
            if changed:
                self._write_status()

    def requested(self) -> set[str]:
        """What the user has asked for: any of "stop" and "pause"."""
        control = self.run.path / "control"
        return {name for name in REQUESTS if (control / name).exists()}

    def clear(self, name: str) -> None:
        """Take a request back, once it is dealt with."""
        (self.run.path / "control" / name).unlink(missing_ok=True)

    def finish(self, state: str, error: BaseException | None = None) -> None:
        """Write the run_end event and the last status, and let the run go. The second call does nothing."""
        assert state in END_STATES, state
        with self._finishing:  # a thread that must end the process waits for an end that is being written
            if not self._closing.is_set():
                self._finish(state, error)

    def _finish(self, state: str, error: BaseException | None) -> None:
        self._closing.set()
        self._heartbeat.join()
        self._heartbeat_error = None  # if the disk is still full, the next line says so
        told = describe(error) if error else None
        try:
            (self.run.path / ".reserve").unlink(missing_ok=True)
            self.event("run_end", state=state, step=self._status.get("step"), error=told)
            self._status |= {"state": state, "error": told}
            self._write_status()
            for name in REQUESTS:
                self.clear(name)
        finally:
            os.close(self._events)
            os.close(self._lock)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.finish("failed", error)

    def _take_lock(self) -> int:
        """An exclusive lock on the run, held until this process ends; the file names who holds it."""
        path = self.run.path / "lock"
        handle = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            files.write_all(handle, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            holder = os.read(handle, 20).decode().strip() or "unknown"
            os.close(handle)
            raise RunError(
                f"run {self.run.id} is already being written by process {holder}",
                f"kid runs logs -f {self.run.id} follows it; kid runs stop {self.run.id} ends it",
            ) from None
        except OSError as error:
            os.close(handle)
            raise files.write_error(path, error) from error
        return handle

    def _clear_stale_requests(self) -> None:
        """A request that is older than this process was meant for a generation that is gone."""
        started = psutil.Process().create_time() - 2.0  # its clock is coarse
        for name in REQUESTS:
            path = self.run.path / "control" / name
            if path.exists() and path.stat().st_mtime < started:
                self.clear(name)

    def _clear_leftovers(self) -> None:
        """What engines that were killed had half written; launch.json is a front end's to write."""
        for leftover in self.run.path.glob(".*.[0-9]*.[0-9]*"):
            if not leftover.name.startswith(".launch.json."):
                leftover.unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        before = os.fstat(self._events).st_size
        try:
            files.write_all(self._events, line)
        except OSError as error:
            os.ftruncate(self._events, before)  # no half line stays
            raise files.write_error(self._path, error) from error

    def _write_status(self) -> None:
        self._status["updated"] = time.time()
        files.write_json(self.run.path / "status.json", self._status)

    def _beat(self) -> None:
        while not self._closing.wait(_HEARTBEAT_SECONDS):
            try:
                with self._mutex:
                    self._write_status()
            except KidError as error:
                self._heartbeat_error = error

    def _raise_heartbeat_error(self) -> None:
        """A failure of the heartbeat is the trainer's to hear: it stops, with the reason in its run_end."""
        if self._heartbeat_error is not None:
            raise self._heartbeat_error


class SilentWriter(RunWriter):
    """The pen of a process that is not the main one: it writes nothing, but logs what would be a warning."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def event(self, kind: str, **fields: Any) -> None:
        if kind == "warning":
            log.warning("%s", fields["message"])

    def update(self, **fields: Any) -> None:
        pass

    def finish(self, state: str, error: BaseException | None = None) -> None:
        pass


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise files.write_error(path, error) from error


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: finite numbers or null, no tensors, no paths."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if hasattr(value, "item"):  # a number of numpy or torch
        return _plain(value.item())
    return str(value)
