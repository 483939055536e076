"""Who can be asked, and about what. All of this reads the disk: it belongs in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import runs
from engine.errors import KidError

if TYPE_CHECKING:
    from kidtui.student import Choice

DEMO = "demo"
"""Among the students: the demo's teacher. No run has such a name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A database. tables: name -> columns."""

    name: str
    path: Path
    tables: Mapping[str, Sequence[str]]


def find_database(name: str, data_dir: Path | None) -> Subject:
    """The database that SET/DB_ID or a path means.

    Raises:
        DatabaseError: it is not there, damaged, or no database.
    """
    from engine.data import benchmarks
    from engine.data.glance import readable

    path = benchmarks.find_database(name, data_dir)
    return Subject(name, path, readable(path))


def databases(data_dir: Path | None) -> list[tuple[str, str]]:
    """(name, name) of those that data sets have here."""
    from kidtui.repl.databases import names

    return [(name, name) for name in names(data_dir)]


def find_student(run: str | None) -> Choice:
    """A run's student, the demo's teacher (DEMO), or what there is (None).

    Raises:
        KidError: there is none.
    """
    import kidtui.asking  # noqa: F401 - takes a while: here, not where keys are waited for
    from kidtui import student

    return student.demo() if run == DEMO else student.choose(run=run)


def students() -> list[tuple[str, str]]:
    """(id, words) of the runs that have a student, then of the demo's teacher."""
    from kidtui.student import has_student

    found = []
    for run in runs.all_runs():
        try:
            if has_student(run):
                profile, state = run.info()["profile"]["name"], run.status()["state"]
                found.append((run.id, f"{run.id}  {profile}  {state}"))
        except (KidError, KeyError, TypeError):  # a broken run; Runs says why
            continue
    return [*found, (DEMO, "the embedded demo's teacher (for demo/* alone)")]
