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

_COLUMNS = (("state", 12), ("run", 14), ("%", 4), ("loss", 6), ("EX", 6), ("ms", 6), ("profile", 16))
_STYLES = {"running": "bold", "failed": "bold", "lost": "dim", "stopped": "dim"}


def _share(row: Row) -> float:
    return (row.step or 0) / row.total_steps if row.total_steps else 0.0


_ORDERS: dict[str, Callable[[Row], Any]] = {
    "newest": lambda row: -row.created,
    "state": lambda row: list(states.GLYPHS).index(row.state) if row.state in states.GLYPHS else 99,
    "profile": lambda row: row.profile,
    "loss": lambda row: float("inf") if row.loss is None else row.loss,
    "EX": lambda row: float("inf") if row.ex is None else -row.ex,
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

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=0)
        self.border_title = "Runs (/ filter, o sort)"
        self.add_class("pane")
        self.order = ORDERS[0]
        self.pattern = ""
        self._rows: Sequence[Row] = ()
        self._drawn: dict[str, tuple[Text, ...]] = {}
        self._told: str | None = None  # the run of the last message
        self._expected: str | None = None  # a run that was chosen before it was there

    def on_mount(self) -> None:
        for name, width in _COLUMNS:
            self.add_column(name, width=width, key=name)

    @property
    def chosen(self) -> str | None:
        """Id of the run that the cursor is on: now, not when the last message of it has been heard."""
        at = self.cursor_row
        return list(self._drawn)[at] if 0 <= at < len(self._drawn) else None

    @property
    def copy_text(self) -> str:
        """The id of the run that the cursor is on."""
        return self.chosen or ""

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
            self._drawn = drawn
        else:
            self._fill(drawn)
        of = f"{len(kept)} of {len(rows)}" if self.pattern else str(len(rows))
        none = "none fits; Esc shows all" if self.pattern and rows and not kept else ""
        self.border_subtitle = none or f"{of}, by {self.order}"

    def has(self, run_id: str) -> bool:
        """Whether a run is shown now."""
        return run_id in self._drawn

    def choose(self, run_id: str) -> None:
        """Put the cursor on a run, if it is shown; else as soon as it is."""
        if run_id in self._drawn:
            self.move_cursor(row=self.get_row_index(run_id))
            self._tell()
        else:
            self._expected = run_id

    def on_data_table_row_highlighted(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self.chosen != self._told:
            self._told = self.chosen
            self.post_message(self.Chosen())

    def _fits(self, row: Row) -> bool:
        text = f"{row.id} {row.profile} {row.state}".lower()
        return all(word in text for word in self.pattern.lower().split())

    def _fill(self, drawn: dict[str, tuple[Text, ...]]) -> None:
        """Draw all anew, the cursor on the run that it was on or that is expected."""
        chosen = self._expected if self._expected in drawn else self.chosen
        if chosen == self._expected:
            self._expected = None
        with self.prevent(DataTable.RowHighlighted):
            self.clear()
            for run_id, row_cells in drawn.items():
                self.add_row(*row_cells, key=run_id)
            if drawn:
                self.move_cursor(row=list(drawn).index(chosen) if chosen in drawn else 0)
        self._drawn = drawn
        self._tell()


def _cells(row: Row, marked: bool) -> tuple[Text, ...]:
    mark = "◆" if marked else " "
    if row.problem:
        none = Text("–", justify="right")
        return (Text(f"{mark}? damaged"), Text(_short(row.id)), *[none] * 4, Text(" –"))
    state = f"{mark}{states.GLYPHS.get(row.state, '?')} {row.state} "
    done = "–" if not row.total_steps else f"{100 * _share(row):.0f}%"
    return (
        Text(state, style=_STYLES.get(row.state, "")),
        Text(_short(row.id)),
        Text(done, justify="right"),
        Text(narrate.number(row.loss), justify="right"),
        Text(narrate.number(row.ex), justify="right"),
        Text(narrate.count(row.step_ms), justify="right"),
        Text(" " + shown(row.profile, 15)),
    )


def _short(run_id: str) -> str:
    """An id that fits its column; the end, which tells runs of a profile apart, is kept."""
    room = 13
    return shown(run_id if len(run_id) <= room else f"{run_id[: room - 6]}…{run_id[-5:]}", room)
