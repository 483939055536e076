"""Cuts of SQL text, each case a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sql.text import first_statement, first_token, normalise, tables, tokens

SQL = st.text(alphabet=st.sampled_from(list("aD;-*/'\"`[] \n\tx1$é\ufeff\xa0")), max_size=40)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT  a ,\n\tb FROM t ;", "SELECT a , b FROM t"),
        ("  SELECT 1 ; ; ", "SELECT 1"),
        ("SELECT 'a  b' ,  \"c  d\"", "SELECT 'a  b' , \"c  d\""),
        ("SELECT 'it''s  a;  b' ;", "SELECT 'it''s  a;  b'"),
        ("SELECT `x  y`, [u  v]", "SELECT `x  y`, [u  v]"),
        ("SELECT a -- why\nFROM t", "SELECT a FROM t"),
        ("SELECT a /* x ; y */ FROM t", "SELECT a FROM t"),
        ("SELECT '-- kept' FROM t", "SELECT '-- kept' FROM t"),
        ("SELECT ';'", "SELECT ';'"),
        ("SELECT a;b", "SELECT a;b"),
        ("", ""),
        (" -- nothing", ""),
    ],
)
def test_normalise(sql: str, expected: str) -> None:
    assert normalise(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1; SELECT 2", "SELECT 1"),
        ("SELECT ';' ; SELECT 2", "SELECT ';' "),
        ("SELECT 1 -- ;\n+ 1; x", "SELECT 1 -- ;\n+ 1"),
        ("SELECT /* ; */ 1;", "SELECT /* ; */ 1"),
        ('SELECT "a;b", [c;d], `e;f`; x', 'SELECT "a;b", [c;d], `e;f`'),
        ("; SELECT 1", ""),
        ("SELECT 'open ; end", "SELECT 'open ; end"),
    ],
)
def test_first_statement(sql: str, expected: str) -> None:
    assert first_statement(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "select"),
        ("\n /* SELECT */ -- x\n Drop TABLE t", "drop"),
        ("\ufeffREINDEX", "reindex"),
        ("--\nVACUUM", "vacuum"),
        ("-- SELECT", ""),
        ("/* open", ""),
        ("(SELECT 1)", "("),
        ("'SELECT'", "'select'"),
        ("SELECT1", "select1"),
        ("\xa0SELECT", "\xa0select"),  # an identifier to SQLite, so no keyword
    ],
)
def test_first_token(sql: str, expected: str) -> None:
    assert first_token(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM Singer AS t1 JOIN concert AS t2", {"singer", "concert"}),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM u)", {"t", "u"}),
        ("SELECT a FROM t UNION SELECT a FROM u", {"t", "u"}),
        ("WITH w AS (SELECT 1 FROM t) SELECT * FROM w", {"t"}),
        ("SELECT 1", set()),
        ("SELECT FROM WHERE (", set()),
    ],
)
def test_tables(sql: str, expected: set[str]) -> None:
    assert tables(sql) == expected


@given(SQL)
def test_tokens_lose_nothing(sql: str) -> None:
    assert "".join(text for _, text in tokens(sql)) == sql


@given(SQL)
def test_normalise_is_idempotent(sql: str) -> None:
    once = normalise(sql)
    assert normalise(once) == once
