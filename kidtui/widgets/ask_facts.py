"""Who answers about what, and whether it can: the line on top of Ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from kidtui.cells import shown

if TYPE_CHECKING:
    from kidtui.app import KidApp

_ROOM = 120
_ROOM_OF_A_PROBLEM = 50
_STATES = {"ready": ("●", "$success"), "not started": ("○", "dim"), "failed": ("✗", "$error")}
"""Of the service: glyph and colour; what is none of these is under way."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A student or a database.

    name: of what was found last, "" for nothing.
    looking: another is being looked for.
    problem: why what was wanted last was not found; "" if it was.
    """

    name: str
    looking: bool = False
    problem: str = ""


class AskFacts(Static):
    """The database, the student, the service, in one line."""

    app: KidApp
    DEFAULT_CSS = """
    AskFacts { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", markup=False, id=id)

    def show(self, database: Sought, student: Sought, service: str) -> None:
        """Show whom a question would reach. `service`: its state, in a few words."""
        parts = [Content.assemble((shown(database.name, _ROOM), "bold $primary"))]
        if database.problem:
            parts.append(_problem(database))
        if self.app.readonly:
            parts.append(Content("■ read-only: asking starts a process"))
        else:
            parts += _student(student, service)
        facts = Content("  ").join(parts)
        if facts != self.content:
            self.update(facts, layout=False)


def _student(student: Sought, service: str) -> list[Content]:
    if student.looking:
        return [Content("looking for a student…")]
    parts = [_problem(student)] if student.problem else []
    if student.name:
        who = shown(student.name, _ROOM)
        glyph, style = _STATES.get(service, ("…", "$warning"))
        parts.append(Content(f"still {who}" if student.problem else who))
        parts.append(Content.assemble((f"{glyph} {service}", style)))
    return parts


def _problem(sought: Sought) -> Content:
    return Content.assemble((f"✗ {shown(sought.problem, _ROOM_OF_A_PROBLEM)}", "$error"))
