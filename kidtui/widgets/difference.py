"""How the student's answer differs from the teacher's: in their trees and in their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kidtui import narrate
from kidtui.cells import shown

if TYPE_CHECKING:
    from engine.sql.contrast import Contrast

_LONGEST = 2_000
_LONGEST_CELL = 40
_MOST_COLUMNS = 20
_NAMES = ("student", "teacher")
_EMPTY = "t asks the teacher; here stands how its answer differs from the student's"
_HIT = {"-": "$error", "+": "$success"}


class DifferencePane(VerticalScroll, can_focus=True):
    """Empty until the teacher has answered."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "difference"
        self._text = Content(_EMPTY)

    def compose(self) -> ComposeResult:
        yield Static(self._text, markup=False)

    @property
    def copy_text(self) -> str:
        """What is shown."""
        return self._text.plain

    def show(self, found: Contrast | None) -> None:
        self._text = Content("\n").join(told(found)) if found else Content(_EMPTY)
        self.query_one(Static).update(self._text)


def told(found: Contrast) -> Iterator[Content]:
    """A difference in lines."""
    if found.same is None:
        failures = [(name, text) for name, text in zip(_NAMES, found.messages, strict=True) if text]
        for name, text in failures:
            yield Content.assemble((f"✗ {name} failed  ", "bold $error"), shown(text, _LONGEST))
        if not failures:
            yield Content.assemble(("? rows  ", "bold"), "not compared: there are too many")
    elif found.same:
        yield Content.styled("✓ rows are the same", "bold $success")
    else:
        yield Content.styled("✗ rows are not the same", "bold $error")
        for name, rows, num, of in zip(_NAMES, found.only, found.num_only, found.num_rows, strict=True):
            if num:
                yield Content(f"  only {name}: {narrate.count(num)} of {narrate.count(of)} rows")
                yield from (Content(f"    {_row(row)}") for row in rows)
    if found.lines:
        classes = ", ".join(found.classes)
        yield Content.assemble(("trees differ  ", "bold"), f"{classes}   (- teacher, + student)")
        for line in found.lines:
            yield Content.styled(f"  {shown(line, _LONGEST)}", _HIT.get(line.strip()[:1], ""))
    elif found.same:
        yield Content("trees are the same")


def _row(row: tuple) -> str:
    cells = [shown(cell, _LONGEST_CELL) for cell in row[:_MOST_COLUMNS]]
    return " │ ".join(cells) + (" │ …" if len(row) > _MOST_COLUMNS else "")
