"""What the four screens have in common: the line on top, the footer, keys from the table."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from kidtui import keys
from kidtui.widgets.key_bar import KeyBar
from kidtui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from kidtui.app import KidApp

_SETTLED_SECONDS = 2.0


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
        yield KeyBar()

    def on_mount(self) -> None:
        # Looking for garbage among 100 000 objects that live as long as the app would hold up a key for
        # 70 ms, every few seconds. The app of a test does not live long.
        if not self.app.is_headless:
            self.set_timer(_SETTLED_SECONDS, gc.freeze)

    def body(self) -> Iterator[Widget]:
        """The widgets between the line on top and the footer; a screen has its own."""
        yield from ()

    def unsaved(self) -> str:
        """What would be lost if the app were left now, in a sentence; "" for nothing."""
        return ""

    def on_key(self, event: events.Key) -> None:
        """Say why a key that writes does nothing in read-only mode."""
        if self.app.readonly and (key := self._key_of(event.key)) and key.writes:
            self.app.say(f"read-only: {key.label or 'this'} needs kid tui without --readonly")

    def _key_of(self, pressed: str) -> keys.Key | None:
        bound = self.app.config.keys
        return next((key for key in keys.of(self.place) if pressed in keys.names(key, bound)), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """False hides a key: what writes is absent in read-only mode."""
        if self.app.readonly and keys.writes(self.place, action):
            return False
        return super().check_action(action, parameters)
