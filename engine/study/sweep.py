"""A sweep on disk: its cells, which run each became, where it stands.

sweeps/<id>/sweep.json            everything; rewritten whole at each change
            table.md  table.json  figures/  trials.journal
            lock                  held by the process that works on it
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine import files, paths, runs
from engine.errors import RunError, nearest
from engine.profile import Profile
from engine.runs import Run
from engine.study.sweep_file import Cell, Definition, profile_of

# A cell waits, runs, and is then as its run is. A run that went without a word is `lost`.
UNFINISHED = frozenset({"waiting", "running", "stopped", "lost"})

_STUDENT_KEYS = ("student.", "teacher.", "train.seed")


@dataclass
class Entry:
    """A cell, or the warm start of cells, as the sweep remembers it.

    Attributes:
        overrides: dotted keys on top of the sweep's base.
        run: the id of its run, which is made when its turn comes.
        warm: which of the sweep's warm starts it begins from.
        trial: its number in a search.
        problem: why it failed.
    """

    label: str
    overrides: dict[str, Any]
    run: str
    state: str = "waiting"
    warm: int | None = None
    trial: int | None = None
    problem: str = ""

    @property
    def made(self) -> Run:
        """Its run, which need not be there yet."""
        return Run(self.run, paths.runs_dir() / self.run)

    @property
    def has_run(self) -> bool:
        return (self.made.path / "run.json").is_file()

    def reached(self) -> float | None:
        """The EX of its trained student, from the run's report.

        Raises:
            RunError: the report cannot be read.
        """
        report = self.made.report() or {}
        ex = report.get("ex", {}).get("student")
        return float(ex) if isinstance(ex, int | float) else None


@dataclass
class Sweep:
    """A sweep and its state. `save` after every change."""

    id: str
    created: float
    argv: list[str]
    cwd: str
    data_dir: str | None
    fingerprint: str
    base: dict[str, Any]
    warm_steps: int
    jobs: int
    launch: dict[str, Any]
    search: dict[str, Any] | None
    cells: list[Entry] = field(default_factory=list)
    warm_starts: list[Entry] = field(default_factory=list)
    v: int = 1

    @property
    def path(self) -> Path:
        return paths.sweeps_dir() / self.id

    def save(self) -> None:
        """Write sweep.json, whole.

        Raises:
            KidError: the disk is full, or the folder cannot be written.
        """
        files.write_json(self.path / "sweep.json", asdict(self))

    def add(self, cell: Cell, trial: int | None = None) -> Entry:
        """One more cell, and the warm start that it begins from where there is none like it yet."""
        number = len(self.cells) + 1
        run = f"{self.id}-{number:02d}-{_slug(cell.label) if trial is None else 'trial'}"
        entry = Entry(cell.label, cell.overrides, run, trial=trial, warm=self._warm_start(cell))
        self.cells.append(entry)
        return entry

    def profile(self, entry: Entry) -> Profile:
        """The profile that the entry's run is made from."""
        where = f"sweep {self.id}: '{entry.label}'"
        if entry in self.warm_starts:
            return warm_profile(profile_of(self.base, entry.overrides, where), self.warm_steps)
        profile = self.plain_profile(entry)
        if entry.warm is None:
            return profile
        model = f"run:{self.warm_starts[entry.warm].run}"
        return Profile.model_validate(
            profile.model_dump()
            | {
                "student": profile.student.model_dump()
                | {"model": model, "adapter": None, "keep_layers": None, "init": "pretrained"}
            }
        )

    def plain_profile(self, entry: Entry) -> Profile:
        """The same, but for the student that the warm start made."""
        return profile_of(self.base, entry.overrides, f"sweep {self.id}: '{entry.label}'")

    def counts(self) -> dict[str, int]:
        """How many cells are in which state."""
        return dict(Counter(cell.state for cell in self.cells))

    @property
    def finished(self) -> bool:
        """Whether no cell is left to do. One that failed is not."""
        wanted = self.search["trials"] if self.search else 0
        return len(self.cells) >= wanted and not any(cell.state in UNFINISHED for cell in self.cells)

    def runs(self) -> list[Run]:
        """The cells' runs that are there, in the cells' order."""
        return [cell.made for cell in self.cells if cell.has_run]

    def _warm_start(self, cell: Cell) -> int | None:
        if not self.warm_steps:
            return None
        overrides = {key: value for key, value in cell.overrides.items() if key.startswith(_STUDENT_KEYS)}
        for number, known in enumerate(self.warm_starts):
            if known.overrides == overrides:
                return number
        number = len(self.warm_starts)
        label = "warm start" + (f" {number + 1}" if number else "")
        self.warm_starts.append(Entry(label, overrides, f"{self.id}-warm-{number + 1}"))
        return number


def create(
    definition: Definition, cells: Sequence[Cell], argv: Sequence[str], data_dir: Path | None
) -> Sweep:
    """A new sweep on disk, with these cells waiting.

    Raises:
        RunError: the folder cannot be written.
        KidError: the disk is full.
    """
    sweep = Sweep(
        id=f"{_slug(definition.name)}-{secrets.token_hex(2)}",
        created=time.time(),
        argv=list(argv),
        cwd=str(Path.cwd()),
        data_dir=str(data_dir.expanduser().absolute()) if data_dir is not None else None,
        fingerprint=fingerprint(definition, cells),
        base=definition.base,
        warm_steps=definition.warm_steps,
        jobs=definition.jobs,
        launch=definition.launch.model_dump(by_alias=True),
        search=definition.search.model_dump() if definition.search else None,
    )
    for cell in cells:
        sweep.add(cell)
    try:
        sweep.path.mkdir(parents=True)
    except FileExistsError:
        return create(definition, cells, argv, data_dir)  # two of one id: draw again
    except OSError as error:
        raise RunError(
            f"cannot write the sweeps folder {paths.sweeps_dir()}: {error.strerror}",
            "check its permissions, or set KID_HOME to a folder you can write",
        ) from error
    try:
        sweep.save()
    except BaseException:
        shutil.rmtree(sweep.path, ignore_errors=True)
        raise
    return sweep


def fingerprint(definition: Definition, cells: Iterable[Cell]) -> str:
    """The same for two sweeps of the same cells on the same base."""
    said = [
        definition.base,
        definition.warm_steps,
        [asdict(cell) for cell in cells],
        definition.search.model_dump() if definition.search else None,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def load(path: Path) -> Sweep:
    """The sweep in this folder, its cells as their runs stand.

    Raises:
        RunError: it cannot be read.
    """
    file = path / "sweep.json"
    try:
        told = json.loads(file.read_bytes())
        cells = [Entry(**entry) for entry in told.pop("cells")]
        warm_starts = [Entry(**entry) for entry in told.pop("warm_starts")]
        sweep = Sweep(**told, cells=cells, warm_starts=warm_starts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"cannot read {file}: {error}", "a sweep's runs stay: kid runs list") from error
    for entry in (*cells, *warm_starts):
        refresh(entry)
    return sweep


def refresh(entry: Entry) -> None:
    """Take the state from the entry's run: somebody may have stopped, resumed or removed it."""
    if not entry.has_run:
        if entry.state != "failed":  # refused before there was a run
            entry.state = "waiting"
        return
    try:
        status = entry.made.status()
        if status["state"] == "done":
            entry.reached()  # a report that cannot be read is as good as none
    except RunError as error:
        entry.state, entry.problem = "failed", error.message
        return
    state = status["state"]
    if state in runs.LIVE_STATES:
        state = "running"
    entry.state = state
    entry.problem = (status.get("error") or {}).get("message", "") if state == "failed" else ""


def retry(sweep: Sweep) -> None:
    """Let what failed be done again: a run that is there is taken up where it was."""
    for entry in (*sweep.warm_starts, *sweep.cells):
        if entry.state == "failed":
            entry.state = "stopped"


def ids() -> list[str]:
    """Every sweep there is, by name."""
    return sorted(file.parent.name for file in paths.sweeps_dir().glob("*/sweep.json"))


def find(ref: str) -> Sweep:
    """The sweep of that id, or unambiguous start of an id.

    Raises:
        RunError: there is none, or more than one; it cannot be read.
    """
    known = ids()
    matches = [ref] if ref in known else [one for one in known if ref and one.startswith(ref)]
    if len(matches) > 1:
        raise RunError(f"'{ref}' could be any of {', '.join(matches)}", "give more of the id")
    if not matches:
        mend = nearest(ref, known[:50]) if known else "kid sweep NAME starts the first one"
        raise RunError(f"there is no sweep '{ref}'", mend)
    return load(paths.sweeps_dir() / matches[0])


@contextmanager
def locked(sweep: Sweep) -> Iterator[None]:
    """Hold the sweep: one process works on it.

    Raises:
        RunError: another one does.
    """
    path = sweep.path / "lock"
    try:
        lock = path.open("a")
    except OSError as error:
        raise files.write_error(path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"sweep {sweep.id} is being worked on by another process",
                "kid sweep --list shows where it stands",
            ) from None
        yield


def is_locked(sweep: Sweep) -> bool:
    """Whether a process works on it."""
    try:
        with locked(sweep):
            return False
    except RunError:
        return True


def warm_profile(profile: Profile, steps: int) -> Profile:
    """Plain SFT of the same student on the same data; its last score is the cells' score before."""
    train = {"max_steps": steps, "max_seconds": 0.0, "reference_every": 0}
    return profile.model_copy(
        update={
            # Some tokenizers have no token to mask with unless one is named.
            "method": type(profile.method)(name="sft", mask_token=profile.method.mask_token),
            "train": profile.train.model_copy(update=train),
            "eval": profile.eval.model_copy(update={"before": False, "every": 0}),
        }
    )


def _slug(text: str) -> str:
    """A piece of a file's name."""
    return re.sub(r"[^A-Za-z0-9._=]+", "-", text).strip("-.")[:40] or "cell"
