"""What is often asked of a database, kept while its file stays the same."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from engine.data.schema import read_schema


def file_stamp(database: Path) -> str:
    """What tells one state of a database from another, without reading it."""
    marks = []
    for file in (database, database.with_name(database.name + "-wal")):
        with suppress(FileNotFoundError):  # no write-ahead log: the usual case
            state = file.stat()
            marks.append(f"{state.st_size}:{state.st_mtime_ns}")
    return " ".join(marks)


def column_names(database: Path) -> dict[str, list[str]]:
    """Table -> its columns, as the database spells them.

    Raises:
        DatabaseError: it is missing or damaged.
    """
    return _column_names(database, file_stamp(database))


@lru_cache(maxsize=64)
def _column_names(database: Path, _stamp: str) -> dict[str, list[str]]:
    tables = read_schema(database).tables
    return {table.name: [column.name for column in table.columns] for table in tables}
