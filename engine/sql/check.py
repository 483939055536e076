"""What can be said of a query before it runs: its problems, and the tables and columns it uses.

For messages only: what keeps a database safe is the executor's fence (execute.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.sql.lookup import Checked, Problem, look_up
from engine.sql.systems import SYSTEMS
from engine.sql.text import first_statement, first_token, tokens

MAX_LENGTH = 5_000
"""Longest query, in characters, whose names are looked up."""
_SYSTEMS = {system.dialect: system for system in SYSTEMS}


def check(sql: str, schema: Mapping[str, Sequence[str]], dialect: str = "sqlite") -> Checked:
    """Looks a query over. Never raises, whatever the text.

    Args:
        schema: table or view -> its columns, as the database spells them; all that can be read.
        dialect: that of one of the SYSTEMS.
    """
    statement = first_statement(sql)
    problems = [problem] if (problem := _not_one_query(sql, statement, dialect)) else []
    query = _without_explain(statement)
    if len(query) > MAX_LENGTH or first_token(query) not in _SYSTEMS[dialect].query_words - {"explain"}:
        return Checked(tuple(problems))
    found = look_up(query, schema, dialect)
    return Checked((*problems, *found.problems), found.columns, found.tables)


def _not_one_query(sql: str, statement: str, dialect: str) -> Problem | None:
    """What is wrong with a text as a whole."""
    word, system = first_token(sql), _SYSTEMS[dialect]
    if word in ("", ";"):
        return Problem("empty", "there is no query")
    if "\0" in sql:
        return Problem("syntax", "the query contains a null character")
    if word == "explain":
        word = first_token(_without_explain(statement))
        if word in ("", "explain"):
            return Problem("syntax", "incomplete input" if not word else 'near "explain": syntax error')
    if system.other_words.fullmatch(word):
        return Problem("forbidden", f"{word.upper()} is not run: only queries are")
    if word not in system.query_words:
        return Problem("syntax", f'near "{word[:100]}": syntax error', "a query begins with SELECT or WITH")
    if any(kind not in ("gap", "end") for kind, _ in tokens(sql[len(statement) :])):
        return Problem("forbidden", "You can only execute one statement at a time.")
    return None


def _without_explain(statement: str) -> str:
    """The query that an EXPLAIN [QUERY PLAN] is about; any other text as it is."""
    rest = list(tokens(statement))
    for word in ("explain", "query", "plan"):
        place = next((place for place, (kind, _) in enumerate(rest) if kind != "gap"), 0)
        if not rest or rest[place][1].lower() != word:
            break
        rest = rest[place + 1 :]
    return "".join(text for _, text in rest)
