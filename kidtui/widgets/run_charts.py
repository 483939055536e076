"""A run's two charts: its loss, and where the milliseconds of a step go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from kidtui import narrate
from kidtui.comparison import percentile
from kidtui.history import History
from kidtui.series import Curve
from kidtui.widgets.chart import Chart
from kidtui.widgets.curves import Line

if TYPE_CHECKING:
    from kidtui.app import KidApp

_LOSS = {"loss": "total", "loss_kd": "kd", "loss_mle": "mle"}
_PARTS = ("total", "prefix", "mask", "sample", "teacher", "student", "backward", "optimizer")
_METRICS = {"loss": _LOSS, "latency": {f"ms.{part}": part for part in _PARTS}}


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of steps, and what is known of it without a look at the disk."""

    start: float
    stop: float
    curves: tuple[Curve, ...]


class RunCharts(Horizontal):
    """Draws one history at a time. A range that the user has zoomed to is read from disk again."""

    app: KidApp
    DEFAULT_CSS = """
    RunCharts Chart { width: 1fr; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history: History | None = None
        # Of each chart that is zoomed, by its id:
        self._ranges: dict[str, tuple[float, float]] = {}
        self._parts: dict[str, _Part] = {}
        self._closer: dict[str, Sequence[Curve]] = {}  # as they stand on disk; until then there are none
        self._being_read: set[str] = set()

    def compose(self) -> ComposeResult:
        yield Chart("loss", id="loss", classes="pane")
        yield Chart("latency, ms a step", id="latency", classes="pane")

    def show(self, history: History) -> None:
        """Draw what is known of a run; another run begins with its whole range."""
        if history is not self._history:
            self._history = history
            for chart in self.query(Chart):
                chart.action_reset()
                self._forget(chart.id or "")
        for chart in self.query(Chart):
            self._draw(chart)

    @on(Chart.Ranged)
    def _ranged(self, event: Chart.Ranged) -> None:
        event.stop()
        name = event.chart.id or ""
        self._forget(name)
        if event.start is not None and event.end is not None:
            self._ranges[name] = (event.start, event.end)
        self._draw(event.chart)

    @on(Chart.Widened)
    def _widened(self, event: Chart.Widened) -> None:
        event.stop()
        self._draw(event.chart)

    def _forget(self, name: str) -> None:
        for kept in (self._ranges, self._parts, self._closer):
            kept.pop(name, None)

    def _draw(self, chart: Chart) -> None:
        history, name = self._history, chart.id or ""
        if history is None:
            return
        chosen = self._ranges.get(name)
        known = set(history.names())
        metrics = [metric for metric in _METRICS[name] if metric in known]
        curves = tuple(
            history.curve(metric, _num_buckets(chart), *(chosen or (None, None))) for metric in metrics
        )
        if chosen is None:
            self._show_curves(chart, history, curves)
            return
        part = _Part(*chosen, curves)
        if part != self._parts.get(name):  # steps were added to the range, or done again
            self._parts[name] = part
            self._look_closer(history, chart)
        self._show_curves(chart, history, self._closer.get(name) or curves)

    def _look_closer(self, history: History, chart: Chart) -> None:
        name = chart.id or ""
        if name not in self._being_read:
            self._being_read.add(name)
            work = partial(self._read, history, chart, self._parts[name], _num_buckets(chart))
            self.app.in_thread(work)

    def _read(self, history: History, chart: Chart, part: _Part, num_buckets: int) -> None:
        """In a thread: the steps of a range, as they stand on disk."""
        found: Sequence[Curve] = ()
        try:
            found = history.detail([curve.name for curve in part.curves], num_buckets, part.start, part.stop)
        finally:
            self.app.call_from_thread(self._have_read, history, chart, part, found)

    def _have_read(self, history: History, chart: Chart, part: _Part, found: Sequence[Curve]) -> None:
        name = chart.id or ""
        self._being_read.discard(name)
        now = self._parts.get(name)
        if now is None or self._history is None:
            return
        if history is self._history and (part.start, part.stop) == (now.start, now.stop):
            self._closer[name] = found if any(curve.xs for curve in found) else ()
            self._show_curves(chart, history, self._closer[name] or now.curves)
        if history is not self._history or part != now:  # there was news meanwhile
            self._look_closer(self._history, chart)

    def _show_curves(self, chart: Chart, history: History, curves: Sequence[Curve]) -> None:
        labels = _METRICS[chart.id or ""]
        note = _spread(history.recent("ms.total")) if chart.id == "latency" else ""
        lines = [
            Line(labels[curve.name], curve.xs, curve.mean, curve.low, curve.high)
            for curve in curves
            if curve.xs
        ]
        chart.show(lines, note, history.span())


def _num_buckets(chart: Chart) -> int:
    """Two a column: braille has as many."""
    return 2 * max(20, chart.size.width)


def _spread(milliseconds: Sequence[float]) -> str:
    """How the newest steps spread: the middle one, and what only 5 % exceed."""
    if not milliseconds:
        return ""
    middle, high = (percentile(milliseconds, share) for share in (50, 95))
    return f"p50 {narrate.count(middle)}  p95 {narrate.count(high)} ms"
