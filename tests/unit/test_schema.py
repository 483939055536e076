"""Schemas are read as they are, from any file, and nothing is written."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.data.schema import Column, ForeignKey, read_schema
from engine.errors import DatabaseError, DataError


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def test_tables_in_their_order_without_views_and_sqlites_own(tmp_path: Path) -> None:
    database = make(
        tmp_path / "a.sqlite",
        "CREATE TABLE zebra (id INTEGER PRIMARY KEY AUTOINCREMENT, Name TEXT);"
        "CREATE TABLE sqlite3_is_mine (a);"
        "CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE words USING fts5(text);"
        "CREATE TABLE ant (a INT, b INT AS (a));",
    )
    schema = read_schema(database)
    names = [table.name for table in schema.tables if not table.name.startswith("words")]
    assert names == ["zebra", "sqlite3_is_mine", "ant"]
    assert "words" not in [table.name for table in schema.tables]
    assert schema.tables[0].columns == (
        Column("id", "INTEGER", True, "", ()),
        Column("Name", "TEXT", False, "", ()),
    )
    assert [column.name for column in schema.tables[-1].columns] == ["a", "b"], "a generated column is read"


def test_odd_names(tmp_path: Path) -> None:
    database = make(
        tmp_path / "o'd? #d.sqlite",
        """CREATE TABLE "ta""ble [x]" ("a b" VARCHAR(9), "c'd", `select` TEXT, "größe" REAL);
        INSERT INTO "ta""ble [x]" VALUES ('v', 2, 'w', 1.5);""",
    )
    (table,) = read_schema(database).tables
    assert table.name == 'ta"ble [x]'
    assert [(column.name, column.type, column.values) for column in table.columns] == [
        ("a b", "VARCHAR(9)", ("v",)),
        ("c'd", "", ("2",)),
        ("select", "TEXT", ("w",)),
        ("größe", "REAL", ("1.5",)),
    ]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("('b'), ('a'), ('b'), ('c')", ("b", "a")),
        ("(NULL), (''), ('  '), ('x')", ("x",)),
        (f"('{'x' * 26}'), ('{'y' * 25}')", ("y" * 25,)),
        ("(1), (2.50), (3)", ("1", "2.5")),
        ("(x'00ff'), ('text')", ("text",)),
        ("(CAST(x'66ff6f' AS TEXT))", ("fo",)),
        ("('two\nlines'), ('two lines'), (' two  lines ')", ("two lines",)),
        ("(NULL)", ()),
    ],
)
def test_sample_values(tmp_path: Path, cells: str, expected: tuple[str, ...]) -> None:
    database = make(tmp_path / "a.sqlite", f"CREATE TABLE t (c); INSERT INTO t VALUES {cells};")
    assert read_schema(database).tables[0].columns[0].values == expected


def test_sample_values_do_not_read_a_whole_table(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    database = make(
        tmp_path / "a.sqlite", f"CREATE TABLE t (c); {numbers} INSERT INTO t SELECT i > 19000 FROM n;"
    )
    assert read_schema(database).tables[0].columns[0].values == ("0",)


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ("c INT REFERENCES Parent(ID)", [("c", "id")]),
        ("c INT REFERENCES parent", [("c", "id")]),
        ("c INT, d INT, FOREIGN KEY (c, d) REFERENCES pair", [("c", "x"), ("d", "y")]),
        ("c INT, FOREIGN KEY (c) REFERENCES pair(y)", [("c", "y")]),
        ("c INT REFERENCES nowhere(id)", []),
        ("c INT REFERENCES parent(missing)", []),
        ("c INT REFERENCES keyless", []),
        ("c INT REFERENCES parent(id), FOREIGN KEY (C) REFERENCES parent(id)", [("c", "id")]),
    ],
)
def test_foreign_keys(tmp_path: Path, child: str, expected: list[tuple[str, str]]) -> None:
    database = make(
        tmp_path / "a.sqlite",
        "CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE pair (y INT, x INT, PRIMARY KEY (x, y));"
        f"CREATE TABLE keyless (a); CREATE TABLE child ({child});",
    )
    keys = read_schema(database).foreign_keys
    assert [(key.column, key.ref_column) for key in keys] == expected
    assert all(isinstance(key, ForeignKey) and key.table == "child" for key in keys)
    assert all(key.ref_table in ("parent", "pair") for key in keys)


def test_comments_only_where_they_say_something(tmp_path: Path) -> None:
    database = make(
        tmp_path / "a.sqlite", "CREATE TABLE T (Pet_ID INT, Wt REAL, other); CREATE TABLE u (wt);"
    )
    entry = {
        "table_names_original": ["T", "u"],
        "column_names_original": [[-1, "*"], [0, "Pet_ID"], [0, "Wt"], [1, "wt"]],
        "column_names": [[-1, "*"], [0, "pet id"], [0, "Weight in\nkg"], [1, "wt"]],
    }
    first, second = read_schema(database, entry).tables
    assert [column.comment for column in first.columns] == ["", "weight in kg", ""]
    assert [column.comment for column in second.columns] == [""]


@pytest.mark.parametrize(
    "change",
    [
        {"column_names_original": [[5, "Wt"]]},
        {"column_names_original": [[0]]},
        {"column_names_original": [[0, None]]},
        {"table_names_original": 3},
    ],
)
def test_a_malformed_entry_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    database = make(tmp_path / "pets.sqlite", "CREATE TABLE T (Wt REAL);")
    entry = {
        "table_names_original": ["T"],
        "column_names_original": [[0, "Wt"]],
        "column_names": [[0, "weight"]],
    }
    assert read_schema(database, entry).tables[0].columns[0].comment == "weight"
    with pytest.raises(DataError, match=r"the entry of pets in tables\.json is malformed"):
        read_schema(database, entry | change)


def test_reading_leaves_the_file_and_its_folder_alone(tmp_path: Path) -> None:
    database = make(tmp_path / "a.sqlite", "CREATE TABLE t (c); INSERT INTO t VALUES (1);")
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    read_schema(database)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "database not found: {}"),
        (b"", "{} is empty (0 bytes)"),
        (b"id,name\n1,Ann\n", "{} is not an SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "{} cannot be read as an SQLite database"),
    ],
)
def test_files_that_are_no_database(tmp_path: Path, content: bytes | None, message: str) -> None:
    database = tmp_path / "a.sqlite"
    if content is not None:
        database.write_bytes(content)
    with pytest.raises(DatabaseError) as caught:
        read_schema(database)
    assert caught.value.message.startswith(message.format(database))
    assert caught.value.mend
    assert database.exists() == (content is not None), "a missing file is never made"


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"cannot read the database .*: Is a directory"):
        read_schema(tmp_path)


def test_a_damaged_page_is_reported(tmp_path: Path) -> None:
    rows = ", ".join(f"('{'x' * 20}{i}')" for i in range(2000))
    database = make(tmp_path / "a.sqlite", f"CREATE TABLE t (c); INSERT INTO t VALUES {rows};")
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"a\.sqlite cannot be read as an SQLite database: .*malformed"):
        read_schema(database)
