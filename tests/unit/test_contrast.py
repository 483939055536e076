"""Two queries side by side; and what a query can name."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.glance import dialect, readable
from engine.errors import DatabaseError
from engine.sql.contrast import contrast
from engine.sql.execute import Executor


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(jobs=1) as made:
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "zoo.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE animal (name TEXT, born INTEGER); CREATE VIEW old AS SELECT name FROM animal;"
            "CREATE VIEW broken AS SELECT x FROM nowhere; CREATE VIRTUAL TABLE words USING fts5(text);"
            "INSERT INTO animal VALUES ('okapi', 2001), ('ibis', 2002), ('ibis', 2002)"
        )
    return path


def test_equal_results_are_the_same_whatever_the_trees(executor: Executor, database: Path) -> None:
    found = contrast(executor, database, "SELECT name FROM animal", "SELECT name FROM old")
    assert (found.same, found.num_rows, found.num_only, found.only) == (True, (3, 3), (0, 0), ((), ()))
    assert "join" in found.classes


def test_rows_that_only_one_gives_are_counted_as_often_as_they_lack(
    executor: Executor, database: Path
) -> None:
    found = contrast(executor, database, "SELECT name FROM animal", "SELECT DISTINCT name FROM animal")
    assert (found.same, found.num_rows, found.num_only) == (False, (3, 2), (1, 0))
    assert found.only == ((("ibis",),), ())


def test_a_query_that_fails_leaves_it_open(executor: Executor, database: Path) -> None:
    found = contrast(executor, database, "SELECT nme FROM animal", "SELECT 1")
    assert found.same is None
    assert found.messages == ("no such column: nme", "")


def test_an_order_counts_where_the_other_query_asks_for_one(executor: Executor, database: Path) -> None:
    by_name, by_year = ("SELECT name FROM animal ORDER BY " + column for column in ("name", "born"))
    assert contrast(executor, database, by_name, by_year).same is False
    assert contrast(executor, database, by_name, "SELECT name FROM animal").same is True


def test_tables_and_views_can_be_named(database: Path) -> None:
    names = {"animal": ["name", "born"], "old": ["name"], "broken": []}
    assert {name: readable(database).get(name) for name in names} == names
    assert "words" not in readable(database)
    assert dialect(database) == "sqlite"


def test_names_are_read_again_when_the_file_has_changed(database: Path) -> None:
    assert "more" not in readable(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE more (a)")
    assert readable(database)["more"] == ["a"]
    database.unlink()
    with pytest.raises(DatabaseError):
        readable(database)
