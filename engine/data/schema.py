"""What a database holds: tables, columns, keys, comments and a few sample values.

Reading is read-only and bounded: a table of a million rows costs as much as one of ten thousand.
Views and virtual tables are left out; names keep their own case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.adapters import adapter, open_database
from engine.data.reader import Reader
from engine.errors import DataError

_NUM_VALUES = 2
_ROWS_READ = 10_000  # sample values come from a table's first rows


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """The declared type, "" where there is none."""
    primary_key: bool
    comment: str
    """What tables.json calls the column, "" where that says nothing new."""
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    table: str
    column: str
    ref_table: str
    ref_column: str


@dataclass(frozen=True, slots=True)
class Schema:
    tables: tuple[Table, ...]
    """In the database's own order."""
    foreign_keys: tuple[ForeignKey, ...]


def read_schema(database: Path, tables_entry: Mapping[str, Any] | None = None) -> Schema:
    """The schema of a database file; `tables_entry` (its entry in tables.json) gives the comments.

    Raises:
        DatabaseError: the file is missing, no database, damaged, or needs a package that is not there.
        DataError: the entry is malformed.
    """
    try:
        comments = _comments(tables_entry or {})
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"the entry of {database.stem} in tables.json is malformed ({error})", "fetch tables.json again"
        ) from error
    with open_database(database) as reader:
        tables = tuple(
            Table(
                table,
                tuple(
                    Column(
                        column,
                        declared,
                        bool(key),
                        comments.get((table.lower(), column.lower()), ""),
                        _sample_values(reader, table, column),
                    )
                    for column, declared, key in columns
                ),
            )
            for table, columns in reader.tables().items()
        )
        return Schema(tables, tuple(ForeignKey(*ends) for ends in dict.fromkeys(reader.references())))


def check_file(database: Path) -> None:
    """Raises DatabaseError unless a database is there. Looks at its first bytes only."""
    adapter(database)


def clean(text: str) -> str:
    """A cell's text on one line: runs of white space become one space, ends are cut."""
    return " ".join(text.replace("\0", " ").split())


def _sample_values(reader: Reader, table: str, column: str) -> tuple[str, ...]:
    # Some to spare: cleaning may make two of them equal.
    texts = reader.texts(table, column, rows=_ROWS_READ, limit=2 * _NUM_VALUES)
    return tuple(dict.fromkeys(filter(None, map(clean, texts))))[:_NUM_VALUES]


def _comments(entry: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(table, column), in lower case -> its comment, where that is not just the name again."""
    tables = [name.lower() for name in entry.get("table_names_original", ())]
    pairs = zip(entry.get("column_names_original", ()), entry.get("column_names", ()), strict=False)
    return {
        (tables[table], name.lower()): clean(comment).lower()
        for (table, name), (_, comment) in pairs
        if table >= 0 and _bare(name) != _bare(comment)
    }


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")
