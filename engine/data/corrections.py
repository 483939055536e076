"""Corrections: what a user of the REPL said about the student's SQL, kept to be trained on.

A file holds one JSON object a line, in the order in which they were made:

    {"database": "demo/music", "question": "…", "query": "SELECT …", "kind": "fix", "was": "SELECT …",
     "evidence": "", "model": "…", "time": 1700000000.0}

`was`, `evidence`, `model` and `time` may be left out, and more keys may be there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import time as now
from typing import TYPE_CHECKING, Any, Literal, get_args

from engine import files, paths
from engine.data.benchmarks import DataSet, Example, find_database, tables_entry
from engine.data.items import read_items
from engine.data.lines import LineExamples
from engine.errors import DatabaseError, DataError
from engine.sql.text import normalise

if TYPE_CHECKING:
    from engine import settings

Kind = Literal["fix", "good", "bad"]
_TEXTS = ("database", "question", "query", "was", "evidence", "model")
_NEEDED = ("database", "question", "query")
_MEND = "correct the line or delete it"


@dataclass(frozen=True, slots=True)
class Correction:
    database: str
    """As `benchmarks.find_database` reads it: `demo/music`, or an absolute path."""
    question: str
    query: str
    """The SQL that is judged."""
    kind: Kind
    """fix = the user's own SQL, right; good = the model's, right; bad = the model's, wrong."""
    was: str = ""
    """fix: what the model had said."""
    evidence: str = ""
    model: str = ""
    """The model that was asked."""
    time: float = field(default_factory=now)
    """Seconds since 1970; 0 = not known."""


def add(correction: Correction, file: Path | None = None) -> Path:
    """Append a correction to a file, whole or not at all; several processes may do so at once.

    Args:
        file: `paths.corrections_file()` if left out. Made if need be, with its folder, for the user
            alone to read.

    Returns:
        The file.

    Raises:
        DataError: the correction has no database, question or SQL, or a text that is not Unicode.
        KidError: the disk is full.
        OpenError: the file cannot be written.
    """
    if problem := _problem(asdict(correction)):
        raise DataError(f"not kept: {problem}", "a correction needs a database, a question and SQL")
    path = file or paths.corrections_file()
    line = json.dumps(asdict(correction), ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, fcntl.LOCK_EX) as handle:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":  # an editor left it so
                line = b"\n" + line
            try:
                files.write_all(handle, line)
            except OSError:
                os.ftruncate(handle, size)  # no half line stays
                raise
    except OSError as error:
        raise files.write_error(path, error) from error
    return path


def read(file: Path) -> list[Correction]:
    """Every correction of a file, oldest first.

    Raises:
        DataError: it is not there or cannot be read; a line is malformed, a half one at the end too:
            `add` leaves none, and what is lost should be known.
    """
    return [correction for _, correction in _read(file)]


def examples(file: Path, data_dir: Path | None = None, *, start: int = 0) -> tuple[Example, ...]:
    """What there is to learn: for each question on a database, the SQL that was last said to be right.

    A `bad` takes back earlier SQL that is the same, and no other: a student that still errs on a
    question whose SQL was fixed does not undo the fix.

    Args:
        data_dir: as that of `benchmarks.load`.
        start: index of the first example.

    Raises:
        DataError: as `read`.
        DatabaseError: a database is missing; file and line are named.
    """
    databases: dict[str, Path] = {}
    learnt: dict[tuple[Path, str], Correction] = {}
    for where, correction in _read(file):
        name = correction.database
        if name not in databases:
            databases[name] = _database(name, data_dir, where)
        key = databases[name], " ".join(correction.question.split())
        if correction.kind != "bad":
            learnt[key] = correction
        elif key in learnt and normalise(learnt[key].query) == normalise(correction.query):
            del learnt[key]
    return tuple(
        Example(
            start + position,
            correction.database,
            correction.question,
            normalise(correction.query),
            database,
            correction.evidence,
        )
        for position, ((database, _), correction) in enumerate(learnt.items())
    )


def asked_for(data: settings.Data, data_dir: Path | None = None, *, start: int = 0) -> tuple[Example, ...]:
    """`examples` of the file that a profile's data.corrections names; none where it names none."""
    if data.corrections is None:
        return ()
    return examples(Path(data.corrections).expanduser().absolute(), data_dir, start=start)


def extended(data: DataSet, added: Sequence[Example]) -> DataSet:
    """A data set with corrections behind its own examples, and with what tables.json says of their databases.

    Their db_id is the database's whole name (`demo/music`), so that it is no other database's.

    Raises:
        DataError: a database's tables.json is malformed.
    """
    if not added:
        return data
    entries = {example.db_id: tables_entry(example.database) for example in added}
    tables = {db_id: entry for db_id, entry in entries.items() if entry}
    rows = [[e.db_id, e.question, e.query, e.evidence, e.database.stat().st_size] for e in added]
    contents = json.dumps([data.fingerprint, rows, tables], sort_keys=True)
    own = data.examples
    return replace(
        data,
        name=f"{data.name} and corrections",
        examples=own.extended(added) if isinstance(own, LineExamples) else (*own, *added),
        fingerprint=hashlib.sha256(contents.encode()).hexdigest(),
        tables={**data.tables, **tables},
    )


def _read(file: Path) -> Iterator[tuple[str, Correction]]:
    """(place, correction) pairs; the place names file and line."""
    try:
        with _locked(file, os.O_RDONLY, fcntl.LOCK_SH):  # no line is seen half written
            items = list(read_items(file))
    except OSError as error:
        raise DataError(
            f"cannot read the corrections {file}: {error.strerror}",
            "check the path; data.corrections names it",
        ) from error
    for where, item in items:
        if problem := _problem(item):
            raise DataError(f"{where}: {problem}", _MEND)
        yield where, Correction(**{key: item[key] for key in (*_TEXTS, "kind") if key in item},
                                time=item.get("time", 0.0))  # fmt: skip


def _problem(item: Any) -> str:
    """What is wrong with a correction as JSON holds it; "" if nothing is."""
    if not isinstance(item, dict):
        return "not an object with database, question, query and kind"
    for key in (*_NEEDED, "kind"):
        if key not in item:
            return f"no {key}"
    for key in _TEXTS:
        text = item.get(key, "")
        if not isinstance(text, str) or (key in _NEEDED and not text.strip()):
            return f"{key} is not a text, or empty"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return f"{key} is not valid Unicode"  # half a surrogate pair: SQLite and tokenizers fail on it
    if not normalise(item["query"]):
        return "query has no SQL but comments or semicolons"
    if item["kind"] not in get_args(Kind):
        return f"kind is none of {', '.join(get_args(Kind))}"
    if not isinstance(item.get("time", 0.0), int | float):
        return "time is not a number of seconds"
    return ""


def _database(name: str, data_dir: Path | None, where: str) -> Path:
    try:
        return find_database(name, data_dir)
    except DatabaseError as error:
        raise DatabaseError(
            f"{where}: {error.message}",
            "put the database back, name its data folder with --data-dir, or delete the line",
        ) from error


@contextmanager
def _locked(path: Path, flags: int, lock: int) -> Iterator[int]:
    """The open file, locked against other writers. A new one is the user's alone: questions tell much."""
    handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, lock)
        yield handle
    finally:
        os.close(handle)
