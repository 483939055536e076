"""The conversation with the service: events in order, cancelling, deaths; answers made of events."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kidtui.asking import Answer, Conversation
from kidtui.student import Choice
from tests.repl.conftest import FAKE_ENGINE, PROFILE, REPOSITORY

LAST = ("ended", "error", "cancelled")

Told = tuple[int, dict[str, Any]]


@pytest.fixture
def told() -> queue.Queue[Told]:
    return queue.Queue()


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, told: queue.Queue[Told]) -> Iterator[Conversation]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    conversation = Conversation(
        Choice(PROFILE, "a fake"), lambda number, event: told.put((number, event)), FAKE_ENGINE
    )
    yield conversation
    conversation.close(5)


def answer_to(told: queue.Queue[Told], number: int) -> Answer:
    """Folds the events of a request; those of others are passed over."""
    answer = Answer("")
    while answer.doing:
        of, event = told.get(timeout=20)
        if of == number:
            answer.take(event)
    return answer


def test_questions_are_answered_one_after_the_other(
    talk: Conversation, told: queue.Queue[Told], database: Path
) -> None:
    assert talk.state == "not started"
    answer = answer_to(told, talk.request("ask", database, question="Which animals are there?"))
    assert answer.last is not None
    assert answer.last.result is not None
    assert answer.last.result.rows == [("okapi",), ("ibis",)]
    assert answer.columns == [("animal", "name")]
    assert not talk.busy
    assert talk.state == "ready"

    second = answer_to(told, talk.request("ask", database, question="wrong name"))
    assert [attempt.sql for attempt in second.attempts] == [
        "SELECT nme FROM animal",
        "SELECT name FROM animal",
    ]
    assert second.attempts[0].failed is not None
    assert second.sql == second.attempts[1].sql

    fields = {"question": "Which animals are there?", "sql": answer.sql}
    compared = answer_to(told, talk.request("compare", database, **fields))
    assert compared.difference is not None
    assert compared.difference.same is False
    assert compared.difference.only[0] == (("ibis",),)

    refused = answer_to(told, talk.request("execute", database, sql="DROP TABLE animal"))
    assert refused.last is not None
    assert refused.last.failed is not None
    assert refused.last.failed["error"] == "forbidden"


def test_what_is_cancelled_ends_at_once_and_the_next_question_is_answered(
    talk: Conversation, told: queue.Queue[Told], database: Path
) -> None:
    number = talk.request("ask", database, question="slow one")
    while told.get(timeout=20)[1]["event"] != "token":
        pass
    began = time.monotonic()
    talk.cancel()
    while (event := told.get(timeout=20))[1]["event"] == "token":
        pass
    assert event == (number, {"event": "cancelled"})
    assert not talk.busy
    answer = answer_to(told, talk.request("ask", database, question="Which animals are there?"))
    assert answer.sql == "SELECT name FROM animal"
    assert time.monotonic() - began < 5, "the slow one takes ten seconds"


def test_a_query_that_goes_on_for_ever_is_cancelled(
    talk: Conversation, told: queue.Queue[Told], database: Path
) -> None:
    talk.request("ask", database, question="endless")
    while told.get(timeout=20)[1]["event"] != "sql":
        pass
    began = time.monotonic()
    answer = answer_to(told, talk.request("ask", database, question="Which animals are there?"))
    assert answer.sql == "SELECT name FROM animal"
    assert time.monotonic() - began < 10, "the query may run for thirty seconds"


def test_a_service_that_dies_is_started_again(
    talk: Conversation, told: queue.Queue[Told], database: Path, tmp_path: Path
) -> None:
    once = answer_to(told, talk.request("ask", database, question=f"die once {tmp_path / 'mark'}"))
    assert once.sql == "SELECT 1"
    assert once.error is None
    assert once.notes == ["the engine ended with exit code 9; it is started again"]
    always = answer_to(told, talk.request("ask", database, question="die"))
    assert always.error is not None
    assert always.error[0] == "the engine ended with exit code 9"
    after = answer_to(told, talk.request("ask", database, question="Which animals are there?"))
    assert after.sql == "SELECT name FROM animal"


def test_an_engine_that_cannot_be_started_is_an_error(told: queue.Queue[Told], database: Path) -> None:
    conversation = Conversation(
        Choice(PROFILE, "a fake"), lambda number, event: told.put((number, event)), ("/nowhere/engine",)
    )
    conversation.prepare(database)  # says nothing
    answer = answer_to(told, conversation.request("ask", database, question="?"))
    assert answer.error is not None
    assert answer.error[0].startswith("cannot start the engine")
    conversation.close(5)


def test_closing_ends_the_process(talk: Conversation, told: queue.Queue[Told], database: Path) -> None:
    talk.request("ask", database, question="slow one")
    while told.get(timeout=20)[1]["event"] != "token":
        pass
    pid = talk._service.pid
    assert pid is not None
    talk.close(10)
    assert talk._service.pid is None
    assert not Path(f"/proc/{pid}").exists() or sys.platform != "linux"


def test_an_answer_without_events_waits() -> None:
    answer = Answer("q")
    answer.take({"event": "loaded", "role": "student"})
    assert (answer.doing, answer.sql, answer.last) == ("reading", "", None)
    answer.take({"event": "token", "attempt": 1, "text": "SELECT", "p": 0.4})
    assert answer.attempts[0].pieces == [("SELECT", 0.4)]
    answer.take({"event": "cancelled"})
    assert (answer.doing, answer.cancelled) == ("", True)
