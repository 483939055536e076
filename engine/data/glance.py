"""What is often asked of a database, kept while its file stays the same."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from engine.data.adapters import adapter, open_database

_LOGS = ("", "-wal", ".wal")  # the file itself, and the write-ahead logs of SQLite and DuckDB


def file_stamp(database: Path) -> str:
    """What tells one state of a database from another, without reading it."""
    marks = []
    for log in _LOGS:
        with suppress(FileNotFoundError):  # no write-ahead log: the usual case
            state = database.with_name(database.name + log).stat()
            marks.append(f"{state.st_size}:{state.st_mtime_ns}")
    return " ".join(marks)


def readable(database: Path) -> dict[str, list[str]]:
    """Table or view -> its columns, as the database spells them.

    Raises:
        DatabaseError: it is missing or damaged.
    """
    return _readable(database, file_stamp(database))


@lru_cache(maxsize=256)
def _readable(database: Path, _stamp: str) -> dict[str, list[str]]:
    with open_database(database) as reader:
        return reader.readable()


def dialect(database: Path) -> str:
    """sqlglot's name of the SQL that a database speaks."""
    return adapter(database).dialect
