"""The databases that are at hand, what is in one, and the gold SQL that data sets have for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from engine.data import benchmarks
from engine.data.releases import SETS, bases, first_file, inside
from engine.data.schema import Schema, read_schema
from engine.errors import DataError, UsageError, nearest
from kidtui import cells

_LONGEST_LINE = 300


def names(data_dir: Path | None, without: Collection[str] = ()) -> list[str]:
    """SET/DB_ID of every database in the layout of a release, found in the data folders.

    without: releases that are not looked for.
    """
    return [f"{folder}/{name}" for folder, found in _folders(data_dir, without).items() for name in found]


def listed(current: Path, data_dir: Path | None) -> Iterator[str]:
    """The databases of each release on lines, for reading."""
    yield f"here: {current}"
    for folder, found in _folders(data_dir).items():
        if len(found) > 12:
            yield f"{folder}/: {len(found)}, such as {', '.join(found[:6])}; Tab completes \\u {folder}/"
        elif found:
            yield f"{folder}/: {', '.join(found)}"


def described(database: Path, table: str) -> Iterator[str]:
    """The schema, or one table of it with sample values.

    Raises:
        UsageError: there is no such table.
    """
    schema = read_schema(database, benchmarks.tables_entry(database))
    known = {found.name.lower(): found for found in schema.tables}
    if table and table.lower() not in known:
        raise UsageError(
            f"there is no table '{table}'", nearest(table, [found.name for found in schema.tables])
        )
    for found in [known[table.lower()]] if table else schema.tables:
        if not table:
            names = ", ".join(column.name for column in found.columns)
            yield cells.shown(f"{found.name} ({names})", _LONGEST_LINE)
            continue
        for column in found.columns:
            facts = [column.type.lower(), "primary key" if column.primary_key else "", column.comment]
            facts.append(f"such as {', '.join(column.values)}" if column.values else "")
            facts += _references(schema, found.name, column.name)
            yield cells.shown(f"{column.name}: {', '.join(filter(None, facts))}", _LONGEST_LINE)


def _references(schema: Schema, table: str, column: str) -> list[str]:
    return [
        f"refers to {key.ref_table}.{key.ref_column}"
        for key in schema.foreign_keys
        if (key.table, key.column) == (table, column)
    ]


def golds(database: Path, question: str, data_dir: Path | None) -> list[tuple[str, str]]:
    """(data set, gold SQL) of a question on a database, in the data sets that are here."""
    found = []
    asked = " ".join(question.lower().split())
    for name, source in SETS.items():
        if first_file(source, data_dir) is None:
            continue
        place = benchmarks.locate(name, data_dir)
        if place.database(database.stem) != database:
            continue
        try:
            examples = benchmarks.read(place).examples
        except DataError:  # a set that is broken has no gold for us; `kid data check` says why
            continue
        for example in examples:
            if example.database == database and " ".join(example.question.lower().split()) == asked:
                found.append((name, example.query))
                break
    return found


def _folders(data_dir: Path | None, without: Collection[str] = ()) -> dict[str, list[str]]:
    """Release -> the names of its databases that are here."""
    found: dict[str, dict[str, None]] = {}
    for source in SETS.values():
        if source.folder in without:
            continue
        own = found.setdefault(source.folder, {})
        for base in bases(source.folder, data_dir):
            for folder in inside(
                base, tuple(place for place in source.databases if not place.startswith(".."))
            ):
                if folder.is_dir():
                    own.update(
                        dict.fromkeys(sorted(inner.name for inner in folder.iterdir() if inner.is_dir()))
                    )
    return {folder: list(own) for folder, own in found.items() if own}
