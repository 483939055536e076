"""Follow a run's events while they are written."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from pydantic_core import from_json

from engine.errors import RunError
from engine.runs import Run

_MAX_LINE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class EventReader:
    """Reads a run's events in order, over all generations, each once.

    A half line at the end is not yet there. A line that is no event, holds NaN or Infinity, or is
    longer than 16 MiB is skipped and counted in `num_skipped`. Each event gets its `generation`. A file
    that has become shorter, or another one, is read from its start again: `num_restarts` counts that.

    Args:
        run: the run to follow.
        generation: the first generation to read; default all.
        offset: the byte to begin at in it: the start of a line.
    """

    def __init__(self, run: Run, generation: int = 1, offset: int = 0) -> None:
        self._run = run
        self._generation = generation
        self._offset = offset
        self._inode: int | None = None
        self._in_long_line = False
        self._half_line: tuple[int, ...] | None = None
        self.num_skipped = 0
        self.num_restarts = 0
        self.behind = False
        """Whether the last `poll` left something because of its `max_bytes`."""

    @property
    def position(self) -> tuple[int, int]:
        """Generation and byte at which the next event begins."""
        return self._generation, self._offset

    def poll(self, max_bytes: int | None = None) -> list[dict[str, Any]]:
        """The events that are new since the last call, oldest first.

        Args:
            max_bytes: about how much is read at most; a line is read whole. Default: all there is.

        Raises:
            RunError: the run's directory is gone, or its events cannot be read.
        """
        events: list[dict[str, Any]] = []
        generations = self._run.generations()
        if not generations and not self._run.path.is_dir():
            raise RunError(f"the directory of run {self._run.id} is gone", "kid runs list shows the others")
        left = max_bytes
        for generation in generations:
            if generation < self._generation:
                continue
            if generation > self._generation:
                self._generation, self._offset, self._inode = generation, 0, None
                self._in_long_line = False
            self.behind = True
            while self.behind and (left is None or left > 0):
                most = _CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES)
                events += self._parse(self._read(most))
                if left is not None:
                    left -= most
            if self.behind:
                break
        return events

    def _read(self, most: int) -> bytes:
        """The next whole lines of the generation, of about so many bytes at most."""
        path = self._run.events_path(self._generation)
        self.behind = False
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._offset or self._inode not in (None, status.st_ino):
                    self._offset, self._in_long_line = 0, False
                    self.num_restarts += 1
                self._inode = status.st_ino
                mark = (self._offset, status.st_size, status.st_mtime_ns)
                if mark == self._half_line:  # not a byte more of it
                    return b""
                file.seek(self._offset)
                lines = self._whole_lines(file, most)
                self.behind = file.tell() < status.st_size
                self._half_line = None if lines or self.behind else mark
                return lines
        except FileNotFoundError:  # it went between being listed and being opened
            return b""
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}", "check its permissions") from error

    def _whole_lines(self, file: BinaryIO, most: int) -> bytes:
        fresh = file.read(most)
        end = fresh.rfind(b"\n") + 1
        while not end and len(fresh) <= _MAX_LINE_BYTES and (more := file.read(_CHUNK_BYTES)):
            fresh += more
            end = fresh.rfind(b"\n") + 1
        if not end and (self._in_long_line or len(fresh) > _MAX_LINE_BYTES):
            self._offset += len(fresh)
            self.num_skipped += not self._in_long_line
            self._in_long_line = True
            return b""
        self._offset += end
        start = 0
        if end and self._in_long_line:
            start = fresh.find(b"\n") + 1  # the rest of what was skipped
            self._in_long_line = False
        return fresh[start:end]

    def _parse(self, lines: bytes) -> list[dict[str, Any]]:
        if not lines:
            return []
        values = _parse_at_once(lines)
        if values is None:
            values = [_parse_line(line) for line in lines.splitlines()]
        events = []
        for event in values:
            if isinstance(event, dict) and isinstance(event.get("kind"), str):
                event["generation"] = self._generation
                events.append(event)
        self.num_skipped += len(values) - len(events)
        return events


def _parse_at_once(lines: bytes) -> list[Any] | None:
    """One value a line, for half the price; None where a line is no JSON."""
    try:
        values: list[Any] = from_json(b"[" + lines[:-1].replace(b"\n", b",") + b"]", allow_inf_nan=False)
    except ValueError:
        return None
    return values if len(values) == lines.count(b"\n") else None


def _parse_line(line: bytes) -> Any:
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError:
        return None
