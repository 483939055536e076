"""What a session of the REPL holds: its settings, the last question, the queries that ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.protocol import Decoding
from kidtui.repl.texts import closed

Mode = Literal["ask", "auto"]


@dataclass
class Settings:
    """What a user can change while it runs.

    limit: rows of a result that are shown.
    timeout: seconds for an answer, and for a query.
    """

    mode: Mode = "ask"
    format: str = "table"
    limit: int = 1000
    timeout: float = 30.0
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def how(self) -> str:
        """How answers are chosen, in a few words."""
        match self.decoding.name:
            case "beam":
                return f"the best of {self.decoding.num_beams} beams"
            case "vote":
                return f"a vote of {self.decoding.num_samples + 1}"
        return "greedy, constrained to names that exist" if self.decoding.constrained else "greedy"


@dataclass
class Asked:
    """A question and what came of it. `own`: the user's SQL that was run after it."""

    question: str
    sql: str = ""
    teacher: str = ""
    own: str = ""


@dataclass(frozen=True)
class Done:
    """A query that ran, on a database; `question`: what it answers, where it was a model's."""

    database: str
    sql: str
    question: str = ""


def script(queries: Sequence[Done]) -> str:
    """Queries for `kid repl -f`, each behind its question and on its database."""
    lines, database = [], ""
    for done in queries:
        if done.database != database:
            database = done.database
            lines += [f"\\u {database}", ""]
        lines += ([f"-- {done.question}"] if done.question else []) + [closed(done.sql), ""]
    return "\n".join(lines)
