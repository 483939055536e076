"""DuckDB files are read, indexed and queried like SQLite's, and nothing gets out through the executor."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.adapters import adapter, open_database
from engine.data.prompt import Prompter
from engine.data.schema import Column, ForeignKey, check_file, read_schema
from engine.data.values import ValueIndex
from engine.errors import DatabaseError
from engine.sql.execute import GRACE_SECONDS, Executor, Outcome

duckdb = pytest.importorskip("duckdb")

TIMEOUT, MAX_ROWS = 0.7, 1000
IN_TIME = TIMEOUT + GRACE_SECONDS + 3.0  # the rest is a new child's start on a busy machine
SECRET = "the-cat-is-out"  # in a file beside the database, in another database, in the environment

MUSIC = """
CREATE TYPE mood AS ENUM ('sad', 'gay');
CREATE SEQUENCE numbers;
CREATE TABLE singer (ID INTEGER PRIMARY KEY, Name VARCHAR, born INT, fee DECIMAL(10, 2), feels mood);
CREATE TABLE pair (y INT, x INT, PRIMARY KEY (x, y));
CREATE TABLE song (
    id INTEGER PRIMARY KEY, name VARCHAR, singer_id INT REFERENCES Singer (Id), x INT, y INT,
    cover BLOB, tags VARCHAR[], "made on" DATE, FOREIGN KEY (x, y) REFERENCES pair (x, y)
);
CREATE VIEW names AS SELECT name FROM singer;
CREATE SCHEMA other;
CREATE TABLE other.hidden (a INT);
INSERT INTO singer VALUES (3, 'Ann', 1970, 1.50, 'sad'), (1, 'Bo Diddley', 1980, 2, 'gay');
INSERT INTO singer VALUES (2, 'Ann', NULL, NULL, NULL);
INSERT INTO song VALUES (1, 'Sun', 1, NULL, NULL, 'blob', ['a'], '2020-02-03');
"""


def make(path: Path, script: str) -> Path:
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute(script)
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.csv").write_text(f"a,b\n1,{SECRET}\n")
    make(folder / "secret.duckdb", f"CREATE TABLE t (a VARCHAR); INSERT INTO t VALUES ('{SECRET}')")
    with contextlib.closing(sqlite3.connect(folder / "secret.sqlite")) as connection:
        connection.executescript(f"CREATE TABLE t (a); INSERT INTO t VALUES ('{SECRET}')")
    reads = f"CREATE VIEW reads AS SELECT * FROM read_text('{folder}/secret.txt');"
    return make(folder / "music.duckdb", MUSIC + reads)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def executor(home: Path) -> Iterator[Executor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("KID_SECRET", SECRET)
        with Executor(jobs=1, timeout=TIMEOUT, max_rows=MAX_ROWS, memory_mb=256) as open_executor:
            yield open_executor


def _state(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.fixture(autouse=True)
def untouched(database: Path, home: Path) -> Iterator[None]:
    """After each test the database is what it was, with nothing new beside it or at home."""
    before = _state(database.parent)
    yield
    assert _state(database.parent) == before
    assert os.listdir(home) == []


def test_the_schema(database: Path) -> None:
    schema = read_schema(database)
    assert [table.name for table in schema.tables] == ["pair", "singer", "song"]
    assert schema.tables[1].columns == (
        Column("ID", "INTEGER", True, "", ("3", "1")),
        Column("Name", "VARCHAR", False, "", ("Ann", "Bo Diddley")),
        Column("born", "INTEGER", False, "", ("1970", "1980")),
        Column("fee", "DECIMAL(10,2)", False, "", ("1.50", "2.00")),
        Column("feels", "ENUM", False, "", ("sad", "gay")),
    )
    assert [(column.name, column.primary_key) for column in schema.tables[0].columns] == [
        ("y", True),
        ("x", True),
    ]
    assert [(column.type, column.values) for column in schema.tables[2].columns[5:]] == [
        ("BLOB", ()),
        ("VARCHAR[]", ()),
        ("DATE", ("2020-02-03",)),
    ]
    assert schema.foreign_keys == (
        ForeignKey("song", "singer_id", "singer", "ID"),
        ForeignKey("song", "x", "pair", "x"),
        ForeignKey("song", "y", "pair", "y"),
    )


def test_texts_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    numbers = "CREATE TABLE t AS SELECT 'v' || i AS c FROM range(300000, 0, -1) r(i)"
    with open_database(make(tmp_path / "a.duckdb", numbers)) as reader:
        assert reader.texts("t", "c") == [f"v{number}" for number in range(300000, 0, -1)]
        assert reader.texts("t", "c", rows=10_000, limit=2) == ["v300000", "v299999"]


def test_sample_values_do_not_read_a_whole_table(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", "CREATE TABLE t AS SELECT i > 19000 AS c FROM range(20000) r(i)")
    assert read_schema(path).tables[0].columns[0].values == ("false",)


def test_odd_names(tmp_path: Path) -> None:
    path = make(
        tmp_path / "o'd #%41é.db",
        """CREATE TABLE "ta""ble [x]" ("a b" VARCHAR, "c'd" INT, rowid INT); INSERT INTO "ta""ble [x]"
        VALUES ('v', 2, 9)""",
    )
    (table,) = read_schema(path).tables
    assert (table.name, [(column.name, column.values) for column in table.columns]) == (
        'ta"ble [x]',
        [("a b", ("v",)), ("c'd", ("2",)), ("rowid", ("9",))],
    )
    with Executor(jobs=1) as executor:
        assert executor.run(path, 'SELECT "a b" FROM "ta""ble [x]"').rows == [("v",)]
    assert os.listdir(tmp_path) == [path.name]


def test_the_prompt(database: Path) -> None:
    lines = Prompter(lambda text: len(text.split())).prefix(database).splitlines()
    assert lines[0] == "database schema :"
    assert lines[2] == (
        "table singer , columns = [ singer.id ( integer | primary key | values : 3 , 1 )"
        " , singer.name ( varchar | values : Ann , Bo Diddley )"
        " , singer.born ( integer | values : 1970 , 1980 )"
        " , singer.fee ( decimal(10,2) | values : 1.50 , 2.00 )"
        " , singer.feels ( enum | values : sad , gay ) ]"
    )
    assert lines[4:] == [
        "foreign keys :",
        "song.singer_id = singer.id",
        "song.x = pair.x",
        "song.y = pair.y",
    ]


def test_values_are_matched_and_indexed_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", "CREATE TABLE t (Name VARCHAR); INSERT INTO t VALUES ('Bo Diddley')")
    assert ValueIndex.of(path).match("songs of bo diddley or muddy waters") == [("t", "Name", ["Bo Diddley"])]
    make(path, "UPDATE t SET name = 'Muddy Waters'")
    assert ValueIndex.of(path).match("songs of bo diddley or muddy waters") == [
        ("t", "Name", ["Muddy Waters"])
    ]


def test_an_adapter_is_told_by_the_first_bytes(database: Path, tmp_path: Path) -> None:
    plain = tmp_path / "named.duckdb"
    with contextlib.closing(sqlite3.connect(plain)) as connection:
        connection.execute("CREATE TABLE t (a)")
    assert (adapter(database).name, adapter(database).dialect) == ("DuckDB", "duckdb")
    assert (adapter(plain).name, adapter(plain).dialect) == ("SQLite", "sqlite")
    (tmp_path / "text").write_text("neither of them, surely")
    with pytest.raises(DatabaseError, match="is not an SQLite database, nor a DuckDB one"):
        adapter(tmp_path / "text")


def test_one_executor_serves_both(executor: Executor, database: Path) -> None:
    lite = database.with_name("secret.sqlite")
    for _ in range(2):
        assert executor.run(database, "SELECT count(*) FROM singer").rows == [(3,)]
        assert executor.run(lite, "SELECT typeof(a) FROM t").rows == [("text",)]
        assert len(executor.pids()) == 1
    assert executor.run(lite, "FROM t").error == "syntax"


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM singer ORDER BY id", [("Bo Diddley",), ("Ann",), ("Ann",)]),
        ("/* a */ select count(*) from singer; -- b", [(3,)]),
        ("WITH a AS (SELECT 1 AS x) SELECT x FROM a", [(1,)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("FROM pair", []),
        ("TABLE pair", []),
        ("(SELECT 1) UNION ALL (SELECT 2)", [(1,), (2,)]),
        ("FROM names SELECT count(*)", [(3,)]),
        ("SELECT * FROM other.hidden", []),
        ("PIVOT singer ON feels IN ('sad') USING count(*) GROUP BY born ORDER BY born", None),
        ("DESCRIBE pair", None),
        ("SHOW TABLES", [("names",), ("pair",), ("reads",), ("singer",), ("song",)]),
        ("SUMMARIZE pair", None),
        ("EXPLAIN SELECT name FROM singer", None),
        ("-- a\nEXPLAIN /* b */ ANALYZE FROM singer", None),
        ("SELECT '" + "x" * 10**6 + "'", [("x" * 10**6,)]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_queries(executor: Executor, database: Path, sql: str, rows: list[tuple] | None) -> None:
    outcome = executor.run(database, sql)
    assert (outcome.error, outcome.message, outcome.truncated) == (None, "", False)
    assert outcome.rows == rows if rows is not None else outcome.rows


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("NULL", None),
        ("true", "true"),
        ("12::UTINYINT", 12),
        ("170141183460469231731687303715884105727", 2**127 - 1),
        ("2.5::DOUBLE", 2.5),
        ("0.1::FLOAT", 0.1),
        ("'inf'::DOUBLE", math.inf),
        ("1.50::DECIMAL(10, 2)", 1.5),
        ("7::DECIMAL(38, 0)", 7),
        ("12345678901234567.89", "12345678901234567.89"),
        ("'a' || chr(233)", "aé"),
        (r"'\xFF\x00'::BLOB", b"\xff\x00"),
        ("DATE '2020-02-03'", "2020-02-03"),
        ("'infinity'::DATE", "infinity"),
        ("TIME '03:04:05.5'", "03:04:05.5"),
        ("TIMESTAMP '2020-02-03 04:05:06'", "2020-02-03 04:05:06"),
        ("TIMESTAMP_NS '2020-02-03 04:05:06.123456789'", "2020-02-03 04:05:06.123456789"),
        ("age(DATE '2020-02-03', DATE '2018-01-03')", "2 years 1 month"),
        ("'3b0d0f2a-0000-4000-8000-00000000000a'::UUID", "3b0d0f2a-0000-4000-8000-00000000000a"),
        ("'gay'::mood", "gay"),
        ("'101'::BIT", "101"),
        ("[1.5, NULL]", "[1.5, NULL]"),
        ("{'a': 1, 'b': [DATE '2020-02-03']}", "{'a': 1, 'b': [2020-02-03]}"),
        ("MAP {'k': 1}", "{k=1}"),
    ],
)
def test_cells(executor: Executor, database: Path, cell: str, expected: object) -> None:
    outcome = executor.run(database, f"""SELECT {cell} AS "it's" FROM singer ORDER BY id LIMIT 1""")
    assert (outcome.error, outcome.columns) == (None, ["it's"])
    (((found),),) = outcome.rows
    assert (found, type(found)) == (expected, type(expected))


def test_cells_as_text_come_in_the_order_of_the_query(executor: Executor, database: Path) -> None:
    outcome = executor.run(
        database, "SELECT i, DATE '2020-01-01' + i::INT FROM range(99) t(i) ORDER BY hash(i)"
    )
    plain = executor.run(database, "SELECT i FROM range(99) t(i) ORDER BY hash(i)")
    assert [row[0] for row in outcome.rows] == [row[0] for row in plain.rows]
    assert dict(outcome.rows)[31] == "2020-02-01"


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "


@pytest.mark.parametrize(
    ("error", "sql", "message"),
    [
        ("empty", "-- SELECT 1", "there is no query"),
        ("forbidden", "DELETE FROM singer", "DELETE is not run"),
        ("forbidden", "COPY singer TO 'x'", "COPY is not run"),
        ("forbidden", "SELECT 1; SELECT 2", "not run: 2 statements"),
        ("forbidden", "PIVOT singer ON name USING count(*)", "a PIVOT must name its values"),
        ("forbidden", "SELECT * FROM read_text('/etc/passwd')", "Permission Error"),
        ("syntax", "Sorry, I cannot answer that.", 'near "sorry"'),
        ("syntax", "SELECT name FRM singer LIMIT 1", 'Parser Error: syntax error at or near "'),
        ("syntax", "SELECT (1", "Parser Error"),
        ("syntax", "SELECT 'open", "Parser Error"),
        ("unknown_table", "SELECT name FROM singers", "Table with name singers does not exist! Did you mean"),
        ("unknown_table", "SELECT * FROM nowhere.t", "does not exist"),
        ("unknown_table", "SELECT s.name FROM singer", 'Referenced table "s" not found'),
        ("unknown_column", "SELECT title FROM singer", 'Referenced column "title" not found'),
        ("unknown_column", 'SELECT "no such column" FROM singer', "not found"),
        ("unknown_column", "SELECT s.title FROM singer AS s", 'does not have a column named "title"'),
        ("unknown_column", "SELECT 1 FROM singer JOIN song USING (title)", "does not exist on left side"),
        ("ambiguous", "SELECT name FROM singer, song", "Ambiguous reference"),
        ("timeout", ENDLESS + "SELECT count(*) FROM c", "stopped after 0.7 s"),
        ("timeout", "SELECT sleep_ms(20000)", "stopped after 0.7 s"),
        ("other_exec", "SELECT nofunc(1)", "nofunc does not exist"),
        ("other_exec", "SELECT sum(count(*)) FROM singer", "cannot be nested"),
        ("other_exec", "SELECT CAST(name AS INT) FROM singer", "Conversion Error"),
        ("other_exec", "SELECT name FROM singer WHERE id = ?", "parameters"),
        ("other_exec", "SELECT list(i) FROM range(1000000000) t(i)", "out of memory: the limit is 256 MiB"),
        ("other_exec", "SELECT '\ud800'", "surrogates not allowed"),
    ],
    ids=lambda value: value[:60],
)
def test_refusals(executor: Executor, database: Path, error: str, sql: str, message: str) -> None:
    outcome = executor.run(database, sql)
    assert (outcome.error, outcome.rows) == (error, [])
    assert message in outcome.message
    assert "\n" not in outcome.message
    assert executor.run(database, "SELECT count(*) FROM song").rows == [(1,)]


def test_a_query_that_is_late_is_interrupted_and_its_child_lives(executor: Executor, database: Path) -> None:
    executor.run(database, "SELECT 1")
    children = executor.pids()
    for sql in (
        ENDLESS + "SELECT count(*) FROM c",
        "SELECT DATE '2020-01-01', count(*) FROM range(1000000000000)",
    ):
        outcome = executor.run(database, sql)
        assert outcome.error == "timeout"
        assert TIMEOUT <= outcome.seconds < TIMEOUT + GRACE_SECONDS
    assert executor.pids() == children


def test_what_is_explained_is_what_was_looked_at(executor: Executor, database: Path) -> None:
    """DuckDB's comments nest."""
    for start in ("EXPLAIN /* /* */ ", "EXPLAIN /* /* */ ANALYZE ", "/* /* */ EXPLAIN "):
        outcome = executor.run(database, f"{start} SELECT 1 -- */ ANALYZE CREATE TEMP TABLE z AS SELECT 2")
        assert "create" not in repr(outcome.rows).lower()


def test_rows_are_capped_and_the_cut_is_told(executor: Executor, database: Path) -> None:
    capped = executor.run(database, "SELECT i, DATE '2020-01-01' FROM range(100000000000) t(i)")
    assert (len(capped.rows), capped.truncated, capped.error) == (MAX_ROWS, True, None)
    assert capped.rows[-1] == (MAX_ROWS - 1, "2020-01-01")
    assert not executor.run(database, "FROM singer", max_rows=3).truncated
    assert executor.run(database, "FROM singer", max_rows=2).truncated


def test_a_result_of_many_bytes_is_cut(database: Path) -> None:
    with Executor(jobs=1, timeout=60) as executor:
        outcome = executor.run(database, "SELECT repeat(chr(999), 10000) FROM range(100000)")
    assert (outcome.error, outcome.truncated) == (None, True)
    assert 200 * 2**20 < sum(sys.getsizeof(cell) for (cell,) in outcome.rows) < 2**28


REFUSED = """
INSERT INTO singer VALUES (9, 'x', 1, 1, NULL)
UPDATE song SET name = 'x' RETURNING name
MERGE INTO singer USING pair ON x = id WHEN MATCHED THEN DELETE
TRUNCATE singer
DROP TABLE song
ALTER TABLE song ADD COLUMN z INT
CREATE TABLE z (a INT)
CREATE TEMP TABLE z (a INT)
CREATE TABLE z AS PIVOT singer ON name USING count(*)
CREATE MACRO f(a) AS a
CREATE SECRET s (TYPE s3)
COMMENT ON TABLE singer IS 'x'
COPY singer TO '{folder}/new.csv'
COPY (SELECT 1) TO '{folder}/music.duckdb'
COPY singer FROM '{folder}/secret.csv'
COPY FROM DATABASE music TO secret
EXPORT DATABASE '{folder}/new'
IMPORT DATABASE '{folder}'
ATTACH '{folder}/secret.duckdb' AS s
ATTACH ':memory:' AS s
DETACH music
USE other
INSTALL httpfs
LOAD httpfs
LOAD '{folder}/secret.txt'
FORCE INSTALL httpfs
PRAGMA table_info('singer')
PRAGMA enable_profiling
CALL pragma_version()
SET enable_external_access = true
SET VARIABLE a = 1
RESET memory_limit
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE
BEGIN
PREPARE z AS SELECT 1
EXECUTE z
SELECT 1; DROP TABLE song
SELECT 1; COPY singer TO '{folder}/new.csv'
SELECT $$;$$; DROP TABLE song
WITH a AS (DELETE FROM singer RETURNING *) SELECT * FROM a
WITH a AS (INSERT INTO pair VALUES (1, 1) RETURNING *) FROM a
WITH a AS (SELECT 1) INSERT INTO pair SELECT 1, 1
FROM singer INSERT INTO pair
EXPLAIN DELETE FROM singer
EXPLAIN ANALYZE DELETE FROM singer
EXPLAIN ANALYZE CREATE TEMP TABLE z AS SELECT 1
EXPLAIN ANALYZE COPY singer TO '{folder}/new.csv'
EXPLAIN ANALYZE CHECKPOINT
EXPLAIN ANALYZE BEGIN
EXPLAIN /* /* */ SELECT 1 -- */ ANALYZE CREATE TEMP TABLE z AS SELECT 1
EXPLAIN (ANALYZE) DELETE FROM singer
EXPLAIN SET threads = 4
EXPLAIN SELECT 1; DROP TABLE song
SHOW TABLES; DROP TABLE song
SELECT nextval('numbers')
SELECT getenv('KID_SECRET')
SELECT * FROM reads
SELECT * FROM read_text('{folder}/secret.txt')
SELECT * FROM read_text('{folder}/music.duckdb/../secret.txt')
SELECT * FROM read_blob('{folder}/secret.txt')
SELECT * FROM read_csv('{folder}/secret.csv')
SELECT * FROM read_csv_auto('{folder}/*.csv')
SELECT * FROM '{folder}/secret.csv'
FROM '{folder}/secret.csv'
SELECT * FROM '{folder}/secret.duckdb'
SELECT * FROM read_duckdb('{folder}/secret.duckdb')
SELECT * FROM read_json_auto('{folder}/secret.txt')
SELECT * FROM read_ndjson_objects('{folder}/secret.txt')
SELECT * FROM read_parquet('{folder}/secret.txt')
SELECT * FROM read_parquet('https://localhost/x.parquet')
SELECT * FROM parquet_metadata('{folder}/secret.txt')
SELECT * FROM glob('{folder}/*')
SELECT * FROM sniff_csv('{folder}/secret.csv')
SELECT * FROM sqlite_scan('{folder}/secret.sqlite', 't')
SELECT * FROM query('COPY singer TO ''{folder}/new.csv''')
SELECT * FROM query('FROM read_text(''{folder}/secret.txt'')')
SELECT * FROM query_table('{folder}/secret.csv')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('DROP TABLE song'))
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_extensions()
SELECT * FROM which_secret('s3://x', 's3')
SELECT * FROM load_aws_credentials()
SELECT * FROM enable_logging('QueryLog')
SELECT * FROM enable_profiling()
SELECT set_config('threads', '4', false)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM sys
""".strip().splitlines()

# They may run: they tell of this database and its settings, and change nothing.
HARMLESS = """
SELECT * FROM checkpoint()
SELECT * FROM force_checkpoint()
SELECT * FROM pragma_table_info('singer')
SELECT * FROM pragma_storage_info('singer')
SELECT * FROM pragma_database_size()
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_logs()
SELECT current_setting('memory_limit')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('singer')
SELECT octet_length(content) FROM read_blob('{folder}/music.duckdb')
SELECT * FROM read_blob('{folder}/music.duckdb.wal')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT write_log('x')
SELECT setseed(0.5)
SELECT getvariable('a')
SELECT current_query(), current_user, version(), txid_current()
SHOW ALL TABLES
SHOW DATABASES
SELECT * FROM information_schema.tables
SELECT * FROM sqlite_master
SELECT repeat('x', 2000000000)
SELECT * FROM range(100000000000) a(i), range(100000000000) b(j) ORDER BY random()
SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))
""".strip().splitlines()


def _attack(executor: Executor, database: Path, sql: str) -> Outcome:
    start = time.monotonic()
    outcome = executor.run(database, sql.replace("{folder}", str(database.parent)))
    assert time.monotonic() - start < IN_TIME
    assert SECRET not in repr((outcome.rows, outcome.columns))
    assert executor.run(database, "SELECT count(*) FROM singer").rows == [(3,)]
    return outcome


@pytest.mark.parametrize("sql", REFUSED)
def test_attacks_are_refused(executor: Executor, database: Path, sql: str) -> None:
    outcome = _attack(executor, database, sql)
    assert outcome.error not in (None, "timeout", "crashed", "empty")
    assert outcome.rows == []
    assert outcome.message


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_may_run_does_no_harm(executor: Executor, database: Path, sql: str) -> None:
    outcome = _attack(executor, database, sql)
    assert outcome.error not in ("crashed", "empty", "syntax")


LONG = 10**6  # characters


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * LONG,
        "SELECT " + "1 + " * (LONG // 4) + "1",
        "SELECT " + "1," * (LONG // 2) + "1",
        "SELECT " + "NOT " * (LONG // 4) + "true",
        "SELECT 1" + " UNION SELECT 1" * (LONG // 15),
        "SELECT " + "x" * LONG + " FROM singer",
        'SELECT * FROM "' + "x" * LONG + '"',
    ],
    ids=lambda sql: sql[:20],
)
def test_a_query_of_a_million_characters(executor: Executor, database: Path, sql: str) -> None:
    outcome = _attack(executor, database, sql)
    assert outcome.error
    assert len(outcome.message) < 400


@contextlib.contextmanager
def _writer(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has written to a file and still has it open."""
    code = (
        "import duckdb, os, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "for statement in sys.argv[2:]: connection.execute(statement)\n"
        "print(flush=True)\n"
        "sys.stdin.read(); os._exit(1)"  # no good-bye: the log stays
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_a_file_that_a_writer_holds_is_told_and_its_log_is_read_later(
    executor: Executor, tmp_path: Path
) -> None:
    path = make(tmp_path / "a.duckdb", "CREATE TABLE t (a INT)")
    with _writer(path, "INSERT INTO t VALUES (1)") as writer:
        told = f"another program has it open for writing (PID {writer.pid})"
        outcome = executor.run(path, "FROM t")
        assert (outcome.error, outcome.message) == (
            "other_exec",
            f"{path}: unable to open database file: {told}",
        )
        with pytest.raises(DatabaseError) as caught:
            read_schema(path)
        assert caught.value.message == f"{path} cannot be read as a DuckDB database: {told}"
        assert "close it" in caught.value.mend
    before = _state(tmp_path)
    assert sorted(before) == ["a.duckdb", "a.duckdb.wal"]
    assert executor.run(path, "FROM t").rows == [(1,)]
    for sql in ("FROM checkpoint()", "FROM force_checkpoint()"):
        executor.run(path, sql)
    assert read_schema(path).tables[0].columns[0].values == ("1",)
    assert _state(tmp_path) == before


def test_a_file_is_free_between_queries_and_read_anew(executor: Executor, tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", "CREATE TABLE t (a INT)")
    assert executor.run(path, "FROM t").rows == []
    read_schema(path)
    make(path, "INSERT INTO t VALUES (1)")
    assert executor.run(path, "FROM t").rows == [(1,)]


def test_without_the_package(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sql.systems.find_spec", lambda name: None)
    check_file(database)
    with Executor(jobs=1) as executor:
        for read in (read_schema, ValueIndex.of, lambda path: executor.run(path, "SELECT 1")):
            with pytest.raises(DatabaseError) as caught:
                read(database)
            assert caught.value.message == (
                f"{database} is a DuckDB file and the package `duckdb` is not installed"
            )
            assert caught.value.mend == "pip install 'kid-sql[duckdb]'"
        assert executor.run(database.with_name("secret.sqlite"), "SELECT 1").rows == [(1,)]


def test_damaged_files(executor: Executor, database: Path, tmp_path: Path) -> None:
    content = database.read_bytes()
    for length in (12, 5000, 300_000):
        path = tmp_path / "music.duckdb"
        path.write_bytes(content[:length])
        outcome = executor.run(path, "FROM singer")
        assert (outcome.error, outcome.rows) == ("other_exec", [])
        assert str(path) in outcome.message
        with pytest.raises(DatabaseError, match=r"music\.duckdb cannot be read as a DuckDB database: "):
            read_schema(path)
        assert path.read_bytes() == content[:length]
    shutil.copy(database, tmp_path / "whole.duckdb")
    (tmp_path / "link").symlink_to("whole.duckdb")
    assert executor.run(tmp_path / "link", "SELECT count(*) FROM singer").rows == [(3,)]
    assert sorted(os.listdir(tmp_path)) == ["link", "music.duckdb", "whole.duckdb"]
