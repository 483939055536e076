from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from kidtui.cells import exact, num_columns, shown

HARMFUL = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Characters that move the cursor, start a sequence, turn the text, or cannot be seen or encoded."""
FAMILY = "👨‍👩‍👧"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, "NULL"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (1.0, "1.0"),
        (1e100, "1e+100"),
        (float("-inf"), "-inf"),
        ("", ""),
        ("Joe Sharp", "Joe Sharp"),
        (r"C:\new", r"C:\new"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m\x7f\0", r"\x9b31m\x7f\x00"),
        ("\u202egpj.exe\u2069", r"\u202egpj.exe\u2069"),
        ("a\u200bb\ufeff\xad\u2028\u3164", r"a\u200bb\ufeff\xad\u2028\u3164"),
        ("\U000e0041", r"\U000e0041"),
        ("pass\u200dword\u200c", r"pass\u200dword\u200c"),
        ("\ud800x", r"\ud800x"),
        ("\u0301x", r"\u0301x"),
        ("Cafe\u0301 " + FAMILY, "Cafe\u0301 " + FAMILY),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("漢字\u3000かな\xa0é", "漢字\u3000かな\xa0é"),
        (b"", "x''"),
        (b"\n\x1b\xff", "x'0A1BFF'"),
    ],
    ids=ascii,
)
def test_a_cell_is_shown_on_one_line_with_what_is_not_seen_written_out(cell, expected):
    assert shown(cell, 100) == expected


@pytest.mark.parametrize(
    ("cell", "room", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abc", 1, "…"),
        (None, 3, "NU…"),
        (123456789, 5, "1234…"),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 7, "漢字漢…"),
        ("漢字漢字", 6, "漢字…"),
        ("e\u0301" * 9, 4, "e\u0301" * 3 + "…"),
        (FAMILY * 3, 4, FAMILY + "…"),
        ("ab\x1bcd", 6, "ab…"),
        ("ab\x1bcd", 7, r"ab\x1b…"),
        ("\u0301abcdefg", 8, r"\u0301a…"),
        (b"\x0a\x1b\xff", 9, "x'0A1BFF'"),
        (b"\x0a\x1b\xff", 8, "x'…' (3…"),
        (b"\x0a\x1b" * 600, 24, "x'0A1B0A…' (1 200 bytes)"),
        (b"\x0a\x1b" * 600, 10, "x'…' (1 2…"),
    ],
    ids=ascii,
)
def test_a_cell_that_is_too_wide_is_cut_between_what_is_read_as_one_character(cell, room, expected):
    assert shown(cell, room) == expected


@given(st.text(), st.integers(1, 30))
def test_a_shown_text_is_harmless_and_fits(text, room):
    cell = shown(text, room)
    assert not HARMFUL.search(cell)
    assert wcswidth(cell) <= room
    assert not cell or wcswidth("|" + cell) == 1 + wcswidth(cell)  # leans on nothing before it


@given(st.binary(), st.integers(1, 30))
def test_a_shown_blob_fits(blob, room):
    assert num_columns(shown(blob, room)) <= room


@pytest.mark.parametrize("piece", ["x", "漢", "\x1b", "e\u0301", "\u0301", FAMILY, b"x"], ids=ascii)
def test_cutting_takes_no_longer_for_a_longer_cell(piece):
    def seconds(cell):
        started = time.perf_counter()
        for _ in range(50):
            assert "…" in shown(cell, 80)
        return time.perf_counter() - started

    assert seconds(piece * 3_000_000) < max(10 * seconds(piece * 3_000), 0.005)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, ""),
        ("a\tb\nc\r\nd", "a\tb\nc\r\nd"),
        ("over\rwritten", r"over\rwritten"),
        ("\x1b[2J\x9b\x7f\u202e\u2028\ud800", r"\x1b[2J\x9b\x7f\u202e\u2028\ud800"),
        ("soft\xadhyphen \u200b\u0301 " + FAMILY, "soft\xadhyphen \u200b\u0301 " + FAMILY),
        (b"\x0a\x1b", "x'0A1B'"),
        (1e100, "1e+100"),
    ],
    ids=ascii,
)
def test_a_whole_cell_keeps_everything_but_what_drives_a_terminal(cell, expected):
    assert exact(cell) == expected
