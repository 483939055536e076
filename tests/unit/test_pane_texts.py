"""What panes of the monitor say, made from events without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kidtui import states
from kidtui.tail import tail
from kidtui.widgets.eval_pane import sparks, summary
from kidtui.widgets.probes import answers, last_answers
from kidtui.widgets.rewrite_tape import tape

REWRITE = {
    "step": 51,
    "gold": ["SELECT", " name", " FROM", " animal"],
    "masked": ["SELECT", "<s>", " FROM", "<s>"],
    "imperfect": ["SELECT", " name", " FROM", " [red]zoo\x1b"],
}


def test_tape_marks_right_and_wrong_guesses() -> None:
    lines = tape([REWRITE], 0, 80).plain.split("\n")
    assert lines[0] == "step 51: 2 of 4 tokens masked, 1 rewritten wrongly   (1/1)"
    assert lines[1].split() == ["gold", "SELECT", "·name", "·FROM", "·animal"]
    assert lines[2].split() == ["masked", "SELECT", "<s>", "·FROM", "<s>"]
    assert lines[3].split() == ["guess", "SELECT", "·name", "·FROM", r"·[red]zoo\x1b"]
    assert lines[4].split() == ["✓", "✗"]
    assert lines[4].index("✓") == lines[1].index("·name")
    assert lines[4].index("✗") == lines[1].index("·animal")


@pytest.mark.parametrize("width", [24, 33, 60])
def test_tape_keeps_to_its_width(width: int) -> None:
    many = {name: tokens * 20 for name, tokens in REWRITE.items() if isinstance(tokens, list)}
    head, *lines = tape([many], 0, width).plain.split("\n")
    assert "40 of 80 tokens" in head
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "".join(lines).count("✗") == 20


@pytest.mark.parametrize("damaged", [{}, {"gold": 3}, {"gold": ["a"], "masked": [None]}])
def test_tape_of_a_damaged_event(damaged: dict[str, Any]) -> None:
    assert "0 of 0 tokens" in tape([damaged], 0, 40).plain


def probe(step: int | None, correct: bool, split: str = "student") -> dict[str, Any]:
    answer = {"index": 7, "db_id": "zoo", "question": "How many?", "gold": "SELECT 1", "sql": "SELECT 2"}
    return {"step": step, "split": split, "answers": [{**answer, "correct": correct}, "damaged"]}


def test_probes_show_what_has_changed() -> None:
    probes = [probe(None, True, "teacher"), probe(0, False, "student_before"), probe(50, True)]
    assert "✗ zoo: How many?" in answers(probes, 1, 80).plain
    text = answers(probes, 2, 80).plain
    assert "student at step 50: 1 of 1 right   (3 of 3 evaluations)" in text
    assert "✗→✓ zoo: How many?" in text
    assert "gold  SELECT 1" in text
    assert [item["correct"] for item in last_answers(probes)] == [True]
    assert last_answers(probes[:1]) == []


def test_summary_of_evaluations() -> None:
    assert summary([]).plain == "no evaluation yet"
    text = summary(
        [
            {"split": "teacher", "ex": 0.9},
            {"split": "student_before", "ex": 0.1},
            {"split": "student", "ex": 0.8, "by_hardness": {"easy": {"ex": 1.0, "num": 3}, "odd": 3},
             "errors": {"value": 2, "join": 5, "none": 0}},
        ]
    ).plain  # fmt: skip
    assert "teacher 0.900   student before 0.100   student 0.800" in text
    assert "0.100 → 0.800" in text
    assert "easy 1.00 █" in text
    assert "join 5  value 2" in text
    assert "none" not in text


def test_sparks_of_shares() -> None:
    assert sparks([0.0, 0.5, 1.0, 7.0]) == "▁▅██"
    assert len(sparks([0.5] * 100)) == 40


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "err.log"
    assert tail(log) == []
    log.write_bytes(b"")
    assert tail(log) == []
    log.write_bytes("one\r\n10 %\r20 %\rthrée\n\xff".encode() + b"\xff")
    assert tail(log) == ["one", "thrée", "ÿ\ufffd"]
    log.write_bytes(b"x" * 99 + b"\n" * 1 + (b"y" * 99 + b"\n") * 5000)
    lines = tail(log)
    assert lines[0].startswith("… ")
    assert lines[-1] == "y" * 99
    assert len(lines) < 2700


def test_words_of_a_quiet_run() -> None:
    assert states.word("running", 59) == "running"
    assert states.word("running", 720) == "running, quiet 12m 00s"
    assert states.word("paused", 720) == "paused"
