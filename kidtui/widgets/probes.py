"""The probes: a fixed set of questions, and how they were answered at one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from kidtui import narrate
from kidtui.cells import shown
from kidtui.watch import Event

_WIDEST = 2000


def answers(probes: Sequence[Event], at: int, width: int) -> Text:
    """The answers of evaluation number `at`; where the one before was judged otherwise, both marks."""
    event = probes[at]
    split = event.get("split")
    before = next((old for old in reversed(probes[:at]) if _who(old) == _who(event)), None)
    earlier = {str(answer.get("index")): bool(answer.get("correct")) for answer in _list(before)}
    step = event.get("step")
    when = f" at step {narrate.count(step)}" if step is not None else ""
    right = sum(bool(answer.get("correct")) for answer in _list(event))
    head = f"{str(split).replace('_', ' ')}{when}: {right} of {len(_list(event))} right"
    lines = [Text(shown(f"{head}   ({at + 1} of {len(probes)} evaluations)", _WIDEST), style="bold")]
    for answer in _list(event):
        lines += [Text(), *_answer(answer, earlier.get(str(answer.get("index"))))]
    return Text("\n").join(lines)


def last_answers(probes: Sequence[Event]) -> list[dict[str, Any]]:
    """The student's newest answers."""
    newest = next((event for event in reversed(probes) if _who(event) == "student"), None)
    return _list(newest)


def _answer(answer: Mapping[str, Any], before: bool | None) -> list[Text]:
    right = bool(answer.get("correct"))
    marks = _mark(right) if before is None or before == right else f"{_mark(before)}→{_mark(right)}"
    asked = shown(f"{answer.get('db_id')}: {answer.get('question')}", _WIDEST)
    lines = [Text.assemble((marks, "bold green" if right else "bold red"), f" {asked}")]
    gold, sql = (shown(str(answer.get(name) or ""), _WIDEST) for name in ("gold", "sql"))
    if sql != gold:
        lines.append(Text(f"  gold  {gold}", style="dim"))
    lines.append(Text(f"  SQL   {sql or '(nothing)'}"))
    return lines


def _mark(right: bool) -> str:
    return "✓" if right else "✗"


def _who(event: Event) -> str:
    return "teacher" if event.get("split") == "teacher" else "student"


def _list(event: Event | None) -> list[dict[str, Any]]:
    found = event.get("answers") if event else None
    return [answer for answer in found if isinstance(answer, dict)] if isinstance(found, list) else []
