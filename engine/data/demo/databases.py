"""The demo's databases, and how questions speak of them.

A database is a readable SQL script in `seeds/`. What a column is good for in a
question (a name to show, a category to group by, a number, a date) follows from
its declared type and its values; `seeds/wording.toml` adds the noun phrases.
"""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).with_name("seeds")


def database_names() -> list[str]:
    """The names of the demo's databases, sorted."""
    return sorted(path.stem for path in SEEDS.glob("*.sql"))


def create(name: str, file: str | Path = ":memory:") -> sqlite3.Connection:
    """The database `name`, made anew in `file` (which must not exist yet)."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript((SEEDS / f"{name}.sql").read_text("utf-8"))
    return connection


@dataclass(frozen=True)
class Column:
    """A column; `values` are its distinct values without NULL, sorted."""

    name: str
    words: str
    role: str  # "key" | "text" | "number" | "date"
    values: tuple[Any, ...]
    unique: bool
    has_null: bool
    is_total: bool  # adding its numbers up makes sense

    def literal(self, value: object) -> str:
        return f"'{value}'" if self.role in ("text", "date") else str(value)


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]

    @property
    def many(self) -> str:
        return plural(self.name)

    @cached_property
    def label(self) -> Column:
        """The column that names a row: the first text without repeats, else `id`."""
        labels = (c for c in self.columns if c.role == "text" and c.unique)
        return next(labels, self.columns[0])

    @cached_property
    def categories(self) -> list[Column]:
        return [c for c in self.columns if c.role == "text" and not c.unique]

    @cached_property
    def numbers(self) -> list[Column]:
        return [c for c in self.columns if c.role == "number"]

    @cached_property
    def dates(self) -> list[Column]:
        return [c for c in self.columns if c.role == "date"]


@dataclass(frozen=True)
class Link:
    """A foreign key `child.key = parent.id`, said as "<children> <words> <parent>"."""

    parent: Table
    child: Table
    key: str
    words: str


@dataclass(frozen=True)
class DemoDatabase:
    name: str
    tables: tuple[Table, ...]
    links: tuple[Link, ...]

    def paths(self) -> Iterator[tuple[Link, Link]]:
        """Pairs of links that join three tables: first, middle, last.

        Either a chain (singer, album, song) or a table between two others (book, loan, member).
        """
        for first in self.links:
            for second in self.links:
                chain = first.child is second.parent
                between = first.child is second.child and first.key < second.key
                if chain or between:
                    yield first, second


def read(name: str, connection: sqlite3.Connection) -> DemoDatabase:
    """The database as the question generator sees it."""
    wording = tomllib.loads((SEEDS / "wording.toml").read_text("utf-8"))[name]
    tables: dict[str, Table] = {}
    links = []
    for (table,) in connection.execute("SELECT name FROM sqlite_master ORDER BY rowid").fetchall():
        keys = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
        columns = []
        for _, column, type_, _, _, is_primary in connection.execute(
            f"PRAGMA table_info({table})"
        ).fetchall():
            cells = [row[0] for row in connection.execute(f"SELECT {column} FROM {table}")]
            values = sorted({cell for cell in cells if cell is not None})
            is_key = is_primary or column in keys
            columns.append(
                Column(
                    name=column,
                    words=wording.get("columns", {}).get(column, column),
                    role="key" if is_key else {"TEXT": "text", "DATE": "date"}.get(type_, "number"),
                    values=tuple(values),
                    unique=len(values) == len(cells),
                    has_null=None in cells,
                    is_total=column in wording.get("totals", ()),
                )
            )
        tables[table] = Table(table, tuple(columns))
        links += [Link(tables[keys[c]], tables[table], c, wording["links"][c]) for c in sorted(keys)]
    return DemoDatabase(name, tuple(tables.values()), tuple(links))


def plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
