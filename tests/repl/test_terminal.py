"""The real command on a real terminal, with a mock model behind it."""

from __future__ import annotations

import io
import os
import shlex
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from wcwidth import wcswidth

from engine import paths
from tests.repl.conftest import REPOSITORY

pexpect = pytest.importorskip("pexpect")

KID_WITH_FAKE = [str(REPOSITORY / "tests" / "fakes" / "kid_repl.py"), "repl"]
PROMPT = "kid> "
QUESTION = "How many animals are there?"
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r;"
WIDE = "SELECT replace(hex(zeroblob(60)), '00', 'ab') AS w, 'okapi' AS v;"
UP = "\x1b[A"


@pytest.fixture
def terminal(database: Path) -> Iterator[Callable[..., pexpect.spawn]]:
    """Starts sessions, each on a terminal of its own; all that one wrote is in `logfile_read`."""
    started: list[pexpect.spawn] = []

    def start(term: str = "xterm-256color", num_columns: int = 100, mode: str = "auto") -> pexpect.spawn:
        spawned = pexpect.spawn(
            sys.executable,
            [*KID_WITH_FAKE, "--mode", mode, "--db", str(database)],
            encoding="utf-8",
            dimensions=(30, num_columns),
            # Nobody here answers where the cursor is.
            env={**os.environ, "TERM": term, "PROMPT_TOOLKIT_NO_CPR": "1", "PAGER": ""},
            timeout=10,
        )
        started.append(spawned)
        spawned.logfile_read = io.StringIO()
        return spawned

    yield start
    for spawned in started:
        spawned.close(force=True)


def enter(session: pexpect.spawn, text: str) -> None:
    session.send(f"{text}\r")


def leave(session: pexpect.spawn) -> None:
    session.expect_exact(PROMPT)
    enter(session, "exit")
    session.expect(pexpect.EOF)
    session.wait()
    assert (session.exitstatus, session.signalstatus) == (0, None)
    assert "Traceback" not in session.logfile_read.getvalue()


def press_ctrl_c(session: pexpect.spawn) -> None:
    pressed = time.monotonic()
    session.sendintr()
    session.expect_exact("stopped")
    assert time.monotonic() - pressed < 1


def engines(session: pexpect.spawn) -> list[psutil.Process]:
    children = psutil.Process(session.pid).children()
    return [child for child in children if child.cmdline()[-1:] == ["serve"]]


def test_a_session_goes_on_whatever_happens_in_it(terminal: Callable[..., pexpect.spawn]) -> None:
    began = time.monotonic()
    session = terminal()
    session.expect_exact(PROMPT)
    assert time.monotonic() - began < 2

    enter(session, QUESTION)
    session.expect(r"count\(\*\).*2\r\n.*1 row:")
    (engine,) = engines(session)

    enter(session, "slow")
    session.expect_exact("SELECT SELECT")  # as it is written
    press_ctrl_c(session)
    enter(session, ENDLESS)
    time.sleep(0.5)
    press_ctrl_c(session)
    enter(session, "SELECT 40 + 2;")
    session.expect(r"42\r\n.*1 row:")
    assert engines(session) == [engine]

    engine.send_signal(signal.SIGKILL)
    enter(session, "Which animals are there?")
    session.expect(r"okapi.*ibis.*2 rows:")
    assert len(engines(session)) == 1
    assert engines(session) != [engine]

    (engine,) = engines(session)
    leave(session)
    assert not engine.is_running()


def test_what_was_typed_is_there_in_the_next_session(terminal: Callable[..., pexpect.spawn]) -> None:
    first = terminal()
    first.expect_exact(PROMPT)
    enter(first, "SELECT 40 + 2;")
    first.expect(r"42\r\n.*1 row:")
    leave(first)
    assert stat.S_IMODE(paths.history_file().stat().st_mode) == 0o600
    second = terminal()
    second.expect_exact(PROMPT)
    time.sleep(0.3)  # the history is read in a thread
    second.send(UP + UP)  # past exit
    enter(second, "")
    second.expect(r"42\r\n.*1 row:")
    leave(second)


def test_nothing_in_a_cell_or_in_written_sql_drives_the_terminal(
    terminal: Callable[..., pexpect.spawn],
) -> None:
    session = terminal()
    session.expect_exact(PROMPT)
    enter(session, "SELECT char(27) || ']0;title' || char(7) || char(155) || '31m' AS c;")
    session.expect_exact("\\x1b]0;title\\x07\\x9b31m")
    enter(session, "escape")  # the mock model writes ESC [2J into its SQL
    session.expect("2 rows:")
    leave(session)
    written = session.logfile_read.getvalue()
    assert "\\x1b[2J" in written
    for driving in ("\x1b]0;title", "\x9b", "\x1b[2J"):
        assert driving not in written


@pytest.mark.parametrize(("term", "num_columns"), [("dumb", 80), ("xterm", 40), ("vt100", 80)])
def test_any_terminal_will_do(terminal: Callable[..., pexpect.spawn], term: str, num_columns: int) -> None:
    session = terminal(term, num_columns)
    session.expect_exact(PROMPT)
    enter(session, QUESTION)
    session.expect(r"count\(\*\).*2\r\n.*1 row:")
    enter(session, WIDE)
    session.expect(r"(w +│ v *\r\n.*okapi\r\n).*1 row:")
    assert {wcswidth(line) <= num_columns for line in session.match[1].splitlines()} == {True}
    leave(session)


def test_a_terminal_can_change_its_size_amid_an_answer(terminal: Callable[..., pexpect.spawn]) -> None:
    session = terminal(num_columns=120)
    session.expect_exact(PROMPT)
    enter(session, "slow")
    session.expect_exact("SELECT SELECT")
    for num_columns in (30, 90, 50):
        session.setwinsize(20, num_columns)
        time.sleep(0.2)
    press_ctrl_c(session)
    session.expect_exact(PROMPT)
    enter(session, WIDE)
    session.expect(r"(w +│ v *\r\n.*okapi\r\n).*1 row:")
    assert {wcswidth(line) <= 50 for line in session.match[1].splitlines()} == {True}
    leave(session)


@pytest.mark.parametrize(
    "key",
    ["\x03", "\x04"],
    ids=["Ctrl-C", "Ctrl-D"],
)
def test_a_decision_can_be_given_up(terminal: Callable[..., pexpect.spawn], key: str) -> None:
    session = terminal(mode="ask")
    session.expect_exact(PROMPT)
    enter(session, QUESTION)
    session.expect_exact("Enter run")
    session.send(key)
    session.expect_exact(PROMPT)
    enter(session, "SELECT 40 + 2;")
    session.expect(r"42\r\n.*1 row:")
    leave(session)


def test_rows_alone_go_into_a_file(database: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    command = shlex.join([sys.executable, *KID_WITH_FAKE, "--format", "csv", "--db", str(database)])
    session = pexpect.spawn(
        "sh", ["-c", f"{command} > {shlex.quote(str(rows))}"], encoding="utf-8", timeout=5
    )
    session.expect_exact(PROMPT)
    enter(session, "SELECT 40 + 2 AS n;")
    session.expect("1 row:")
    session.expect_exact(PROMPT)
    enter(session, "exit")
    session.expect(pexpect.EOF)
    assert rows.read_text() == "n\n42\n"
    session.close(force=True)
