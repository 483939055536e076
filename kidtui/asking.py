"""A conversation with the service that answers questions, in a thread, and what came of each question.

The screen that asks never waits: a question is put here, and its events are told as they come.
"""

from __future__ import annotations

import itertools
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import KidError, fault
from engine.protocol import told_cell, told_contrast
from engine.sql.contrast import Contrast
from kidtui import launch
from kidtui.repl.formats import Result
from kidtui.repl.service import INTERRUPTED, Service
from kidtui.student import Choice

Event = dict[str, Any]

LIMITS: dict[str, Any] = {"timeout": 30.0, "max_rows": 200}
"""Of every request: seconds for an answer and for a query; rows."""


class Conversation:
    """What is asked of one student and its teacher, one request at a time.

    Args:
        choice: who answers.
        tell: gets the number of a request and an event: those of the service, then one of `ended`,
            `cancelled` and `error` (`message`, `mend`). One of `restarting` tells of a service that died.
            Called from a thread.
        command: what starts the service.
    """

    def __init__(
        self,
        choice: Choice,
        tell: Callable[[int, Event], None],
        command: Sequence[str] = launch.ENGINE_COMMAND,
    ) -> None:
        self.choice = choice
        self._tell = tell
        self._service = Service(choice.profile, choice.folder, command)
        self._numbers = itertools.count(1)
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._wanted = 0  # the request whose events are told; 0: none
        self._prepared: Path | None = None
        self._is_over = False
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> str:
        """Of the service, in a few words: "not started", "loading student… 3 s", "ready", "failed"."""
        return self._service.state

    @property
    def busy(self) -> bool:
        """A request is under way."""
        return self._wanted != 0

    def prepare(self, database: Path) -> None:
        """Lets the service start, get the student and read a database, so that the first question is fast."""

        def work() -> None:
            with suppress(KidError):  # the question meets the same failure, and tells it
                if self._service.pid is None:
                    self._service.start(database)
                elif database != self._prepared:
                    self._service.open(database)
                self._prepared = database

        self._put(work)

    def request(self, op: str, database: Path, **fields: Any) -> int:
        """Asks, in place of what is under way. `op` and fields: protocol.py.

        Returns:
            The number with which its events are told.
        """
        self.cancel()
        self._wanted = number = next(self._numbers)
        self._put(partial(self._follow, number, op, database, fields))
        return number

    def cancel(self) -> None:
        """Ends what is under way."""
        number, self._wanted = self._wanted, 0
        if number:
            self._service.interrupt()
            self._tell(number, {"event": "cancelled"})

    def close(self, wait: float = 0.0) -> None:
        """Ends the service's process at once, also amid an answer: it only reads, nothing is lost.

        Waits at most `wait` seconds until the thread has ended, too.
        """
        self._wanted, self._is_over = 0, True
        self._service.interrupt()  # first, so that no answer is waited for and none is asked for again
        self._kill()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(wait)
            self._kill()  # one that was just being started

    def _kill(self) -> None:
        if (pid := self._service.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="conversation", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) and not self._is_over:
            job()
        self._kill()
        self._service.close()

    def _follow(self, number: int, op: str, database: Path, fields: dict[str, Any]) -> None:
        if self._wanted != number:
            return
        restarting = partial(self._restarting, number)
        events: Generator[Event] = self._service.ask(op, database, restarting, **{**LIMITS, **fields})
        try:
            with closing(events):  # closed half-way, the request is cancelled
                for event in events:
                    if self._wanted != number:
                        return
                    if event["event"] != INTERRUPTED:  # left over from one before
                        self._tell(number, event)
        except Exception as caught:  # the thread lives on whatever happens
            error = caught if isinstance(caught, KidError) else fault(caught)
            self._end(number, {"event": "error", "message": error.message, "mend": error.mend})
        else:
            self._end(number, {"event": "ended"})

    def _restarting(self, number: int, death: KidError) -> None:
        if self._wanted != number:
            raise death  # nobody waits for the answer
        self._tell(number, {"event": "restarting", "message": death.message})

    def _end(self, number: int, event: Event) -> None:
        if self._wanted == number:
            self._wanted = 0
            self._tell(number, event)


@dataclass
class Attempt:
    """SQL, as far as it is written, and what came of it.

    pieces: (text, probability) as they come.
    sql: once it is whole.
    tables, columns: that it uses; columns as (table, column) pairs.
    result, failed: one of them, once it has run.
    model_ms, database_ms: milliseconds taken.
    """

    pieces: list[tuple[str, float]] = field(default_factory=list)
    sql: str = ""
    tables: list[str] = field(default_factory=list)
    columns: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Event] = field(default_factory=list)
    model_ms: float | None = None
    result: Result | None = None
    failed: Event | None = None
    database_ms: float | None = None


@dataclass
class Answer:
    """What one model, or the user with SQL of their own, says to a question.

    doing: what is waited for, "" when it is over.
    error: why it ended before its time: a message, and how to mend it.
    notes: what happened on the way.
    own: the SQL is the user's.
    """

    question: str
    doing: str = "waiting"
    attempts: list[Attempt] = field(default_factory=list)
    difference: Contrast | None = None
    error: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    cancelled: bool = False
    own: bool = False

    def begin_own(self, sql: str) -> None:
        """What follows is of the user's own SQL."""
        self.own, self.doing, self.attempts = True, "running", [Attempt(sql=sql)]

    @property
    def tables(self) -> list[str]:
        """What the last SQL reads."""
        return self.last.tables if self.last else []

    @property
    def columns(self) -> list[tuple[str, str]]:
        """(table, column) pairs that the last SQL uses."""
        return self.last.columns if self.last else []

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def sql(self) -> str:
        """The last that is whole, "" for none."""
        return next((attempt.sql for attempt in reversed(self.attempts) if attempt.sql), "")

    def take(self, event: Event) -> None:
        """Adds what an event tells."""
        attempt = self._attempt(event.get("attempt"))
        match event["event"]:
            case "phase":
                self.doing = str(event["name"])
            case "loaded":
                self.doing = "reading"
            case "token":
                self.doing = "writing"
                attempt.pieces.append((event["text"], event["p"]))
            case "sql":
                self.doing = "running"
                attempt.sql, attempt.problems, attempt.model_ms = event["sql"], event["problems"], event["ms"]
                attempt.tables = event["tables"]
                attempt.columns = [(table, column) for table, column in event["columns"]]
                attempt.pieces = [(text, share) for text, share in event["tokens"]]
            case "rows":
                rows = [tuple(map(told_cell, row)) for row in event["rows"]]
                attempt.result = Result(event["columns"], rows, event["truncated"])
                attempt.database_ms = event["ms"]
            case "failed":
                attempt.failed, attempt.database_ms = event, event["ms"]
            case "difference":
                self.difference = told_contrast(event)
            case "restarting":
                self.attempts.clear()
                self.notes.append(f"{event['message']}; it is started again")
                self.doing = "starting again"
            case "cancelled":
                self.cancelled, self.doing = True, ""
            case "error":
                self.error, self.doing = (event["message"], event["mend"]), ""
            case "ended":
                self.doing = ""

    def _attempt(self, number: int | None) -> Attempt:
        """The attempt of that number; without one, the last, or one that is thrown away."""
        while number is not None and len(self.attempts) < number:
            self.attempts.append(Attempt())
        return self.attempts[(number or 0) - 1] if self.attempts else Attempt()
