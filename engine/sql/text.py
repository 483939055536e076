"""SQL as text: the few cuts that need no parser, made with SQLite's own idea of a token.

Only what changes the meaning of a cut is told apart: blanks and comments, quoted
text, words, the semicolon. `tables` alone parses, with sqlglot, imported when called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

# A doubled quote reads as two neighbours ('it''s' = 'it' + 's'): the same text, and linear
# time. An unclosed quote or comment runs to the end. U+FEFF is a blank to SQLite.
_TOKEN = re.compile(
    r"""(?P<gap>   (?: [ \t\n\f\r\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z) )+ )
      | (?P<quoted> '[^']*'? | "[^"]*"? | `[^`]*`? | \[[^]]*]? )
      | (?P<word>  [\w$\x80-\U0010ffff]+ )
      | (?P<end>   ; )
      | (?P<other> . )""",
    re.VERBOSE | re.DOTALL,
)


def tokens(sql: str) -> Iterator[tuple[str, str]]:
    """(kind, text) pairs that join to `sql`; kinds: gap (blanks, comments), quoted, word, end (;), other."""
    for match in _TOKEN.finditer(sql):
        yield match.lastgroup or "other", match.group()


def normalise(sql: str) -> str:
    """A gold query as it is learnt: comments and runs of blanks become one blank, final semicolons go.

    Quoted text keeps its blanks.
    """
    return "".join(" " if kind == "gap" else text for kind, text in tokens(sql)).strip("; ")


def first_statement(sql: str) -> str:
    """The text up to the first semicolon outside quotes and comments, without it."""
    statement: list[str] = []
    for kind, text in tokens(sql):
        if kind == "end":
            break
        statement.append(text)
    return "".join(statement)


def first_token(sql: str) -> str:
    """The first token in lower case, or "" where there are only blanks and comments."""
    return first_word(sql).lower()


def first_word(sql: str) -> str:
    """The same as it is written."""
    return next((text for kind, text in tokens(sql) if kind != "gap"), "")


@lru_cache(maxsize=32)
def parse(sql: str, dialect: str = "sqlite") -> Expr | None:
    """The tree of one query, or None where sqlglot cannot read it. Shared: do not change it."""
    import sqlglot

    try:
        return sqlglot.parse_one(sql, read=dialect)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None


def tables(sql: str) -> set[str]:
    """The names, in lower case, of the tables that a query reads; empty where it cannot be parsed."""
    from sqlglot import exp

    if (tree := parse(sql)) is None:
        return set()
    made_here = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    return {table.name.lower() for table in tree.find_all(exp.Table)} - made_here
