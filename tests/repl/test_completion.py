"""What is offered at the end of a typed text, or where a | stands in it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document

from engine.sql.select_grammar import RESERVED
from kidtui.repl.completion import KEYWORDS, LineLexer, SqlCompleter

SCHEMA = {
    "Singer": ["Singer_ID", "Name", "age", "order"],
    "concert": ["concert_ID", "Name", "year"],
    "the stadium": ["ID", "seats left"],
}
COMMANDS = {
    "format": lambda: ["table", "csv", "json", "jsonl"],
    "fix": list,
    "u": lambda: ["spider/x1", "demo/music"],
}


def complete(text: str, asked: bool = False) -> list[Completion]:
    before, _, after = text.partition("|")
    document = Document(before + after, len(before))
    completer = SqlCompleter(COMMANDS, lambda: SCHEMA)
    return list(completer.get_completions(document, CompleteEvent(completion_requested=asked)))


def offered(text: str, asked: bool = False) -> list[str]:
    return [completion.text for completion in complete(text, asked)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\", ["format", "fix", "u"]),
        ("\\f", ["format", "fix"]),
        ("  \\fo", ["format"]),
        ("\\format ", ["table", "csv", "json", "jsonl"]),
        ("\\format  JS", ["json", "jsonl"]),
        ("\\format json", ["jsonl"]),
        ("\\u spider/x", ["spider/x1"]),
        ("\\nothing ", []),
    ],
)
def test_commands_and_their_arguments_are_completed(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how many si", ["Singer", "Singer_ID"]),
        ("how many s", []),
        ("how many ", []),
        ("in which ye| was it", ["year"]),
        ("how many se", ["seats left"]),
        ("show the na", ["Name"]),
        ("how many sel", []),
        ("is there a singer 'Si", []),
        ('is there a singer "Si', []),
        ("the singers' na", ["Name"]),
        ("what's the ag", ["age"]),
        ("", []),
    ],
)
def test_questions_offer_plain_names_from_two_letters_on(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT T1.| FROM singer AS T1", ["Singer_ID", "Name", "age", '"order"']),
        ("SELECT t1.n| FROM concert c JOIN Singer t1", ["Name"]),
        ("SELECT concert.y| FROM concert", ["year"]),
        ('SELECT "the stadium".| FROM "the stadium"', ["ID", '"seats left"']),
        ("select s.| from concert join [the stadium] s", ["ID", '"seats left"']),
        ("SELECT c. ye| FROM singer JOIN\n concert AS c", ["year"]),
        ("SELECT T9.| FROM singer AS T1", []),
        ("SELECT concert.ye", ["year"]),
        ("SELECT 1.", []),
        ("|SELECT name", []),
        ("SELECT * FROM ", []),
        ("SELECT * FROM s", ["Singer"]),
        ("SELECT * FROM t", ['"the stadium"']),
        ('SELECT * FROM "', ['"Singer"', '"concert"', '"the stadium"']),
        ('SELECT "sea', ['"seats left"']),
        ("SELECT `seats l| FROM concert", ['"seats left"']),
        ("SELECT year, na", ["natural join", "Name"]),
        ("select ", []),
        ("SELECT name FROM singer WHERE name = 'na", []),
        ("SELECT name FROM singer WHERE name = 'it''s na", []),
        ("SELECT name FROM singer WHERE name = 'x' AND ag", ["age"]),
        ("SELECT name -- na", []),
        ("SELECT name /* na", []),
        ("SELECT name /* x */ fr", ["from"]),
        ("SELECT age + 1", []),
        ("SEL", []),
        ("WI", []),
    ],
)
def test_sql_offers_what_fits_the_place(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


def test_columns_of_the_from_clause_come_first_and_say_their_tables() -> None:
    found = [(each.text, each.display_meta_text) for each in complete("SELECT | FROM concert", asked=True)]
    assert found[:4] == [
        ("concert_ID", "concert"),
        ("Name", "concert"),
        ("year", "concert"),
        ("Singer", "table"),
    ]
    assert found[-2:] == [("ID", "the stadium"), ('"seats left"', "the stadium")]
    both = complete("SELECT nam| FROM concert JOIN singer")
    assert [(each.text, each.display_meta_text) for each in both] == [("Name", "concert, Singer")]


def test_keywords_come_in_the_case_that_is_typed_and_in_sql_alone() -> None:
    assert offered("SELECT name WH") == ["WHERE", "WHEN"]
    assert offered("SELECT name wh") == ["where", "when"]
    assert offered("who sings whe") == []
    assert set(KEYWORDS) <= set(offered("SELECT ", asked=True))


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("SELECT fromjn.,'\"`[]\\\0\n-/*1é;"), max_size=30), st.integers(0, 30))
def test_no_text_makes_it_raise(text: str, cursor: int) -> None:
    for whole in (text, f"select {text}"):
        document = Document(whole, min(cursor, len(whole)))
        list(SqlCompleter(COMMANDS, lambda: SCHEMA).get_completions(document, CompleteEvent()))
        asked = CompleteEvent(completion_requested=True)
        list(SqlCompleter(COMMANDS, lambda: SCHEMA).get_completions(document, asked))
        lines = LineLexer(lambda: SCHEMA).lex_document(document)
        for place, line in enumerate(document.lines):
            assert "".join(fragment[1] for fragment in lines(place)) == line


def test_a_completion_replaces_what_is_begun() -> None:
    (completion,) = complete('SELECT "SEATS')
    assert (completion.text, completion.start_position) == ('"seats left"', -len('"SEATS'))


def test_names_are_quoted_where_sqlite_needs_it() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for word in sorted(
            {word.lower() for keyword in KEYWORDS for word in keyword.split()} | {*RESERVED.split()}
        ):
            connection.execute(f'CREATE TABLE "{word}" ("{word}" TEXT)')
            connection.execute(f"INSERT INTO \"{word}\" VALUES ('cell')")
            try:
                rows = connection.execute(f"SELECT {word} FROM {word} WHERE {word} = 'cell'").fetchall()
            except sqlite3.OperationalError:
                rows = []
            assert (rows != [("cell",)]) == (word in RESERVED.split()), word


@pytest.mark.parametrize(
    "text", ["SELECT | FROM t1", "SELECT column_1| FROM t1 JOIN t7", "what column", "SELECT c"]
)
def test_a_large_schema_is_searched_in_20_ms(text: str) -> None:
    schema = {f"t{table}": [f"column_{table}_{column}" for column in range(30)] for table in range(100)}
    completer = SqlCompleter(COMMANDS, lambda: schema)
    before, _, after = text.partition("|")
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        found = list(
            completer.get_completions(
                Document(before + after, len(before)), CompleteEvent(completion_requested=True)
            )
        )
        seconds.append(time.perf_counter() - started)
    assert len(found) > 300
    assert min(seconds) < 0.02


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\format json", [("class:command", "\\format json")]),
        (
            "NAME of a singer, Anna?",
            [
                *(("class:name", "NAME"), ("", " "), ("", "of"), ("", " "), ("", "a"), ("", " ")),
                *(("class:name", "singer"), ("", ", "), ("", "Anna"), ("", "?")),
            ],
        ),
        ("", []),
    ],
)
def test_commands_and_names_have_style_classes(text: str, expected: list[tuple[str, str]]) -> None:
    assert LineLexer(lambda: SCHEMA).lex_document(Document(text))(0) == expected


def test_sql_has_the_style_classes_of_pygments_on_each_line() -> None:
    line = LineLexer(lambda: SCHEMA).lex_document(Document("SELECT name\nFROM singer WHERE name = 'x'"))
    assert ("class:pygments.keyword", "SELECT") in line(0)
    assert ("class:pygments.literal.string.single", "'x'") in line(1)
