"""Whatever a user types or a model writes: the database and its folder stay, and the session goes on.

The statements are those that the executor is tried with, and more that only a session can be told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import KidError
from kidtui.repl.session import Session
from tests.unit.test_sql_fence import FORBIDDEN_READS, HOSTILE, WRITES

Open = Callable[..., Session]

STATEMENTS = [
    *WRITES,
    *FORBIDDEN_READS,
    "SELECT writefile('{folder}/x', 'y')",
    "SELECT readfile('{folder}/zoo.sqlite')",
    "SELECT edit('x', 'touch {folder}/x')",
    ".shell touch {folder}/x",
    ".open {folder}/new.sqlite",
    "COPY singer TO '{folder}/x'",
    "SELECT * FROM singer INTO OUTFILE '{folder}/x'",
    "-- SELECT\nDROP TABLE song",
    "/* SELECT */ DROP TABLE song",
    "\ufeffDROP TABLE song",
    "SELECT 1\0; DROP TABLE song",
    "SELECT 'unclosed; DROP TABLE song",
    "SELECT zeroblob(900000000)",
    "(" * 100_000,
]
COMMANDS = [
    "\\o {folder}/zoo.sqlite",
    "\\o {folder}/zoo.sqlite\n\\o /etc/passwd",
    "\\o {folder}",
    "\\save {folder}/zoo.sqlite",
    "\\save {folder}",
    "\\fix DROP TABLE song",
    "\\fix SELECT 1; DROP TABLE song",
    "\\explain DROP TABLE song",
    "\\explain SELECT 1; DROP TABLE song",
    "\\u {folder}/../../etc/passwd",
    "\\u {folder}/new.sqlite",
    "\\u /dev/zero",
    "\\d singer; DROP TABLE song",
    "\\! touch {folder}/x",
    "\\prompt DROP TABLE song;",
]
HIDING = [
    "SELECT '\x1b[2J\x1b]0;title\x07\x9b31m' FROM singer",
    "SELECT char(27) || '[2J' || char(155) || char(7) || char(8)",
    "SELECT char(8238) || 'txet'",
    "SELECT replace(hex(zeroblob(500000)), '00', 'xy') AS wide",
    'SELECT 1 AS "\x1b[31m"',
    "SELECT x'1b5b324a'",
    "SELECT [\x1b[31mX] FROM singer",
    "SELECT * FROM [\x1b]0;title\x07]",
    "SELECT '\u202e",
]
SHOWING = [
    *("\\d", "\\d evil", "\\u \x1b[31m", "\\fly\x1b[31m", "\\history"),
    *("\\prompt \x1b[31m", "\\l", "\\format \x1b[2J"),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "zoo.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(HOSTILE.replace("{folder}", str(folder)))
        connection.execute('CREATE TABLE "evil\x1b]0;title\x07" ("x\x1b[31m" TEXT)')
    return path


def state(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def tried(session: Session, text: str) -> None:
    """Gives the session a text, which must end in time."""
    began = time.monotonic()
    with contextlib.suppress(KidError):
        session.handle(text.replace("{folder}", str(session.database.parent)))
    assert time.monotonic() - began < 10


def test_there_are_enough_attacks() -> None:
    assert len({*STATEMENTS, *COMMANDS, *HIDING}) >= 60


def test_what_is_typed_changes_nothing(
    open_session: Open, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = state(database.parent)
    session = open_session(timeout=2.0)
    session.handle("x")
    for text in [f"{statement};" for statement in STATEMENTS] + COMMANDS:
        tried(session, text)
        assert state(database.parent) == before, text
        assert os.listdir(here) == [], text
        assert session.database == database
    session.handle("SELECT count(*) FROM singer;")
    session.handle("x")


def test_what_a_model_writes_changes_nothing(open_session: Open, database: Path) -> None:
    before = state(database.parent)
    session = open_session(timeout=2.0)
    for statement in STATEMENTS:
        if len(statement) < 10_000:
            tried(session, f"write {statement}")
            assert state(database.parent) == before, statement
    session.handle("x")


@pytest.mark.parametrize("format", ["table", "vertical", "csv", "json", "jsonl", "markdown"])
def test_nothing_drives_the_terminal(
    open_session: Open, capfd: pytest.CaptureFixture[str], format: str
) -> None:
    session = open_session(format=format, timeout=5.0)
    for statement in HIDING:
        tried(session, f"{statement};")
        tried(session, f"write {statement}")
        out, err = capfd.readouterr()
        said = driving(out + err)
        assert set(said) <= {"\n"}, (statement, set(said))
    for text in SHOWING:
        tried(session, text)
        said = driving("".join(capfd.readouterr()))
        assert set(said) <= {"\n"}, (text, set(said))


def driving(text: str) -> list[str]:
    return [c for c in text if ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e"]


def test_a_cell_of_a_million_characters_is_cut_for_reading(
    open_session: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    open_session().handle("SELECT replace(hex(zeroblob(500000)), '00', 'xy') AS wide;")
    out = capfd.readouterr().out
    assert max(map(len, out.splitlines())) <= 1000
    assert "…" in out
