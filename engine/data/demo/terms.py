"""Terms: the pieces of a question, each said twice, as SQL and in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, combinations, product
from typing import TypeVar

from engine.data.demo.databases import Column, Table

Item = TypeVar("Item")


@dataclass(frozen=True)
class Term:
    """The SQL of one piece, and one or more ways to say it."""

    sql: str
    words: tuple[str, ...]


Conditions = Callable[[Table, str], Iterator[Term]]


def rank(*parts: object) -> bytes:
    """A sort key that shuffles in the same way on every Python and platform."""
    return sha256("|".join(map(str, parts)).encode()).digest()


def some(items: Iterable[Item], limit: int) -> list[Item]:
    """At most `limit` of the items, chosen by their hash."""
    return sorted(items, key=rank)[:limit]


def said(sql: object, *words: str) -> Term:
    return Term(str(sql), words or (str(sql),))


def column(column: Column, alias: str = "") -> Term:
    return said(alias + column.name, column.words)


def columns(table: Table, alias: str = "") -> list[Term]:
    """The columns worth showing: the label first."""
    shown = dict.fromkeys((table.label, *table.categories, *table.numbers, *table.dates))
    return [column(c, alias) for c in shown]


def two_columns(table: Table, alias: str = "") -> list[Term]:
    ordered = [(a, b) for a, b in product(columns(table, alias), repeat=2) if a is not b]
    return [said(f"{a.sql}, {b.sql}", f"{a.words[0]} and {b.words[0]}") for a, b in ordered]


def selections(table: Table, alias: str = "") -> list[Term]:
    """What a question can ask to see: one column, or the label and another one."""
    label = column(table.label, alias).sql
    return columns(table, alias) + [t for t in two_columns(table, alias) if t.sql.startswith(f"{label}, ")]


def named(table: Table, alias: str = "") -> list[Term]:
    """One row by its label: `name = 'Ana Ruiz'`, "singer Ana Ruiz"."""
    label = table.label
    return [said(f"{alias}{label.name} = {label.literal(v)}", f"{table.name} {v}") for v in label.values]


def owned(table: Table, alias: str) -> list[Term]:
    """Columns said with their table: "singer name"."""
    return [Term(t.sql, tuple(f"{table.name} {w}" for w in t.words)) for t in columns(table, alias)]


MORE_OR_FEWER = [said(">", "more than"), said("<", "fewer than")]
ORDERS = [said("DESC", "in descending order"), said("ASC", "in ascending order")]


def numerals(first: int, last: int) -> list[Term]:
    return [said(n) for n in range(first, last + 1)]


def aggregates(number: Column) -> list[Term]:
    terms = [
        said("avg", "average", "mean"),
        said("min", "minimum", "smallest"),
        said("max", "maximum", "largest"),
    ]
    return [*terms, said("sum", "total")] if number.is_total else terms


def extremes(key: Column) -> list[Term]:
    if key.role == "date":
        return [said("DESC", "latest"), said("ASC", "earliest")]
    return [said("DESC", "highest"), said("ASC", "lowest")]


# --- conditions: "age > 30", "age is above 30" -------------------------------


def condition(column: Column, alias: str, sql: str, words: Sequence[str], *values: object) -> Term:
    comparison = sql.format(*map(column.literal, values))
    return Term(
        f"{alias}{column.name} {comparison}", tuple(f"{column.words} {w.format(*values)}" for w in words)
    )


def equals(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.categories:
        yield from (condition(c, alias, "= {}", ("is {}", "equals {}"), v) for v in c.values)


def differs(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.categories:
        yield from (condition(c, alias, "!= {}", ("is not {}", "differs from {}"), v) for v in c.values)


def above(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.numbers:
        yield from (
            condition(c, alias, "> {}", ("is above {}", "is greater than {}"), v) for v in c.values[:-1]
        )


def below(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.numbers:
        yield from (condition(c, alias, "< {}", ("is below {}", "is less than {}"), v) for v in c.values[1:])


def after_or_before(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.dates:
        yield from (
            condition(c, alias, "> {}", ("is after {}", "is later than {}"), v) for v in c.values[:-1]
        )
        yield from (
            condition(c, alias, "< {}", ("is before {}", "is earlier than {}"), v) for v in c.values[1:]
        )


def in_year(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.dates:
        for year in sorted({v[:4] for v in c.values}):
            yield said(
                f"{alias}{c.name} LIKE '{year}%'", f"{c.words} is in {year}", f"{c.words} falls in {year}"
            )


def between(table: Table, alias: str = "") -> Iterator[Term]:
    words = ("is between {} and {}", "lies between {} and {}")
    for c in (*table.numbers, *table.dates):
        for low, high in combinations(c.values, 2):
            yield condition(c, alias, "BETWEEN {} AND {}", words, low, high)


def like(table: Table, alias: str = "") -> Iterator[Term]:
    c, labels = table.label, [str(v) for v in table.label.values if table.label.role == "text"]
    for start in sorted({v[0] for v in labels}):
        yield condition(c, alias, f"LIKE '{start}%'", (f"starts with {start}", f"begins with {start}"))
    for word in sorted({word for v in labels for word in v.split() if len(word) > 3}):
        yield condition(c, alias, f"LIKE '%{word}%'", (f"contains {word}", f"includes {word}"))


def one_of(table: Table, alias: str = "") -> Iterator[Term]:
    for c in table.categories:
        for pair in combinations(c.values, 2):
            yield condition(c, alias, "IN ({}, {})", ("is {} or {}", "is either {} or {}"), *pair)


def is_null(table: Table, alias: str = "") -> Iterator[Term]:
    for c in (c for c in table.columns if c.has_null):
        yield condition(c, alias, "IS NULL", ("is missing", "is unknown"))
        yield condition(c, alias, "IS NOT NULL", ("is known", "is not missing"))


def everyday(table: Table, alias: str = "") -> list[Term]:
    """Conditions for questions whose point is another one."""
    kinds: tuple[Conditions, ...] = (equals, above, below, after_or_before)
    return list(chain.from_iterable(some(kind(table, alias), 12) for kind in kinds))


def both(table: Table, alias: str = "") -> Iterator[Term]:
    return _pairs(table, alias, "AND", "and")


def either(table: Table, alias: str = "") -> Iterator[Term]:
    return _pairs(table, alias, "OR", "or")


def _pairs(table: Table, alias: str, operator: str, word: str) -> Iterator[Term]:
    """Two conditions on two columns, in the order of the columns."""
    order = [c.name for c in table.columns]
    for a, b in product(everyday(table, alias), repeat=2):
        if order.index(a.sql.split()[0]) < order.index(b.sql.split()[0]):
            words = tuple(f"{first} {word} {second}" for first, second in zip(a.words, b.words, strict=True))
            yield Term(f"{a.sql} {operator} {b.sql}", words)
