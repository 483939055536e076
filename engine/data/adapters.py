"""One way to read a database, whatever system keeps it: which adapter a file takes, told by its first bytes.

    with open_database(database) as reader:
        tables = reader.tables()

Queries of users and models are no matter of this: engine/sql/execute.py runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.data.duckdb_file import open_duckdb
from engine.data.reader import Reader
from engine.data.sqlite_file import open_sqlite
from engine.errors import DatabaseError
from engine.sql.systems import DUCKDB, HEAD, SQLITE, System, system_of


@dataclass(frozen=True)
class Adapter:
    """How files of one database system are read and queried."""

    system: System
    open: Callable[[Path], AbstractContextManager[Reader]]

    @property
    def name(self) -> str:
        """As people write it: SQLite, DuckDB."""
        return self.system.name

    @property
    def dialect(self) -> str:
        """sqlglot's name of its SQL."""
        return self.system.dialect


ADAPTERS = {
    system: Adapter(system, opener) for system, opener in ((SQLITE, open_sqlite), (DUCKDB, open_duckdb))
}


def adapter(database: Path) -> Adapter:
    """The adapter of an existing file; looks at its first bytes only.

    Raises:
        DatabaseError: the file is missing, unreadable, or no database.
    """
    try:
        with database.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise DatabaseError(f"database not found: {database}", "check the path") from None
    except OSError as error:
        raise DatabaseError(
            f"cannot read the database {database}: {error.strerror}", "check the path and its permissions"
        ) from error
    system = system_of(head)
    if system is None:
        what = "is not an SQLite database, nor a DuckDB one" if head else "is empty (0 bytes)"
        raise DatabaseError(f"{database} {what}", "fetch or restore the file")
    return ADAPTERS[system]


@contextmanager
def open_database(database: Path) -> Iterator[Reader]:
    """A read-only reader of an existing file.

    Raises:
        DatabaseError: at the start (missing, no database, no package for it) or from anything run inside.
    """
    with adapter(database).open(database) as reader:
        yield reader
