"""What is typed: a command, SQL or a question; and where one ends and the next begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.sql.text import first_token, first_word, tokens

LEAVING = {"exit", "quit"}
# What SQL begins with where no semicolon says that it is some.
_QUERY_WORDS = {"select", "with", "values"}


@dataclass(frozen=True)
class Entry:
    kind: Literal["command", "sql", "question", "leave"]
    text: str


def entries(text: str, reads_as_query: Callable[[str], bool]) -> list[Entry]:
    """What a typed text asks for, in order: `\\` begins a command, `;` ends SQL, the rest is a question.

    A query of tables and columns that exist is SQL also without its semicolon.

    Args:
        reads_as_query: whether a statement without one is such a query (`is_query`).
    """
    text = text.strip()
    if not first_token(text):  # nothing, or a comment
        return []
    if text.startswith("\\"):
        return [Entry("command", text[1:].strip())]
    if text.rstrip("; ").lower() in LEAVING:
        return [Entry("leave", "")]
    found = statements(text)
    if is_open(text) and not all(map(reads_as_query, found)):
        return [Entry("question", " ".join(text.split()))]
    return [Entry("sql", statement) for statement in found]


def is_open(text: str) -> bool:
    """Whether something stands behind the last semicolon, or there is none."""
    left = [kind for kind, _ in tokens(text) if kind != "gap"]
    return not left or left[-1] != "end"


def is_query(text: str, schema: Mapping[str, Sequence[str]], dialect: str = "sqlite") -> bool:
    """Whether a text reads as a query of what exists: "Select all singers" is a question.

    Args:
        schema: table -> its columns.
        dialect: of the database's SQL, as sqlglot calls it.
    """
    from engine.sql.check import MAX_LENGTH, check
    from engine.sql.text import parse

    if first_token(text) not in _QUERY_WORDS or len(text) > MAX_LENGTH or parse(text, dialect) is None:
        return False
    return not check(text, schema, dialect).problems


def begins_sql(text: str) -> bool:
    """Whether Enter goes on to the next line: SQL is being written, and its semicolon is missing.

    Only capitals tell SQL from a question that begins with "select". An empty line ends it, too.
    """
    if text.endswith("\n"):
        return False
    word = first_word(text)
    return word.isupper() and word.lower() in _QUERY_WORDS and is_open(text)


def statements(text: str) -> list[str]:
    """The statements of a text, without their semicolons and without empty ones."""
    found: list[str] = []
    current: list[str] = []
    for kind, part in [*tokens(text), ("end", ";")]:
        if kind != "end":
            current.append(part)
        else:
            statement = "".join(current).strip()
            if first_token(statement):
                found.append(statement)
            current = []
    return found


def read_script(lines: Iterable[str]) -> Iterator[str]:
    """The texts of a script or a pipe: each line one, but SQL goes on to its semicolon, a comment to its end.

    A line whose first word is SELECT, WITH or VALUES, all in capitals or all in small letters, begins SQL; in
    small letters only if the semicolon comes before an empty line or a command, else each line is a text
    by itself.
    """
    waiting: list[str] = []
    word = ""  # the first of what waits; none: a comment that goes on
    for line in lines:
        line = line.rstrip("\n")
        if word and waiting and (line.startswith("\\") or (not line.strip() and not word.isupper())):
            yield from waiting  # it was no SQL
            waiting = []
        waiting.append(line)
        if len(waiting) > 1 and not any(mark in line for mark in (";", "*/")):
            continue  # what waits goes on: its end is not in this line
        text = "\n".join(waiting)
        word = first_word(text)
        if not word:
            waiting = waiting if _in_comment(text) else []
        elif word.lower() not in _QUERY_WORDS or not (word.isupper() or word.islower()) or not is_open(text):
            yield text
            waiting = []
    if waiting and word.isupper():
        yield "\n".join(waiting)
    else:
        yield from waiting


def closed(sql: str) -> str:
    """SQL with its semicolon, behind a comment on a line of its own."""
    last = next(reversed([kind for kind, _ in tokens(sql)]), "")
    return f"{sql}\n;" if last == "gap" else f"{sql};"


def _in_comment(text: str) -> bool:
    *_, (kind, _) = tokens(f"{text}\n;")
    return kind == "gap"
