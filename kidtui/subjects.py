"""Who can be asked, and about what. All of this reads the disk: it belongs in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import paths, runs
from engine.errors import DatabaseError, KidError

if TYPE_CHECKING:
    from kidtui.student import Choice

DEMO = "demo"
"""The demo's databases; among the students, its teacher. No run has such a name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A database. tables: name -> columns."""

    name: str
    path: Path
    tables: Mapping[str, Sequence[str]]


def find_database(name: str, data_dir: Path | None, readonly: bool = False) -> Subject:
    """The database that SET/DB_ID or a path means. `readonly`: the demo's are not written to the cache.

    Raises:
        DatabaseError: it is not there, damaged, or no database.
    """
    from engine.data import benchmarks
    from engine.data.glance import readable

    if readonly and name.startswith(f"{DEMO}/") and not _demo_is_written():
        raise DatabaseError(
            "the demo's databases are not written yet", "kid tui without --readonly writes them"
        )
    path = benchmarks.find_database(name, data_dir)
    return Subject(name, path, readable(path))


def databases(data_dir: Path | None, readonly: bool = False) -> list[tuple[str, str]]:
    """(name, name) of those that data sets have here. `readonly`: the demo's only if they are written."""
    from kidtui.repl.databases import names

    without = (DEMO,) if readonly and not _demo_is_written() else ()
    return [(name, name) for name in names(data_dir, without)]


def _demo_is_written() -> bool:
    from engine.data.demo import fingerprint

    return (paths.cache_dir() / f"demo-{fingerprint()[:12]}").is_dir()


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
