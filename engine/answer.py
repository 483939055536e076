"""A question becomes SQL, checks and rows: what stands around the model that writes.

A query that fails gets one repair. The likeliest of the model's other answers that runs is taken; where
none does, the model is asked again, with what the database said before the question (docs/decisions/0007
has the measurement). Everything is told as it comes, in the events of protocol.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from engine.data.glance import dialect, readable
from engine.errors import TimeLimitError
from engine.protocol import Ask, Compare, Decoding, OnDatabase, tell_cell, tell_contrast
from engine.question import Question, Written
from engine.sql.check import check as check_names
from engine.sql.contrast import contrast
from engine.sql.execute import Executor, Outcome
from engine.sql.names import name_hint

Tell = Callable[..., None]
"""Called as tell(event, field=…, …)."""
Check = Callable[[], None]
"""Raises where nobody waits for the answer any more."""

MENDABLE = frozenset({"empty", "syntax", "unknown_table", "unknown_column", "ambiguous", "other_exec"})
"""Errors that the model may mend. What is refused or too slow is not tried again."""
_ALTERNATIVES = 4  # beams among which a repair looks


class Writes(Protocol):
    """A model that writes SQL (writer.py)."""

    def write(
        self, question: Question, decoding: Decoding, on_token: Callable[[str, float], None], check: Check
    ) -> Written: ...

    def alternatives(self, question: Question, num_beams: int, check: Check) -> Iterator[Written]: ...


class Answers:
    """What is asked of one model.

    Args:
        writer: the model.
        executor: runs its queries.
    """

    def __init__(self, writer: Writes, executor: Executor) -> None:
        self._writer = writer
        self._executor = executor

    def ask(self, asked: Ask, tell: Tell, check: Check) -> None:
        """Tells `token`s as they come and `sql`; with `run` then `rows` or `failed`, of two attempts perhaps.

        Raises:
            TimeLimitError: no SQL within the time.
            KidError: the database cannot be read.
        """
        question = Question(Path(asked.database), asked.question, asked.evidence)
        sql = self._write(question, asked.decoding, 1, asked, tell, check)
        if asked.run:
            self.run(sql, question, asked, tell, check)

    def run(self, sql: str, question: Question, limits: OnDatabase, tell: Tell, check: Check) -> None:
        """Runs a query; one that fails is mended, and run a second time.

        Raises:
            As `ask`.
        """
        outcome = execute(self._executor, sql, limits, 1, tell, check)
        check()
        if outcome.error in MENDABLE:
            tell("phase", name="second attempt")
            second = self._mend(sql, outcome, question, limits, tell, check)
            execute(self._executor, second, limits, 2, tell, check)

    def compare(self, asked: Compare, tell: Tell, check: Check) -> None:
        """This model's own answer and its rows, then the `difference` of the other answer from it."""
        question = Question(Path(asked.database), asked.question, asked.evidence)
        own = self._write(question, Decoding(), 1, asked, tell, check)
        outcome = execute(self._executor, own, asked, 1, tell, check)
        found = contrast(self._executor, question.database, asked.sql, own, known=outcome, check=check)
        check()
        tell("difference", **tell_contrast(found))

    def _write(
        self,
        question: Question,
        decoding: Decoding,
        attempt: int,
        limits: OnDatabase,
        tell: Tell,
        check: Check,
    ) -> str:
        began = time.monotonic()

        def on_token(text: str, probability: float) -> None:
            tell("token", attempt=attempt, text=text, p=round(probability, 4))

        written = self._writer.write(
            question, decoding, on_token, _until(began + limits.timeout, limits, check)
        )
        check()
        _tell_sql(written, question, attempt, began, tell)
        return written.sql

    def _mend(
        self, sql: str, outcome: Outcome, question: Question, limits: OnDatabase, tell: Tell, check: Check
    ) -> str:
        began = time.monotonic()
        in_time = _until(began + limits.timeout, limits, check)
        for written in self._writer.alternatives(question, _ALTERNATIVES, in_time):
            if written.sql == sql:
                continue
            if not self._executor.run(question.database, written.sql, 1, in_time).error:
                _tell_sql(written, question, 2, began, tell)
                return written.sql
        told = replace(question, evidence=f"{question.evidence} {sql} : {outcome.message} .".strip())
        return self._write(told, Decoding(), 2, limits, tell, check)


def _until(deadline: float, limits: OnDatabase, check: Check) -> Check:
    def check_time() -> None:
        check()
        if time.monotonic() > deadline:
            raise TimeLimitError(f"no SQL after {limits.timeout:g} s", "raise the time limit")

    return check_time


def _tell_sql(written: Written, question: Question, attempt: int, began: float, tell: Tell) -> None:
    checked = check_names(written.sql, readable(question.database), dialect(question.database))
    tell(
        "sql",
        attempt=attempt,
        sql=written.sql,
        tokens=[(text, round(probability, 4)) for text, probability in written.tokens],
        votes=written.votes,
        problems=[asdict(problem) for problem in checked.problems],
        tables=checked.tables,
        columns=checked.columns,
        ms=(time.monotonic() - began) * 1000,
    )


def execute(
    executor: Executor, sql: str, limits: OnDatabase, attempt: int, tell: Tell, check: Check
) -> Outcome:
    """Runs a query behind the guard; tells its `rows`, or how it `failed`."""
    database = Path(limits.database)
    outcome = executor.run(database, sql, limits.max_rows, check)
    milliseconds = outcome.seconds * 1000
    if outcome.error:
        hint = name_hint(outcome.message, readable(database), sql)
        tell(
            "failed",
            attempt=attempt,
            error=outcome.error,
            message=outcome.message,
            hint=hint,
            ms=milliseconds,
        )
    else:
        rows = [list(map(tell_cell, row)) for row in outcome.rows]
        tell(
            "rows",
            attempt=attempt,
            columns=outcome.columns,
            rows=rows,
            truncated=outcome.truncated,
            ms=milliseconds,
        )
    return outcome
