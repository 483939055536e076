"""A session of the REPL: the database, the settings, the last question, and what is done with a text.

It knows no terminal: the loop (loop.py) and scripts (batch.py) give it texts, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

from engine.data import benchmarks
from engine.data.glance import dialect, readable
from engine.errors import KidError, RefusedError, TimeLimitError, UsageError
from engine.protocol import told_cell, told_contrast
from engine.sql.contrast import Contrast, contrast
from engine.sql.execute import Executor, Outcome
from engine.sql.names import name_hint
from kidtui import cells
from kidtui.repl import formats
from kidtui.repl.narration import Narration
from kidtui.repl.output import Output
from kidtui.repl.service import Service
from kidtui.repl.state import Asked, Done, Settings
from kidtui.repl.texts import closed, entries, is_query

Decision = Literal["run", "edit", "teacher", "no"]
Event = dict[str, Any]

_LONGEST_LINE = 10_000
_UNDECODED = re.compile("[\ud800-\udfff]")
WIDTH = 100
"""Columns for SQL where there is no screen."""

_ERRORS: dict[str, type[KidError]] = {"forbidden": RefusedError, "timeout": TimeLimitError}


class LeaveError(Exception):
    """The session is over."""


class Session:
    """What is typed goes to `handle`.

    Args:
        service: the student, started at the first question or before.
        say: narration on stderr.
        output: gets the rows.
        student: what the model is called.
        decide: asks what to do with SQL in mode `ask`; None where nobody can be asked.
        width: of the screen, where results are fitted to one.
    """

    def __init__(
        self,
        database: str,
        service: Service,
        settings: Settings,
        say: Narration,
        output: Output,
        *,
        student: str = "",
        data_dir: Path | None = None,
        decide: Callable[[], Decision] | None = None,
        width: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.service = service
        self.settings = settings
        self.say = say
        self.output = output
        self.student = student
        self.data_dir = data_dir
        self.decide = decide
        self.width = width
        self.asked: Asked | None = None
        self.done: list[Done] = []
        self.draft = ""  # what the next line begins with
        self.latency = ""
        self._executor = Executor(jobs=1)
        self.use(database)

    def use(self, name: str) -> None:
        """Turns to a database.

        Raises:
            DatabaseError: it is not there or damaged.
        """
        path = benchmarks.find_database(name, self.data_dir)
        readable(path)  # read, to know that it can be
        self.database, self.database_name, self.asked = path, name, None
        self.service.open(path)

    @property
    def schema(self) -> Mapping[str, Sequence[str]]:
        return readable(self.database)

    def handle(self, text: str) -> None:
        """Does what a text asks for.

        Raises:
            LeaveError: it is to end the session.
            KidError: it failed.
            KeyboardInterrupt: Ctrl-C; what was under way is stopped.
        """
        from kidtui.repl.commands import run_command

        if not text.isascii() and _UNDECODED.search(text):
            raise UsageError("the text is not UTF-8", "save it as UTF-8")
        for entry in entries(text, lambda sql: is_query(sql, self.schema, dialect(self.database))):
            match entry.kind:
                case "leave":
                    raise LeaveError
                case "command":
                    run_command(self, entry.text)
                case "sql":
                    self.run(entry.text)
                case "question":
                    self.ask(entry.text)

    def run(self, sql: str) -> None:
        """Runs SQL of the user's own, without the student.

        Raises:
            KidError: it failed, or is refused.
        """
        outcome = self._outcome(sql, self.settings.limit)
        if self.asked is not None:
            self.asked.own = sql
        self.done.append(Done(self.lasting_name, sql))
        self._show(formats.Result(outcome.columns, outcome.rows, outcome.truncated), outcome.seconds * 1000)

    def ask(self, question: str) -> None:
        """Lets the student answer; in mode `ask` the user decides what is done with its SQL.

        Raises:
            KidError: no answer, or its last SQL failed.
        """
        self.asked = asked = Asked(question)
        auto = self.settings.mode == "auto" or self.decide is None
        self._follow(
            "ask", question=question, run=auto, decoding=self.settings.decoding.model_dump(), **self._limits()
        )
        while not auto and self.decide is not None:
            match self.decide():
                case "run":
                    self._follow("execute", sql=asked.sql, question=question, **self._limits())
                case "edit":
                    self.draft = closed(asked.sql)
                case "teacher":
                    try:
                        self.ask_teacher()
                    except KidError as error:  # the student's SQL is still to be decided on
                        self.say.error(error)
                    continue
            return

    def ask_teacher(self) -> None:
        """The teacher's answer to the last question, and how the student's differs from it."""
        asked = self.last_question()
        if not asked.sql:
            raise UsageError("the student has not answered the last question", "ask it again")
        self._follow("compare", by_teacher=True, question=asked.question, sql=asked.sql, **self._limits())

    def last_query(self) -> str:
        """What was asked or run last on this database, "" for nothing."""
        if self.asked and (self.asked.own or self.asked.sql):
            return self.asked.own or self.asked.sql
        here = [done.sql for done in self.done if done.database == self.lasting_name]
        return here[-1] if here else ""

    def contrast(self, sql: str, other: str) -> Contrast:
        """Runs two queries and compares them."""
        self._executor.timeout = self.settings.timeout
        return contrast(self._executor, self.database, sql, other)

    def explain(self, sql: str) -> None:
        """Shows the query plan.

        Raises:
            KidError: as `run`.
        """
        words = "EXPLAIN QUERY PLAN" if dialect(self.database) == "sqlite" else "EXPLAIN"
        outcome = self._outcome(f"{words} {sql}", self.settings.limit)
        rows = [(line,) for row in outcome.rows for line in str(row[-1]).splitlines()]
        self._show(formats.Result(["plan"], rows), outcome.seconds * 1000)

    def show_prompt(self, question: str) -> None:
        """What the student reads for a question, on stderr."""
        with closing(self._events("prompt", {"question": question})) as events, self.say.drawing() as draw:
            draw.wait(self._waiting)
            for event in events:
                if event["event"] != "prompt":
                    continue
                draw.clear()
                for part in (event["prefix"], event["suffix"]):
                    for line in part.rstrip("\n").splitlines():
                        self.say.note(cells.shown(line, _LONGEST_LINE))
                prefix, suffix = event["num_tokens"]
                self.say.note(f"({prefix} tokens of the database, {suffix} of the question)")
                if event["dropped"]:
                    self.say.note(f"(left out to fit: {event['dropped']})")

    def require_runs(self, sql: str) -> None:
        """Raises KidError where a query fails; its rows are not shown."""
        self._outcome(sql, 1)

    @property
    def lasting_name(self) -> str:
        """The database's name in a file that is read later: SET/DB_ID, or the whole path."""
        return (
            self.database_name if not Path(self.database_name).expanduser().is_file() else str(self.database)
        )

    def last_question(self) -> Asked:
        if self.asked is None:
            raise UsageError("nothing has been asked yet", "type a question first")
        return self.asked

    def close(self) -> None:
        try:
            self.service.close()
        finally:
            self._executor.close()

    def _outcome(self, sql: str, max_rows: int) -> Outcome:
        self._executor.timeout = self.settings.timeout
        outcome = self._executor.run(self.database, sql, max_rows)
        if outcome.error:
            hint = name_hint(outcome.message, self.schema, sql)
            raise _ERRORS.get(outcome.error, KidError)(outcome.message, hint)
        return outcome

    def _waiting(self) -> str:
        """What is waited for before a model writes."""
        return self.service.state if self.service.state != "ready" else "reading"

    def _limits(self) -> dict[str, Any]:
        return {"timeout": self.settings.timeout, "max_rows": self.settings.limit}

    def _follow(self, op: str, *, by_teacher: bool = False, **fields: Any) -> None:
        """Shows what comes of a request.

        Raises:
            KidError: it failed, or its last query did.
        """
        failed: Event | None = None
        sql = ""
        with closing(self._events(op, fields)) as events, self.say.drawing() as draw:
            draw.wait(self._waiting)
            for event in events:
                match event["event"]:
                    case "token":
                        draw.token(event)
                    case "phase":
                        if failed:  # a second attempt follows
                            draw.clear()
                            self.say.failed(failed)
                            failed = None
                        draw.wait(partial(str, event["name"]))
                    case "sql":
                        sql = event["sql"]
                        self._note_sql(event, by_teacher)
                        draw.clear()
                        self.say.sql(event, self.width() or WIDTH)
                        draw.wait(lambda: "running")
                    case "rows":
                        failed = None
                        rows = [tuple(map(told_cell, row)) for row in event["rows"]]
                        draw.clear()
                        if not by_teacher:
                            self.done.append(
                                Done(self.lasting_name, sql or fields["sql"], fields["question"])
                            )
                        self._show(formats.Result(event["columns"], rows, event["truncated"]), event["ms"])
                    case "failed":
                        failed = event
                    case "difference":
                        draw.clear()
                        self.say.difference(told_contrast(event), "student", "teacher")
        if failed:
            raise _ERRORS.get(failed["error"], KidError)(failed["message"], failed["hint"])

    def _events(self, op: str, fields: dict[str, Any]) -> Generator[Event]:
        def restarting(death: KidError) -> None:
            self.say.error(death)
            self.say.note("it is started again")

        return self.service.ask(op, self.database, restarting, **fields)

    def _note_sql(self, event: Event, by_teacher: bool) -> None:
        if self.asked is None:
            return
        if by_teacher:
            self.asked.teacher = event["sql"]
        else:
            self.asked.sql = event["sql"]
            self.latency = f"{event['ms']:.0f} ms"

    def _show(self, result: formats.Result, milliseconds: float) -> None:
        self.output.put(formats.lines(result, self.settings.format, width=self.width()))
        self.say.finished(formats.summary(result), milliseconds)
