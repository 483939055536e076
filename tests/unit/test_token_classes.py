"""SQL token classes, and their alignment with a model's tokens."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.study.token_classes import CLASSES, classes_of_pieces, offsets_of_pieces, spans

SCHEMA = {"singer": ["Singer_ID", "Name", "date"], "concert": ["year", "singer"]}


def classes(sql: str) -> list[tuple[str, str]]:
    """Each token of the SQL with its class, as "text" and the class's first three letters."""
    return [(sql[span.start : span.end], span.kind[:3]) for span in spans(sql, SCHEMA)]


def kinds(sql: str) -> dict[str, str]:
    return {sql[span.start : span.end]: span.kind for span in spans(sql, SCHEMA)}


def test_every_class() -> None:
    assert classes("SELECT count(*), T1.name FROM singer AS T1 WHERE T1.name != 'it''s é' LIMIT 3") == [
        ("SELECT", "key"), ("count", "fun"), ("(", "pun"), ("*", "col"), (")", "pun"), (",", "pun"),
        ("T1", "tab"), (".", "pun"), ("name", "col"), ("FROM", "key"), ("singer", "tab"), ("AS", "key"),
        ("T1", "tab"), ("WHERE", "key"), ("T1", "tab"), (".", "pun"), ("name", "col"), ("!=", "ope"),
        ("'it''s é'", "lit"), ("LIMIT", "key"), ("3", "lit"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "text", "kind"),
    [
        ("SELECT date FROM singer", "date", "column"),  # a type's name that the schema has as a column
        ("SELECT cast(name AS date_) FROM singer", "cast", "function"),
        ("SELECT cast(name AS int) FROM singer", "int", "keyword"),
        ("SELECT replace(name, 'a', 'b') FROM singer", "replace", "function"),
        ("SELECT a FROM singer WHERE name <> 'x'", "<>", "operator"),
        ("SELECT a FROM singer WHERE name = \"x y\"", '"x y"', "literal"),
        ('SELECT "Name" FROM singer', '"Name"', "column"),
        ("SELECT [Name] FROM `concert`", "`concert`", "table"),
        ("SELECT [Name] FROM `concert`", "[Name]", "column"),
        ("SELECT a * 2 FROM singer", "*", "operator"),
        ("SELECT singer.* FROM singer", "*", "column"),
        ("SELECT singer FROM concert", "singer", "column"),  # not where tables are named
        ("SELECT * FROM nowhere", "nowhere", "table"),
        ("SELECT noname FROM singer", "noname", "column"),
        ("SELECT a FROM singer JOIN concert ON singer.Singer_ID = concert.year", "year", "column"),
        ("SELECT a FROM (SELECT year FROM concert) q WHERE q.year > 1", "q", "table"),
        ("SELECT a FROM (SELECT year FROM concert) q WHERE q.year > 1", "year", "column"),
        ("WITH w AS (SELECT 1) SELECT x FROM w", "w", "table"),
        ("SELECT a FROM singer JOIN concert USING (year)", "year", "column"),
        ("SELECT year FROM concert GROUP  BY year", "GROUP  BY", "keyword"),
        ("SELECT rank() OVER (PARTITION BY year) FROM concert", "OVER", "keyword"),
        ("SELECT name FROM singer WHERE name IN (1)", "IN", "keyword"),
        ("SELECT name || 'x' FROM singer", "||", "operator"),
        ("SELECT x'ab', -1.5e3, 日本 FROM singer", "x'ab'", "literal"),
        ("SELECT x'ab', -1.5e3, 日本 FROM singer", "1.5e3", "literal"),
        ("SELECT x'ab', -1.5e3, 日本 FROM singer", "日本", "column"),
    ],
)  # fmt: skip
def test_a_token(sql: str, text: str, kind: str) -> None:
    assert kinds(sql)[text] == kind


def test_a_comment_has_no_span_and_hides_nothing_behind_it() -> None:
    assert [text for text, _ in classes("SELECT a -- FROM x\nFROM /* JOIN */ singer")] == [
        "SELECT", "a", "FROM", "singer"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "last"),
    [
        ("SELECT name FROM singer WHERE name = 'it''s un", ("'s un", "lit")),
        ('SELECT name FROM singer WHERE name = "un', ('"un', "lit")),
        ("SELECT name FROM `con", ("`con", "tab")),
        ("SELECT name FROM singer /* un", ("singer", "tab")),
        ("SELECT count(", ("(", "pun")),
    ],
)
def test_unfinished_sql(sql: str, last: tuple[str, str]) -> None:
    found = classes(sql)
    assert found[-1] == last
    assert found[0] == ("SELECT", "key")


def test_a_piece_across_tokens_takes_the_class_of_its_first_character() -> None:
    sql = "SELECT count(*) FROM singer"
    pieces = ["SELECT", " cou", "nt(*", ")", " FROM", " ", "singer"]
    assert classes_of_pieces(sql, _offsets(pieces), SCHEMA) == [
        "keyword", "function", "function", "punctuation", "keyword", "table", "table"
    ]  # fmt: skip


def test_pieces_of_blanks_and_comments() -> None:
    sql = "SELECT 1 -- x  "
    assert classes_of_pieces(sql, _offsets(["SELECT", " ", "1", " --", " x", "  "])) == [
        "keyword", "literal", "literal", "other", "other", "other"
    ]  # fmt: skip


WORDS = st.sampled_from(
    ["SELECT", "name", "FROM", "singer", "T1", ".", "'it''s'", '"é x"', "!=", "<>", "count(*)", "(", ")", ",",
     "1.5", "-- c\n", "/* c */", "日本", "'",
     '"', "*", ";", "AS", "JOIN", " ", "\t", "`", "[", "{#", "$$", "\\"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=30))
def test_every_piece_has_the_class_of_the_token_it_begins_in(data: st.DataObject, sql: str) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sql)), max_size=8)) | {0, len(sql)})
    offsets = list(pairwise(cuts))
    tokens = spans(sql, SCHEMA)
    assert all(span.kind in CLASSES for span in tokens)
    assert all(one.end <= other.start for one, other in pairwise(tokens))
    for (start, end), kind in zip(offsets, classes_of_pieces(sql, offsets, SCHEMA), strict=True):
        behind = sql[start:].lstrip() if not sql[start:end].strip() else sql[start:end].lstrip()
        at = len(sql) - len(sql[start:].lstrip()) if behind else len(sql)
        within = [span.kind for span in tokens if span.start <= at < span.end]
        assert kind == (within[0] if within else "other")


class SlowTokenizer:
    """Knows no offsets: bytes, of which a character may take several."""

    is_fast = False

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


@given(st.text(max_size=20).filter(lambda text: "\ufffd" not in text))
@settings(max_examples=60, deadline=None)
def test_offsets_without_a_fast_tokenizer(text: str) -> None:
    ids, offsets = offsets_of_pieces(SlowTokenizer(), text)
    assert len(ids) == len(offsets)
    assert "".join(text[start:end] for start, end in offsets) == text
    place = 0
    for character in text:  # the last of a character's bytes has it
        place += len(character.encode())
        assert text[slice(*offsets[place - 1])] == character


def test_offsets_of_a_slow_tokenizer_find_the_classes() -> None:
    sql = "SELECT é"
    _, offsets = offsets_of_pieces(SlowTokenizer(), sql)
    assert classes_of_pieces(sql, offsets)[:6] == ["keyword"] * 6
    assert classes_of_pieces(sql, offsets)[-1] == "column"


def _offsets(pieces: list[str]) -> list[tuple[int, int]]:
    found, start = [], 0
    for piece in pieces:
        found.append((start, start + len(piece)))
        start += len(piece)
    return found
