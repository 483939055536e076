"""What reading a database takes: the part of the adapters that differs from system to system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

MAX_VALUE_LENGTH = 25
"""Longest cell text, in characters, that is shown or matched."""

ListedColumn = tuple[str, str, int]
"""Name, declared type ("" for none), place in the primary key (from 1; 0 = not in it)."""

Reference = tuple[str, str, str, str]
"""Table and column of a foreign key, table and column that it refers to."""


class Reader(Protocol):
    """An open database. Names are as the tables spell them."""

    def execute(self, sql: str) -> Any:
        """Runs a query of our own; a cursor."""

    def tables(self) -> dict[str, list[ListedColumn]]:
        """Table -> its columns, in the database's order, without views and the system's own tables."""

    def readable(self) -> dict[str, list[str]]:
        """Table or view -> its columns: what a query can name. A view that is broken has none."""

    def references(self) -> list[Reference]:
        """The foreign keys whose two ends exist, a row for each column; some may come twice."""

    def texts(self, table: str, column: str, rows: int | None = None, limit: int | None = None) -> list[str]:
        """Distinct cells as text, 1 to MAX_VALUE_LENGTH characters long; neither blobs nor nested values.

        Args:
            rows: read the table's first rows only.
            limit: most texts.
        """


def quote(name: str) -> str:
    """A table or column name as SQL text, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def spelt(tables: Mapping[str, Sequence[ListedColumn]], table: str, column: str) -> tuple[str, str] | None:
    """A table and its column as the database spells them, whatever the case; None where it has none such."""
    for name, columns in tables.items():
        if name.lower() == table.lower():
            return next(((name, other) for other, *_ in columns if other.lower() == column.lower()), None)
    return None
