"""The answers behind a score: what was asked, what was right, what came, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import from_json
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from engine.runs import Run
from kidtui import keys
from kidtui.cells import shown
from kidtui.cycle import turned
from kidtui.watch import Event
from kidtui.widgets.probes import last_answers

if TYPE_CHECKING:
    from kidtui.app import KidApp

_MOST = 5000
_WIDEST = 4000


class ExamplesScreen(ModalScreen[None]):
    """Every answer of a run's last evaluation, wrong ones first; before there is one, the probes."""

    app: KidApp

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("examples")
    DEFAULT_CSS = """
    ExamplesScreen { align: center middle; }
    ExamplesScreen > Vertical { width: 95%; height: 90%; background: $surface; }
    ExamplesScreen DataTable { height: 1fr; }
    ExamplesScreen VerticalScroll { height: 12; border-top: solid $panel; padding: 0 1; }
    """

    def __init__(self, run: Run, probes: Sequence[Event]) -> None:
        super().__init__()
        self._run, self._probes = run, probes
        self._all: list[dict[str, Any]] = []
        self._text = Text()
        self._only = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="pane"):
            yield DataTable[Text](cursor_type="row", cell_padding=1)
            with VerticalScroll(can_focus=True):
                yield Static("", markup=False)

    def on_mount(self) -> None:
        self.query_one(DataTable).add_columns("", "error", "difficulty", "database", "question")
        self._read()

    @work(thread=True)
    def _read(self) -> None:
        found, source = read_predictions(self._run), "the last evaluation"
        if not found:
            found, source = last_answers(self._probes), "the newest probes"
        found.sort(key=lambda item: (bool(item.get("correct")), str(item.get("error") or "")))
        self.app.call_from_thread(self._show_all, found, source)

    def _show_all(self, found: list[dict[str, Any]], source: str) -> None:
        self._all = found
        right = sum(bool(item.get("correct")) for item in found)
        self.query_one(Vertical).border_title = f"answers of {source}: {right} of {len(found)} right"
        self._fill()

    def _fill(self) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for number, item in enumerate(self._all):
            if self._only in ("", _error(item)):
                table.add_row(*_cells(item), key=str(number))
        keys_shown = "all; f: by error class; y copies; Esc closes"
        self.query_one(Vertical).border_subtitle = self._only or keys_shown
        table.focus()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key.value is not None:
            self._text = _whole(self._all[int(event.row_key.value)])
            self.query_one(Static).update(self._text)

    def action_next_class(self) -> None:
        """Only the answers of the next error class; after the last, all again."""
        classes = ["", *dict.fromkeys(map(_error, self._all))]
        self._only = turned(classes, self._only)
        self._fill()

    def action_copy_answer(self) -> None:
        self.app.copy_to_clipboard(self._text.plain)
        self.app.say(f"copied {len(self._text)} characters (OSC 52)")

    def action_leave(self) -> None:
        self.dismiss()


def read_predictions(run: Run) -> list[dict[str, Any]]:
    """predictions.jsonl, the first 5 000; what cannot be read is left out."""
    found = []
    try:
        with (run.path / "predictions.jsonl").open("rb") as file:
            for line in file:
                try:
                    item = from_json(line)
                except ValueError:
                    continue
                if isinstance(item, dict):
                    found.append(item)
                if len(found) == _MOST:
                    break
    except OSError:
        return []
    return found


def _error(item: dict[str, Any]) -> str:
    return "right" if item.get("correct") else shown(str(item.get("error") or "wrong"), 20).replace("_", " ")


def _cells(item: dict[str, Any]) -> tuple[Text, ...]:
    mark = Text("✓", style="green") if item.get("correct") else Text("✗", style="red")
    names = ("hardness", "db_id", "question")
    return (mark, Text(_error(item)), *(Text(shown(str(item.get(name) or "–"), 200)) for name in names))


def _whole(item: dict[str, Any]) -> Text:
    lines = [Text(shown(str(item.get("question")), _WIDEST), style="bold")]
    for label, name in (("gold ", "gold"), ("SQL  ", "sql"), ("fault", "message")):
        if item.get(name):
            lines.append(Text.assemble((f"{label} ", "dim"), shown(str(item[name]), _WIDEST)))
    return Text("\n").join(lines)
