"""`kid repl` with -c, -f and pipes: what is on stdout, what on stderr, the exit code, which student."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from engine import paths
from kidtui.commands.repl import Format
from kidtui.repl import service
from kidtui.repl.formats import FORMATS
from tests.cli.conftest import Answer, wait_until
from tests.fakes.kid_repl import FAKE_ENGINE

Repl = Callable[..., Answer]
KID_WITH_FAKE = (sys.executable, str(Path(__file__).parents[1] / "fakes" / "kid_repl.py"), "repl")
ZOO = ("--db", "databases/zoo.sqlite")
QUESTION = "How many animals are there?"
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r;"
MANY = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 100000) SELECT n FROM r;"
DEMO_TEACHER = "package:engine/data/demo/teacher"


@pytest.fixture
def repl(kid: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> Repl:
    """`kid repl` on the zoo with a mock model, in this process; `piped` comes through stdin."""
    monkeypatch.setattr(service, "Service", partial(service.Service, command=FAKE_ENGINE))

    def run(*arguments: str, piped: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped), "utf-8", "surrogateescape"))
        database = () if "--db" in arguments else ZOO
        return kid("repl", *database, *arguments)

    return run


def start(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """The same as a process of its own."""
    return subprocess.Popen(
        [*KID_WITH_FAKE, *ZOO, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_rows_are_on_stdout_and_the_rest_on_stderr(repl: Repl) -> None:
    answer = repl("-c", QUESTION, "-c", "SELECT name FROM animal;", "--format", "csv")
    assert (answer.code, answer.out) == (0, "count(*)\n1\nname\nokapi\n")
    for told in ("SELECT count(*) FROM animal", "confidence:", "model:", "1 row:"):
        assert told in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-c", "SELECT nme FROM animal;"], 1, "no such column: nme"),
        (["-c", "die"], 1, "the engine ended with exit code 9"),
        (["-c", "x", "-f", "train.jsonl"], 2, "-c and -f together"),
        (["--mode", "ask", "-c", "x"], 2, "--mode ask, and there is nobody to ask"),
        (["--mode", "maybe", "-c", "x"], 2, "'maybe' is not one of 'ask', 'auto'"),
        (["--format", "xml", "-c", "x"], 2, "'xml' is not one of"),
        (["--limit", "0", "-c", "x"], 2, "'--limit': "),
        (["--timeout", "0", "-c", "x"], 2, "'--timeout': "),
        (["--run", "a", "--model", "b", "-c", "SELECT 1;"], 2, "--run and --model together"),
        (["--profile", "tinny", "-c", "SELECT 1;"], 2, "there is no profile 'tinny'"),
        (["--set", "train.sed=1", "-c", "SELECT 1;"], 2, "unknown key 'train.sed'"),
        (["-c", "\\fly"], 2, "there is no command \\fly"),
        (["--db", "nowhere/zoo", "-c", "SELECT 1;"], 3, "database not found: nowhere/zoo"),
        (["--db", "train.jsonl", "-c", "SELECT 1;"], 3, "train.jsonl"),
        (["--model", "./missing", "-c", "x"], 3, "model ./missing: nothing at missing"),
        (["--run", "none", "-c", "SELECT 1;"], 3, "there is no run 'none'"),
        (["--profile", "tiny", "-c", "SELECT 1;"], 3, "no run of profile 'tiny' has a student"),
        (["-f", "none.sql"], 3, "cannot read the script none.sql"),
        (["--timeout", "0.3", "-c", ENDLESS], 4, "stopped after 0.3 s"),
        (["--timeout", "0.3", "-c", "endless"], 4, "stopped after 0.3 s"),
        (["--timeout", "0.3", "-c", "slow"], 4, "no SQL after 0.3 s"),
        (["-c", "DROP TABLE animal;"], 5, "DROP is not run"),
        (["-c", "drop it"], 5, "DROP is not run"),
    ],
)
def test_what_fails_gives_one_message_and_an_exit_code(
    repl: Repl, arguments: list[str], code: int, message: str
) -> None:
    answer = repl(*arguments)
    assert answer.code == code
    failures = {line for line in answer.err.splitlines() if line.startswith("error: ")}
    assert [message in line for line in failures] == [True], answer.err
    assert answer.out == ""


def test_a_script_goes_on_after_a_failure_and_the_worst_exit_code_counts(repl: Repl) -> None:
    script = ("SELECT 1;", "SELECT x;", "DROP TABLE animal;", "\\fly", "SELECT 2;", "exit", "SELECT 3;")
    answer = repl(*(part for text in script for part in ("-c", text)), "--format", "jsonl")
    assert (answer.code, answer.out) == (5, '{"1": 1}\n{"2": 2}\n')


@pytest.mark.parametrize(
    ("format", "out"),
    [
        ("table", "name  │ n\n──────┼──\nokapi │ 1\n"),
        ("vertical", "── row 1 ──\nname │ okapi\nn    │ 1\n"),
        ("csv", "name,n\nokapi,1\n"),
        ("json", '[\n  {"name": "okapi", "n": 1}\n]\n'),
        ("jsonl", '{"name": "okapi", "n": 1}\n'),
        ("markdown", "| name | n |\n| --- | ---: |\n| okapi | 1 |\n"),
    ],
)
def test_rows_have_the_format_that_is_asked_for(repl: Repl, format: str, out: str) -> None:
    assert repl("-c", "SELECT name, 1 AS n FROM animal;", "--format", format).out == out


def test_every_format_can_be_asked_for() -> None:
    assert tuple(Format) == FORMATS


def test_a_limit_states_the_cut(repl: Repl) -> None:
    answer = repl("-c", "SELECT 1 AS n UNION ALL SELECT 2;", "--limit", "1", "--format", "csv")
    assert (answer.code, answer.out) == (0, "n\n1\n")
    assert "first 1 row; there are more" in answer.err
    assert "there are more" not in repl("-c", "SELECT 1 UNION ALL SELECT 2;", "--limit", "2").err


def test_rows_go_to_a_new_file_and_never_into_one_that_is_there(repl: Repl) -> None:
    rows = Path("rows.csv")
    answer = repl("-c", QUESTION, "-c", "SELECT 2;", "-o", str(rows), "--format", "csv")
    assert (answer.code, answer.out, rows.read_text()) == (0, "", "count(*)\n1\n2\n2\n")
    for file in (rows, Path("databases/zoo.sqlite")):
        content = file.read_bytes()
        answer = repl("-c", "SELECT 3;", "-o", str(file))
        assert (answer.code, answer.out, file.read_bytes()) == (2, "", content)
        assert f"{file} is there already" in answer.err
    assert repl("-c", "SELECT 3;", "-o", "no/such/folder").code == 3


def test_no_file_is_left_where_there_is_no_database(repl: Repl) -> None:
    assert repl("--db", "nowhere/zoo", "-c", "SELECT 3;", "-o", "rows.csv").code == 3
    assert not Path("rows.csv").exists()


SCRIPT = f"""-- what there is
SELECT name
FROM animal  -- all of it; really
WHERE name <> ';'
;
/* a comment */ SELECT 2;

\\format jsonl
{QUESTION}
Select the animals

SELECT 3 AS n; SELECT 4 AS n;
SELECT 5 AS n"""
ROWS = 'name\nokapi\n2\n2\n{"count(*)": 1}\n{"1": 1}\n{"n": 3}\n{"n": 4}\n{"n": 5}\n'


@pytest.mark.parametrize("as_pipe", [False, True])
@pytest.mark.parametrize(
    "script",
    [SCRIPT, f"{SCRIPT};\n", SCRIPT.replace("\n", "\r\n"), f"\ufeff{SCRIPT}"],
    ids=["no final newline", "final newline", "CRLF", "byte order mark"],
)
def test_scripts_and_pipes_are_read_alike(repl: Repl, script: str, as_pipe: bool) -> None:
    Path("script.sql").write_bytes(script.encode())
    arguments = ("--format", "csv") if as_pipe else ("--format", "csv", "-f", "script.sql")
    answer = repl(*arguments, piped=script.encode() if as_pipe else b"")
    assert (answer.code, answer.out) == (0, ROWS), answer.err


@pytest.mark.parametrize("content", [b"", b"\n\n", b"-- nothing\n", b";\n"])
def test_an_empty_script_does_nothing(repl: Repl, content: bytes) -> None:
    Path("script.sql").write_bytes(content)
    for answer in (repl("-f", "script.sql"), repl(piped=content), repl("-c", content.decode())):
        assert answer == Answer(0, "", "")


@pytest.mark.parametrize(
    "script",
    [
        "/* what there is,\n   and no more */\nSELECT 1 AS n;\n",
        "WITH a AS (\n  SELECT 1 AS n\n)\n\nSELECT n FROM a;\n",
        "SELECT 1 AS n  -- one\u2028line\n;\n",
    ],
    ids=["comment of two lines", "empty line in SQL", "U+2028"],
)
def test_no_line_of_sql_is_taken_for_a_question(repl: Repl, script: str) -> None:
    Path("script.sql").write_text(script)
    answer = repl("-f", "script.sql", "--format", "csv")
    assert (answer.code, answer.out) == (0, "n\n1\n")
    assert "confidence" not in answer.err


def test_a_script_that_is_no_text_is_refused(repl: Repl) -> None:
    Path("script.sql").write_bytes(b"SELECT 1;\ncaf\xe9\n")
    answer = repl("-f", "script.sql")
    assert (answer.code, answer.out) == (3, "")
    assert "script.sql is not UTF-8 text (byte 13)" in answer.err


@pytest.mark.parametrize(
    ("text", "as_pipe"), [(b"caf\xe9", True), (b"caf\xe9", False), (b"SELECT 'caf\xe9';", False)]
)
def test_text_that_is_not_utf8_is_told(project: Path, text: bytes, as_pipe: bool) -> None:
    arguments = [] if as_pipe else [b"-c", text]
    done = subprocess.run(
        [*KID_WITH_FAKE, *ZOO, *arguments],
        input=text + b"\n" if as_pipe else b"",
        capture_output=True,
        timeout=5,
        check=False,
    )
    assert (done.returncode, done.stdout) in ((2, b""), (3, b""))
    assert b"UTF-8" in done.stderr


def test_sql_alone_never_starts_the_student(repl: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_a_mark = (sys.executable, "-c", "open('started', 'w')")
    monkeypatch.setattr(service, "Service", partial(service.Service, command=leave_a_mark))
    texts = ("SELECT name FROM animal;", "select count(*) from animal", "\\d", "\\explain SELECT 1", "-- x")
    assert repl(*(part for text in texts for part in ("-c", text))).code == 0
    assert not Path("started").exists()
    repl("-c", QUESTION)
    assert Path("started").exists()


def on_terminal(arguments: list[str]) -> tuple[bytes, int]:
    """What the command writes to a terminal of 40 columns, and its exit code."""
    ours, its = pty.openpty()
    os.set_inheritable(its, True)
    environment = {**os.environ, "COLUMNS": "40", "LINES": "10", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*KID_WITH_FAKE, *ZOO, *arguments],
        stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    os.close(its)
    written = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # nobody holds the other end
            break
        if not read:
            break
        written += read
    os.close(ours)
    return written.replace(b"\r\n", b"\n"), process.wait()


def test_a_terminal_gets_the_same_bytes_as_a_pipe(project: Path) -> None:
    wide = f"SELECT '{'wide ' * 40}' AS a, '{'w' * 90}' AS b, '日本\x1b[2J' AS c, 1.5 AS d;"
    arguments = [
        "-c",
        QUESTION,
        "-c",
        wide,
        "-c",
        f"{MANY[:-1]} LIMIT 200;",
        "-c",
        "\\format markdown",
        "-c",
        wide,
    ]
    process = start(*arguments)
    piped, _ = process.communicate(timeout=20)
    assert (process.returncode, len(piped.splitlines()) > 200) == (0, True)
    assert on_terminal(arguments) == (piped, 0)


@pytest.mark.parametrize("close", [True, False])
def test_nothing_on_stdin_is_nothing_to_do(project: Path, close: bool) -> None:
    end = "<&-" if close else "</dev/null"
    command = ["sh", "-c", f'exec "$@" {end}', "sh", *KID_WITH_FAKE, *ZOO]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_home_that_cannot_be_written_stops_no_answer(
    repl: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("KID_HOME", str(tmp_path / "a file" / "home"))
    assert repl("-c", QUESTION, "--format", "csv").out == "count(*)\n1\n"
    answer = repl("-c", QUESTION, "-c", "\\good")
    assert answer.code == 3
    assert "cannot write" in answer.err


@pytest.mark.parametrize("text", ["slow", "stuck", "endless", ENDLESS])
def test_ctrl_c_leaves_at_once_and_leaves_no_process_behind(project: Path, text: str) -> None:
    process = start("-c", text, "-c", "SELECT 1;")
    wait_until(lambda: bool(psutil.Process(process.pid).children()), "a child at work")
    time.sleep(0.7)
    children = psutil.Process(process.pid).children(recursive=True)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - pressed < 1
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    gone, alive = psutil.wait_procs(children, timeout=2)
    assert (len(gone) > 0, alive) == (True, [])


def test_a_reader_that_has_had_enough_is_no_fault(project: Path) -> None:
    process = start("-c", MANY, "--limit", "100000", "--format", "csv")
    assert process.stdout is not None
    assert process.stdout.readline() == b"n\n"
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_pipe_is_answered_line_by_line(project: Path) -> None:
    process = start("--format", "csv", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(20, process.kill)
    timer.start()
    for number in (1, 2):
        process.stdin.write(f"SELECT {number} AS n;\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() + process.stdout.readline() == f"n\n{number}\n".encode()
    process.communicate()
    timer.cancel()
    assert process.returncode == 0


def test_the_demo_and_a_duckdb_file_are_asked_with_the_teacher_beside(kid: Callable[..., Answer]) -> None:
    duckdb = pytest.importorskip("duckdb")
    assert kid("repl", "-c", "SELECT 1;").code == 0  # makes the demo's databases
    (music,) = paths.cache_dir().rglob("music.sqlite")
    with sqlite3.connect(music) as source, duckdb.connect("music.duckdb") as target:
        for name, sql in source.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            target.execute(sql)
            rows = source.execute(f"SELECT * FROM {name}").fetchall()
            target.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    source.close()
    question = "How many singers are there?"
    arguments = ["--format", "jsonl", "--teacher", DEMO_TEACHER]
    for text in (question, "\\vs", "\\u music.duckdb", question):
        arguments += ["-c", text]
    answer = kid("repl", *arguments)
    assert answer.code == 0, answer.err
    assert [list(json.loads(line).values()) for line in answer.out.splitlines()] == [[12]] * 3
    assert answer.err.count("SELECT count(*) FROM singer") == 4  # the student's twice at \vs
    assert "rows: the same" in answer.err
