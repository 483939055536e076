"""The settings in which runs differ: one a line, one column a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.content import Content
from textual.widgets import DataTable

from kidtui.cells import shown

_WIDEST_KEY = 30
_WIDEST_VALUE = 24


class DiffTable(DataTable[Text]):
    """Read with the arrow keys; a column belongs to a run."""

    DEFAULT_CSS = """
    DiffTable > .datatable--fixed { background: $surface; color: $foreground; text-style: bold; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="cell", fixed_columns=1, classes="pane")
        self.border_title = Content("settings that differ")
        self._run_ids: tuple[str, ...] = ()
        self._shown: object = None
        self._rows: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def chosen(self) -> str | None:
        """Id of the run whose column the cursor is in."""
        column = self.cursor_column - 1
        return self._run_ids[column] if self.row_count and 0 <= column < len(self._run_ids) else None

    @property
    def copy_text(self) -> str:
        """The table, for the clipboard; values whole."""
        head = "\t".join(("setting", *self._run_ids))
        return "\n".join([head, *("\t".join((key, *values)) for key, values in self._rows)])

    def show(
        self, glyphs: Sequence[str], run_ids: Sequence[str], rows: Sequence[tuple[str, tuple[str, ...]]]
    ) -> None:
        """Show these settings from now on; each row has a value for every run."""
        if (now := (tuple(glyphs), tuple(run_ids), tuple(rows))) == self._shown:
            return
        self._shown, self._run_ids, self._rows = now, tuple(run_ids), tuple(rows)
        at = self.cursor_coordinate
        self.clear(columns=True)
        self.add_column(Text("setting"))
        for glyph, run_id in zip(glyphs, run_ids, strict=True):
            self.add_column(Text(f"{glyph} {shown(run_id, _WIDEST_VALUE - 2)}"))
        for key, values in rows:
            cells = (Text(shown(value, _WIDEST_VALUE) if value else '""') for value in values)
            self.add_row(Text(shown(key, _WIDEST_KEY)), *cells)
        self.border_subtitle = Content(
            "" if rows else "none: the same in all" if len(run_ids) > 1 else "one run"
        )
        self.move_cursor(row=at.row, column=at.column)
