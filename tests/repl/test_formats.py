from __future__ import annotations

import csv
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from engine.protocol import told_cell
from kidtui.repl.formats import FORMATS, Result, lines, summary
from tests.cli.test_cells import FAMILY, HARMFUL

SINGERS = Result(
    ["id", "name", "note"],
    [
        (1, "Joe Sharp", "two\nlines | \x1b[2J"),
        (20, "漢字😀", None),
        (None, "Rene\u0301e", ""),
        (3.5, "NULL", b"\x0a\x1b"),
    ],
)
EXPECTED = {
    "table": [
        "  id │ name      │ note                ",
        "─────┼───────────┼─────────────────────",
        r"   1 │ Joe Sharp │ two\nlines | \x1b[2J",
        "  20 │ 漢字😀    │ NULL                ",
        "NULL │ Rene\u0301e     │                     ",
        " 3.5 │ NULL      │ x'0A1B'             ",
    ],
    "vertical": [
        "── row 1 ──",
        "id   │ 1",
        "name │ Joe Sharp",
        r"note │ two\nlines | \x1b[2J",
        "── row 2 ──",
        "id   │ 20",
        "name │ 漢字😀",
        "note │ NULL",
        "── row 3 ──",
        "id   │ NULL",
        "name │ Rene\u0301e",
        "note │ ",
        "── row 4 ──",
        "id   │ 3.5",
        "name │ NULL",
        "note │ x'0A1B'",
    ],
    "csv": [
        "id,name,note",
        '1,Joe Sharp,"two\nlines | \\x1b[2J"',
        "20,漢字😀,",
        ',Rene\u0301e,""',
        "3.5,NULL,x'0A1B'",
    ],
    "json": [
        "[",
        r'  {"id": 1, "name": "Joe Sharp", "note": "two\nlines | \u001b[2J"},',
        '  {"id": 20, "name": "漢字😀", "note": null},',
        '  {"id": null, "name": "Rene\u0301e", "note": ""},',
        '  {"id": 3.5, "name": "NULL", "note": {"blob": "0a1b"}}',
        "]",
    ],
    "jsonl": [
        r'{"id": 1, "name": "Joe Sharp", "note": "two\nlines | \u001b[2J"}',
        '{"id": 20, "name": "漢字😀", "note": null}',
        '{"id": null, "name": "Rene\u0301e", "note": ""}',
        '{"id": 3.5, "name": "NULL", "note": {"blob": "0a1b"}}',
    ],
    "markdown": [
        "| id | name | note |",
        "| ---: | --- | --- |",
        r"| 1 | Joe Sharp | two<br>lines \| \\x1b[2J |",
        "| 20 | 漢字😀 | NULL |",
        "| NULL | Rene\u0301e |  |",
        "| 3.5 | NULL | x'0A1B' |",
    ],
}
NARROW = Result(["id", "country", "song"], [(1, "Netherlands", "a" * 90), (2, "漢字" * 20, None)])
NO_ROWS = Result(["id", "name"], [])
PIECES = [*"ab |漢한é…\n\x1b\x9b\u202e\u200b\u0301\ud800", FAMILY, "❤️"]
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join)
CELLS = st.none() | st.integers() | st.floats() | st.binary() | TEXTS


def results(texts, cells=CELLS):
    return st.integers(1, 4).flatmap(
        lambda num: st.builds(
            Result,
            st.lists(texts, min_size=num, max_size=num),
            st.lists(st.tuples(*[cells] * num), max_size=4),
        )
    )


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_written_as_it_is_known(name):
    assert list(lines(SINGERS, name)) == EXPECTED[name]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            40,
            [
                "id │ country         │ song            ",
                "───┼─────────────────┼─────────────────",
                " 1 │ Netherlands     │ aaaaaaaaaaaaaaa…",
                " 2 │ 漢字漢字漢字漢… │ NULL            ",
            ],
        ),
        (
            20,
            [
                "id │ count… │ song  ",
                "───┼────────┼───────",
                " 1 │ Nethe… │ aaaaa…",
                " 2 │ 漢字…  │ NULL  ",
            ],
        ),
    ],
)
def test_a_table_fits_the_screen_by_cutting_its_widest_columns(width, expected):
    assert list(lines(NARROW, "table", width=width)) == expected


def test_numbers_stand_to_the_right_unless_there_are_texts_among_them():
    mixed = Result(["i", "x", "y"], [(1, 1.5, 1), (22, None, "two"), (333, 10.25, 3)])
    assert list(lines(mixed, "table", width=17)) == [
        "  i │     x │ y  ",
        "────┼───────┼────",
        "  1 │   1.5 │ 1  ",
        " 22 │  NULL │ two",
        "333 │ 10.25 │ 3  ",
    ]


def test_a_table_with_more_columns_than_fit_is_shown_vertically_and_whole():
    assert list(lines(NARROW, "table", width=19)) == list(lines(NARROW, "vertical"))
    assert "a" * 90 in "".join(lines(NARROW, "table", width=19))
    wide = Result([f"c{at}" for at in range(2000)], [tuple(range(2000))])
    assert next(lines(wide, "table", width=200)) == "── row 1 ──"


def test_nothing_is_cut_where_no_width_is_given_but_a_huge_cell():
    assert "a" * 90 in "".join(lines(NARROW, "table"))
    for name in ("table", "vertical", "markdown"):
        text = "\n".join(lines(Result(["a"], [("漢" * 1_000_000,)]), name))
        assert 400 < len(text) < 3000
        assert text.count("…") == 1
    *_, row = lines(Result(["a"], [("\n" * 1_000_000,)]), "markdown", max_cell=2)
    assert row == "| <br><br>… |"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table", ["id │ name", "───┼─────"]),
        ("vertical", []),
        ("csv", ["id,name"]),
        ("json", ["[", "]"]),
        ("jsonl", []),
        ("markdown", ["| id | name |", "| --- | --- |"]),
    ],
)
def test_without_rows_there_is_only_a_header(name, expected):
    assert list(lines(NO_ROWS, name)) == expected


def test_columns_of_one_name_stay_apart_in_json():
    (line,) = lines(Result(["a", "a", "a_2", "a"], [(1, 2, 3, 4)]), "jsonl")
    assert json.loads(line) == {"a": 1, "a_3": 2, "a_2": 3, "a_4": 4}


def test_what_markdown_would_read_as_its_own_is_escaped():
    *_, row = lines(Result(["a"], [("x|y \\| <b>&amp;",)]), "markdown")
    assert row == r"| x\|y \\\| &lt;b>&amp;amp; |"


@given(results(TEXTS, CELLS | st.text()), st.none() | st.integers(1, 60))
def test_no_line_carries_what_harms_a_terminal(result, width):
    for name in FORMATS:
        allowed = set("\t\r\n\u200b\u2060\ufeff" if name == "csv" else "")
        for line in lines(result, name, width=width):
            assert set(HARMFUL.findall(line)) <= allowed


@given(results(TEXTS), st.none() | st.integers(1, 60))
def test_every_line_of_a_table_is_as_wide_as_the_others(result, width):
    table = list(lines(result, "table", width=width))
    if table != list(lines(result, "vertical")):
        (common,) = set(map(wcswidth, table))
        assert width is None or common <= width


@given(results(TEXTS, CELLS | st.text()))
def test_json_gives_back_every_cell(result):
    rows = json.loads("".join(lines(result, "json")))
    told = [tuple(map(told_cell, row.values())) for row in rows]
    assert list(map(repr, told)) == list(map(repr, result.rows))  # nan is nan, 1 is not 1.0
    assert list(map(json.loads, lines(result, "jsonl"))) == rows


@given(results(st.text("ab,\"\n'é ", min_size=1), st.text("ab,\"\n\t'é ", min_size=1)))
def test_a_csv_reader_gives_back_every_text(result):
    text = "".join(f"{line}\n" for line in lines(result, "csv"))
    header, *rows = csv.reader(text.splitlines(keepends=True))
    assert (header, list(map(tuple, rows))) == (result.columns, result.rows)


@pytest.mark.parametrize(
    ("num_rows", "truncated", "expected"),
    [
        (0, False, "no rows"),
        (1, False, "1 row"),
        (3, False, "3 rows"),
        (12345, False, "12 345 rows"),
        (1, True, "first 1 row; there are more"),
        (1000, True, "first 1 000 rows; there are more"),
    ],
)
def test_a_summary_counts_the_rows_and_tells_of_more(num_rows, truncated, expected):
    assert summary(Result(["a"], [(1,)] * num_rows, truncated)) == expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("rows", "limit"),
    [
        ([(*range(5), "some text", "漢字é", None, 1.5, "\n") for _ in range(10_000)], 3.0),
        ([(cell,) * 10 for cell in ["a"] * 500 + ["x" * 1_000_000] + ["b"] * 500], 3.0),
    ],
    ids=["many rows", "huge cells"],
)
def test_large_results_are_written_quickly(rows, limit, name):
    result = Result([f"c{at}" for at in range(10)], rows)
    started = time.perf_counter()
    assert sum(1 for _ in lines(result, name, width=120)) >= len(rows)
    assert time.perf_counter() - started < limit
