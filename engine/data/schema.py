"""What a database holds: tables, columns, keys, comments and a few sample values.

Reading is read-only and bounded: a table of a million rows costs as much as one of ten thousand.
Views and virtual tables are left out; names keep their own case.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import DatabaseError, DataError

MAX_VALUE_LENGTH = 25
"""Longest cell text, in characters, that is shown or matched."""
_NUM_VALUES = 2
_ROWS_READ = 10_000  # sample values come from a table's first rows
_MAGIC = b"SQLite format 3\0"

ListedColumn = tuple[str, str, int]
"""Name, declared type, place in the primary key (from 1; 0 = not in it)."""


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
    """In the order of sqlite_master."""
    foreign_keys: tuple[ForeignKey, ...]


def read_schema(database: Path, tables_entry: Mapping[str, Any] | None = None) -> Schema:
    """The schema of an SQLite file; `tables_entry` (its entry in tables.json) gives the comments.

    Raises:
        DatabaseError: the file is missing, not an SQLite database, or damaged.
        DataError: the entry is malformed.
    """
    try:
        comments = _comments(tables_entry or {})
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"the entry of {database.stem} in tables.json is malformed ({error})", "fetch tables.json again"
        ) from error
    with open_database(database) as connection:
        listed = list_tables(connection)
        tables = tuple(
            Table(
                table,
                tuple(
                    Column(
                        column,
                        declared,
                        bool(key),
                        comments.get((table.lower(), column.lower()), ""),
                        _sample_values(connection, table, column),
                    )
                    for column, declared, key in columns
                ),
            )
            for table, columns in listed.items()
        )
        return Schema(tables, _foreign_keys(connection, listed))


@contextmanager
def open_database(database: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to an existing SQLite file; bytes that are not UTF-8 are left out.

    Raises:
        DatabaseError: at the start (missing, no SQLite file) or from any statement run inside.
    """
    check_file(database)
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "ignore")
            yield connection
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{database} cannot be read as an SQLite database: {error}", "fetch or restore the file"
        ) from error


def check_file(database: Path) -> None:
    """Raises DatabaseError unless an SQLite file is there. Looks at its first bytes only."""
    try:
        with database.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise DatabaseError(f"database not found: {database}", "check the path") from None
    except OSError as error:
        raise DatabaseError(
            f"cannot read the database {database}: {error.strerror}", "check the path and its permissions"
        ) from error
    if head != _MAGIC:
        what = "is empty (0 bytes)" if not head else "is not an SQLite database"
        raise DatabaseError(f"{database} {what}", "fetch or restore the file")


def list_tables(connection: sqlite3.Connection) -> dict[str, list[ListedColumn]]:
    """Table name -> its columns, in the order of sqlite_master, without SQLite's own tables."""
    # A virtual table has no root page; it may need a module that this SQLite lacks.
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name NOT GLOB 'sqlite_*'"
    ).fetchall()
    return {
        table: [
            (column, declared or "", key)
            for _, column, declared, _, _, key, hidden in connection.execute(
                f"PRAGMA table_xinfo({quote(table)})"
            )
            if hidden != 1  # 1 is a virtual table's own; 2 and 3 are generated columns
        ]
        for (table,) in names
    }


def quote(name: str) -> str:
    """A table or column name as SQL text, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def clean(text: str) -> str:
    """A cell's text on one line: runs of white space become one space, ends are cut."""
    return " ".join(text.replace("\0", " ").split())


def short_text(column: str) -> tuple[str, str]:
    """Two SQL expressions for a column: its text, and whether that is worth showing."""
    text = f"trim(CAST({quote(column)} AS TEXT))"
    worth = f"typeof({quote(column)}) <> 'blob' AND length({text}) BETWEEN 1 AND {MAX_VALUE_LENGTH}"
    return text, worth


def _sample_values(connection: sqlite3.Connection, table: str, column: str) -> tuple[str, ...]:
    text, worth = short_text(column)
    rows = connection.execute(
        f"SELECT DISTINCT {text} FROM (SELECT {quote(column)} FROM {quote(table)} LIMIT {_ROWS_READ})"
        f" WHERE {worth} LIMIT {2 * _NUM_VALUES}"  # some to spare: cleaning may make two of them equal
    )
    return tuple(dict.fromkeys(filter(None, (clean(value) for (value,) in rows))))[:_NUM_VALUES]


def _foreign_keys(
    connection: sqlite3.Connection, listed: Mapping[str, list[ListedColumn]]
) -> tuple[ForeignKey, ...]:
    """Keys whose two ends exist, each once, with the names as the tables spell them."""
    tables = {table.lower(): table for table in listed}
    found = []
    for table in listed:
        for _, place, target, column, ref_column, *_ in connection.execute(
            f"PRAGMA foreign_key_list({quote(table)})"
        ):
            ref_table = tables.get(target.lower())
            if ref_table is None:
                continue
            if ref_column is None:  # "REFERENCES t" alone means the primary key of t
                ref_column = next((name for name, _, key in listed[ref_table] if key == place + 1), "")
            ends = _spelt(listed[table], column), _spelt(listed[ref_table], ref_column)
            if all(ends):
                found.append(ForeignKey(table, ends[0], ref_table, ends[1]))
    return tuple(dict.fromkeys(found))


def _spelt(columns: list[ListedColumn], wanted: str) -> str:
    return next((name for name, _, _ in columns if name.lower() == wanted.lower()), "")


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
