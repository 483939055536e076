"""Scopes: the things in a database that a kind of question is about, with the slots they fill."""

from __future__ import annotations

from collections.abc import Iterator

from engine.data.demo.databases import Column, DemoDatabase, Link, Table, plural
from engine.data.demo.kind import Fill
from engine.data.demo.terms import column, said


def tables(db: DemoDatabase) -> Iterator[tuple[Table, Fill]]:
    for t in db.tables:
        yield t, {"table": said(t.name), "one": said("", t.name), "many": said("", t.many)}


def categories(db: DemoDatabase) -> Iterator[tuple[Table, Fill]]:
    for t, fill in tables(db):
        for c in t.categories:
            yield t, fill | {"cat": column(c), "cats": said("", plural(c.words))}


def numbers(db: DemoDatabase) -> Iterator[tuple[tuple[Table, Column], Fill]]:
    for t, fill in tables(db):
        for c in t.numbers:
            yield (t, c), fill | {"num": column(c)}


def keys(db: DemoDatabase) -> Iterator[tuple[tuple[Table, Column], Fill]]:
    """Columns to sort by; NULLs have no place in an order."""
    for t, fill in tables(db):
        for c in (*t.numbers, *t.dates):
            if not c.has_null:
                yield (t, c), fill | {"key": column(c)}


def category_numbers(db: DemoDatabase) -> Iterator[tuple[Column, Fill]]:
    for t, fill in categories(db):
        yield from ((c, fill | {"num": column(c)}) for c in t.numbers)


def links(db: DemoDatabase) -> Iterator[tuple[Link, Fill]]:
    """Parent (T1) and child (T2)."""
    for link in db.links:
        p, c = link.parent, link.child
        tables = {"p_table": said(p.name), "c_table": said(c.name), "fk": said(link.key)}
        words = {"owner": p.name, "owners": p.many, "one": c.name, "many": c.many, "of": link.words}
        yield link, tables | {slot: said("", word) for slot, word in words.items()}


def link_numbers(db: DemoDatabase) -> Iterator[tuple[tuple[Link, Column], Fill]]:
    for link, fill in links(db):
        yield from (((link, c), fill | {"num": column(c, "T2.")}) for c in link.child.numbers)


def paths(db: DemoDatabase) -> Iterator[tuple[tuple[Table, Table], Fill]]:
    """The first (T1) and the last (T3) of three joined tables."""
    for first, second in db.paths():
        is_chain = first.child is second.parent
        last = second.child if is_chain else second.parent
        on = f"T2.id = T3.{second.key}" if is_chain else f"T2.{second.key} = T3.id"
        lowest = last if is_chain else first.child
        yield (
            (first.parent, last),
            {
                "a": said(first.parent.name),
                "b": said(first.child.name),
                "c": said(last.name),
                "fk": said(first.key),
                "on": said(on),
                "via": said("", first.child.many),
                "of": said("", first.words),
                "near": said("", second.words if is_chain else "with"),
                "far": said("", "with" if is_chain else second.words),
                "first": said("", first.parent.name),
                "firsts": said("", first.parent.many),
                "last": said("", last.name),
                "lasts": said("", last.many),
                "lowest": said("", lowest.name),
                "lowests": said("", lowest.many),
            },
        )
