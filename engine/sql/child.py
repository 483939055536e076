"""The child process of the executor: the only place where a query meets SQLite.

`worker.py` runs this file by its path, `python -I -S child.py PARENT_PID MEMORY_MB`: it
imports the standard library alone and starts in some 30 ms. Frames on stdin and stdout
are a length and a marshalled value: in a task (path, sql, seconds, max_rows), out lists
of rows, then one closing tuple (columns, truncated, seconds, message or None). What is not
SQLite's own here serves the children of other systems, too (duckdb_child.py).

The fence (evaluation.md, section 2): read-only URI, authorizer, limits, deadline, and the
memory limit of this process. The first keyword is checked before a task comes here.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import marshal
import os
import resource
import sqlite3
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")
MAX_CELL = 8_000_000  # bytes in one text or blob, and in one query
MAX_RESULT = 256 * 2**20  # bytes of rows as the parent holds them; then the result is cut
ROW = 64  # bytes of a row beside its cells
MAX_CHUNK = 256  # rows per frame
MAX_NAME = 1000  # characters of a column's name: 2000 columns may share one of millions
KEPT_OPEN = 8  # connections
OPERATIONS_PER_CHECK = 10_000  # of SQLite's machine, well under a millisecond

ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION}
FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer"}

_connections: dict[tuple[object, ...], sqlite3.Connection] = {}


Open = Callable[[str, float], AbstractContextManager[Any]]
"""A guarded connection to a file, with so many seconds for what is run inside; a DB-API connection."""


class QueryError(Exception):
    """What a database says of a query that failed."""


def serve(tasks: BinaryIO, answers: BinaryIO, open_guarded: Open) -> None:
    """Answers tasks until the input ends."""
    _send(answers, "ready")
    answers.flush()
    while header := tasks.read(LENGTH.size):
        path, sql, seconds, max_rows = marshal.loads(tasks.read(*LENGTH.unpack(header)))
        started = time.perf_counter()
        columns: list[str] = []
        truncated, message = False, None
        try:
            with open_guarded(path, seconds) as connection:
                started = time.perf_counter()
                cursor = connection.execute(sql)
                columns = [column[0][:MAX_NAME] for column in cursor.description or ()]
                truncated = _send_rows(answers, cursor, max_rows)
                cursor.close()
        except MemoryError:
            message = "out of memory"
        except OSError as error:
            message = f"unable to open database file: {error.strerror}"
        except QueryError as error:
            message = str(error)
        _send(answers, (columns, truncated, time.perf_counter() - started, message))
        answers.flush()


@contextlib.contextmanager
def open_sqlite(path: str, seconds: float) -> Iterator[sqlite3.Connection]:
    """A guarded connection with a fresh deadline, kept for the next query while the file stays the same."""
    try:
        path, file = find_file(path)
        # A database with a write-ahead log has a writer, who tidies up only as the last to leave.
        logged = os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0
        key = (path, logged, file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
        connection = _connections.pop(key, None) or _connect(path, logged)
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, OPERATIONS_PER_CHECK)
        try:
            yield connection
        finally:
            _connections[key] = connection
            if logged or len(_connections) > KEPT_OPEN:
                _connections.pop(key if logged else next(iter(_connections))).close()
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise QueryError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if getattr(error, "sqlite_errorname", None) == "SQLITE_READONLY_ROLLBACK":
        return "unable to open database file: a writer died and left its journal beside it"
    return str(error)


def find_file(path: str) -> tuple[str, os.stat_result]:
    """The path without links, and what lies there. Raises OSError unless it is a file."""
    if os.path.islink(path):  # logs and journals lie beside the file, not beside a link to it
        path = os.path.realpath(path)
    file = os.stat(path)  # a missing file raises here, so that nothing can create it
    if not stat.S_ISREG(file.st_mode):  # to open a pipe would wait for its writer
        raise OSError(errno.EINVAL, "it is not a file")
    return path, file


def _connect(path: str, logged: bool) -> sqlite3.Connection:
    with open(path, "rb") as file:
        header = file.read(20)
    # Even to read, SQLite makes a -shm file for a log, unless told not to, and deletes the log of
    # an empty file. A WAL database without its log is complete: nobody changes it.
    complete = not header or (header[18:] == b"\2\2" and not logged)
    quoted = "".join(f"%{byte:02x}" for byte in os.fsencode(path))
    connection = sqlite3.connect(
        f"file:{quoted}?mode=ro&{'immutable' if complete else 'readonly_shm'}=1",
        uri=True,
        isolation_level=None,
        cached_statements=0,  # they would keep their texts: a few long queries would fill the memory
    )
    connection.text_factory = lambda text: text.decode(errors="ignore")
    for pragma in ("query_only=ON", "trusted_schema=OFF", "temp_store=MEMORY"):  # no spill files
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_CELL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, _first: str | None, second: str | None, *_where: str | None) -> int:
    allowed = action in ALLOWED and not (
        action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FORBIDDEN_FUNCTIONS
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _send_rows(answers: BinaryIO, cursor: Any, max_rows: int) -> bool:
    """Sends the rows as they come; True where the result goes on past `max_rows` or MAX_RESULT."""
    size, chunk = 0, 1
    while rows := cursor.fetchmany(min(chunk, max_rows + 1)):
        size += len(rows) * ROW + sum(map(sys.getsizeof, itertools.chain.from_iterable(rows)))
        if size > MAX_RESULT:
            return True
        _send(answers, rows[:max_rows])
        if len(rows) > max_rows:
            return True
        max_rows -= len(rows)
        chunk = min(2 * chunk, MAX_CHUNK)  # never much more than went well so far
    return False


def _send(answers: BinaryIO, value: Any) -> None:
    data = marshal.dumps(value)
    answers.write(LENGTH.pack(len(data)))
    answers.write(data)


def _limit(kind: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a platform that knows no such limit
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _end_with(parent: int) -> None:
    """Ends this process, even amid a query, soon after its parent has gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(open_guarded: Open, parent: int, memory_mb: int, of_memory: int = resource.RLIMIT_AS) -> None:
    """The life of a child; `of_memory` is the limit that `memory_mb` is set for."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _limit(of_memory, memory_mb * 2**20)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    serve(sys.stdin.buffer, sys.stdout.buffer, open_guarded)


if __name__ == "__main__":
    main(open_sqlite, int(sys.argv[1]), int(sys.argv[2]))
