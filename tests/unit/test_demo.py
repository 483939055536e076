"""The embedded demo: sizes, no leaks, golds that run, the same content every time."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.data import demo
from engine.data.demo.databases import create
from engine.data.demo.questions import KINDS, is_sound
from engine.errors import DataError

Items = list[dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.build(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def train(folder: Path) -> Items:
    return json.loads((folder / "train.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def dev(folder: Path) -> Items:
    return json.loads((folder / "dev.json").read_text("utf-8"))


def open_read_only(folder: Path, name: str) -> sqlite3.Connection:
    file = folder / "database" / name / f"{name}.sqlite"
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)


def test_sizes(train: Items, dev: Items) -> None:
    names = demo.database_names()
    assert len(names) >= 6
    assert "music" in names
    assert len(train) >= 6_000
    assert len(dev) >= 400
    for items in (train, dev):
        per_database = Counter(item["db_id"] for item in items)
        assert set(per_database) == set(names)
        assert min(per_database.values()) > 0.8 * max(per_database.values())


def test_every_kind_is_trained_and_held_out(train: Items, dev: Items) -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) >= 30
    assert {item["kind"] for item in train} == {item["kind"] for item in dev} == set(names)
    assert all(len(kind.asks) >= 4 for kind in KINDS)


def test_nothing_held_out_is_trained(train: Items, dev: Items) -> None:
    for key in ("query", "question"):
        trained = {(item["db_id"], item[key]) for item in train}
        assert not [item for item in dev if (item["db_id"], item[key]) in trained]


def test_a_question_has_one_answer(train: Items, dev: Items) -> None:
    items = train + dev
    assert len({(item["db_id"], item["question"]) for item in items}) == len(items)
    assert not [item for item in items if "{" in item["question"] + item["query"]]


def test_golds_run_read_only_and_find_something(folder: Path, train: Items, dev: Items) -> None:
    connections = {name: open_read_only(folder, name) for name in demo.database_names()}
    empty = [i for i in train + dev if not connections[i["db_id"]].execute(i["query"]).fetchall()]
    assert len(empty) <= 0.15 * len(train + dev)


def test_databases_are_consistent_and_have_nulls(folder: Path) -> None:
    num_rows = num_nulls = 0
    for name in demo.database_names():
        connection = open_read_only(folder, name)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        assert 3 <= len(tables) <= 4
        rows = [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]
        num_rows += len(rows)
        num_nulls += sum(row.count(None) for row in rows)
    assert 200 <= num_rows <= 999
    assert num_nulls > 0


def test_real_numbers_add_up_exactly() -> None:
    """Quarters only: sums and averages are then alike in every order and release of SQLite."""
    for name in demo.database_names():
        connection = create(name)
        for (table,) in connection.execute("SELECT name FROM sqlite_master").fetchall():
            cells = [cell for row in connection.execute(f"SELECT * FROM {table}") for cell in row]
            assert all((4 * cell).is_integer() for cell in cells if isinstance(cell, float))


def test_ties_are_noticed() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 9), (2, 8), (3, 8), (4, 7)")
    assert is_sound("SELECT a FROM t ORDER BY b DESC LIMIT 1", connection)
    assert not is_sound("SELECT a FROM t ORDER BY b DESC LIMIT 2", connection)
    assert is_sound("SELECT a FROM t ORDER BY a DESC", connection)
    assert not is_sound("SELECT a FROM t ORDER BY b ASC", connection)
    assert not is_sound("SELECT b FROM t GROUP BY b ORDER BY count(*) ASC LIMIT 1", connection)
    assert not is_sound("SELECT a FROM t WHERE b > 9", connection)


def content(folder: Path) -> dict[str, object]:
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    return texts | {name: list(open_read_only(folder, name).iterdump()) for name in demo.database_names()}


def test_the_same_every_time_and_twice_at_once(folder: Path, tmp_path: Path) -> None:
    code = "import sys, pathlib; from engine.data import demo; print(demo.build(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code]
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2", "3")]
    processes = [
        subprocess.Popen([*command, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True)
        for env in environments
    ]
    built = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(built)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert content(Path(built[0])) == content(folder)


def test_built_once(folder: Path) -> None:
    before = (folder / "train.json").stat().st_mtime_ns
    assert demo.build(folder.parent) == folder
    assert (folder / "train.json").stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        demo.build(tmp_path / "file" / "cache")
    assert "KID_HOME" in caught.value.mend
