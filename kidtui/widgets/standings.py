"""The compared runs, one a line: state, EX, milliseconds of a step, and whether they are worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.content import Content
from textual.widgets import DataTable

from kidtui import narrate, states
from kidtui.cells import shown
from kidtui.comparison import DOMINATED, Standing

_COLUMNS = (("run", 20), ("state", 11), ("EX", 6), ("ms/step", 8), (" place", None))


@dataclass(frozen=True, slots=True)
class Entry:
    """A line.

    Attributes:
        state: "" of a run that is gone.
        place: a word of `kidtui.comparison`.
        problem: why the run cannot be read, "" if it can; stands in the place of `place`.
    """

    id: str
    glyph: str
    state: str
    standing: Standing
    place: str
    problem: str


class Standings(DataTable[Text]):
    """One run a line; the cursor stays on its run."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, classes="pane")
        self.border_title = Content("runs")
        self.border_subtitle = Content("Enter: open")
        self._entries: tuple[Entry, ...] = ()

    def on_mount(self) -> None:
        for name, width in _COLUMNS:
            self.add_column(name, width=width)

    @property
    def chosen(self) -> str | None:
        """Id of the run that the cursor is on."""
        return self._entries[self.cursor_row].id if self.cursor_row < len(self._entries) else None

    @property
    def copy_text(self) -> str:
        """The table, for the clipboard: a tab between values, which are whole."""
        rows = (
            (one.id, one.state or "gone", *map(_exactly, (one.standing.ex, one.standing.ms)), _last(one))
            for one in self._entries
        )
        return "\n".join("\t".join(row) for row in ([name.strip() for name, _ in _COLUMNS], *rows))

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these runs from now on."""
        if tuple(entries) == self._entries:
            return
        chosen, before = self.chosen, self.cursor_row
        self._entries = tuple(entries)
        self.clear()
        for entry in self._entries:
            self.add_row(*_cells(entry))
        ids: list[str | None] = [entry.id for entry in self._entries]
        self.move_cursor(row=ids.index(chosen) if chosen in ids else before)


def _cells(entry: Entry) -> tuple[Text, ...]:
    style = "dim" if entry.place == DOMINATED else ""
    name = Text(f"{entry.glyph} {shown(entry.id, 17)}", style=style)
    state = f"{states.GLYPHS.get(entry.state, '?')} {shown(entry.state, 9)}" if entry.state else "? gone"
    return (
        name,
        Text(state, style=style),
        Text(narrate.number(entry.standing.ex), style=style, justify="right"),
        Text(narrate.count(entry.standing.ms), style=style, justify="right"),
        Text(f" {shown(_last(entry), 100)}", style=style),
    )


def _last(entry: Entry) -> str:
    return entry.problem or entry.place


def _exactly(value: float | None) -> str:
    return "" if value is None else repr(value)
