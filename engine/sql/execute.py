"""The guarded executor: the one place of the product that runs SQL (evaluation.md, section 2).

    with Executor(jobs=2, timeout=30) as executor:
        outcome = executor.run(database, "SELECT count(*) FROM singer")

A query can read one database and nothing else: the first keyword is checked here, the
rest of the fence stands in the child process (child.py, duckdb_child.py). A child that hangs
is killed, one that dies is replaced; either costs its query alone.
"""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from engine.sql.systems import System, package_folder, system_to_run
from engine.sql.text import first_token
from engine.sql.worker import Worker

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_QUERY = 8_000_000  # characters
GRACE_SECONDS = 1.0  # past its deadline a query has this long to say so; then its child is killed
OUT_OF_MEMORY = "out of memory"  # as the children say it
LOOKAHEAD = 32  # items per job under way or waiting to be taken, so that a slow one holds up no other


@dataclass(frozen=True)
class Outcome:
    """What came of one query.

    error: None, "empty", "forbidden", "timeout", "syntax", "unknown_table", "unknown_column",
        "ambiguous", "other_exec" or "crashed"; `message` says more.
    truncated: there were more rows than `rows` holds.
    seconds: spent in the database.
    """

    rows: list[tuple] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    truncated: bool = False
    error: str | None = None
    message: str = ""
    seconds: float = 0.0


class Executor:
    """Runs queries in child processes, which start when first needed and stay until `close`.

    Args:
        jobs: queries at once, each in a child of its own. `run` may be called from several threads.
        timeout: seconds for one query.
        max_rows: rows read of one result; None for no limit but the child's own on bytes.
        memory_mb: memory of one child, in MiB.

    Raises:
        KidError: from any method, where no child can be started.
        DatabaseError: so, because the package that reads the file is not installed.
    """

    def __init__(
        self, jobs: int = 2, timeout: float = 30.0, max_rows: int | None = 1_000_000, memory_mb: int = 1024
    ) -> None:
        assert jobs > 0
        self.jobs, self.timeout, self.memory_mb = jobs, timeout, memory_mb
        self.max_rows = sys.maxsize - 1 if max_rows is None else max_rows
        self._stopping = threading.Event()
        self._workers: set[Worker] = set()
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(jobs):
            self._idle.put(None)

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the children, and with them the queries under way. A later query starts new ones."""
        for living in list(self._workers):
            living.kill()
        taken = []
        with suppress(queue.Empty):
            while True:  # all first: what is put back would be taken again
                taken.append(self._idle.get_nowait())
        for worker in taken:
            self._bury(worker)
            self._idle.put(None)

    def pids(self) -> list[int]:
        """The living children."""
        return [worker.pid for worker in list(self._workers) if worker.exit_code is None]

    def run(
        self,
        database: Path,
        sql: str,
        max_rows: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """One query on one database file; `max_rows` only lowers the executor's own.

        What `check` raises passes. It is called when `close` can end the query: who lets it raise and then
        closes misses no query.

        Interrupted (Ctrl-C), it kills the child and lets the interrupt pass.
        """
        if len(sql) > LONGEST_QUERY:
            return Outcome(
                error="other_exec", message=f"the query has more than {LONGEST_QUERY:,} characters"
            )
        word = first_token(sql)
        if word in ("", ";"):
            return Outcome(error="empty", message="there is no query")
        if "\0" in sql:
            return Outcome(error="syntax", message="the query contains a null character")
        database = database.absolute()
        system = system_to_run(database)
        if system.other_words.fullmatch(word):
            return Outcome(error="forbidden", message=f"{word.upper()} is not run: only queries are")
        if word not in system.query_words:
            return Outcome(error="syntax", message=f'near "{_short(word)}": syntax error')
        cap = self.max_rows if max_rows is None else min(max_rows, self.max_rows)
        return self._run_in_child(system, database, sql, cap, check)

    def map(self, tasks: Iterable[tuple[Path, str]]) -> Iterator[Outcome]:
        """The outcomes of (database, sql) pairs, in order, `jobs` at a time."""
        return self.each(lambda task: self.run(*task), tasks)

    def each(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """function(item), in order, `jobs` at a time, each in a thread that may call `run`.

        Interrupted or closed half-way, it stops the queries under way.
        """
        pool = ThreadPoolExecutor(self.jobs)
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > LOOKAHEAD * self.jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            pool.shutdown()
            self._stopping.clear()

    def _run_in_child(
        self, system: System, database: Path, sql: str, max_rows: int, check: Callable[[], None]
    ) -> Outcome:
        with self._worker(system, database) as worker:
            check()
            limit = self.timeout + GRACE_SECONDS
            try:
                rows, closing = worker.ask((str(database), sql, self.timeout, max_rows), limit)
            except TimeoutError:
                worker.kill()
                return Outcome(error="timeout", message=self._too_slow(), seconds=limit)
            except EOFError:
                worker.kill()
                return Outcome(error="crashed", message=f"its process died (exit code {worker.exit_code})")
            if closing[-1] == OUT_OF_MEMORY:
                worker.kill()  # what it has taken it may not give back
        columns, truncated, seconds, message = closing
        if message is None:
            return Outcome(rows, columns, truncated, seconds=seconds)
        error, message = self._explain(message, system, database)
        return Outcome(error=error, message=message, seconds=seconds)

    @contextmanager
    def _worker(self, system: System, database: Path) -> Iterator[Worker]:
        """A living child, for one query; what is dead afterwards makes room for the next."""
        worker = self._idle.get()
        try:
            if worker is None or worker.system is not system or worker.exit_code is not None:
                self._bury(worker)
                worker = None
                worker = Worker(self.memory_mb, system, package_folder(system, database))
                self._workers.add(worker)
            if self._stopping.is_set():  # looked at last: `close` may have missed a child just started
                raise CancelledError
            yield worker
        except BaseException:
            if worker:
                worker.kill()
            raise
        finally:
            if worker and worker.exit_code is not None:
                self._bury(worker)
                worker = None
            self._idle.put(worker)

    def _bury(self, worker: Worker | None) -> None:
        if worker:
            worker.close()
            self._workers.discard(worker)

    def _explain(self, message: str, system: System, database: Path) -> tuple[str, str]:
        """The class of an error, and its message made whole."""
        classes = (name for name, begin in system.classes if re.match(begin, message, re.DOTALL))
        error = next(classes, "other_exec")
        if error == "timeout":
            message = self._too_slow()
        elif message == OUT_OF_MEMORY:
            message = f"{message}: the limit is {self.memory_mb} MiB"
        elif re.match(system.of_the_file, message):
            message = f"{database}: {message}"
        return error, _short(message)

    def _too_slow(self) -> str:
        return f"stopped after {self.timeout:g} s"


def _short(text: str, limit: int = 300) -> str:
    """A query's own words can be a million characters; a message never is."""
    return text if len(text) <= limit else f"{text[:limit]}…"
