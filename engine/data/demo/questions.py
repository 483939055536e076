"""Questions and SQL from the kinds, checked by running them, split without leaks.

All SQL is in one style (upper-case keywords, lower-case functions, single quotes, joins in the
order of the schema with the aliases T1, T2, T3), and a phrasing settles the columns and their
order, so that a question has one answer.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from engine.data.demo.databases import DemoDatabase, create, database_names, read
from engine.data.demo.kind import Fill, Kind
from engine.data.demo.one_table import ONE_TABLE
from engine.data.demo.several_tables import SEVERAL_TABLES
from engine.data.demo.terms import rank

KINDS = ONE_TABLE + SEVERAL_TABLES
TRAIN_PER_CELL = 44  # questions of one kind on one database
HELD_OUT_PER_CELL = 2

Item = dict[str, str]


def generate() -> tuple[list[Item], list[Item]]:
    """Training and held-out items, each `{"db_id", "question", "query", "kind"}`, shuffled.

    A held-out (database, SQL) pair never occurs in training, nor does a held-out question.
    """
    train: list[Item] = []
    held_out: list[Item] = []
    for name in database_names():
        connection = create(name)
        try:
            for items, more in zip(
                (train, held_out), _generate(read(name, connection), connection), strict=True
            ):
                items += more
        finally:
            connection.close()
    for items in (train, held_out):
        items.sort(key=lambda item: rank("order", item["db_id"], item["question"]))
    return train, held_out


def _generate(db: DemoDatabase, connection: sqlite3.Connection) -> tuple[list[Item], list[Item]]:
    train: list[Item] = []
    held_out: list[Item] = []
    queries: set[str] = set()
    questions: set[str] = set()

    def add(items: list[Item], kind: Kind, query: str, question: str) -> None:
        questions.add(question)
        items.append({"db_id": db.name, "question": question, "query": query, "kind": kind.name})

    for kind in KINDS:
        pairs = _usable(kind, db, connection, queries)
        num_held_out = min(HELD_OUT_PER_CELL, len(pairs) // 2)
        for query, fill in pairs[:num_held_out]:
            asked = kind.questions(fill)
            add(held_out, kind, query, asked[rank("ask", query)[0] % len(asked)])
        asks = (
            (query, question)
            for query, question in _spread(kind, pairs[num_held_out:])
            if question not in questions
        )
        for (query, question), _ in zip(asks, range(TRAIN_PER_CELL), strict=False):
            add(train, kind, query, question)
    return train, held_out


def _usable(
    kind: Kind, db: DemoDatabase, connection: sqlite3.Connection, seen: set[str]
) -> list[tuple[str, Fill]]:
    """Enough shuffled (SQL, fill) for one cell, none seen before; `seen` grows."""
    found = {kind.query(fill): fill for fill in kind.fills(db)}
    usable: list[tuple[str, Fill]] = []
    for query in sorted(found, key=rank):
        if len(usable) == TRAIN_PER_CELL + HELD_OUT_PER_CELL:
            break
        if query not in seen and is_sound(query, connection):
            seen.add(query)
            usable.append((query, found[query]))
    return usable


def _spread(kind: Kind, pairs: list[tuple[str, Fill]]) -> Iterator[tuple[str, str]]:
    """Every pair in one phrasing, then every pair in its next one, to the last."""
    asked = [(query, kind.questions(fill), rank("ask", query)[0]) for query, fill in pairs]
    for turn in range(max((len(questions) for _, questions, _ in asked), default=0)):
        for query, questions, start in asked:
            if turn < len(questions):
                yield query, questions[(start + turn) % len(questions)]


_ORDERED = re.compile(r"SELECT .*?( FROM .* ORDER BY (.+) (?:DESC|ASC))(?: LIMIT (\d+))?$")


def is_sound(query: str, connection: sqlite3.Connection) -> bool:
    """True when the query finds something, and no tie could change what it finds."""
    rows = connection.execute(query).fetchall()
    if not any(cell not in (None, 0) for row in rows for cell in row):
        return False
    ordered = _ORDERED.match(query)
    if ordered is None:
        return True
    body, key, limit = ordered.groups()
    wanted = int(limit) + 1 if limit else -1
    sort_keys = connection.execute(f"SELECT {key}{body} LIMIT {wanted}").fetchall()
    # Averages are rounded: their last bits differ between SQLite's releases.
    distinct = {round(k, 6) if isinstance(k, float) else k for (k,) in sort_keys}
    return 1 < len(sort_keys) == len(distinct) and (wanted < 0 or len(sort_keys) == wanted)
