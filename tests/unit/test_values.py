"""Matched values: what is found, what is not, and the cached index."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine import paths
from engine.data import values
from engine.data.values import MAX_VALUES, ValueIndex
from engine.errors import DatabaseError, KidError

SCRIPT = """
CREATE TABLE City (Name TEXT, State TEXT, Founded INT, area REAL, "Motto / slogan" TEXT);
INSERT INTO City VALUES
    ('New York City', 'NY', 1624, 783.8, 'ever upward'), ('York', 'PA', 1741, 5.25, NULL),
    ('Los Angeles', 'CA', 1781, 502, ''), ('Gary', 'IN', 1906, 57.2, x'0102'),
    ('San José', 'CA', 1777, 181.4, 'a motto of more than twenty-five characters');
CREATE TABLE tongue (name TEXT, since TEXT, kind TEXT);
INSERT INTO tongue VALUES
    ('C++', '1985-10-14', 'engineer'), ('C', '1972-01-01', 'The Who'), ('COBOL', '1960', 'A');
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "cities.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


def change(database: Path, script: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How big is new york city?", {"City.Name": ["New York City", "York"]}),
        ("People of York's centre", {"City.Name": ["York"]}),
        ("Which are in 'Los Angelos'?", {"City.Name": ["Los Angeles"]}),
        ("Anything about Los Alamos?", {}),
        ("The mayor of Yorkshire", {}),
        ("What was founded in 1741 or 1781?", {"City.Founded": ["1741", "1781"]}),
        ("What was founded in 1742?", {}),
        ("Which have an area of 783.8 or 25?", {"City.area": ["783.8"]}),
        ("all languages since 1985-10-14", {"tongue.since": ["1985-10-14"]}),
        ("all languages since 1972-01-02 or 1960-01", {}),
        ("Who knows C++ but not Cobol?", {"tongue.name": ["COBOL", "C++", "C"]}),
        ("How many engineers are there?", {"tongue.kind": ["engineer"]}),
        ("which cities are in Indiana", {}),
        ("which cities are in IN", {"City.State": ["IN"]}),
        ("A song by The Who", {"tongue.kind": ["The Who"]}),
        ("the cities who have a motto", {}),
        ("which one says 'Ever  Upward'", {"City.Motto / slogan": ["ever upward"]}),
        ("a motto of more than twenty-five characters", {}),
        ("people in SAN JOSÉ", {"City.Name": ["San José"]}),
        ("", {}),
        ("?! ' \" * ( NEAR OR AND ^ :", {}),
    ],
)
def test_matches(database: Path, question: str, expected: dict[str, list[str]]) -> None:
    found = ValueIndex.of(database).match(question)
    assert {f"{table}.{column}": cells for table, column, cells in found} == expected


def test_columns_come_in_the_schemas_order(database: Path) -> None:
    found = ValueIndex.of(database).match("cobol or york in CA since 1741?")
    assert [(table, column) for table, column, _ in found] == [
        ("City", "Name"),
        ("City", "State"),
        ("City", "Founded"),
        ("tongue", "name"),
    ]


def test_at_most_25_values_a_column(database: Path) -> None:
    letters = [f"{a}{b}" for a in "bcdfgh" for b in "klmnpq"]
    change(database, "CREATE TABLE t (c);" + "".join(f"INSERT INTO t VALUES ('{x}');" for x in letters))
    ((_, _, found),) = ValueIndex.of(database).match(" ".join(letters))
    assert len(found) == MAX_VALUES == 25


@pytest.mark.parametrize(("num_columns", "matched"), [(5, 5), (6, 0)])
def test_a_number_in_many_columns_says_nothing(tmp_path: Path, num_columns: int, matched: int) -> None:
    database = tmp_path / "n.sqlite"
    columns = ", ".join(f"c{i}" for i in range(num_columns))
    change(database, f"CREATE TABLE t ({columns}); INSERT INTO t VALUES ({', '.join(['3'] * num_columns)});")
    assert len(ValueIndex.of(database).match("the top 3")) == matched


def test_a_very_long_question(database: Path) -> None:
    question = " ".join(f"word{i}" for i in range(3000))
    assert ValueIndex.of(database).match(f"gary {question}") == [("City", "Name", ["Gary"])]


def test_the_likeliest_of_many_cells_are_kept(database: Path) -> None:
    """The last of more cells than BM25 lets through is found: it shares two words with the question."""
    rows = ", ".join(f"('{a}{b}{c}xyz street')" for a in "bcdfghjk" for b in "bcdfghjk" for c in "bcdfghjklm")
    change(database, f"CREATE TABLE t (c); INSERT INTO t VALUES {rows}, ('High Street');")
    assert ValueIndex.of(database).match("who lives in high street") == [("t", "c", ["High Street"])]


def test_the_index_is_built_once_until_the_database_changes(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    fill = values._fill
    monkeypatch.setattr(values, "_fill", lambda *args: (built.append(1), fill(*args)))
    first = ValueIndex.of(database).match("gary and york")
    assert ValueIndex.of(database).match("gary and york") == first
    assert len(built) == 1
    change(database, "INSERT INTO City (Name) VALUES ('Perth');")
    assert ValueIndex.of(database).match("perth") == [("City", "Name", ["Perth"])]
    assert len(built) == 2
    assert len(list((paths.cache_dir() / "values").iterdir())) == 1, "the old index is replaced"


def test_a_damaged_index_is_built_again(database: Path) -> None:
    expected = ValueIndex.of(database).match("gary and york")
    (file,) = (paths.cache_dir() / "values").iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"{}", whole[:5000], whole[:4096] + b"\xff" * (len(whole) - 4096)):
        file.write_bytes(damaged)
        assert ValueIndex.of(database).match("gary and york") == expected
        assert file.read_bytes() != damaged


def test_damage_that_only_a_search_sees(database: Path) -> None:
    index = ValueIndex.of(database)
    expected = index.match("gary and york")
    (file,) = (paths.cache_dir() / "values").iterdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE cells_data SET block = x'ff00ff' WHERE id > 10")
        connection.commit()
    damaged = file.read_bytes()
    assert ValueIndex.of(database).match("gary and york") == expected
    assert file.read_bytes() != damaged


def test_without_a_cache_to_write_an_index_is_made_in_memory(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "cobol or york in CA since 1741?"
    expected = ValueIndex.of(database).match(question)
    (tmp_path / "blocked").write_text("a file where a folder should be")
    monkeypatch.setenv("KID_HOME", str(tmp_path / "blocked"))
    assert ValueIndex.of(database).match(question) == expected != []


def test_a_full_disk_leaves_nothing_behind(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(values, "_fill", full)
    with pytest.raises(KidError, match=r"cannot write the value index .*: database or disk is full"):
        ValueIndex.of(database)
    assert list((paths.cache_dir() / "values").iterdir()) == []


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    database = tmp_path / "bad.sqlite"
    database.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with pytest.raises(DatabaseError, match=r"bad\.sqlite cannot be read as an SQLite database"):
        ValueIndex.of(database)
    assert list((paths.cache_dir() / "values").iterdir()) == []
