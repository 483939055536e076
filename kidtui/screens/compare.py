"""Compare: the marked runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import DataTable, Static

from engine import paths
from engine.errors import KidError
from engine.runs import Run
from engine.study.differing import differing
from kidtui import comparison, keys
from kidtui.comparison import Standing
from kidtui.cycle import turned
from kidtui.screens.base import KidScreen
from kidtui.series import XS
from kidtui.widgets.chart import Chart
from kidtui.widgets.curves import STYLES, Line
from kidtui.widgets.diff_table import DiffTable
from kidtui.widgets.pareto import Pareto, Point
from kidtui.widgets.standings import Entry, Standings

if TYPE_CHECKING:
    from kidtui.board import Row
    from kidtui.history import History

_EMPTY = """Nothing to compare yet.

On Runs (1), space marks the run that the cursor is on; c comes back here.

n marks the two newest runs that have ended.
"""
_EX: Final = "EX"
_METRICS: Final = ("loss", "loss_kd", "loss_mle", "ms.total", "tokens_per_s", _EX)
_GLYPHS: Final = ("●", "×", "+", "○", "◆", "□", "▲", "#")
_SECONDS_BETWEEN: Final = 0.25
_GONE: Final = "the run is gone"


class CompareScreen(KidScreen):
    """The third screen: curves, EX against cost, and the settings that differ."""

    place = "compare"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("compare")]
    DEFAULT_CSS = """
    CompareScreen #empty { width: 100%; height: 1fr; content-align: center middle; text-align: center; }
    CompareScreen #panes { height: 1fr; }
    CompareScreen #curves { width: 3fr; }
    CompareScreen #pareto { width: 2fr; }
    CompareScreen #charts { height: 3fr; min-height: 9; }
    CompareScreen #tables { height: 2fr; min-height: 7; }
    CompareScreen #standings { width: 2fr; min-width: 63; height: 100%; }
    CompareScreen #settings { width: 3fr; height: 100%; }
    CompareScreen.-narrow #charts, CompareScreen.-narrow #tables { layout: vertical; height: auto; }
    CompareScreen.-narrow #curves { width: 100%; height: 14; }
    CompareScreen.-narrow #pareto { width: 100%; height: 12; }
    CompareScreen.-narrow #standings { width: 100%; min-width: 0; height: auto; max-height: 10; }
    CompareScreen.-narrow #settings { width: 100%; height: auto; min-height: 5; max-height: 20; }
    CompareScreen.-nothing #panes { display: none; }
    CompareScreen #empty { display: none; }
    CompareScreen.-nothing #empty { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._metric = _METRICS[0]
        self._x = XS[0]
        self._range: tuple[float | None, float | None] = (None, None)
        self._profiles: dict[str, Mapping[str, Any]] = {}
        self._next: Timer | None = None
        self.add_class("-nothing")

    def body(self) -> Iterator[Widget]:
        yield Static(Text(_EMPTY), markup=False, id="empty")
        charts = Horizontal(
            Chart("", id="curves", classes="pane"), Pareto(id="pareto", classes="pane"), id="charts"
        )
        tables = Horizontal(Standings(id="standings"), DiffTable(id="settings"), id="tables")
        yield VerticalScroll(charts, tables, id="panes", can_focus=False)

    def on_screen_resume(self) -> None:
        self._follow()
        self.call_after_refresh(self._focus_first)  # by then it is known whether there is one column

    def _focus_first(self) -> None:
        if self.run_ids and self.focused is None:
            # In one column the list stands below the first screenful.
            first = Chart if self.has_class("-narrow") else Standings
            self.query_one(first).focus(scroll_visible=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without runs there is nothing to do but to mark some."""
        is_own = any(key.action == action for key in keys.of(self.place))
        if is_own and action != "mark_newest" and not self.run_ids:
            return False
        return super().check_action(action, parameters)

    @property
    def run_ids(self) -> list[str]:
        """The runs that are compared: as many of the marked ones as can be told apart."""
        return self.app.marked[: len(_GLYPHS)]

    @property
    def chosen(self) -> str | None:
        """The run that a key is for: that of the settings' column, else that of the list of runs."""
        settings = self.query_one(DiffTable)
        return (settings.chosen if settings.has_focus else None) or self.query_one(Standings).chosen

    # What the monitor reports

    def board_changed(self, rows: tuple[Row, ...]) -> None:
        self._show_soon()

    def run_changed(self, run_id: str) -> None:
        if run_id in self.run_ids:
            self._show_soon()

    def _show_soon(self) -> None:
        """News of several runs come together; they are drawn together."""
        if self._next is None:
            self._next = self.set_timer(_SECONDS_BETWEEN, self._show)

    def _follow(self) -> None:
        self.app.monitor.follow(self.run_ids)
        self._show()

    # What is drawn

    def _show(self) -> None:
        self._next = None
        run_ids = self.run_ids
        if self.has_class("-nothing") == bool(run_ids):
            self.set_class(not run_ids, "-nothing")
            self.refresh_bindings()
        num_left_out = len(self.app.marked) - len(run_ids)
        subject = f"{len(run_ids)} run{'s' if len(run_ids) > 1 else ''}" if run_ids else ""
        self.subject = subject + (f" ({num_left_out} more marked)" if num_left_out else "")
        self._show_curves(run_ids)
        self._show_standings(run_ids)
        self._show_settings(run_ids)

    def _show_curves(self, run_ids: Sequence[str]) -> None:
        chart = self.query_one(Chart)
        unit = "s" if self._x == "seconds" else self._x
        chart.retitle(f"{self._metric} by {self._x}", x_label=unit)
        # Two dots a column; of many runs only one, for they lie over each other.
        buckets = max(20, chart.size.width) * (2 if len(run_ids) <= 2 else 1)
        lines = [self._line(run_id, glyph, buckets) for run_id, glyph in zip(run_ids, _GLYPHS, strict=False)]
        note = "reading …" if any(self._is_behind(run_id) for run_id in run_ids) else ""
        chart.show(lines, note, self._whole(run_ids))

    def _whole(self, run_ids: Sequence[str]) -> tuple[float, float] | None:
        """First and last x of all runs; None where the lines that are drawn tell."""
        if self._metric == _EX:
            return None
        spans = [span for run_id in run_ids if (of := self._history(run_id)) and (span := of.span(self._x))]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def _line(self, run_id: str, glyph: str, buckets: int) -> Line:
        history = self._history(run_id)
        if history is None:
            return Line(run_id, (), (), glyph=glyph)
        if self._metric == _EX:
            xs, ys = self._ex_curve(history)
            return Line(run_id, xs, ys, glyph=glyph)
        curve = history.curve(self._metric, buckets, *self._range, self._x)
        if len(self.run_ids) > 2:  # more would hide each other
            return Line(run_id, curve.xs, curve.mean, glyph=glyph)
        return Line(run_id, curve.xs, curve.mean, curve.low, curve.high, glyph)

    def _ex_curve(self, history: History) -> tuple[list[float], list[float]]:
        steps, scores = comparison.ex_over_steps(history.snapshot().view)
        if self._x == XS[0]:
            return steps, scores
        xs = comparison.along(steps, *history.ways(self._x))
        return xs, scores[: len(xs)]

    def _show_standings(self, run_ids: Sequence[str]) -> None:
        standings = [self._standing(run_id) for run_id in run_ids]
        entries = [
            Entry(run_id, glyph, self._state(run_id), standing, place, self._problem(run_id))
            for run_id, glyph, standing, place in zip(
                run_ids, _GLYPHS, standings, comparison.places(standings), strict=False
            )
        ]
        self.query_one(Standings).show(entries)
        self.query_one(Pareto).show(
            [
                Point(entry.id, entry.glyph, style, entry.standing.ex, entry.standing.ms, entry.place)
                for entry, style in zip(entries, STYLES, strict=False)
                if entry.standing.ex is not None and entry.standing.ms is not None
            ]
        )

    def _show_settings(self, run_ids: Sequence[str]) -> None:
        known = [
            (glyph, run_id) for run_id, glyph in zip(run_ids, _GLYPHS, strict=False) if self._profile(run_id)
        ]
        rows = differing([self._profile(run_id) for _, run_id in known])
        self.query_one(DiffTable).show([glyph for glyph, _ in known], [run_id for _, run_id in known], rows)

    # What is known of a run

    def _row(self, run_id: str) -> Row | None:
        return self.app.monitor.row(run_id)

    def _history(self, run_id: str) -> History | None:
        return self.app.monitor.history(run_id)

    def _is_behind(self, run_id: str) -> bool:
        history = self._history(run_id)
        return history is not None and history.behind

    def _state(self, run_id: str) -> str:
        row = self._row(run_id)
        return row.state if row else ""

    def _problem(self, run_id: str) -> str:
        row, history = self._row(run_id), self._history(run_id)
        if row is None:
            return _GONE if self.app.monitor.rows or not self._path(run_id).is_dir() else ""
        return row.problem or (history.snapshot().problem if history else "")

    def _standing(self, run_id: str) -> Standing:
        history = self._history(run_id)
        if history is None:
            return Standing()
        return Standing(
            comparison.ex_of(history.snapshot().view), comparison.percentile(history.recent("ms.total"), 50)
        )

    def _profile(self, run_id: str) -> Mapping[str, Any]:
        """Its settings; of a run that cannot be read none. They never change: read once."""
        if run_id not in self._profiles:
            try:
                settings = Run(run_id, self._path(run_id)).info().get("profile")
            except KidError:
                return {}
            self._profiles[run_id] = settings if isinstance(settings, dict) else {}
        return self._profiles[run_id]

    def _path(self, run_id: str) -> Any:
        row = self._row(run_id)
        return row.path if row else paths.runs_dir() / run_id

    # Keys

    def action_metric(self) -> None:
        self._metric = turned(_METRICS, self._metric)
        self._show()

    def action_axis(self) -> None:
        self._x = turned(XS, self._x)
        self._range = (None, None)
        self.query_one(Chart).action_reset()
        self._show()

    def action_open(self) -> None:
        if self.chosen:
            self.app.open_run(self.chosen)

    def action_ask(self) -> None:
        if self.chosen:
            self.app.ask_with(self.chosen)

    def action_unmark(self) -> None:
        if self.chosen:
            self.app.toggle_mark(self.chosen)
            self._follow()

    def action_mark_newest(self) -> None:
        ended = [
            row.id for row in self.app.monitor.rows if row.state in ("done", "stopped") and not row.problem
        ]
        for run_id in ended[:2]:
            if run_id not in self.app.marked:
                self.app.toggle_mark(run_id)
        if not ended:
            self.app.say("no run has ended yet")
        self.on_screen_resume()

    @on(DataTable.RowSelected)
    @on(DataTable.CellSelected)
    def _selected(self) -> None:
        self.action_open()

    @on(Chart.Ranged)
    def _ranged(self, event: Chart.Ranged) -> None:
        self._range = (event.start, event.end)
        self._show_curves(self.run_ids)

    @on(Chart.Widened)
    def _widened(self) -> None:
        self._show_curves(self.run_ids)
