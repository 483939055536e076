"""The service's language: what is asked of `python -P -m engine serve`, and how results travel.

docs/serve.md tells it to those who write another client. A request is one JSON object on a line; events
come back as one JSON object a line, each with the `id` of its request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.errors import UsageError
from engine.sql.contrast import Contrast

VERSION = 1
LAST_EVENTS = frozenset({"done", "error", "cancelled"})
"""One of these ends a request."""
LONGEST_LINE = 16_000_000
"""Bytes; a longer request is refused."""

Role = Literal["student", "teacher"]
Id = int | str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Request(Strict):
    id: Id
    """Chosen by the client; no two open requests share one."""


class Load(Request):
    """Get the models of a profile: the student now, the teacher when it is first asked."""

    op: Literal["load"]
    profile: dict[str, Any]
    """A resolved profile; `student.model` is the model that answers."""


class Open(Request):
    """Read a database's schema, then run its prompt's prefix, so that the first question finds it done."""

    op: Literal["open"]
    database: str
    """A file's path."""


class OnDatabase(Request):
    database: str
    """A file's path."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds that a model may write, and that each query may run."""
    max_rows: int = Field(default=1000, ge=1)


class Decoding(Strict):
    """How an answer is chosen."""

    name: Literal["greedy", "beam", "vote"] = "greedy"
    num_beams: int = Field(default=4, ge=1, le=64)
    num_samples: int = Field(default=8, ge=1, le=256)
    """Candidates of a vote beside the greedy one."""
    temperature: float = Field(default=0.5, gt=0)
    """Of the candidates."""
    seed: int = 0
    constrained: bool = False
    """greedy: only SQL with this database's names can be written (needs the extra `constrained`)."""


class Ask(OnDatabase):
    """A question: SQL, checks, and with `run` its rows, or what a second attempt gives."""

    op: Literal["ask"]
    question: str
    evidence: str = ""
    """What one has to know to understand the question."""
    role: Role = "student"
    run: bool = True
    decoding: Decoding = Decoding()


class Execute(OnDatabase):
    """Run SQL. With the question that it answers, a failure is repaired once."""

    op: Literal["execute"]
    sql: str
    question: str | None = None
    evidence: str = ""


class Compare(OnDatabase):
    """Ask the teacher, and tell how its SQL and rows differ from the student's."""

    op: Literal["compare"]
    question: str
    evidence: str = ""
    sql: str
    """The student's."""


class Prompt(Request):
    """What the student reads for a question."""

    op: Literal["prompt"]
    database: str
    question: str
    evidence: str = ""


class Cancel(Request):
    """End another request: at once for the client, at the model's next pass for the service."""

    op: Literal["cancel"]
    target: Id


class Close(Request):
    """End the service."""

    op: Literal["close"]


AnyRequest = Load | Open | Ask | Execute | Compare | Prompt | Cancel | Close
_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Annotated[AnyRequest, Field(discriminator="op")])


def parse(line: bytes) -> AnyRequest:
    """The request on a line.

    Raises:
        UsageError: it is none; what is wrong with it, on one line.
    """
    try:
        return _REQUEST.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"not a request: {where + ': ' if where else ''}{first['msg']}") from None


def tell_cell(cell: Any) -> Any:
    """A cell as JSON has it: a blob is {"blob": hex digits}, an infinity {"float": "inf"}."""
    if isinstance(cell, bytes):
        return {"blob": cell.hex()}
    if isinstance(cell, float) and not math.isfinite(cell):
        return {"float": str(cell)}
    return cell


def told_cell(value: Any) -> Any:
    """The cell that `tell_cell` told of."""
    if isinstance(value, dict):
        return bytes.fromhex(value["blob"]) if "blob" in value else float(value["float"])
    return value


def tell_contrast(found: Contrast) -> dict[str, Any]:
    """A difference as JSON has it."""
    return asdict(found) | {"only": [[list(map(tell_cell, row)) for row in rows] for rows in found.only]}


def told_contrast(event: Mapping[str, Any]) -> Contrast:
    """The difference that `tell_contrast` told of."""
    more, less = (tuple(tuple(map(told_cell, row)) for row in rows) for rows in event["only"])
    fields = {key: tuple(event[key]) for key in ("messages", "num_rows", "num_only", "classes", "lines")}
    return Contrast(same=event["same"], only=(more, less), **fields)
