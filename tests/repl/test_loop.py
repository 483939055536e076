"""The interactive loop with keys from a pipe."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from engine import paths
from kidtui.repl.loop import Loop
from kidtui.repl.session import Session

ENTER, ESCAPE, UP, CTRL_C, CTRL_D, CTRL_R = "\r", "\x1b", "\x1b[A", "\x03", "\x04", "\x12"
PASTE_BEGIN, PASTE_END = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


@pytest.fixture
def type_in(
    open_session: Callable[..., Session], keys: PipeInput, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Runs a loop until its keys, and a final Ctrl-D, are used up; what came on stdout and stderr.

    pause: seconds before each text, where something has to be there first: history, completions.
    """

    def send(texts: Sequence[str], pause: float) -> None:
        for text in (*texts, CTRL_D):
            time.sleep(pause)
            keys.send_text(text)

    def run(*texts: str, vi: bool = False, pause: float = 0.0, **settings: object) -> tuple[str, str]:
        session = open_session(**{"format": "csv", **settings})
        threading.Thread(target=send, args=(texts, pause), daemon=True).start()
        Loop(session, vi=vi, input=keys, output=DummyOutput()).run()
        return capfd.readouterr()

    return run


Typed = Callable[..., tuple[str, str]]


def test_lines_are_done_one_after_the_other(type_in: Typed) -> None:
    out, _ = type_in("SELECT 1;\r", "How many animals are there?\r", "\r", "SELECT 2;\r")
    assert out == "1\n1\ncount(*)\n2\n2\n2\n"


def test_sql_goes_on_to_its_semicolon(type_in: Typed) -> None:
    out, _ = type_in("SELECT name\r", "FROM animal\r", "WHERE born;\r")
    assert out == "name\nokapi\n"


def test_sql_of_what_exists_needs_no_semicolon(type_in: Typed) -> None:
    out, _ = type_in("SELECT count(*) FROM animal\r\r", "select max(born) from animal\r")
    assert out == "count(*)\n2\nmax(born)\n2001\n"


def test_alt_enter_begins_a_line(type_in: Typed) -> None:
    out, _ = type_in("select name", ESCAPE + ENTER, "from animal", ESCAPE + ENTER, "limit 1;\r")
    assert out == "name\nokapi\n"


def test_a_paste_of_several_lines_is_one_text(type_in: Typed) -> None:
    out, _ = type_in(PASTE_BEGIN, "select name\nfrom animal\nlimit 1;", PASTE_END, ENTER)
    assert out == "name\nokapi\n"


def test_ctrl_c_gives_up_the_line_and_ctrl_d_leaves(type_in: Typed) -> None:
    out, _ = type_in("SELECT 1", CTRL_C, "SELECT 2;\r", CTRL_D, "SELECT 3;\r")
    assert out == "2\n2\n"


def test_a_failure_does_not_end_it(type_in: Typed) -> None:
    out, err = type_in("SELECT x;\r", "\\fly\r", "DROP TABLE animal;\r", "SELECT 2;\r")
    assert out == "2\n2\n"
    assert err.count("error: ") == 3


@pytest.mark.parametrize("leave", ["exit\r", "quit\r", "\\q\r", CTRL_D])
def test_one_can_leave(type_in: Typed, leave: str) -> None:
    assert type_in(leave, "SELECT 1;\r")[0] == ""


def test_exit_in_a_question_does_not_leave(type_in: Typed) -> None:
    assert type_in("Which exit?\r", "SELECT 2;\r")[0] == "1\n1\n2\n2\n"


@pytest.mark.parametrize(
    ("key", "out"),
    [
        (ENTER, "count(*)\n2\n"),
        ("n", ""),
        ("xyz\x1b[200~e\x1b[201~n", ""),
        (CTRL_C, ""),
        ("t" + ENTER, "name\nokapi\ncount(*)\n2\n"),
        ("e" + " \x7f" + ENTER, "count(*)\n2\n"),
    ],
)
def test_in_mode_ask_a_key_decides(type_in: Typed, key: str, out: str) -> None:
    told = type_in("How many animals are there?\r", key, "SELECT 9;\r", mode="ask")
    assert told[0] == out + "9\n9\n"


def test_after_editing_the_edited_sql_runs(type_in: Typed) -> None:
    out, _ = type_in("How many animals are there?\r", "e", "\x7f WHERE born;\r", mode="ask")
    assert out == "count(*)\n1\n"


def test_the_last_sql_can_be_edited_later(type_in: Typed) -> None:
    out, _ = type_in("How many animals are there?\r", "\\e\r", "\x7f WHERE born;\r")
    assert out == "count(*)\n2\ncount(*)\n1\n"


def test_history_is_searched_and_kept_for_the_user_alone(type_in: Typed) -> None:
    out, _ = type_in("SELECT 11;\r", "SELECT 22;\r", UP, UP, ENTER, pause=0.5)
    assert out == "11\n11\n22\n22\n11\n11\n"
    assert type_in(CTRL_R, "22", ENTER, ENTER, pause=0.5)[0] == "22\n22\n"
    file = paths.history_file()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "+SELECT 22;" in file.read_text()


def test_without_a_writable_home_there_is_history_for_the_session(
    type_in: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KID_HOME", str(tmp_path / "file"))
    assert type_in("SELECT 11;\r", UP, ENTER, pause=0.5)[0] == "11\n11\n11\n11\n"


def test_lines_are_edited_as_vi_does(type_in: Typed) -> None:
    left_and_delete = "hhx"
    assert type_in("SELECT 12;", ESCAPE, left_and_delete, ENTER, vi=True)[0] == "2\n2\n"


def test_names_are_completed(type_in: Typed) -> None:
    typed = "\\forma", "\t", " jsonl\r", "SELECT count(*) AS n FROM anim", "\t", ";\r"
    assert type_in(*typed, pause=0.5)[0] == '{"n": 2}\n'
