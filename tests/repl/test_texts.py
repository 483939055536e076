"""What a text is: a command, SQL, a question; and how scripts and long SQL are cut into texts and lines."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kidtui.repl.layout import lay_out
from kidtui.repl.texts import Entry, begins_sql, closed, entries, is_query, read_script

SCHEMA = {"singer": ["id", "name"], "song": ["id", "title"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ", []),
        ("-- only a comment", []),
        (";", []),
        ("SELECT 1;", [("sql", "SELECT 1")]),
        ("select 1 ; -- one", [("sql", "select 1")]),
        ("SELECT 1; SELECT ';' ; ", [("sql", "SELECT 1"), ("sql", "SELECT ';'")]),
        ("select 1; select name from song", [("question", "select 1; select name from song")]),
        ("select 1; select id from song", [("sql", "select 1"), ("sql", "select id from song")]),
        ("anything at all;", [("sql", "anything at all")]),
        ("DROP TABLE singer;", [("sql", "DROP TABLE singer")]),
        ("DROP TABLE singer", [("question", "DROP TABLE singer")]),
        ("How many singers?", [("question", "How many singers?")]),
        ("How many\nsingers?", [("question", "How many singers?")]),
        ("Which title; the first?", [("question", "Which title; the first?")]),
        ("select name from singer", [("sql", "select name from singer")]),
        ("select nme from singer", [("question", "select nme from singer")]),
        ("Select all singers", [("question", "Select all singers")]),
        ("select the title of each song", [("question", "select the title of each song")]),
        ("With which singers?", [("question", "With which singers?")]),
        ("explain singers", [("question", "explain singers")]),
        ("\\d singer", [("command", "d singer")]),
        ("  \\? ", [("command", "?")]),
        ("exit", [("leave", "")]),
        (" QUIT ;", [("leave", "")]),
        ("exit now", [("question", "exit now")]),
    ],
)
def test_a_text_is_told_by_its_ends(text: str, expected: list[tuple[str, str]]) -> None:
    assert entries(text, partial(is_query, schema=SCHEMA)) == [Entry(*pair) for pair in expected]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("SELECT name", True),
        ("SELECT name FROM singer", True),
        ("-- why\nWITH a AS (", True),
        ("SELECT ';'", True),
        ("SELECT 1;", False),
        ("SELECT 1; -- done", False),
        ("SELECT name\n", False),
        ("select name", False),
        ("Select name", False),
        ("How many?", False),
        ("", False),
    ],
)
def test_enter_goes_on_amid_sql_in_capitals(text: str, more: bool) -> None:
    assert begins_sql(text) is more


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        ("SELECT 1;\nHow many?\n\\d\n", ["SELECT 1;", "How many?", "\\d"]),
        ("select name\nfrom singer\nwhere id = 1;\nx", ["select name\nfrom singer\nwhere id = 1;", "x"]),
        ("Select all singers\n\nSELECT 1;", ["Select all singers", "SELECT 1;"]),
        ("Select all singers\n\\d\nSELECT 1;", ["Select all singers", "\\d", "SELECT 1;"]),
        ("Select all singers", ["Select all singers"]),
        ("\n  \n", []),
        ("-- why\nSELECT 1;", ["SELECT 1;"]),
        ("Select the names\nHow many?\nSELECT 1;", ["Select the names", "How many?", "SELECT 1;"]),
        ("SELECT 1\n/* ; */\n;\nx", ["SELECT 1\n/* ; */\n;", "x"]),
    ],
)
def test_a_script_is_cut_into_texts(script: str, texts: list[str]) -> None:
    assert list(read_script(script.splitlines(keepends=True))) == texts


def test_sql_is_laid_out_by_clauses_where_it_is_long() -> None:
    sql = (
        "SELECT T1.name , ( SELECT count(*) FROM song ) FROM singer AS T1"
        " LEFT OUTER JOIN song AS T2 ON T1.id = T2.id"
        " WHERE T1.name = 'a WHERE b' GROUP BY T1.name ORDER BY 2 LIMIT 3 UNION ALL SELECT 1 , 2"
    )
    assert lay_out(sql, 1000) == [sql]
    assert lay_out(sql, 40) == [
        "SELECT T1.name , ( SELECT count(*) FROM song )",
        "FROM singer AS T1",
        "  LEFT OUTER JOIN song AS T2 ON T1.id = T2.id",
        "WHERE T1.name = 'a WHERE b'",
        "GROUP BY T1.name",
        "ORDER BY 2",
        "LIMIT 3",
        "UNION ALL",
        "SELECT 1 , 2",
    ]


@given(st.text("SELECT FROM WHERE JOIN ()'\"--\n;x,", max_size=80))
def test_laid_out_sql_is_the_same_but_for_blanks(sql: str) -> None:
    assert "".join("".join(lay_out(sql, 10)).split()) == "".join(sql.split()) or "--" in sql or "/*" in sql


def test_a_long_text_without_an_end_is_read_in_no_time() -> None:
    began = time.monotonic()
    assert len(list(read_script(["select a", *["x" * 50] * 20_000]))) == 20_001
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("sql", "whole"), [("SELECT 1", "SELECT 1;"), ("SELECT 1 -- x", "SELECT 1 -- x\n;")])
def test_sql_is_closed_behind_its_comment(sql: str, whole: str) -> None:
    assert closed(sql) == whole
