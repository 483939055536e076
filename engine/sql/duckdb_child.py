"""The child process of the executor for DuckDB files: the only place that opens one.

`worker.py` runs it like child.py, with two more arguments: the folder of this project and that of the
package `duckdb`. It starts in some 0.2 s.

The fence: the file is opened read-only; other files, the network and extensions are out of reach, nothing
is spilled to disk, and these settings are locked; one statement, which DuckDB's own parser calls SELECT, or
EXPLAIN of one; a deadline, and the memory limit of this process. A file is open for one query at a time:
DuckDB lets nobody write to a file that another process has open.
"""

from __future__ import annotations

import contextlib
import functools
import re
import resource
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

if __name__ == "__main__":  # run by its path, it finds the standard library alone
    sys.path += sys.argv[3:]

import duckdb

from engine.sql.child import QueryError, find_file, main

GUARD = {
    "enable_external_access": "false",  # no COPY, ATTACH, INSTALL, LOAD, read_csv and the like
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a variable of this program is no table
    "temp_directory": "",
    "lock_configuration": "true",
}
PLAIN = re.compile(
    r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|DOUBLE|VARCHAR|BLOB"
    r"|DECIMAL\(\d+,\d+\)"  # see _number
)
"""Types whose cells Python has as a number, text or bytes."""
_GAP = r"(?:\s|--[^\n]*|/\*.*?\*/)*"
EXPLAIN = re.compile(rf"{_GAP}explain\b(?:{_GAP}(analyze)\b)?", re.IGNORECASE | re.DOTALL)


def connect(path: str, **settings: str) -> duckdb.DuckDBPyConnection:
    """A read-only connection that reaches nothing but its file; more settings as DuckDB names them."""
    path.encode()  # raises UnicodeEncodeError where the name is no text, which DuckDB cannot take
    return duckdb.connect(path, read_only=True, config={**GUARD, **settings})


def is_locked(error: Exception) -> bool:
    """Is it that another process has the file open?"""
    return "Could not set lock on file" in str(error)


def reason(error: Exception) -> str:
    """What DuckDB says, on one line, without the excerpt of the query that it marks the place in."""
    if is_locked(error):
        holder = re.search(r"\(PID \d+\)", str(error))
        return f"another program has it open for writing {holder[0] if holder else ''}".rstrip()
    return " ".join(str(error).partition("\n\nLINE ")[0].split())


@contextlib.contextmanager
def open_duckdb(path: str, seconds: float, memory_mb: int) -> Iterator[Guarded]:
    """A guarded connection with a deadline; `memory_mb` for blocks of the file, joins, sorts and groups."""
    try:
        path, _ = find_file(path)
        with contextlib.closing(_connect(path, memory_mb)) as connection:
            timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), connection.interrupt)
            timer.daemon = True
            timer.start()
            try:
                yield Guarded(connection)
            finally:
                timer.cancel()
    except duckdb.OutOfMemoryException as error:
        raise MemoryError from error
    except (duckdb.Error, ValueError, OverflowError, RuntimeError) as error:
        raise QueryError(reason(error)) from error


def _connect(path: str, memory_mb: int) -> duckdb.DuckDBPyConnection:
    try:
        return connect(path, threads="1", memory_limit=f"{memory_mb} MiB")
    except (duckdb.IOException, duckdb.PermissionException) as error:
        raise QueryError(f"unable to open database file: {reason(error)}") from error


class Guarded:
    """A connection that runs one query, and its cursor: cells are None, int, float, str or bytes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(self, sql: str) -> Guarded:
        """Runs one SELECT, or EXPLAIN of one; raises QueryError for anything else."""
        sql.encode()  # as for the path
        kind = self._kind(sql)
        if kind == duckdb.StatementType.EXPLAIN:
            start = EXPLAIN.match(sql)
            if not start or self._kind(sql[start.end() :]) != duckdb.StatementType.SELECT:
                raise QueryError("not run: EXPLAIN of something else than a query")
            self._connection.execute(f"EXPLAIN {start[1] or ''} {sql[start.end() :]}")
        elif kind == duckdb.StatementType.SELECT:
            self._connection.execute(self._in_plain_types(sql))
        elif kind == duckdb.StatementType.MULTI:  # DuckDB would first make a type of the values it finds
            raise QueryError("not run: a PIVOT must name its values, as in ON city IN ('Bonn', 'Rome')")
        else:
            raise QueryError(f"not run: {kind.name} is no query")
        return self

    @property
    def description(self) -> list[tuple[Any, ...]]:
        return self._connection.description or []

    def fetchmany(self, size: int) -> list[tuple]:
        rows = self._connection.fetchmany(size)
        if any(isinstance(cell, Decimal) for row in rows for cell in row):
            return [
                tuple(_number(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in rows
            ]
        return rows

    def close(self) -> None:
        """Nothing: the connection ends with its query."""

    def _kind(self, sql: str) -> duckdb.StatementType:
        statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError(f"not run: {len(statements)} statements instead of one")
        return statements[0].type

    def _in_plain_types(self, sql: str) -> str:
        """The query, or one around it that casts what Python has nothing for to the text that DuckDB prints.

        Such are months, infinite dates, nanoseconds. An error is left to the query itself, for its own words.
        """
        whole = "query('" + sql.replace("'", "''") + "')"
        try:
            described = self._connection.execute(f"DESCRIBE FROM {whole}").fetchall()
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            return sql
        columns = [(f"c{place}", name, kind) for place, (name, kind, *_) in enumerate(described)]
        cells = [_cell(column, kind) for column, _, kind in columns]
        if all(cell == column for cell, (column, *_) in zip(cells, columns, strict=True)):
            return sql
        named = (f"{cell} AS {_quote(name)}" for cell, (_, name, _) in zip(cells, columns, strict=True))
        return f"SELECT {', '.join(named)} FROM {whole} AS whole({', '.join(c for c, *_ in columns)})"


def _cell(column: str, kind: str) -> str:
    """A column as SQL of a plain type."""
    if PLAIN.fullmatch(kind):
        return column
    text = f"CAST({column} AS VARCHAR)"
    return f"CAST({text} AS DOUBLE)" if kind == "FLOAT" else text  # 0.1, not 0.10000000149011612


def _number(decimal: Decimal) -> int | float | str:
    """A decimal as a number where one has the very same value, else its digits."""
    if decimal.as_tuple().exponent == 0:
        return int(decimal)
    number = float(decimal)
    return number if Decimal(repr(number)) == decimal else str(decimal)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    allowed_mb = int(sys.argv[2])
    # Half of it is left for DuckDB itself and the rows. Of addresses it reserves far more than it uses.
    opening = functools.partial(open_duckdb, memory_mb=allowed_mb // 2)
    main(opening, int(sys.argv[1]), allowed_mb, resource.RLIMIT_DATA)
