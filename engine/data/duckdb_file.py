"""DuckDB files, read; the package `duckdb` is imported when the first is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.reader import MAX_VALUE_LENGTH, ListedColumn, Reference, quote, spelt
from engine.errors import DatabaseError
from engine.sql.systems import DUCKDB, package_folder

if TYPE_CHECKING:
    import duckdb

_OURS = "database_name = current_database() AND schema_name = 'main'"
_NO_TEXT = r"^(BLOB|BIT|STRUCT|MAP|UNION|VARIANT|GEOMETRY)|\]$"
"""Types whose cells are no text worth showing."""


@contextmanager
def open_duckdb(database: Path) -> Iterator[DuckdbReader]:
    """A read-only reader of an existing file. It reaches no other file.

    Raises:
        DatabaseError: at the start (no package, a writer has it open, damaged) or from any statement inside.
    """
    package_folder(DUCKDB, database)
    import duckdb

    from engine.sql.duckdb_child import connect, is_locked, reason

    try:
        with closing(connect(str(database.resolve()))) as connection:
            yield DuckdbReader(connection)
    except (duckdb.Error, UnicodeEncodeError) as error:  # the latter for a path that is no text
        raise DatabaseError(
            f"{database} cannot be read as a DuckDB database: {reason(error)}",
            "close it there, then try again" if is_locked(error) else "fetch or restore the file",
        ) from error


class DuckdbReader:
    """Tables of the schema `main`; DuckDB keeps them in an order of its own, those referred to first."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.execute = connection.execute

    def tables(self) -> dict[str, list[ListedColumn]]:
        """The values of an ENUM are left out of its type: they can be thousands."""
        keys = dict(
            self.execute(
                "SELECT table_name, constraint_column_names FROM duckdb_constraints()"
                f" WHERE constraint_type = 'PRIMARY KEY' AND {_OURS}"
            ).fetchall()
        )
        tables: dict[str, list[ListedColumn]] = {}
        for table, column, declared in self.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns()"
            " SEMI JOIN duckdb_tables() USING (table_oid)"  # without the views
            f" WHERE {_OURS} ORDER BY table_oid, column_index"
        ).fetchall():
            key = keys.get(table, [])
            place = key.index(column) + 1 if column in key else 0
            kind = "ENUM" if declared.startswith("ENUM(") else declared
            tables.setdefault(table, []).append((column, kind, place))
        return tables

    def readable(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, column in self.execute(
            f"SELECT table_name, column_name FROM duckdb_columns() WHERE {_OURS}"
            " ORDER BY table_oid, column_index"
        ).fetchall():
            found.setdefault(name, []).append(column)
        return found

    def references(self) -> list[Reference]:
        listed = self.tables()
        return [
            (table, column, *end)
            for table, columns, target, targets in self.execute(
                "SELECT table_name, constraint_column_names, referenced_table, referenced_column_names"
                f" FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND {_OURS}"
                " ORDER BY table_oid, constraint_index"
            ).fetchall()
            for column, ref_column in zip(columns, targets, strict=True)
            if (end := spelt(listed, target, ref_column))
        ]

    def texts(self, table: str, column: str, rows: int | None = None, limit: int | None = None) -> list[str]:
        first = "" if rows is None else f" LIMIT {rows}"
        most = "" if limit is None else f" LIMIT {limit}"
        text = "trim(CAST(cell AS VARCHAR))"
        found = self.execute(
            f"SELECT {text} FROM (SELECT {quote(column)} AS cell, rowid AS place FROM {quote(table)}{first})"
            f" WHERE NOT regexp_matches(typeof(cell), '{_NO_TEXT}')"
            f" AND length({text}) BETWEEN 1 AND {MAX_VALUE_LENGTH}"
            f" GROUP BY 1 ORDER BY min(place){most}"  # the same ones each time, as they come in the table
        ).fetchall()
        return [value for (value,) in found]
