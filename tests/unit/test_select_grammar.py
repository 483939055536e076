"""The SELECTs of one database: what llguidance accepts, byte by byte, by the grammar made for its names."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.data import benchmarks
from engine.data.glance import readable
from engine.errors import DatabaseError
from engine.sql.select_grammar import (
    FUNCTIONS,
    RESERVED,
    WINDOW_FUNCTIONS,
    select_grammar,
)

llguidance = pytest.importorskip("llguidance", reason="needs llguidance")

SCHEMA = {
    "singer": ["singer_id", "Name", "Age", "Song Name", "order", "count"],
    "concert": ["concert_id", "Year", "singer_id"],
    "match": ["key", "Größe"],
    "pet": ["pet_id"],
}


@cache
def byte_tokenizer() -> Any:
    """A token for each byte, with the byte's own number."""
    return llguidance.LLTokenizer("byte")


def matcher(schema: Mapping[str, Sequence[str]]) -> Any:
    grammar = select_grammar(schema)
    assert not llguidance.LLMatcher.validate_grammar(grammar, byte_tokenizer())
    return llguidance.LLMatcher(byte_tokenizer(), grammar)


def accepts(grammar: Any, sql: str) -> bool:
    """Whether the text is a whole query."""
    grammar.reset()
    text = list(sql.encode())
    return grammar.try_consume_tokens(text) == len(text) and grammar.is_accepting()


def rejected_golds(spec: str, data_dir: Path | None = None) -> list[str]:
    examples = benchmarks.load(spec, data_dir).examples
    grammars = {database: matcher(readable(database)) for database in {e.database for e in examples}}
    return [e.query for e in examples if not accepts(grammars[e.database], e.query)]


def test_every_gold_of_the_demo_is_accepted() -> None:
    assert not rejected_golds("demo/dev")
    assert not rejected_golds("demo/train")


def test_every_gold_of_spider_dev_is_accepted(data_dir: Path) -> None:
    assert not rejected_golds("spider/dev", data_dir)


ACCEPTED = [
    "SELECT 1",
    "SELECT count(*) FROM singer;",
    "select NAME from SINGER where AGE > 20",
    "SELECT name,age FROM singer WHERE age>=20 AND NOT (name = 'O''Hara' OR name LIKE \"%a%\")",
    'SELECT `Song Name`, [Song Name], T1."Song Name" FROM `singer` AS T1',
    "SELECT singer.name FROM singer JOIN concert ON singer.singer_id = concert.singer_id",
    "SELECT T1.`order` FROM singer T1 LEFT OUTER JOIN concert AS c USING (singer_id)",
    "SELECT s.* FROM singer s NATURAL JOIN concert, match",
    "SELECT DISTINCT(name) FROM singer ORDER BY age DESC, name LIMIT 3 OFFSET 1",
    "SELECT count(DISTINCT year), count FROM singer, concert GROUP BY count HAVING avg(age) > 2.5",
    "SELECT name FROM singer UNION ALL SELECT year FROM concert ORDER BY 1",
    "SELECT name FROM singer WHERE singer_id NOT IN (SELECT singer_id FROM concert) AND age IS NOT NULL",
    "SELECT name FROM singer AS T1 WHERE EXISTS (SELECT 1 FROM concert AS b WHERE b.year = T1.age)",
    "SELECT name FROM singer WHERE age BETWEEN 1 AND 2 + 3 OR name GLOB 'a*' OR name IN ('a', 'b')",
    "SELECT CASE WHEN age > 30 THEN 'old' ELSE -1 END FROM singer",
    "SELECT CAST(count(*) AS REAL) * 100 / (SELECT count(*) FROM singer) FROM concert",
    "SELECT (SELECT max(age) FROM singer) - (SELECT min(age) FROM singer)",
    "SELECT strftime('%Y', year), round(avg(age), 2), coalesce(name, 'x', NULL) FROM singer, concert",
    "SELECT rank() OVER (PARTITION BY year ORDER BY age DESC) AS place FROM singer, concert ORDER BY place",
    "SELECT sum(age) OVER (ORDER BY age ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM singer",
    "SELECT year, count(*) AS num FROM concert GROUP BY year HAVING num > 2 ORDER BY num DESC",
    "SELECT count(*) AS 'how many' FROM (SELECT name FROM singer) AS sub",
    "WITH old AS (SELECT name, age AS years FROM singer) SELECT old.name FROM old WHERE years > 60",
    "SELECT Größe, key FROM match",
    "SELECT name FROM singer WHERE \"no column but a text\" = name AND name COLLATE NOCASE = 'x'",
]


def test_what_models_write_is_accepted_and_sqlite_reads_it_the_same() -> None:
    grammar = matcher(SCHEMA)
    with closing(database_with(SCHEMA)) as connection:
        for sql in ACCEPTED:
            assert accepts(grammar, sql), sql
            connection.execute(sql)


REJECTED = [
    "",
    "SELECT",
    "SELECT name",
    "SELECT name FROM",
    "SELECT name FROM singers",
    "SELECT name FROM sing",
    "SELECT nam FROM singer",
    "SELECT names FROM singer",
    "SELECT T1.genre FROM singer AS T1",
    "SELECT singer.year FROM singer",
    "SELECT pet.year FROM pet",
    "SELECT album.name FROM singer",
    "SELECT `genre` FROM singer",
    "SELECT name FROM singer WHERE genre = 'pop'",
    "SELECT name FROM singer ORDER BY genre",
    "SELECT count(*) AS num FROM concert WHERE num > 1",
    "SELECT name FROM (SELECT genre FROM singer)",
    "SELECT order FROM singer",
    "SELECT Song Name FROM singer",
    "SELECT name FROM main.singer",
    "DROP TABLE singer",
    "DELETE FROM singer",
    "INSERT INTO singer VALUES (1)",
    "UPDATE singer SET name = 'x'",
    "PRAGMA table_info(singer)",
    "EXPLAIN SELECT name FROM singer",
    "VALUES (1)",
    "SELECT name FROM singer; DROP TABLE singer",
    "SELECT name FROM singer;;",
    "SELECT name FROM singer -- all",
    "SELECT name /* all */ FROM singer",
    "SELECT age - -1 FROM singer",
    "SELECT age --1 FROM singer",
    "SELECT --1 FROM singer",
    "SELECT (age FROM singer",
    "SELECT age) FROM singer",
    "SELECT count(* FROM singer",
    "SELECT name FROM singer WHERE name = 'x",
    "SELECT  name FROM singer",
    "SELECT name FROM singer  WHERE age = 1",
    "SELECT name\nFROM singer",
    "SELECTname FROM singer",
    "SELECT name FROM singerWHERE age = 1",
    "SELECT name FROM singer WHERE age = 1AND age = 2",
    "SELECT name FROM singer WHERE",
    "SELECT name FROM singer LIMIT 1 ORDER BY age",
    "SELECT name FROM singer ORDER BY age UNION SELECT year FROM concert",
    "(SELECT name FROM singer) UNION (SELECT year FROM concert)",
    "SELECT name FROM singer WHERE age IN 1, 2",
    "SELECT load_extension('x') FROM singer",
    "SELECT md5(name) FROM singer",
    "SELECT abs(age, 1) FROM singer",
    "SELECT round(age, 1, 2) FROM singer",
    "SELECT substr(name) FROM singer",
    "SELECT round(DISTINCT age) FROM singer",
    "SELECT rank() FROM singer",
    "SELECT name FROM \u017finger",
    "SELECT \u212aey FROM match",
]


def test_what_is_no_query_of_this_database_is_rejected() -> None:
    grammar = matcher(SCHEMA)
    assert [sql for sql in REJECTED if accepts(grammar, sql)] == []


def test_names_that_need_quotes_are_quoted_as_sqlite_wants_it() -> None:
    names = [
        "plain",
        "two words",
        "a`b",
        'a"b',
        "a]b",
        "a/b",
        "1st",
        "a-b",
        "desc",
        "from",
        "ü",
        "Ö",
        "percent%",
    ]
    grammar = matcher({"t": names})
    with closing(database_with({"t": names})) as connection:
        connection.execute(f"INSERT INTO t VALUES ({', '.join('7' * len(names))})")
        for name in names:
            for written in (name, f"`{name.replace('`', '``')}`", f"[{name}]"):
                sql = f"SELECT {written} FROM t"
                assert accepts(grammar, sql) == (rows_of(connection, sql) == [(7,)]), sql
            assert accepts(grammar, 'SELECT T1."{}" FROM t AS T1'.format(name.replace('"', '""')))


def test_where_no_name_can_stand_bare_none_is_left_out() -> None:
    grammar = matcher({"order": ["from"]})
    assert accepts(grammar, 'SELECT `from` FROM [order] ORDER BY `order`."from"')
    for sql in (
        "SELECT from FROM `order`",
        "SELECT  FROM `order`",
        "SELECT `from` FROM ",
        "SELECT `` FROM `order`",
    ):
        assert not accepts(grammar, sql), sql


def test_reserved_are_the_words_that_sqlite_takes_for_no_name() -> None:
    for word in RESERVED.split():
        with closing(database_with({"t": [word]})) as connection:
            connection.execute("INSERT INTO t VALUES (7)")
            assert rows_of(connection, f"SELECT T1.{word} FROM t AS T1 WHERE {word} = 7") != [(7,)], word


# What depends on how, and how recently, SQLite was built.
NOT_EVERYWHERE = "ceil ceiling exp floor format ln log log10 log2 mod pi pow power sign sqrt unixepoch"


@pytest.mark.parametrize(("functions", "window"), [(FUNCTIONS, ""), (WINDOW_FUNCTIONS, " OVER ()")])
def test_functions_are_those_of_sqlite_with_as_many_arguments(functions: dict, window: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pragma_function_list")}
        for (least, most), names in functions.items():
            for name in names.split():
                if name not in known and name in NOT_EVERYWHERE.split():
                    continue
                for number in (least, least + 3 if most is None else most):
                    arguments = ", ".join(["1"] * number)
                    connection.execute(f"EXPLAIN SELECT {name}({arguments}){window}")


def test_a_walk_through_the_grammar_never_gets_stuck_and_ends_in_sql_that_parses() -> None:
    grammar = matcher(SCHEMA)
    chooser = random.Random(5)
    queries = [query for _ in range(150) if (query := walk(grammar, chooser))]
    assert len(queries) > 75
    with closing(database_with(SCHEMA)) as connection:
        complaints = {query: complaint(connection, query) for query in queries}
    names_only = re.compile("|no such column.*|no such table.*|ambiguous column.*")
    assert {query: text for query, text in complaints.items() if not names_only.fullmatch(text)} == {}


def walk(grammar: Any, chooser: random.Random, limit: int = 400) -> str | None:
    """A random query, rather a short one; None where it grows too long."""
    grammar.reset()
    text = bytearray()
    end = byte_tokenizer().eos_token
    for _ in range(limit):
        mask = grammar.compute_bitmask()
        allowed = [byte for byte in range(len(mask) * 8) if mask[byte // 8] >> byte % 8 & 1]
        assert allowed, text
        if end in allowed and (len(allowed) == 1 or chooser.random() < 0.6):
            return text.decode()
        ascii_only = [byte for byte in allowed if byte < 128] or allowed
        byte = chooser.choices(ascii_only, [_liking(chr(byte)) for byte in ascii_only])[0]
        grammar.consume_token(byte)
        text.append(byte)
    return None


def _liking(character: str) -> float:
    return 3 if character.isalpha() else {" ": 12, ")": 30, ".": 3, "=": 2, "*": 1.5}.get(character, 0.2)


def test_a_database_without_tables_has_no_grammar() -> None:
    with pytest.raises(DatabaseError, match="no table"):
        select_grammar({"t": []})


def database_with(schema: Mapping[str, Sequence[str]]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for table, columns in schema.items():
        quoted = ", ".join('"{}"'.format(column.replace('"', '""')) for column in columns)
        connection.execute(f'CREATE TABLE "{table}" ({quoted})')
    return connection


def complaint(connection: sqlite3.Connection, sql: str) -> str:
    """What SQLite says against a query; "" for nothing."""
    try:
        connection.execute(f"EXPLAIN {sql}")
    except sqlite3.Error as error:
        return str(error)
    return ""


def rows_of(connection: sqlite3.Connection, sql: str) -> list | None:
    try:
        return connection.execute(sql).fetchall()
    except (sqlite3.Error, sqlite3.Warning):
        return None
