"""The service over its pipes, with a model that is none."""

from __future__ import annotations

import itertools
import json
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import profile
from engine.protocol import LAST_EVENTS, VERSION, tell_cell, told_cell

PROFILE = profile.from_values(
    {"name": "t", "student": {"model": "./s"}, "teacher": {"model": "./t"}, "method": {"name": "sft"}}
).model_dump(mode="json")


class Client:
    """The fake service, and the events it has sent."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.fake_service", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ids = itertools.count(1)
        threading.Thread(target=self._read, daemon=True).start()
        assert self.next()["v"] == VERSION

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def next(self, seconds: float = 20.0) -> dict[str, Any]:
        return self.events.get(timeout=seconds)

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def send(self, op: str, **fields: Any) -> int:
        number = fields.pop("id", None) or next(self._ids)
        self.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        return number

    def told(self, number: int | None) -> list[dict[str, Any]]:
        """The events of a request, which must be the next that come, up to its last one."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] not in LAST_EVENTS:
            events.append(self.next())
            assert events[-1]["id"] == number, events[-1]
        return events

    def ask(self, op: str, **fields: Any) -> dict[str, dict[str, Any]]:
        """The last event of each kind that a request has."""
        return {event["event"]: event for event in self.told(self.send(op, **fields))}


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "zoo.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE animal (name TEXT); INSERT INTO animal VALUES ('okapi'), ('ibis')"
        )
    connection.close()
    return str(path)


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture
def loaded(client: Client) -> Client:
    assert "loaded" in client.ask("load", profile=PROFILE)
    return client


def test_a_question_gives_tokens_sql_checks_and_rows(loaded: Client, database: str) -> None:
    events = loaded.told(loaded.send("ask", database=database, question="Which animals are there?"))
    assert [event["event"] for event in events] == [*["token"] * 4, "sql", "rows", "done"]
    assert "".join(event["text"] for event in events[:4]) == "SELECT name FROM animal"
    assert events[4]["tables"] == ["animal"]
    assert events[4]["columns"] == [["animal", "name"]]
    assert events[4]["problems"] == []
    assert events[5]["rows"] == [["okapi"], ["ibis"]]


def test_without_run_nothing_runs(loaded: Client, database: str) -> None:
    assert "rows" not in loaded.ask("ask", database=database, question="wrong name", run=False)


def test_a_failed_query_is_mended_by_the_likeliest_answer_that_runs(loaded: Client, database: str) -> None:
    events = loaded.told(loaded.send("ask", database=database, question="wrong name"))
    kinds = [event["event"] for event in events if event["event"] != "token"]
    assert kinds == ["sql", "failed", "phase", "sql", "rows", "done"]
    first, second = (event for event in events if event["event"] == "sql")
    assert first["problems"][0]["kind"] == "unknown_column"
    assert (second["sql"], second["attempt"]) == ("SELECT name FROM animal", 2)


def test_where_no_answer_runs_the_model_reads_the_message(loaded: Client, database: str) -> None:
    told = loaded.ask("ask", database=database, question="no way")
    assert (told["sql"]["sql"], told["rows"]["rows"]) == ("SELECT 2", [[2]])
    assert told["failed"]["error"] == "unknown_table"


@pytest.mark.parametrize("question", ["drop it", "two"])
def test_what_is_refused_is_not_tried_again(loaded: Client, database: str, question: str) -> None:
    told = loaded.ask("ask", database=database, question=question)
    assert told["failed"]["error"] == "forbidden"
    assert told["sql"]["attempt"] == 1


def test_sql_runs_beside_a_model_that_writes(loaded: Client, database: str) -> None:
    slow = loaded.send("ask", database=database, question="slow")
    number = loaded.send("execute", database=database, sql="SELECT count(*) FROM animal")
    seen = []
    while not seen or seen[-1]["id"] != number or seen[-1]["event"] != "done":
        seen.append(loaded.next())
    assert {"id": number, "event": "rows", "rows": [[2]]}.items() <= next(
        event.items() for event in seen if event["event"] == "rows"
    )
    assert not any(event["id"] == slow and event["event"] in LAST_EVENTS for event in seen)


def test_the_teacher_is_compared_with_the_student(loaded: Client, database: str) -> None:
    told = loaded.ask("compare", database=database, question="x", sql="SELECT name FROM animal")
    assert told["loaded"]["role"] == "teacher"
    assert told["sql"]["sql"] == "SELECT name FROM animal WHERE name = 'okapi'"
    found = told["difference"]
    assert (found["same"], found["num_rows"], found["only"]) == (False, [2, 1], [[["ibis"]], []])
    assert "condition" in found["classes"]


def test_a_prompt_can_be_seen(loaded: Client, database: str) -> None:
    assert loaded.ask("prompt", database=database, question="x")["prompt"]["prefix"] == "schema of zoo\n"


@pytest.mark.parametrize("question", ["slow", "stuck", "endless"])
def test_cancel_frees_the_client_at_once_and_the_model_soon(
    loaded: Client, database: str, question: str
) -> None:
    number = loaded.send("ask", database=database, question=question)
    time.sleep(0.5)
    began = time.monotonic()
    cancel = loaded.send("cancel", target=number)
    while (event := loaded.next())["event"] != "cancelled":
        assert event["id"] == number
    assert time.monotonic() - began < 0.2
    assert loaded.told(cancel)[-1]["event"] == "done"
    told = loaded.ask("ask", database=database, question="How many animals are there?")
    assert told["rows"]["rows"] == [[2]]
    assert time.monotonic() - began < (4 if question == "stuck" else 2)


def test_a_query_that_is_about_to_start_is_cancelled_too(loaded: Client, database: str) -> None:
    number = loaded.send("ask", database=database, question="endless", timeout=8)
    while loaded.next()["event"] != "sql":
        pass
    loaded.send("cancel", target=number)
    began = time.monotonic()
    other = loaded.send("ask", database=database, question="How many animals are there?")
    while (event := loaded.next())["id"] != other or event["event"] != "rows":
        pass
    assert time.monotonic() - began < 3


def test_what_waits_can_be_cancelled(loaded: Client, database: str) -> None:
    slow = loaded.send("ask", database=database, question="slow")
    waiting = loaded.send("ask", database=database, question="x")
    loaded.send("cancel", target=waiting)
    loaded.send("cancel", target=slow)
    ended = {}
    while len(ended) < 4:
        event = loaded.next()
        if event["event"] in LAST_EVENTS:
            ended[event["id"]] = event["event"]
    assert (ended[slow], ended[waiting]) == ("cancelled", "cancelled")


def test_too_many_requests_are_refused(loaded: Client, database: str) -> None:
    numbers = [loaded.send("ask", database=database, question="slow") for _ in range(30)]
    while (event := loaded.next())["event"] != "error":
        pass
    assert event["id"] in numbers
    assert "wait" in event["message"]


def test_a_time_limit_ends_the_writing(loaded: Client, database: str) -> None:
    told = loaded.ask("ask", database=database, question="slow", timeout=0.3)
    assert told["error"]["exit_code"] == 4


def test_a_missing_model_is_told_at_every_question(client: Client, database: str) -> None:
    missing = {**PROFILE, "student": {**PROFILE["student"], "model": "./missing"}}
    for op, fields in (("load", {"profile": missing}), ("ask", {"database": database, "question": "x"})):
        error = client.ask(op, **fields)["error"]
        assert (error["exit_code"], error["message"]) == (3, "model ./missing: nothing at missing")


def test_without_a_model_questions_are_refused_and_sql_runs(client: Client, database: str) -> None:
    assert client.ask("ask", database=database, question="x")["error"]["exit_code"] == 3
    assert client.ask("execute", database=database, sql="SELECT 1")["rows"]["rows"] == [[1]]
    assert client.ask("open", database=database)["opened"]["tables"] == {"animal": ["name"]}


GARBAGE = [
    b"",
    b"   ",
    b"garbage",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"{}",
    b'{"id": 1}',
    b'{"id": 1, "op": "fly"}',
    b'{"id": 1, "op": "ask"}',
    b'{"id": 1, "op": "ask", "database": 3, "question": "x"}',
    b'{"id": 1, "op": "ask", "database": "x", "question": "x", "more": 1}',
    b'{"id": 1, "op": "ask", "database": "x", "question": "x", "timeout": -1}',
    b'{"id": 1, "op": "ask", "database": "x", "question": "x", "timeout": NaN}',
    b'{"id": 1, "op": "ask", "database": "x", "question": "x", "max_rows": 1e99}',
    b'{"id": null, "op": "close"}',
    b'{"id": [1], "op": "close"}',
    b'{"id": 1, "op": "load", "profile": {"name": 3}}',
    b'{"id": 1, "op": "ask", "database": "/nowhere", "question": "x"}',
    b"[" * 100_000,
    b'{"id": 1, "op": "ask", "database": "x", "question": "' + b"x" * 17_000_000 + b'"}',
]


def test_garbage_costs_one_line_each_and_nothing_else(client: Client, database: str) -> None:
    client.write(b"\n".join(GARBAGE[:2]) + b"\n")
    for line in GARBAGE[2:]:
        client.write(line + b"\n")
        events = client.told(1 if b'"load"' in line or b"/nowhere" in line else None)
        assert events[-1]["event"] == "error", line[:80]
        assert "\n" not in events[-1]["message"]
        assert len(events[-1]["message"]) < 400
    assert client.ask("execute", database=database, sql="SELECT 1")["rows"]["rows"] == [[1]]


def test_an_id_that_is_under_way_cannot_be_used_again(loaded: Client, database: str) -> None:
    number = loaded.send("ask", id="a", database=database, question="slow")
    loaded.send("ask", id="a", database=database, question="x")
    while (event := loaded.next())["id"] == number:
        pass
    assert event["event"] == "error"
    assert "under way" in event["message"]


def test_the_end_of_the_input_ends_it_amid_an_answer(loaded: Client, database: str) -> None:
    loaded.send("ask", database=database, question="stuck")
    assert loaded.process.stdin is not None
    loaded.process.stdin.close()
    assert loaded.process.wait(2) == 0


def test_close_ends_it(client: Client) -> None:
    assert client.told(client.send("close"))[-1]["event"] == "done"
    assert client.process.wait(2) == 0


def test_cells_travel_unchanged() -> None:
    for cell in (None, 1, 2**62, 1.5, float("inf"), "text\x1b", b"\x00\xff", ""):
        assert told_cell(json.loads(json.dumps(tell_cell(cell)))) == cell
