"""What a session does with a text, and what it says of it: rows on stdout, the rest on stderr."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import paths
from engine.data import benchmarks, corrections
from engine.errors import KidError, RefusedError, TimeLimitError, UsageError
from kidtui.repl import batch
from kidtui.repl.commands import COMMANDS
from kidtui.repl.session import LeaveError, Session
from kidtui.repl.state import script

Open = Callable[..., Session]


def test_a_question_is_answered(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    open_session(format="csv").handle("Which animals are there?")
    out, err = capfd.readouterr()
    assert out == "name\nokapi\nibis\n"
    assert "SELECT name FROM animal" in err
    assert "columns: animal.name" in err
    assert "not calibrated" in err
    assert "2 rows" in err


def test_sql_never_starts_the_student(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session(format="csv")
    session.handle("SELECT born FROM animal;")
    session.handle("select count(*) from animal")
    assert capfd.readouterr().out == 'born\n2001\n""\n'.replace('""', "") + "count(*)\n2\n"
    assert session.service.pid is None


def test_a_failed_answer_gets_a_second_attempt(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    open_session(format="csv").handle("wrong name")
    out, err = capfd.readouterr()
    assert out == "name\nokapi\nibis\n"
    first, second = err.split("second attempt")
    assert "check: no such column: nme" in first
    assert "failed: no such column: nme; did you mean animal.name?" in first
    assert "SELECT name FROM animal" in second


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("SELECT nme FROM animal;", KidError, "no such column: nme"),
        ("DROP TABLE animal;", RefusedError, "DROP is not run"),
        ("SELECT 1; DROP TABLE animal;", RefusedError, "DROP is not run"),
        ("drop it", RefusedError, "DROP is not run"),
        ("two", RefusedError, "You can only execute one statement"),
        ("die", KidError, "the engine ended with exit code 9"),
        ("\\fly", UsageError, "there is no command \\fly"),
        ("\\good", UsageError, "nothing has been asked yet"),
        ("\\format xml", UsageError, "not one of table"),
        ("\\limit none", UsageError, "not a whole number"),
        ("\\limit 0", UsageError, "not a whole number"),
        ("\\timeout -1", UsageError, "not a number"),
        ("\\mode maybe", UsageError, "not one of ask, auto"),
        ("\\mode ask", UsageError, "there is nobody to ask"),
        ("\\u ~nobody-of-that-name/x", UsageError, "is no path"),
        ("\\u " + "x" * 5000, UsageError, "is no path"),
        ("\\o x\0y", UsageError, "is no path"),
        ("\\save ~nobody-of-that-name/x", UsageError, "is no path"),
        ("\\u nowhere/at_all", KidError, "database not found"),
        ("\\d nowhere", UsageError, "there is no table 'nowhere'"),
        ("\\l all", UsageError, "takes no argument"),
        ("\\save", UsageError, "something is missing"),
    ],
)
def test_what_goes_wrong_is_told(open_session: Open, text: str, error: type[KidError], message: str) -> None:
    session = open_session()
    with pytest.raises(error) as raised:
        session.handle(text)
    assert message in raised.value.message
    session.handle("SELECT 1;")


ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r;"


@pytest.mark.parametrize("text", ["slow", "endless", ENDLESS])
def test_time_limits_hold_for_queries_and_answers(open_session: Open, text: str) -> None:
    began = time.monotonic()
    with pytest.raises(KidError) as raised:
        open_session(timeout=0.3).handle(text)
    assert raised.value.exit_code == TimeLimitError.exit_code
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["slow", "endless", ENDLESS])
def test_ctrl_c_stops_what_is_under_way_and_keeps_the_session(open_session: Open, text: str) -> None:
    session = open_session()
    session.handle("How many animals are there?")
    pid = session.service.pid
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.5, press).start()
    with pytest.raises(KeyboardInterrupt):
        session.handle(text)
    assert time.monotonic() - pressed[0] < 0.3
    session.handle("How many animals are there?")
    assert session.service.pid == pid


def test_a_killed_service_is_started_again(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session(format="csv")
    session.handle("How many animals are there?")
    assert session.service.pid is not None
    os.kill(session.service.pid, signal.SIGKILL)
    time.sleep(0.2)
    session.handle("How many animals are there?")
    assert capfd.readouterr().out == "count(*)\n2\n" * 2


def test_a_service_that_dies_while_it_answers_is_asked_again_once(
    open_session: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    open_session(format="csv").handle(f"die once {tmp_path / 'mark'}")
    out, err = capfd.readouterr()
    assert out == "1\n1\n"
    assert "the engine ended with exit code 9" in err
    assert "started again" in err


@pytest.mark.parametrize("text", ["exit", "quit", "EXIT;", "\\q", "\\quit"])
def test_one_can_leave(open_session: Open, text: str) -> None:
    with pytest.raises(LeaveError):
        open_session().handle(text)


@pytest.mark.parametrize("text", ["Which exit is next?", "exit codes", "please quit"])
def test_exit_in_a_question_does_not_leave(open_session: Open, text: str) -> None:
    open_session().handle(text)


def test_settings_change(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session()
    for text in ("\\format jsonl", "\\limit 1", "\\timeout 2.5", "\\mode auto", "\\beam 3"):
        session.handle(text)
    settings = session.settings
    assert (settings.format, settings.limit, settings.timeout, settings.mode) == ("jsonl", 1, 2.5, "auto")
    assert (settings.decoding.name, settings.decoding.num_beams) == ("beam", 3)
    session.handle("SELECT name FROM animal;")
    out, err = capfd.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [{"name": "okapi"}]
    assert "first 1 row; there are more" in err
    session.handle("\\vote")
    session.handle("x")
    assert "vote: 2 of 3 candidates" in capfd.readouterr().err


def test_the_teacher_stands_beside_the_student(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session(format="csv")
    session.handle("Which animals are there?")
    capfd.readouterr()
    session.handle("\\vs")
    out, err = capfd.readouterr()
    assert out == "name\nokapi\n"
    assert "WHERE name = 'okapi'" in err
    assert "rows: not the same" in err
    assert "only student: 1 of 2 rows" in err
    session.handle("\\diff")
    assert "trees: - teacher, + student" in capfd.readouterr().err


def test_gold_is_found_where_the_question_is_in_a_data_set(
    open_session: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    session = open_session()
    session.handle("\\u demo/music")
    session.handle("x")
    with pytest.raises(KidError, match="in no data set"):
        session.handle("\\gold")
    example = next(e for e in benchmarks.load("demo/dev").examples if e.db_id == "music")
    session.handle(f"  {example.question.upper()} ")
    capfd.readouterr()
    session.handle("\\gold")
    told = capfd.readouterr().err.split()
    assert told == ["demo/dev:", *example.query.split()]
    session.handle("\\diff gold")
    assert "rows:" in capfd.readouterr().err


def test_corrections_are_kept(open_session: Open, database: Path) -> None:
    session = open_session()
    session.handle("wrong name")
    session.handle("\\good")
    session.handle("no way")
    session.handle("\\bad")
    with pytest.raises(UsageError, match="with which SQL"):
        session.handle("\\fix")
    with pytest.raises(KidError, match="no such column"):
        session.handle("\\fix SELECT nothing_like_it FROM animal")
    session.handle("SELECT max(born) FROM animal;")
    session.handle("\\fix")
    session.handle("\\fix SELECT min(born) FROM animal;")
    kept = corrections.read(paths.corrections_file())
    assert [(c.kind, c.question, c.query, c.was) for c in kept] == [
        ("good", "wrong name", "SELECT name FROM animal", "SELECT name FROM animal"),
        ("bad", "no way", "SELECT 2", "SELECT 2"),
        ("fix", "no way", "SELECT max(born) FROM animal", "SELECT 2"),
        ("fix", "no way", "SELECT min(born) FROM animal", "SELECT 2"),
    ]
    assert {c.database for c in kept} == {str(database)}
    assert {c.model for c in kept} == {"a fake"}


def test_rows_and_scripts_go_to_new_files_only(
    open_session: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = open_session(format="csv")
    rows, script = tmp_path / "rows.csv", tmp_path / "script.sql"
    session.handle(f"\\o {rows}")
    session.handle("SELECT count(*) FROM animal;")
    session.handle("Which animals are there?")
    assert rows.read_text() == "count(*)\n2\nname\nokapi\nibis\n"
    session.handle("\\o")
    session.handle("SELECT 3;")
    assert capfd.readouterr().out == "3\n3\n"
    session.handle(f"\\save {script}")
    assert script.read_text().splitlines() == [
        f"\\u {session.database}",
        "",
        "SELECT count(*) FROM animal;",
        "",
        "-- Which animals are there?",
        "SELECT name FROM animal;",
        "",
        "SELECT 3;",
    ]
    for text in (f"\\o {rows}", f"\\save {script}", f"\\o {session.database}", f"\\save {session.database}"):
        with pytest.raises(UsageError, match="is there already"):
            session.handle(text)


def test_every_command_has_help(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session()
    session.handle("\\?")
    told = capfd.readouterr().err
    for command in COMMANDS:
        assert command.purpose in told
        session.handle(f"\\? {command.names[0]}")
        assert capfd.readouterr().err.startswith(f"\\{command.names[0]}")


def test_what_is_in_the_database_is_shown(open_session: Open, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session()
    for text, told in (
        ("\\d", "animal (name, born)"),
        ("\\d ANIMAL", "born: integer, such as 2001"),
        ("\\l", "demo/: cinema"),
        ("\\prompt How many?", "schema of zoo\nHow many?\n(3 tokens of the database, 4 of the question)"),
        ("\\explain SELECT name FROM animal", ""),
        ("\\u demo/music", "demo/music: singer, album, song"),
    ):
        session.handle(text)
        assert told in capfd.readouterr().err
    session.handle("SELECT count(*) FROM singer;")


def test_a_script_goes_on_after_a_failure_and_gives_the_worst_exit_code(
    open_session: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    session = open_session(format="csv")
    assert batch.run(session, ["SELECT 1;", "SELECT x;", "\\fly", "DROP TABLE animal;", "SELECT 2;"]) == 5
    assert capfd.readouterr().out == "1\n1\n2\n2\n"
    assert batch.run(session, ["SELECT 1;", "exit", "SELECT x;"]) == 0


def test_nothing_a_model_writes_reaches_the_terminal_as_it_is(
    open_session: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    open_session().handle("escape")
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b[2J" in out


def test_a_database_that_has_gone_costs_its_own_queries_alone(open_session: Open, database: Path) -> None:
    session = open_session()
    database.rename(database.with_suffix(".moved"))
    with pytest.raises(KidError, match="database not found"):
        session.handle("How many animals are there?")
    session.handle("\\limit 5")
    session.handle("\\u demo/music")
    session.handle("SELECT count(*) FROM singer;")
    with pytest.raises(LeaveError):
        session.handle("exit")


def test_a_script_keeps_comments_from_swallowing_semicolons(open_session: Open) -> None:
    session = open_session()
    session.handle("SELECT 1 -- one\n;")
    session.handle("SELECT 2;")
    assert script(session.done).splitlines()[2:] == ["SELECT 1 -- one", ";", "", "SELECT 2;"]


def test_a_plan_is_of_the_last_query_on_this_database(
    open_session: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    session = open_session(format="csv")
    session.handle("SELECT 1;")
    session.handle("Which animals are there?")
    capfd.readouterr()
    session.handle("\\explain")
    assert capfd.readouterr().out == "plan\nSCAN animal\n"
    session.handle("\\u demo/music")
    with pytest.raises(UsageError, match="no query yet"):
        session.handle("\\explain")
