"""Runs: the list, and the chosen run's charts, scores and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Static, TabbedContent

from engine.runs import Run
from kidtui import keys
from kidtui.cells import told
from kidtui.cycle import turned
from kidtui.history import History, Snapshot
from kidtui.screens.base import KidScreen
from kidtui.screens.dialogs import Confirm
from kidtui.screens.examples import ExamplesScreen
from kidtui.screens.run_acts import RunActs
from kidtui.tail import tail
from kidtui.widgets.eval_pane import EvalPane
from kidtui.widgets.run_charts import RunCharts
from kidtui.widgets.run_header import RunHeader
from kidtui.widgets.run_list import ORDERS, RunList
from kidtui.widgets.run_logs import RunLogs

if TYPE_CHECKING:
    from kidtui.board import Row

_EMPTY = """No runs yet.

Press d to start the embedded demo: it distils a small
text-to-SQL student on seven small databases, in
about four minutes on two cores, and needs no network.

Press n to choose a profile of your own models.
"""
_EMPTY_READONLY = "No runs yet.\n\nThis is a read-only monitor: `kid distill` in another terminal starts one."


class RunsScreen(KidScreen):
    """The first screen."""

    place = "runs"
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("runs")
    DEFAULT_CSS = """
    RunsScreen #split { height: 1fr; }
    RunsScreen #left { width: 40%; min-width: 50; max-width: 72; }
    RunsScreen #detail { width: 1fr; overflow-x: hidden; }
    RunsScreen #charts { height: 3fr; min-height: 9; }
    RunsScreen EvalPane { height: 7; padding: 0 1; }
    RunsScreen #logs { height: 2fr; min-height: 7; }
    RunsScreen #empty { width: 100%; height: 1fr; content-align: center middle; }
    RunsScreen #filter { display: none; }
    RunsScreen #filter.-open { display: block; }
    RunsScreen.-no-runs #split { display: none; }
    RunsScreen.-no-match #detail { visibility: hidden; }
    RunsScreen #empty { display: none; }
    RunsScreen.-no-runs #empty { display: block; }
    RunsScreen.-narrow #split { layout: vertical; }
    RunsScreen.-narrow #left { width: 100%; max-width: 100%; height: 9; }
    RunsScreen.-narrow #detail { width: 100%; height: 1fr; }
    RunsScreen.-narrow #charts { height: 12; }
    RunsScreen.-narrow #logs { height: 14; }
    """

    def body(self) -> Iterator[Widget]:
        yield Static(Text(), markup=False, id="empty")
        left = Vertical(Input(placeholder="id, profile or state", id="filter"), RunList(id="list"), id="left")
        detail = VerticalScroll(
            RunHeader(), RunCharts(id="charts"), EvalPane(), RunLogs(id="logs"), id="detail", can_focus=False
        )
        yield Horizontal(left, detail, id="split")

    def on_mount(self) -> None:
        self.query_one(RunList).focus()
        self.set_interval(1.0, self._read_logs)

    def on_screen_resume(self) -> None:
        self._follow()
        if self.app.monitor.has_looked:
            self.board_changed(self.app.monitor.rows)
        self._show_run()
        self._read_logs()

    # What the monitor reports

    def board_changed(self, rows: tuple[Row, ...]) -> None:
        begins = bool(rows) and self.has_class("-no-runs")
        self.set_class(not rows, "-no-runs")
        if not rows:
            self.query_one("#empty", Static).update(Text(self._invitation()))
        self.query_one(RunList).show(rows, self.app.marked)
        if begins:
            self.query_one(RunList).focus()
        self._show_header()

    def _invitation(self) -> str:
        if self.app.monitor.problem:
            return told(f"The runs cannot be listed:\n{self.app.monitor.problem}")
        return _EMPTY_READONLY if self.app.readonly else _EMPTY

    def run_changed(self, run_id: str) -> None:
        if run_id == self.chosen:
            self._show_run()

    @on(RunList.Chosen)
    def _chosen(self) -> None:
        self.set_class(self.chosen is None, "-no-match")
        self._follow()
        self._show_run()
        self._read_logs()

    @property
    def chosen(self) -> str | None:
        """Id of the run that is shown."""
        return self.query_one(RunList).chosen

    def choose(self, run_id: str) -> None:
        """Show this run; a filter that hides it is taken away."""
        shown_runs = self.query_one(RunList)
        if shown_runs.pattern and not shown_runs.has(run_id):
            self.action_leave()
        shown_runs.choose(run_id)

    def _follow(self) -> None:
        self.app.monitor.follow([self.chosen] if self.chosen else [])

    def _row(self) -> Row | None:
        return self.app.monitor.row(self.chosen)

    def _history(self) -> History | None:
        return self.app.monitor.history(self.chosen) if self.chosen else None

    # What is drawn

    def _show_run(self) -> None:
        history = self._history()
        if history is None:
            return
        snapshot = history.snapshot()
        self._show_header(snapshot)
        self.query_one(RunCharts).show(history)
        self.query_one(EvalPane).show(snapshot.view)
        self.query_one(RunLogs).show(history)

    def _show_header(self, snapshot: Snapshot | None = None) -> None:
        row, history = self._row(), self._history()
        self.subject = row.profile if row else ""
        if row is not None:
            snapshot = snapshot or (history.snapshot() if history else None)
            self.query_one(RunHeader).show(row, snapshot)

    def _read_logs(self) -> None:
        tab = self.query_one(RunLogs).active
        row = self._row()
        if row and tab in ("out", "err"):
            path = row.path / f"{tab}.log"
            self.app.in_thread(partial(self._read_log, row.id, tab, path))

    def _read_log(self, run_id: str, tab: str, path: Path) -> None:
        try:
            lines = tail(path)
        except OSError as error:
            lines = [f"cannot read {path}: {error.strerror}"]
        self.app.call_from_thread(self._show_log, run_id, tab, lines)

    def _show_log(self, run_id: str, tab: str, lines: list[str]) -> None:
        if run_id == self.chosen:
            self.query_one(RunLogs).show_log(tab, lines)

    @on(TabbedContent.TabActivated)
    def _tab_activated(self) -> None:
        self._read_logs()
        self._show_run()

    # Keys that look

    def action_tab(self, by: int) -> None:
        self.query_one(RunLogs).turn_tab(by)

    def action_back(self, by: int) -> None:
        self.query_one(RunLogs).turn(by)

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.add_class("-open")
        box.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.query_one(RunList).pattern = event.value
        self.board_changed(self.app.monitor.rows)

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one("#filter").set_class(bool(self.query_one(RunList).pattern), "-open")
        self.query_one(RunList).focus()

    @on(RunList.RowSelected)
    def _look_closer(self) -> None:
        self.query_one("#loss").focus()

    def action_leave(self) -> None:
        """Take the filter away; back to the list."""
        box = self.query_one("#filter", Input)
        if box.has_class("-open"):
            box.value = ""
            box.remove_class("-open")
        self.query_one(RunList).focus()

    def action_sort(self) -> None:
        runs_shown = self.query_one(RunList)
        runs_shown.order = turned(ORDERS, runs_shown.order)
        self.board_changed(self.app.monitor.rows)

    @on(EvalPane.Opened)
    def _open_examples(self) -> None:
        if (row := self._row()) and (history := self._history()):
            self.app.push_screen(ExamplesScreen(Run(row.id, row.path), history.snapshot().view.probes))

    def action_mark(self) -> None:
        if self.chosen:
            self.app.toggle_mark(self.chosen)
            self.board_changed(self.app.monitor.rows)

    def action_compare(self) -> None:
        self.app.action_show_compare()

    def action_ask(self) -> None:
        if self.chosen:
            self.app.ask_with(self.chosen)

    def action_new(self) -> None:
        self.app.action_show_profiles()

    # Keys that do

    def action_launch_demo(self) -> None:
        if not self.app.monitor.rows:
            self.app.launch_named("demo")
            return
        question = Confirm(
            "Start a run of the embedded demo?", "It trains for minutes on all cores.", "Start", "Do not"
        )
        self.app.push_screen(question, lambda yes: self.app.launch_named("demo") if yes else None)

    def action_pause(self) -> None:
        self._act(RunActs.pause)

    def action_stop(self) -> None:
        self._act(RunActs.stop)

    def action_resume(self) -> None:
        self._act(RunActs.resume)

    def action_kill(self) -> None:
        self._act(RunActs.kill)

    def action_remove(self) -> None:
        self._act(RunActs.remove)

    def _act(self, what: Callable[[RunActs, Row], None]) -> None:
        if row := self._row():
            what(RunActs(self.app), row)
