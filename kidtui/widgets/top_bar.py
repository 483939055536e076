"""The line on top: where one is, how many runs are alive, what the machine does, the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

if TYPE_CHECKING:
    from kidtui.app import KidApp


class TopBar(Widget):
    """One line, redrawn once a second."""

    app: KidApp

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def on_mount(self) -> None:
        self.set_interval(1.0, self.refresh)

    def render(self) -> RenderResult:
        left = Text.assemble((" kid ", "bold reverse"), "  ", (self._title, "bold"), f"  {self.app.subject}")
        right = Text("   ".join(filter(None, self._facts())) + " ")
        room = self.size.width - left.cell_len
        if right.cell_len >= room:
            right.truncate(max(0, room - 1), overflow="ellipsis")
        left.append(" " * max(1, room - right.cell_len))
        line = left.append_text(right)
        line.no_wrap = True
        line.truncate(self.size.width)
        return line

    def _facts(self) -> list[str]:
        watching = "read-only" if self.app.readonly else ""
        return [watching, self.app.alive_words(), self.app.hardware_words(), time.strftime("%H:%M")]
