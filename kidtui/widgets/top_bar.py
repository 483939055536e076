"""The line on top: the four screens, what this one is about, what is alive, the machine, the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from kidtui.cells import shown
from kidtui.keys import PLACES, SCREENS

if TYPE_CHECKING:
    from kidtui.app import KidApp

_WIDEST_SUBJECT = 60


class TopBar(Widget):
    """One line, redrawn once a second.

    Args:
        place: the screen that it stands on.
    """

    app: KidApp

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def on_mount(self) -> None:
        self.set_interval(1.0, self.refresh)

    def render(self) -> RenderResult:
        left = Text.assemble((" kid ", "bold reverse"))
        for number, place in enumerate(SCREENS, 1):
            here = place == self._place
            left.append(f"  {number} ").append(PLACES[place], "bold underline" if here else "dim")
        if subject := getattr(self.screen, "subject", ""):
            left.append(f"  {shown(subject, _WIDEST_SUBJECT)}")
        right = Text("   ".join(filter(None, self._facts())) + " ")
        room = max(0, self.size.width - left.cell_len - 2)
        right.truncate(room, overflow="ellipsis")
        left.append(" " * max(0, self.size.width - left.cell_len - right.cell_len))
        line = left.append_text(right)
        line.no_wrap = True
        line.truncate(self.size.width)
        return line

    def _facts(self) -> list[str]:
        watching = "read-only" if self.app.readonly else ""
        return [watching, self.app.alive_words(), time.strftime("%H:%M"), self.app.hardware_words()]
