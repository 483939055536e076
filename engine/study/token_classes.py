"""What every token of a model is in SQL: a keyword, a function, a table, a column, a literal, …

sqlglot's tokenizer cuts the text; what a name stands for is told by its place in the query, the
database's schema and the query's aliases. A model cuts the same text otherwise: its tokens find their
class through character offsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.sql.text import tokens as pieces_of

if TYPE_CHECKING:
    from sqlglot.tokens import Token

CLASSES = ("keyword", "function", "table", "column", "literal", "operator", "punctuation", "other")
"""`other`: comments, blanks at the end, text that is no SQL."""

Schema = Mapping[str, Sequence[str]]
"""Table -> its columns."""

# Always keywords, whatever a schema calls its columns: a name spelt like one of these has to be quoted.
_RESERVED = frozenset((
    "ALIAS", "ALL", "AND", "ASC", "BETWEEN", "CASE", "CROSS", "DESC", "DISTINCT", "ELSE", "END",
    "EXCEPT", "EXISTS", "FROM", "FULL", "GROUP_BY", "HAVING", "IN", "INNER", "INTERSECT", "IS", "JOIN",
    "LEFT", "LIKE", "LIMIT", "NATURAL", "NOT", "NULL", "ON", "OR", "ORDER_BY", "OUTER", "OVER", "RIGHT",
    "SELECT", "THEN", "UNION", "USING", "VALUES", "WHEN", "WHERE", "WITH",
))  # fmt: skip
_NAMES_TABLES = frozenset({"FROM", "JOIN", "WITH"})
_WITHIN_FROM = frozenset({"ALIAS", "CROSS", "FULL", "INNER", "LEFT", "NATURAL", "OUTER", "RIGHT"})
_PUNCTUATION = frozenset("(),.;[]{}")
_QUOTES = '"`['


@dataclass(frozen=True, slots=True)
class Span:
    """A token of SQL: text[start:end], and its class."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Word:
    """A token as sqlglot cuts it; `type` is the name of its TokenType."""

    start: int
    end: int
    type: str
    text: str

    @property
    def is_name(self) -> bool:
        """Whether it is written as a name or a keyword, not as a sign or a literal."""
        if self.type.endswith("STRING"):
            return False
        return self.text[0] in _QUOTES + "_$" or self.text[0].isalpha() or not self.text[0].isascii()

    @property
    def name(self) -> str:
        """In lower case, without its quotes."""
        return self.text.strip('"`[]').lower()


def spans(sql: str, schema: Schema | None = None) -> list[Span]:
    """The tokens of a query with their classes, ascending; blanks and comments lie between them.

    A query may be unfinished: a quote that is never closed reaches to the end. Of a text that sqlglot
    cannot cut there are no spans.

    Args:
        schema: of the query's database; names are told apart without regard to case.
    """
    words = _words(sql)
    in_from = _places_of_tables(words)
    columns = {column.lower() for columns in (schema or {}).values() for column in columns}
    tables = {table.lower() for table in schema or {}}
    tables |= {word.name for word, inside in zip(words, in_from, strict=True) if inside and word.is_name}
    found: list[Span] = []
    for place, (word, inside) in enumerate(zip(words, in_from, strict=True)):
        before = words[place - 1] if place else None
        after = words[place + 1] if place + 1 < len(words) else None
        if word.is_name:
            kind = _kind_of_name(word, before, after, inside, tables, columns)
        else:
            kind = _kind_of_sign(word, found[-1].kind if found else "", before)
        found.append(Span(word.start, word.end, kind))
    return found


def classes_of_pieces(
    sql: str, offsets: Sequence[tuple[int, int]], schema: Schema | None = None
) -> list[str]:
    """The class of each of a model's tokens.

    It is that of the SQL token in which the token's first character lies that is not blank. A token
    of blanks alone belongs to the SQL token that it leads to.

    Args:
        offsets: start and end of each token in `sql`, in characters; ascending.
    """
    kinds = [""] * len(sql)
    for span in spans(sql, schema):
        kinds[span.start : span.end] = [span.kind] * (span.end - span.start)
    found = []
    for start, end in offsets:
        first = next((at for at in range(start, end) if not sql[at].isspace()), None)
        if first is None:
            first = next((at for at in range(end, len(sql)) if not sql[at].isspace()), None)
        found.append((kinds[first] if first is not None else "") or "other")
    return found


def offsets_of_pieces(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """A text's token ids, and where each one stands in it, in characters.

    A tokenizer without offsets decodes its tokens one more at a time: what is there by then that the
    text begins with is behind the token. Of a character that several tokens make up, the last has it.
    """
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["input_ids"]), [(start, end) for start, end in encoded["offset_mapping"]]
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    offsets, start = [], 0
    for count in range(1, len(ids) + 1):
        end = max(start, _common(tokenizer.decode(ids[:count]), text)) if count < len(ids) else len(text)
        offsets.append((start, end))
        start = end
    return ids, offsets


def _common(decoded: str, text: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(decoded, text, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(decoded), len(text)))


def _words(sql: str) -> list[_Word]:
    from sqlglot.errors import TokenError

    try:
        return [_word(sql, token) for token in _cut(sql)]
    except TokenError:
        pass
    # A quote or a comment that is never closed is the last piece.
    head, (kind, tail) = _without_last(sql)
    try:
        words = [_word(sql, token) for token in _cut(head)]
    except TokenError:
        return []
    if kind == "quoted":
        words.append(_Word(len(head), len(sql), "STRING" if tail[0] == "'" else "IDENTIFIER", tail))
    return words


def _cut(sql: str) -> list[Token]:
    from sqlglot.dialects import SQLite

    return SQLite().tokenize(sql)


def _word(sql: str, token: Token) -> _Word:
    return _Word(token.start, token.end + 1, token.token_type.name, sql[token.start : token.end + 1])


def _without_last(sql: str) -> tuple[str, tuple[str, str]]:
    """The text before the last piece, and that piece with its kind; a comment goes without its blanks."""
    *_, (kind, text) = pieces_of(sql)
    return sql[: len(sql) - len(text)], (kind, text)


def _places_of_tables(words: Sequence[_Word]) -> list[bool]:
    """For every token whether it stands where tables are named: behind FROM, JOIN or WITH."""
    found, scopes = [], [False]
    for word in words:
        if word.text == "(":
            scopes.append(scopes[-1])  # a sub-query changes it by its own SELECT
        elif word.text == ")" and len(scopes) > 1:
            scopes.pop()
        elif word.type in _RESERVED and word.type not in _WITHIN_FROM:
            scopes[-1] = word.type in _NAMES_TABLES
        found.append(scopes[-1] and word.type not in _RESERVED)
    return found


def _kind_of_name(
    word: _Word, before: _Word | None, after: _Word | None, inside: bool, tables: set[str], columns: set[str]
) -> str:
    if word.type in _RESERVED:
        return "keyword"
    bare = word.text[0] not in _QUOTES
    if before is not None and before.text == "." and not inside:
        return "column"
    if after is not None and after.text == ".":
        return "table"
    if bare and after is not None and after.text == "(" and (word.type == "VAR" or not inside):
        return "function"
    if bare and word.type != "VAR" and word.name not in columns | tables:
        return "keyword"
    if inside:
        return "table"
    if word.name not in columns and word.name in tables:
        return "table"
    # SQLite takes "France" for text where no column is called so.
    return "literal" if word.text[0] == '"' and word.name not in columns else "column"


def _kind_of_sign(word: _Word, kind_before: str, before: _Word | None) -> str:
    if word.type.endswith("STRING") or word.type in ("NUMBER", "PLACEHOLDER"):
        return "literal"
    if word.type == "STAR":  # a product has something before it
        follows = kind_before in ("column", "table", "literal") or (before is not None and before.text == ")")
        return "operator" if follows else "column"
    return "punctuation" if word.text in _PUNCTUATION else "operator"
