"""The line at the bottom: the keys that do something here and now."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.screen import Screen
from textual.widget import Widget


class KeyBar(Widget):
    """One line of text. Textual's own footer has a widget a key, made anew whenever the focus moves."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key"}
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; color: $footer-foreground; background: $footer-background; }
    KeyBar .key-bar--key { color: $footer-key-foreground; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, str, str]] = []  # name, as it is shown, label
        self._is_due = False

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def render(self) -> Text:
        """Key and label of each; a click is as good as the key."""
        bold = self.get_component_rich_style("key-bar--key", partial=True)
        line = Text(no_wrap=True)
        for name, key, label in self._keys:
            line.append(Text.assemble((key, bold), f" {label}", style=Style.from_meta({"key": name})))
            line.append(" ")
        return line

    def on_click(self, event: events.Click) -> None:
        if name := event.style.meta.get("key"):
            self.app.simulate_key(name)

    def _changed(self, screen: Screen[Any]) -> None:
        if not self._is_due:  # one look for all that comes together
            self._is_due = True
            self.call_after_refresh(self._look)

    def _look(self) -> None:
        self._is_due = False
        found: dict[str, tuple[str, str, str]] = {}
        for _, binding, is_enabled, _ in self.screen.active_bindings.values():
            if binding.show and is_enabled:
                key = self.app.get_key_display(binding)
                found.setdefault(binding.action, (binding.key, key, binding.description))
        if list(found.values()) != self._keys:
            self._keys = list(found.values())
            self.refresh()
