"""Matched values: the cells of a database that a question speaks of.

First BM25 over words picks likely cells, then each is compared with the stretches of whole words of
the question by their longest common subsequence (evaluation.md section 1).

The index is SQLite's own full-text index (FTS5, with stemming and BM25), one file per database in the
user's cache. A Python BM25 that scores every cell for every question takes minutes on Spider, this
takes about a second; and a file that SQLite reads needs neither loading nor pickling.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from rapidfuzz import fuzz, process

from engine.data import schema
from engine.data.adapters import open_database
from engine.data.glance import file_stamp
from engine.data.reader import MAX_VALUE_LENGTH
from engine.errors import KidError, OpenError
from engine.files import write_error
from engine.paths import cache_dir

MAX_VALUES = 25
"""Most values given for one column."""
_SIMILARITY = 90.0  # per cent
_CANDIDATES = 500  # cells that BM25 lets through
_MAX_WORDS = 200  # of a question that are looked up
_MAX_NUMBER_COLUMNS = 5  # a number in more columns (the 3 of "top 3") says nothing about any of them
_FORMAT = "1"  # a new number makes every cached index be built again

# A number or date keeps its inner marks, so that the 11 of 2009-11-13 is no word of its own.
_TOKEN = re.compile(r"\d+(?:[-.,:/]\d+)+|\w+|[^\w\s]")
# A cell made of these alone ("IN", "A", "The Who") counts only if the question writes it the same way.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a all an and any are as at be by count did do does each find for from give had has have how i id"
        " ids in is it its list many me more most name names no not number numbers of on or s show t than"
        " that the them their there these they this to was were what when where which who whose why will"
        " with you your",
    )
)

Match = tuple[str, str, list[str]]
"""Table, column, values."""


class ValueIndex:
    """The short cell texts of one database, searchable by question.

    Cells of 1 to 25 characters are indexed, numbers as text, blobs not at all.
    """

    def __init__(self, database: Path, file: Path) -> None:
        """Use `of`."""
        self.database = database
        self._file = file
        self._open()

    @classmethod
    def of(cls, database: Path) -> ValueIndex:
        """The index of a database file: the cached one if the file is unchanged, else a new one.

        Raises:
            DatabaseError: the database is missing or damaged.
            KidError: the cache cannot be written.
        """
        schema.check_file(database)
        name = hashlib.sha256(str(database.absolute()).encode()).hexdigest()[:32]
        return cls(database, cache_dir() / "values" / f"{name}.sqlite")

    def match(self, question: str) -> list[Match]:
        """What the question names, column by column in the schema's order, longest value first.

        A cell matches if it is, at 90 % or more, a stretch of whole words of the question, whatever
        the case. Cells with a digit must match to the letter: 2010-01-01 is not nearly 2010-01-02.
        A number that more than five columns hold is left out.
        """
        spans = _spans(question)
        found: dict[int, list[str]] = {}
        for column, value in self._candidates(question):
            if _speaks_of(question, spans, value):
                found.setdefault(column, []).append(value)
        seen = Counter(value for values in found.values() for value in values)
        matches = []
        for column in sorted(found):
            values = [v for v in found[column] if seen[v] <= _MAX_NUMBER_COLUMNS or not _is_number(v)]
            if values:
                values.sort(key=lambda value: -len(value))
                matches.append((*self._columns[column], values[:MAX_VALUES]))
        return matches

    def _candidates(self, question: str) -> list[tuple[int, str]]:
        """(column, value) of the cells that BM25 finds, best first."""
        words = list(dict.fromkeys(re.findall(r"[^\W_]+", question.lower())))[:_MAX_WORDS]
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        try:
            return self._search(query)
        except sqlite3.DatabaseError:  # the cached file is damaged
            self._connection.close()
            self._file.unlink(missing_ok=True)
            self._open()
            return self._search(query)

    def _search(self, query: str) -> list[tuple[int, str]]:
        return self._connection.execute(
            "SELECT owner, text FROM cells WHERE cells MATCH ? ORDER BY rank, rowid LIMIT ?",
            (query, _CANDIDATES),
        ).fetchall()

    def _open(self) -> None:
        stamp = f"{_FORMAT} {file_stamp(self.database)}"
        opened = _load(self._file, stamp)
        if opened is None:
            try:
                _build(self.database, self._file, stamp)
            except OpenError:  # there is no cache to write: it is made for this process alone
                opened = _build_in_memory(self.database, stamp)
            else:
                opened = _load(self._file, stamp)
            assert opened is not None, f"{self._file} is not what was just written"
        self._connection, self._columns = opened
        weakref.finalize(self, self._connection.close)


def _spans(question: str) -> frozenset[str]:
    """Every stretch of whole words of the question that a cell can equal or nearly equal."""
    text = question.lower()
    ends = [(token.start(), token.end()) for token in _TOKEN.finditer(text)]
    longest = MAX_VALUE_LENGTH * 11 // 9  # 90 % alike: at most 11 : 9 in length
    return frozenset(
        schema.clean(text[start:end])
        for place, (start, _) in enumerate(ends)
        for _, end in ends[place : place + longest]
        if end - start <= longest
    )


def _speaks_of(question: str, spans: frozenset[str], value: str) -> bool:
    lower = value.lower()
    if _COMMON.issuperset(_TOKEN.findall(lower)):
        return bool(re.search(rf"(?<=\s){re.escape(value)}(?!\w)", question))
    if lower in spans:
        return True
    if any(character.isdigit() for character in lower):
        return False
    return process.extractOne(lower, spans, scorer=fuzz.ratio, score_cutoff=_SIMILARITY) is not None


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).lstrip("-").isdecimal()


def _build_in_memory(database: Path, stamp: str) -> tuple[sqlite3.Connection, list[tuple[str, str]]]:
    index = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _fill(index, database, stamp)
    return index, index.execute("SELECT tbl, col FROM columns ORDER BY id").fetchall()


def _load(file: Path, stamp: str) -> tuple[sqlite3.Connection, list[tuple[str, str]]] | None:
    """A cached index and its columns; None if there is none, or a damaged or outdated one."""
    if not file.is_file():
        return None
    with ExitStack() as stack, suppress(sqlite3.DatabaseError):  # damaged is like outdated: built again
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        stack.callback(connection.close)
        if connection.execute("SELECT stamp FROM state").fetchall() == [(stamp,)]:
            columns = connection.execute("SELECT tbl, col FROM columns ORDER BY id").fetchall()
            stack.pop_all()
            return connection, columns
    return None


def _build(database: Path, file: Path, stamp: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as index:
            _fill(index, database, stamp)
        os.replace(temporary, file)
    except OSError as error:
        raise write_error(file, error) from error
    except sqlite3.Error as error:
        if "fts5" in str(error):
            raise KidError(
                "this Python's SQLite has no full-text search (FTS5)",
                "use a Python from python.org, uv, conda or the system's packages",
            ) from error
        raise KidError(
            f"cannot write the value index {file}: {error}", "free some space, or set KID_HOME"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fill(index: sqlite3.Connection, database: Path, stamp: str) -> None:
    """Write a database's distinct short cells; 830 000 of them take 4 s."""
    index.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"  # a broken file is never moved into place
        "CREATE TABLE state (stamp); CREATE TABLE columns (id INTEGER PRIMARY KEY, tbl, col);"
        "CREATE VIRTUAL TABLE cells USING fts5(text, owner UNINDEXED, tokenize = 'porter unicode61');"
        "BEGIN"
    )
    columns: list[tuple[str, str]] = []
    for table, column, values in _cells(database):
        index.executemany(
            "INSERT INTO cells (text, owner) VALUES (?, ?)", ((value, len(columns)) for value in values)
        )
        columns.append((table, column))
    index.executemany("INSERT INTO columns VALUES (?, ?, ?)", ((i, *c) for i, c in enumerate(columns)))
    index.execute("INSERT INTO state VALUES (?)", (stamp,))
    index.execute("INSERT INTO cells (cells) VALUES ('optimize')")
    index.execute("COMMIT")


def _cells(database: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Table, column, distinct short texts, for every column."""
    with open_database(database) as reader:
        for table, columns in reader.tables().items():
            for column, _, _ in columns:
                texts = map(schema.clean, reader.texts(table, column))
                yield table, column, list(dict.fromkeys(filter(None, texts)))
