"""SQLite files, read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from engine.data.reader import MAX_VALUE_LENGTH, ListedColumn, Reference, quote, spelt
from engine.errors import DatabaseError

_LONGEST_CELL = 64_000_000  # bytes


@contextmanager
def open_sqlite(database: Path) -> Iterator[SqliteReader]:
    """A read-only reader of an existing file; bytes that are not UTF-8 are left out.

    Raises:
        DatabaseError: from any statement run inside.
    """
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)  # a generated column can make any
            connection.text_factory = lambda text: text.decode("utf-8", "ignore")
            yield SqliteReader(connection)
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{database} cannot be read as an SQLite database: {error}", "fetch or restore the file"
        ) from error


class SqliteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute

    def tables(self) -> dict[str, list[ListedColumn]]:
        """In the order of sqlite_master; virtual tables are left out."""
        # A virtual table has no root page; it may need a module that this SQLite lacks.
        names = self.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
            " AND name NOT GLOB 'sqlite_*'"
        ).fetchall()
        return {
            table: [
                (column, declared or "", key)
                for _, column, declared, _, _, key, hidden in self.execute(
                    f"PRAGMA table_xinfo({quote(table)})"
                )
                if hidden != 1  # 1 is a virtual table's own; 2 and 3 are generated columns
            ]
            for (table,) in names
        }

    def readable(self) -> dict[str, list[str]]:
        found = {table: [name for name, *_ in columns] for table, columns in self.tables().items()}
        for (view,) in self.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            found[view] = []
            with suppress(sqlite3.OperationalError):
                found[view] = [row[1] for row in self.execute(f"PRAGMA table_xinfo({quote(view)})")]
        return found

    def references(self) -> list[Reference]:
        listed = self.tables()
        found = []
        for table in listed:
            for _, place, target, column, ref_column, *_ in self.execute(
                f"PRAGMA foreign_key_list({quote(table)})"
            ):
                if ref_column is None:  # "REFERENCES t" alone means the primary key of t
                    ref_column = next(
                        (name for name, _, key in _columns(listed, target) if key == place + 1), ""
                    )
                ends = spelt(listed, table, column), spelt(listed, target, ref_column)
                if ends[0] and ends[1]:
                    found.append((*ends[0], *ends[1]))
        return found

    def texts(self, table: str, column: str, rows: int | None = None, limit: int | None = None) -> list[str]:
        text = f"trim(CAST({quote(column)} AS TEXT))"
        source = (
            quote(table) if rows is None else f"(SELECT {quote(column)} FROM {quote(table)} LIMIT {rows})"
        )
        found = self.execute(
            f"SELECT DISTINCT {text} FROM {source} WHERE typeof({quote(column)}) <> 'blob'"
            f" AND length({text}) BETWEEN 1 AND {MAX_VALUE_LENGTH} LIMIT {-1 if limit is None else limit}"
        )
        return [value for (value,) in found]


def _columns(tables: Mapping[str, list[ListedColumn]], wanted: str) -> list[ListedColumn]:
    return next((columns for table, columns in tables.items() if table.lower() == wanted.lower()), [])
