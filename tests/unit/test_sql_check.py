"""What is said of queries before they run: SQLite itself is the judge of names."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sql.check import MAX_LENGTH, check
from engine.sql.execute import Executor

SCHEMA = {
    "Singer": ["Singer_ID", "Name", "age"],
    "concert": ["concert_ID", "Name", "year", "Singer_ID"],
    "the stadium": ["ID", "seats left"],
}
SHORT = {"singer": "s", "concert": "c", "the stadium": "t"}
NAMES = {"unknown_table", "unknown_column", "ambiguous"}
TOKENS = re.findall(
    r"\S+",
    """SELECT FROM WHERE ( ) , . * = ; singer concert T1 name nme 'x' "y" `z` [a b] 1 GROUP BY ORDER HAVING
    LIMIT UNION JOIN NATURAL USING ( ON AS WITH RECURSIVE count( DISTINCT IN NOT NULL CASE WHEN
    END VALUES OVER -> --""",
)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for table, columns in SCHEMA.items():
            listed = ", ".join(f'"{column}"' for column in columns)
            connection.execute(f'CREATE TABLE "{table}" ({listed})')
        yield connection


RIGHT = [
    "SELECT name FROM SINGER AS T1",
    "SELECT T1.name, c.NAME FROM singer T1, concert AS c WHERE t1.singer_id = C.singer_id",
    "SELECT count(*) FROM singer",
    "SELECT rowid, singer.oid FROM singer",
    'SELECT "seats left", [seats left], `t`.`ID` FROM "the stadium" AS t',
    'SELECT name FROM singer WHERE name = "Ann"',
    "SELECT name AS n, age + 1 m FROM singer WHERE m > 2 GROUP BY n HAVING n > 1 ORDER BY m, n",
    "SELECT singer.name AS name FROM singer JOIN concert ORDER BY name",
    "SELECT * FROM singer JOIN singer AS other ORDER BY age",
    "SELECT name FROM singer JOIN concert USING (name) WHERE name = 1",
    "SELECT name, singer_id, year FROM singer NATURAL JOIN concert",
    "SELECT name FROM singer WHERE EXISTS (SELECT 1 FROM concert WHERE singer_id = age)",
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)",
    "SELECT name FROM singer UNION SELECT name FROM concert ORDER BY name",
    "SELECT n FROM (SELECT name AS n, * FROM concert) AS d WHERE d.year > 1 AND d.n = 2",
    "SELECT column1 FROM (VALUES (1), (2))",
    "SELECT value, key FROM json_each('[1]') AS j WHERE j.type = 'x'",
    "WITH w AS (SELECT name FROM singer), v(a, b) AS (SELECT name, 1 FROM w) SELECT a, v.b FROM v JOIN w",
    "WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 9) SELECT n FROM k",
    "WITH unread AS (SELECT nme FROM nowhere) SELECT name FROM singer",
    "WITH a AS (SELECT q FROM b), b AS (SELECT 1 AS q) SELECT q FROM a",
    "SELECT row_number() OVER (PARTITION BY name ORDER BY age) FROM singer",
    "SELECT name FROM singer WHERE name COLLATE NOCASE IN ('a') ORDER BY name COLLATE NOCASE",
    'SELECT s.name FROM (singer AS s JOIN concert AS c ON s.name = c.name) JOIN "the stadium" ON ID = year',
    'SELECT year FROM singer JOIN (concert JOIN "the stadium") ON age = id',
    "SELECT name FROM main.singer WHERE main.singer.age > 1",
    'SELECT concert.year FROM singer JOIN (concert JOIN "the stadium") ON age = id',
    "SELECT d.value FROM (SELECT * FROM json_each('[1]')) AS d",
    "SELECT name FROM (SELECT (name) FROM singer)",
    "SELECT singer.name AS name FROM singer JOIN concert ORDER BY name COLLATE NOCASE",
    "WITH ages AS (SELECT age FROM singer) SELECT name FROM singer WHERE age IN ages",
    "SELECT sql FROM sqlite_master",
    "SELECT 1; -- and no more",
    "EXPLAIN QUERY PLAN SELECT name FROM singer",
    "VALUES (1, 2)",
]


@pytest.mark.parametrize("sql", RIGHT)
def test_what_runs_has_no_problem(sql: str, database: sqlite3.Connection) -> None:
    database.execute(sql)
    assert check(sql, SCHEMA).problems == ()


WRONG = [
    ("SELECT nme FROM singer", "unknown_column", "did you mean Singer.Name?"),
    ("SELECT T1.nme FROM singer AS T1", "unknown_column", "did you mean Singer.Name?"),
    ("SELECT singer.name FROM singer AS T1", "unknown_column", "singer is not in FROM under that name"),
    ("SELECT year FROM singer", "unknown_column", "it is in concert"),
    ("SELECT `no such` FROM singer", "unknown_column", ""),
    ('SELECT T1."no such" FROM singer AS T1', "unknown_column", ""),
    ("SELECT age AS x, x + 1 FROM singer", "unknown_column", ""),
    ("SELECT name FROM singer WHERE age = (SELECT max(yeer) FROM concert)", "unknown_column", ""),
    ("SELECT name FROM singer WHERE 1 = (SELECT 1 FROM concert GROUP BY age)", "unknown_column", ""),
    ("SELECT name FROM singer WHERE 1 = (SELECT 1 FROM concert ORDER BY age)", "unknown_column", ""),
    ("SELECT d.age FROM (SELECT name FROM singer) AS d", "unknown_column", ""),
    ("SELECT name FROM singer, (SELECT age AS a FROM concert)", "unknown_column", ""),
    ("WITH w AS (SELECT name FROM singer) SELECT age FROM w", "unknown_column", ""),
    ("WITH w(a) AS (SELECT name FROM singer) SELECT name FROM w", "unknown_column", ""),
    ("SELECT name FROM singer UNION SELECT nme FROM singer", "unknown_column", ""),
    ("SELECT Name FROM singer JOIN concert USING (year)", "unknown_column", ""),
    ("SELECT name FROM singers", "unknown_table", "did you mean Singer?"),
    ("SELECT T9.* FROM singer", "unknown_table", ""),
    ("SELECT nme FROM singer WHERE 1 IN (SELECT 1 FROM concrt)", "unknown_table", "did you mean concert?"),
    ("SELECT 1 FROM other.singer", "unknown_table", ""),
    ("SELECT name FROM singer JOIN concert", "ambiguous", "it is in Singer and concert"),
    ("SELECT singer.name FROM singer JOIN concert ORDER BY name", "ambiguous", ""),
    ("SELECT singer.name AS name FROM singer JOIN concert GROUP BY name", "ambiguous", ""),
    ("SELECT age FROM singer JOIN singer AS other", "ambiguous", ""),
]


@pytest.mark.parametrize(("sql", "kind", "hint"), WRONG)
def test_names_that_sqlite_rejects_are_told_in_its_words(
    sql: str, kind: str, hint: str, database: sqlite3.Connection
) -> None:
    with pytest.raises(sqlite3.OperationalError) as refused:
        database.execute(sql)
    problem = next(problem for problem in check(sql, SCHEMA).problems if problem.kind == kind)
    assert problem.message == str(refused.value)
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("", "empty"),
        (" -- nothing", "empty"),
        (";", "empty"),
        ("DROP TABLE singer", "forbidden"),
        ("EXPLAIN DELETE FROM singer", "forbidden"),
        ("WITH w AS (SELECT 1) DELETE FROM singer", "forbidden"),
        ("SELECT 1; SELECT 2", "forbidden"),
        ("how many singers are there", "syntax"),
        ("EXPLAIN", "syntax"),
        ("EXPLAIN EXPLAIN SELECT 1", "syntax"),
        ("SELECT 'a\0'", "syntax"),
    ],
)
def test_what_is_not_one_query_is_said(sql: str, kind: str) -> None:
    assert [problem.kind for problem in check(sql, SCHEMA).problems] == [kind]


def test_each_problem_is_told_once_and_missing_tables_first() -> None:
    problems = check("SELECT nme, age FROM singer, song WHERE nme = 1 AND singer.nme = 2", SCHEMA).problems
    assert [problem.message for problem in problems] == ["no such table: song", "no such column: singer.nme"]


@pytest.mark.parametrize(
    ("sql", "columns", "tables"),
    [
        ("SELECT AGE, name FROM singer AS T ORDER BY t.age", "s.age s.Name", "s"),
        ("SELECT * FROM singer", "s.Singer_ID s.Name s.age", "s"),
        ("SELECT c.* FROM singer JOIN concert c", "c.concert_ID c.Name c.year c.Singer_ID", "s c"),
        ("SELECT count(*) FROM concert", "", "c"),
        (
            "SELECT x FROM (SELECT age x FROM singer) WHERE x > (SELECT max(year) FROM concert)",
            "s.age c.year",
            "s c",
        ),
        ("SELECT year FROM singer JOIN concert USING (singer_id)", "c.year s.Singer_ID c.Singer_ID", "s c"),
        ("SELECT 1 FROM concert WHERE EXISTS (SELECT 1 FROM singer WHERE age = year)", "s.age c.year", "c s"),
        ('WITH w AS (SELECT * FROM "the stadium") SELECT id FROM w', "t.ID t.seats left", "t"),
        ("SELECT name AS n FROM singer ORDER BY n", "s.Name", "s"),
        ('SELECT name FROM singer WHERE name = "Ann"', "s.Name", "s"),
        ("SELECT nme, age FROM singer", "s.age", "s"),
        ("SELECT s.age FROM (singer AS s JOIN concert ON age = year)", "s.age c.year", "s c"),
    ],
)
def test_columns_used_are_those_of_the_schema_in_order(sql: str, columns: str, tables: str) -> None:
    checked = check(sql, SCHEMA)
    expected = columns.replace("seats left", "seats_left").split()
    assert [
        f"{SHORT[table.lower()]}.{column.replace(' ', '_')}" for table, column in checked.columns
    ] == expected
    assert [SHORT[table.lower()] for table in checked.tables] == tables.split()


@pytest.mark.parametrize(
    ("sql", "problems"),
    [
        ("SELECT age AS x, x + 1, Singer.Name.first FROM singer", []),
        ("SELECT [q + age FOR q IN [1]] FROM singer", []),
        ("SELECT e FROM singer, unnest([1]) AS u(e)", []),
        ("SELECT p, k.age FROM (SELECT age FROM singer) AS k(p)", ["no such column: k.age"]),
        ("FROM singer SELECT nme", ["no such column: nme"]),
        ('SELECT "Ann" FROM singer', ["no such column: Ann"]),
        ("SELECT singer FROM singer", []),
        ("SELECT table_name FROM information_schema.tables", []),
        ("INSTALL httpfs", ["INSTALL is not run: only queries are"]),
    ],
)
def test_duckdb_has_its_own_rules(sql: str, problems: list[str]) -> None:
    assert [problem.message for problem in check(sql, SCHEMA, "duckdb").problems] == problems


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nme FROM singer WHERE age > ALL (SELECT",
        "SELECT nme FROM singer" + " " * MAX_LENGTH,
        "SELECT " + "(" * 2000,
        "SELECT nme FROM " + "(SELECT * FROM " * 300 + "singer" + ")" * 300,
    ],
)
def test_what_cannot_be_read_is_passed_over_in_silence(sql: str) -> None:
    assert check(sql, SCHEMA).problems == ()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=14), st.sampled_from(["sqlite", "duckdb"]))
def test_no_text_makes_it_raise(words: list[str], dialect: str) -> None:
    check("SELECT " + " ".join(words), SCHEMA, dialect)


def test_gold_queries_have_no_problem_and_use_the_columns_that_sqlite_reads(data_dir: Path) -> None:
    items = json.loads((data_dir / "spider" / "dev.json").read_text())
    assert len(items) == 1034
    for item in items:
        checked = check(item["query"], _schema(data_dir, item["db_id"]))
        assert (checked.problems, bool(checked.tables)) == ((), True), item["query"]
        used = {(table.lower(), column.lower()) for table, column in checked.columns}
        assert used == _read_by_sqlite(_file(data_dir, item["db_id"]), item["query"]), item["query"]


def _read_by_sqlite(file: Path, sql: str) -> set[tuple[str, str]]:
    read = set()

    def note(action: int, table: str | None, column: str | None, *_where: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table and column:
            read.add((table.lower(), column.lower()))
        return sqlite3.SQLITE_OK

    with closing(sqlite3.connect(file)) as connection:
        connection.set_authorizer(note)
        connection.execute(f"EXPLAIN {sql}")
    return read


def test_predictions_that_sqlite_rejects_are_found_and_no_others(data_dir: Path) -> None:
    folder = data_dir.parent / "predictions"
    if not folder.is_dir():
        pytest.skip(f"needs predictions in {folder}")
    num_rejected: Counter[str] = Counter()
    num_found: Counter[str] = Counter()
    with Executor(jobs=1) as executor:
        for system in sorted(folder.iterdir()):
            golds = (system / "gold.sql").read_text().splitlines()
            queries = [line.split("\t")[0] for line in (system / "pred.sql").read_text().splitlines()]
            names = [line.split("\t")[1] for line in golds]
            files = (_file(data_dir, name) for name in names)
            outcomes = executor.map(zip(files, queries, strict=True))
            for name, sql, outcome in zip(names, queries, outcomes, strict=True):
                problems = check(sql, _schema(data_dir, name)).problems
                if outcome.error is None:
                    assert problems == (), sql
                elif outcome.error in NAMES:
                    num_rejected[outcome.error] += 1
                    num_found[outcome.error] += outcome.error in {problem.kind for problem in problems}
    print(f"rejected by SQLite: {dict(num_rejected)}, found: {dict(num_found)}")
    assert num_found.total() >= 0.95 * num_rejected.total()


@cache
def _schema(data_dir: Path, name: str) -> Mapping[str, Sequence[str]]:
    with closing(sqlite3.connect(_file(data_dir, name))) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        ).fetchall()
        return {
            table: [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for (table,) in tables
        }


def _file(data_dir: Path, name: str) -> Path:
    return data_dir / "spider" / "database" / name / f"{name}.sqlite"
