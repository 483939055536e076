"""What the four screens have in common: the line on top, the footer, keys from the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from kidtui import keys
from kidtui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from kidtui.app import KidApp


class KidScreen(Screen[None]):
    """A screen of the monitor.

    place: where its keys stand in the table.
    subject: what it is about now, for the line on top.
    """

    place: ClassVar[str]
    subject: str = ""

    app: KidApp

    def compose(self) -> ComposeResult:
        yield TopBar(self.place)
        yield from self.body()
        yield Footer(show_command_palette=False, compact=True)

    def body(self) -> Iterator[Widget]:
        """The widgets between the line on top and the footer; a screen has its own."""
        yield from ()

    def unsaved(self) -> str:
        """What would be lost if the app were left now, in a sentence; "" for nothing."""
        return ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """False hides a key: what writes is absent in read-only mode."""
        if self.app.readonly and keys.writes(self.place, action):
            return False
        return super().check_action(action, parameters)
