"""A kind of question: one SQL template, its phrasings, and what fills their slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from engine.data.demo.databases import DemoDatabase
from engine.data.demo.terms import Term

Fill = dict[str, Term]
Scope = Callable[[DemoDatabase], Iterator[tuple[Any, Fill]]]


@dataclass(frozen=True)
class Kind:
    """`sql` and `asks` are templates; their slots come from the scope and from `slots`.

    scope: what in a database a question is about, and the slots that follow from it.
    slots: for one such thing, the terms that each further slot can take.
    """

    name: str
    scope: Scope
    sql: str
    asks: tuple[str, ...]
    slots: Callable[..., dict[str, Iterable[Term]]] = lambda _: {}

    def fills(self, db: DemoDatabase) -> Iterator[Fill]:
        for thing, base in self.scope(db):
            slots = self.slots(thing)
            for terms in product(*slots.values()):
                fill = base | dict(zip(slots, terms, strict=True))
                if _sensible(fill):
                    yield fill

    def query(self, fill: Fill) -> str:
        return self.sql.format(**{slot: term.sql for slot, term in fill.items()})

    def questions(self, fill: Fill) -> list[str]:
        """All phrasings, without repeats; neighbours differ in their template."""
        num_words = max(len(term.words) for term in fill.values())
        asked = (
            ask.format(**{slot: term.words[(i + shift) % len(term.words)] for slot, term in fill.items()})
            for shift in range(num_words)
            for i, ask in enumerate(self.asks)
        )
        return list(dict.fromkeys(asked))


def _sensible(fill: Fill) -> bool:
    """No column is shown that a condition already settles, and no two conditions are of a sort."""
    shown = {name for slot in ("sel", "cat", "num") if slot in fill for name in fill[slot].sql.split(", ")}
    settled = {fill[slot].sql.split()[0] for slot in ("cond", "other") if slot in fill}
    twins = (("cond", "other"), ("agg", "agg2"))
    repeats = any(_gist(fill[a]) == _gist(fill[b]) for a, b in twins if a in fill and b in fill)
    return not shown & settled and not repeats


def _gist(term: Term) -> list[str]:
    """An aggregate, or a condition without its value: `age >`."""
    return term.sql.split()[:2]
