"""The database systems whose files can be queried, as the executor sees them.

Another one takes an entry here, a script for its child process (like duckdb_child.py), and a reader of
schemas (engine/data/reader.py).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.errors import DatabaseError

HEAD = 16
"""Bytes at the start of a file that tell what it is."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class System:
    """A database system that keeps a database in one file.

    name: as its makers write it; dialect: as sqlglot does.
    mark, place: bytes of every file of it, and where they stand.
    child: the script that runs its queries.
    package: what the child imports beside the standard library, "" for nothing; also the name of our extra.
    query_words: what a query can begin with; other_words: what other statements begin with.
    classes: (error class of execute.Outcome, how such messages begin) pairs; the first that fits counts.
    of_the_file: how messages begin that are about the file, not the query.
    """

    name: str
    dialect: str
    mark: bytes
    place: int
    child: Path
    package: str
    query_words: frozenset[str]
    other_words: re.Pattern[str]
    classes: tuple[tuple[str, str], ...]
    of_the_file: str


SQLITE = System(
    name="SQLite",
    dialect="sqlite",
    mark=b"SQLite format 3\0",
    place=0,
    child=_HERE / "child.py",
    package="",
    query_words=frozenset({"select", "with", "values", "explain"}),
    other_words=re.compile(
        "alter|analyze|attach|begin|commit|create|delete|detach|drop|end|insert|pragma|reindex|release|replace"
        "|rollback|savepoint|update|vacuum"
    ),
    classes=(
        ("timeout", r"interrupted"),
        # What the authorizer refuses, a second statement, and virtual tables, which it lets nobody set up.
        (
            "forbidden",
            r"not authorized|attempt to write|unsafe use of|You can only execute one"
            r"|vtable constructor failed",
        ),
        ("unknown_table", r"no such table"),
        ("unknown_column", r"no such column|cannot join using column"),
        ("ambiguous", r"ambiguous column name"),
        (
            "syntax",
            r'near ".*": syntax error|unrecognized token|incomplete input|unknown join type'
            r"|.* clause is required|.* clause should come after",
        ),
    ),
    of_the_file=(
        r"unable to open|file is not a database|database disk image|database is locked|disk I/O"
        r"|locking protocol|malformed database schema"
    ),
)

DUCKDB = System(
    name="DuckDB",
    dialect="duckdb",
    mark=b"DUCK",
    place=8,
    child=_HERE / "duckdb_child.py",
    package="duckdb",
    # DuckDB's parser counts all of these as SELECT; that is looked at in the child.
    query_words=frozenset(
        {"select", "with", "values", "explain", "(", "from", "table", "pivot", "unpivot"}
        | {"describe", "show", "summarize"}
    ),
    other_words=re.compile(
        "alter|analyze|attach|begin|call|checkpoint|comment|commit|copy|create|deallocate|delete|detach|drop"
        "|end|execute|export|force|import|insert|install|load|merge|pragma|prepare|replace|reset|rollback|set"
        "|start|truncate|update|use|vacuum"
    ),
    classes=(
        ("timeout", r"INTERRUPT Error"),
        (
            "forbidden",
            r"not run: |Permission Error|.* configuration has been locked|.* attached in read-only mode"
            r"|.* disabled by configuration",
        ),
        (
            "unknown_table",
            r"Catalog Error: Table with name .* does not exist|Binder Error: Referenced table ",
        ),
        (
            "unknown_column",
            r"Binder Error: (Referenced column .* not found|.* does not have a column named"
            r"|Column .* does not exist)",
        ),
        ("ambiguous", r"Binder Error: Ambiguous reference"),
        ("syntax", r"Parser Error"),
    ),
    of_the_file=r"unable to open|IO Error|Serialization Error|FATAL Error|INTERNAL Error",
)

SYSTEMS = (SQLITE, DUCKDB)


def system_of(head: bytes) -> System | None:
    """Whose file begins with these bytes; HEAD of them are enough."""
    for system in SYSTEMS:
        if head.startswith(system.mark, system.place):
            return system
    return None


def system_to_run(database: Path) -> System:
    """Whose child is to run queries on a file: SQLite's where there is no telling, for its error."""
    try:
        # Not to wait for the writer of a pipe; such a thing is refused in the child.
        file = os.open(database, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return SQLITE
    try:
        return system_of(os.read(file, HEAD)) or SQLITE
    except OSError:
        return SQLITE
    finally:
        os.close(file)


def package_folder(system: System, database: Path) -> str:
    """The folder to import a system's package from, "" for none, without importing it.

    Raises:
        DatabaseError: it is not installed; `database` is what needs it.
    """
    if not system.package:
        return ""
    found = find_spec(system.package)
    if found is None or found.origin is None:
        raise DatabaseError(
            f"{database} is a {system.name} file and the package `{system.package}` is not installed",
            f"pip install 'kid-sql[{system.package}]'",
        )
    return str(Path(found.origin).parents[1])
