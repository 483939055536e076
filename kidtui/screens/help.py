"""The help: every key, from the table, as it is bound now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.screen import ModalScreen
from textual.widgets import Static

from engine import paths
from kidtui import keys

if TYPE_CHECKING:
    from kidtui.app import KidApp

_NOTES = """\
Tab and Shift+Tab go from pane to pane. Ctrl+P opens the palette: every key by name, and more themes.
The mouse works everywhere; to select text as outside, most terminals want Shift held.
y copies through the terminal (OSC 52); tmux lets it pass with: set -g set-clipboard on
Another key for an action: {config}, with the name on the right:
  [keys]
  "runs.kill" = "ctrl+x\"
"""


class HelpScreen(ModalScreen[None]):
    """All keys, the present screen's first."""

    app: KidApp

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,f12", "leave", "Close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll { width: 90; max-width: 96%; height: 90%; background: $surface; padding: 0 1; }
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="pane") as pane:
            pane.border_title = "Keys"
            pane.border_subtitle = "Esc closes"
            yield Static(table(self._place, self.app.config.keys), markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_leave(self) -> None:
        self.dismiss()


def table(place: str, rebound: Mapping[str, str]) -> Group:
    """The help's words.

    Args:
        place: of the screen that one comes from.
        rebound: keys by id, from the config file.
    """
    parts: list[Text | Table] = []
    for where in sorted(keys.PLACES, key=lambda name: (name not in (place, "app"), name != place)):
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        grid.add_column(style="dim")
        for key in keys.of(where):
            bound = rebound.get(key.id, key.keys)
            grid.add_row(" ".join(format_key(one.strip()) for one in bound.split(",")), key.help, key.id)
        parts += [Text(keys.PLACES[where].capitalize(), style="bold underline"), grid, Text()]
    return Group(*parts, Text(_NOTES.format(config=paths.config_file())))
