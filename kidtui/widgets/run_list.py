"""The list of runs: filtered, sorted, and changed in place."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from rich.text import Text
from textual.message import Message
from textual.widgets import DataTable

from kidtui import narrate, states
from kidtui.board import Row
from kidtui.cells import shown

_COLUMNS = (("state", 13), ("run", 14), ("%", 4), ("loss", 6), ("EX", 6), ("ms", 5), ("profile", 16))
_STYLES = {"running": "bold", "failed": "bold", "lost": "dim", "stopped": "dim"}


def _share(row: Row) -> float:
    return (row.step or 0) / row.total_steps if row.total_steps else 0.0


_ORDERS: dict[str, Callable[[Row], Any]] = {
    "newest": lambda row: -row.created,
    "state": lambda row: list(states.GLYPHS).index(row.state) if row.state in states.GLYPHS else 99,
    "profile": lambda row: row.profile,
    "loss": lambda row: float("inf") if row.loss is None else row.loss,
    "EX": lambda row: 0.0 if row.ex is None else -row.ex,
    "latency": lambda row: float("inf") if row.step_ms is None else row.step_ms,
}
ORDERS = tuple(_ORDERS)
"""By what the list can be sorted; the first is how it begins."""


class RunList(DataTable[Text]):
    """Runs, one a line. The cursor stays on its run while others come and go."""

    DEFAULT_CSS = """
    RunList { height: 1fr; }
    """

    class Chosen(Message):
        """The cursor is on another run, or on none."""

        def __init__(self, run_id: str | None) -> None:
            super().__init__()
            self.run_id = run_id

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=0)
        self.border_title = "Runs"
        self.add_class("pane")
        self.order = ORDERS[0]
        self.pattern = ""
        self._rows: Sequence[Row] = ()
        self._drawn: dict[str, tuple[Text, ...]] = {}
        self._chosen: str | None = None

    def on_mount(self) -> None:
        for name, width in _COLUMNS:
            self.add_column(name, width=width, key=name)

    @property
    def chosen(self) -> str | None:
        """Id of the run that the cursor is on."""
        return self._chosen

    def show(self, rows: Sequence[Row], marked: Container[str] = ()) -> None:
        """Show these runs; only cells that differ are drawn."""
        self._rows = rows
        kept = sorted((row for row in rows if self._fits(row)), key=_ORDERS[self.order])
        drawn = {row.id: _cells(row, row.id in marked) for row in kept}
        if list(drawn) == list(self._drawn):
            for run_id, row_cells in drawn.items():
                for (name, _), cell, before in zip(_COLUMNS, row_cells, self._drawn[run_id], strict=True):
                    if cell != before:
                        self.update_cell(run_id, name, cell)
        else:
            self._fill(drawn)
        self._drawn = drawn
        of = f"{len(kept)} of {len(rows)}" if self.pattern else str(len(rows))
        self.border_subtitle = f"{of}, by {self.order}" + (", filtered" if self.pattern else "")

    def choose(self, run_id: str) -> None:
        """Put the cursor on a run, if it is shown; else as soon as it is."""
        self._chosen = run_id
        if run_id in self._drawn:
            self.move_cursor(row=self.get_row_index(run_id))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        chosen = event.row_key.value if self.row_count else None
        if chosen != self._chosen and (self._chosen not in self._drawn or chosen in self._drawn):
            self._chosen = chosen
            self.post_message(self.Chosen(chosen))

    def _fits(self, row: Row) -> bool:
        text = f"{row.id} {row.profile} {row.state}".lower()
        return all(word in text for word in self.pattern.lower().split())

    def _fill(self, drawn: dict[str, tuple[Text, ...]]) -> None:
        chosen, self._drawn = self._chosen, {}
        with self.prevent(DataTable.RowHighlighted):
            self.clear()
            for run_id, row_cells in drawn.items():
                self.add_row(*row_cells, key=run_id)
            at = list(drawn).index(chosen) if chosen in drawn else 0
            if drawn:
                self.move_cursor(row=at)
        now = list(drawn)[at] if drawn else None
        if now != chosen:
            self._chosen = now
            self.post_message(self.Chosen(now))


def _cells(row: Row, marked: bool) -> tuple[Text, ...]:
    mark = "◆" if marked else " "
    if row.problem:
        none = Text("–", justify="right")
        return (Text(f"{mark}? unreadable"), Text(shown(row.id, 13)), *[none] * 4, Text(" –"))
    state = f"{mark}{states.GLYPHS.get(row.state, '?')} {row.state} "
    done = "–" if not row.total_steps else f"{100 * _share(row):.0f}%"
    return (
        Text(state, style=_STYLES.get(row.state, "")),
        Text(shown(row.id, 13)),
        Text(done, justify="right"),
        Text(narrate.number(row.loss), justify="right"),
        Text(narrate.number(row.ex), justify="right"),
        Text(narrate.count(row.step_ms), justify="right"),
        Text(" " + shown(row.profile, 15)),
    )
