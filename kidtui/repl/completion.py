"""What the prompt offers while a text is typed, and how it tells its parts apart by style classes.

A text that begins with `\\` is a command, one that begins with SELECT, WITH, VALUES or EXPLAIN is SQL,
any other is a question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer, PygmentsLexer

from engine.data.reader import quote
from engine.sql.select_grammar import RESERVED
from engine.sql.systems import SQLITE
from engine.sql.text import first_token, tokens

Schema = Mapping[str, Sequence[str]]
"""Table -> its columns, as the database spells them."""

KEYWORDS = [
    *("SELECT", "DISTINCT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET"),
    *("JOIN", "LEFT JOIN", "INNER JOIN", "CROSS JOIN", "NATURAL JOIN", "ON", "USING", "AS"),
    *("AND", "OR", "NOT", "IN", "EXISTS", "BETWEEN", "LIKE", "GLOB", "IS NULL", "IS NOT NULL", "NULL"),
    *("CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "COLLATE", "ASC", "DESC", "OVER", "PARTITION BY"),
    *("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "WITH", "RECURSIVE", "VALUES", "EXPLAIN"),
    *("count", "sum", "avg", "min", "max", "abs", "round", "length", "lower", "upper", "substr"),
    *("coalesce", "date", "strftime"),
]
"""What is offered in SQL beside names."""
_RESERVED = frozenset(RESERVED.split())
_PLAIN = re.compile(r"[^\W\d]\w*")
_NAME = r'("[^"]*"|`[^`]*`|\[[^]]*]|[^\W\d]\w*)'
# A table and perhaps its alias, which is only looked at: it may be the JOIN before the next table.
_TABLE = re.compile(rf"(?:\bfrom|\bjoin|,)\s*{_NAME}(?=\s+(?:as\s+)?{_NAME}|)", re.IGNORECASE)
_CURSOR = "\0"  # a token of its own, but in a text or comment that is not closed
_BEFORE_TABLES = {"from", "join"}
_OPEN_QUOTE = re.compile(r"""(?:^|[\s(])(['"])(?:(?!\1).)*$""", re.DOTALL)  # not the one of "singers' names"
_MIN_LETTERS = 2  # of a name in a question before names are offered
_MAX_OWNERS = 3  # tables shown beside a column


class SqlCompleter(Completer):
    """Offers commands and their arguments, names of the database, and the keywords of SQL.

    Args:
        commands: name without its backslash -> the values that its argument can have.
        schema: of the database in use.
    """

    def __init__(
        self, commands: Mapping[str, Callable[[], Sequence[str]]], schema: Callable[[], Schema]
    ) -> None:
        self._commands, self._schema = commands, schema

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        if before.lstrip().startswith("\\"):
            yield from self._of_command(before.lstrip()[1:])
        elif _is_sql(document.text):
            yield from self._of_sql(before, document.text, complete_event.completion_requested)
        else:
            yield from self._of_question(before)

    def _of_command(self, begun: str) -> Iterator[Completion]:
        name, blank, argument = begun.partition(" ")
        if not blank:
            yield from _completions(name, ((command, "") for command in self._commands))
        elif name in self._commands:
            argument = argument.lstrip()
            yield from _completions(argument, ((value, "") for value in self._commands[name]()))

    def _of_question(self, before: str) -> Iterator[Completion]:
        word = re.search(r"\w*$", before)
        begun = word.group() if word else ""
        if len(begun) < _MIN_LETTERS or _OPEN_QUOTE.search(before):
            return
        schema = self._schema()
        yield from _completions(begun, [*_tables(schema), *_columns(schema, schema)])

    def _of_sql(self, before: str, text: str, asked: bool) -> Iterator[Completion]:
        """Names and keywords. Before the first letter only the columns behind a dot, or if asked."""
        place = _place(before)
        if place is None:
            return
        begun, before_it = place
        schema = self._schema()
        read = _tables_read(text, schema)
        if before_it[-1:] == ["."]:
            called = {**{table.lower(): table for table in schema}, **read}
            table = called.get(_bare("".join(before_it[-2:-1])).lower())
            yield from _names(begun, _columns(schema, [table] if table else []))
        elif not begun and not asked:
            return
        elif before_it and before_it[-1].lower() in _BEFORE_TABLES:
            yield from _names(begun, _tables(schema))
        else:
            near = dict.fromkeys(read.values())
            far = [table for table in schema if table not in near]
            yield from _names(begun, [*_columns(schema, near), *_tables(schema)])
            keywords = (word.lower() if begun.islower() else word for word in KEYWORDS)
            yield from _completions(begun, ((word, "") for word in keywords))
            yield from _names(begun, _columns(schema, far))


class LineLexer(Lexer):
    """Style classes: `command`, in questions `name` for names of the database, in SQL those of Pygments.

    Args:
        schema: of the database in use.
    """

    def __init__(self, schema: Callable[[], Schema]) -> None:
        self._schema = schema

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        if document.text.lstrip().startswith("\\"):
            return lambda line: [("class:command", document.lines[line])]
        if _is_sql(document.text):
            return self._sql.lex_document(document)
        schema = self._schema()
        names = {name.lower() for table, columns in schema.items() for name in (table, *columns)}
        return lambda line: [
            ("class:name" if part.lower() in names else "", part)
            for part in re.split(r"(\w+)", document.lines[line])
            if part
        ]

    @cached_property
    def _sql(self) -> Lexer:
        from pygments.lexers.sql import SqlLexer

        return PygmentsLexer(SqlLexer)


def _is_sql(text: str) -> bool:
    return first_token(text) in SQLITE.query_words


def _place(before: str) -> tuple[str, list[str]] | None:
    """What is begun of a name, with its quote, and the words before; None in a text or comment."""
    *typed, (kind, last) = tokens(before + _CURSOR)
    begun = ""
    if kind == "quoted":
        begun = last.removesuffix(_CURSOR)
    elif typed and typed[-1][0] == "word":
        begun = typed.pop()[1]
    if kind == "gap" or last[0] == "'":
        return None
    return begun, [text for kind, text in typed if kind != "gap"]


def _names(begun: str, offered: Iterable[tuple[str, str]]) -> Iterator[Completion]:
    """Names for SQL, in double quotes where they need them or a quote is begun."""
    bare = _bare(begun).lower()
    for name, meta in offered:
        if name.lower().startswith(bare):
            text = name if bare == begun.lower() and _is_plain(name) else quote(name)
            if text != begun:
                yield Completion(text, -len(begun), display_meta=meta)


def _completions(begun: str, offered: Iterable[tuple[str, str]]) -> Iterator[Completion]:
    """Those of the (text, meta) pairs that go on from what is begun, in whatever case."""
    for text, meta in offered:
        if text.lower().startswith(begun.lower()) and text != begun:
            yield Completion(text, -len(begun), display_meta=meta)


def _is_plain(name: str) -> bool:
    """Whether SQLite reads a name without quotes."""
    return bool(_PLAIN.fullmatch(name)) and name.lower() not in _RESERVED


def _bare(name: str) -> str:
    return name.strip('"`[]')


def _tables(schema: Schema) -> list[tuple[str, str]]:
    return [(table, "table") for table in schema]


def _columns(schema: Schema, tables: Iterable[str]) -> list[tuple[str, str]]:
    """The columns of some tables, each name once, with the tables that have it."""
    owners: dict[str, list[str]] = {}
    for table in tables:
        for column in schema[table]:
            owners.setdefault(column, []).append(table)
    return [
        (column, ", ".join(having[:_MAX_OWNERS]) + (" …" if len(having) > _MAX_OWNERS else ""))
        for column, having in owners.items()
    ]


def _tables_read(text: str, schema: Schema) -> dict[str, str]:
    """What a query, complete or not, calls the tables it reads from, in lower case -> the table."""
    spelt = {table.lower(): table for table in schema}
    read = {}
    for match in _TABLE.finditer(text):
        table = spelt.get(_bare(match[1]).lower())
        if table:
            read[table.lower()] = table
            if match[2]:
                read[_bare(match[2]).lower()] = table
    return read
