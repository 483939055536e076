"""Every run there is, in a line each: cheap to ask for again and again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import paths
from engine.errors import RunError
from engine.runs import LIVE_STATES, Run
from kidtui.series import is_number

_WATCHED = ("status.json", "launch.json", "report.json")
_SIGNS = ("run.json", "status.json")  # of a folder that is a run, damaged perhaps

Mark = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A run at a glance. Times in seconds; `created` since 1970.

    Attributes:
        state: as `Run.status` tells it; "lost" where it cannot be read.
        ex: the student's EX, from the report.
        quiet_s: since the last event; of an ended run, when it was last read.
        problem: why it cannot be read, "" if it can.
        step_ms: milliseconds of a step, the mean.
    """

    id: str
    path: Path
    profile: str
    state: str
    created: float
    step: int | None
    total_steps: int | None
    loss: float | None
    ex: float | None
    eta_s: float | None
    phase: str
    generation: int
    pid: int | None
    quiet_s: float
    problem: str
    step_ms: float | None = None
    epoch: int | None = None


class Board:
    """All runs. One that has ended is not read again until one of its files changes."""

    def __init__(self) -> None:
        self.problem = ""
        """Why the folder of runs cannot be listed, "" if it can."""
        self._rows: tuple[Row, ...] = ()
        self._kept: dict[str, tuple[Mark, Row]] = {}
        self._infos: dict[str, tuple[Mark, dict[str, Any]]] = {}

    def refresh(self) -> tuple[Row, ...]:
        """Every run, newest first. Where the folder cannot be listed: those of before."""
        try:
            with os.scandir(paths.runs_dir()) as entries:
                found = [(marks, entry) for entry in entries if any(marks := _mark(entry.path, _SIGNS))]
        except FileNotFoundError:
            found = []
        except OSError as error:
            self.problem = f"cannot read {paths.runs_dir()}: {error.strerror}"
            return self._rows
        self.problem = ""
        dated = [
            (marks[:1], entry.name, entry.path) for marks, entry in found if not entry.name.startswith(".")
        ]
        dated.sort(key=lambda one: (one[0][0] or (), one[1]), reverse=True)
        self._infos = {name: self._infos[name] for _, name, _ in dated if name in self._infos}
        self._kept = {name: self._kept[name] for _, name, _ in dated if name in self._kept}
        self._rows = tuple(self._row(name, path, mark) for mark, name, path in dated)
        return self._rows

    def _row(self, name: str, path: str, info_mark: Mark) -> Row:
        mark = info_mark + _mark(path, _WATCHED)
        kept_mark, kept = self._kept.get(name, (None, None))
        if kept is not None and kept_mark == mark:
            return kept
        run = Run(name, Path(path))
        try:
            row = _read(run, self._info(run, info_mark))
        except RunError as error:
            return _broken(run, error.message)
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            OSError,
        ) as error:
            return _broken(run, f"run.json or status.json is damaged: {type(error).__name__}: {error}")
        if row.state not in LIVE_STATES:
            self._kept[name] = (mark, row)
        return row

    def _info(self, run: Run, mark: Mark) -> dict[str, Any]:
        """run.json, which never changes while it is the same file."""
        if run.id not in self._infos or self._infos[run.id][0] != mark:
            info = run.info()
            kept = {"profile": {"name": str(info["profile"]["name"])}, "created": info["created"]}
            self._infos[run.id] = (mark, kept)
        return self._infos[run.id][1]


def _read(run: Run, info: dict[str, Any]) -> Row:
    status = run.status()
    return Row(
        id=run.id,
        path=run.path,
        profile=info["profile"]["name"],
        state=str(status["state"]),
        created=_number(info["created"]) or 0.0,
        step=_whole(status.get("step")),
        total_steps=_whole(status.get("total_steps")),
        loss=_number(status.get("loss")),
        ex=_number(_of(_of(_report(run), "ex"), "student")),
        eta_s=_number(status.get("eta_s")),
        phase=str(status.get("phase") or ""),
        generation=_whole(status.get("generation")) or 0,
        pid=_whole(status.get("pid")),
        quiet_s=_number(status.get("quiet_s")) or 0.0,
        problem="",
        step_ms=_number(status.get("step_ms")),
        epoch=_whole(status.get("epoch")),
    )


def _report(run: Run) -> dict[str, Any] | None:
    """A damaged report hides its score alone."""
    try:
        return run.report()
    except (RunError, RecursionError):
        return None


def _broken(run: Run, problem: str) -> Row:
    return Row(run.id, run.path, "", "lost", 0.0, None, None, None, None, None, "", 0, None, 0.0, problem)


def _mark(folder: str, names: tuple[str, ...]) -> Mark:
    """What tells that a file is another than before, for each; None for one that is not there."""
    marks: list[tuple[int, int, int] | None] = []
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(marks)


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _number(value: Any) -> float | None:
    return value if is_number(value) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
