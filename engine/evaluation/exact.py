"""Exact set match of a whole set of predictions: reads the names that `exact_match` needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.adapters import open_database
from engine.data.schema import read_schema
from engine.errors import DataError
from engine.evaluation.score import require_one_each
from engine.sql.exact_match import exact_match, joined_columns
from engine.sql.grammar import GrammarError, Names

if TYPE_CHECKING:
    from engine.data.benchmarks import Example


def exact_matches(
    examples: Sequence[Example], predictions: Sequence[str], tables: Mapping[str, Any]
) -> list[bool | None]:
    """One verdict per example, in their order; None where Spider's grammar cannot read the gold query.

    Args:
        tables: db_id -> its entry in tables.json, whose foreign keys count; for a database that
            has none those of the SQLite file do.

    Raises:
        DataError: the numbers of examples and predictions differ, or an entry is malformed.
        DatabaseError: a database is missing or cannot be read.
    """
    require_one_each(examples, predictions)
    known: dict[tuple[Path, str], Names] = {}
    verdicts = []
    for example, prediction in zip(examples, predictions, strict=True):
        key = example.database, example.db_id
        if key not in known:
            known[key] = read_names(example.database, tables.get(example.db_id))
        verdicts.append(_verdict(example.query, prediction, known[key]))
    return verdicts


def _verdict(gold: str, prediction: str, names: Names) -> bool | None:
    try:
        return exact_match(gold, prediction, names)
    except GrammarError:
        return None


def read_names(database: Path, tables_entry: Mapping[str, Any] | None = None) -> Names:
    """Tables and columns of an SQLite file, with the foreign keys of its entry in tables.json, if any.

    Raises:
        DataError, DatabaseError: as in `exact_matches`.
    """
    with open_database(database) as reader:
        listed = reader.tables()
    columns = {table.lower(): [name.lower() for name, _, _ in found] for table, found in listed.items()}
    if tables_entry is not None:
        return Names(columns, _joined_by_entry(database.stem, tables_entry))
    places = [f"{table}.{column}" for table, found in columns.items() for column in found]
    keys = [
        (f"{key.table}.{key.column}".lower(), f"{key.ref_table}.{key.ref_column}".lower())
        for key in read_schema(database).foreign_keys
    ]
    return Names(
        columns, joined_columns(places, [(places.index(one), places.index(two)) for one, two in keys])
    )


def _joined_by_entry(db_id: str, entry: Mapping[str, Any]) -> dict[str, str]:
    try:
        tables = [table.lower() for table in entry["table_names_original"]]
        columns = [
            f"{tables[table]}.{column.lower()}" if table >= 0 else "*"
            for table, column in entry["column_names_original"]
        ]
        return joined_columns(columns, [(one, two) for one, two in entry["foreign_keys"]])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the entry of {db_id} in tables.json is malformed ({type(error).__name__}: {error})",
            "fetch tables.json again",
        ) from error
