"""Matches that say little: the gold reads a table without rows, and so matches whatever returns nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.data.benchmarks import Example
from engine.data.reader import quote
from engine.sql.execute import Executor
from engine.sql.text import tables


class Vacuity:
    """Tells whether a gold reads a table without rows. Asks each table once."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._is_empty = cache(self._look)

    def __call__(self, example: Example) -> bool:
        return any(self._is_empty(example.database, table) for table in tables(example.query))

    def _look(self, database: Path, table: str) -> bool:
        outcome = self._executor.run(database, f"SELECT 1 FROM {quote(table)} LIMIT 1")
        return outcome.error is None and not outcome.rows
