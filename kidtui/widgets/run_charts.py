"""A run's two charts: its loss, and where the milliseconds of a step go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from kidtui import narrate
from kidtui.history import History
from kidtui.series import Curve
from kidtui.widgets.chart import Chart
from kidtui.widgets.curves import Line

_LOSS = {"loss": "total", "loss_kd": "kd", "loss_mle": "mle"}
_PARTS = ("total", "prefix", "mask", "teacher", "student", "backward", "optimizer")
_METRICS = {"loss": _LOSS, "latency": {f"ms.{part}": part for part in _PARTS}}


class RunCharts(Horizontal):
    """Draws one history at a time. A range that the user has zoomed to is read from disk again."""

    DEFAULT_CSS = """
    RunCharts Chart { width: 1fr; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history: History | None = None
        self._ranges: dict[str, tuple[float, float]] = {}

    def compose(self) -> ComposeResult:
        yield Chart("loss", id="loss", classes="pane")
        yield Chart("latency", unit="ms", id="latency", classes="pane")

    def show(self, history: History) -> None:
        """Draw what is known of a run; another run begins with its whole range."""
        if history is not self._history:
            self._history = history
            for chart in self.query(Chart):
                chart.action_reset()
            self._ranges.clear()
        for chart in self.query(Chart):
            if (chart.id or "") not in self._ranges:  # the past does not change
                self._draw(chart)

    @on(Chart.Ranged)
    def _ranged(self, event: Chart.Ranged) -> None:
        event.stop()
        name = event.chart.id or ""
        if event.start is None or event.end is None:
            self._ranges.pop(name, None)
            self._draw(event.chart)
            return
        self._ranges[name] = chosen = (event.start, event.end)
        self._draw(event.chart)
        if self._history is not None:
            closer = partial(self._look_closer, self._history, event.chart, chosen)
            self.run_worker(closer, thread=True, exclusive=True, group=name)

    def _look_closer(self, history: History, chart: Chart, chosen: tuple[float, float]) -> None:
        """In a thread: the steps of a range, as they stand on disk."""
        curves = history.detail(self._names(chart, history), _num_buckets(chart), *chosen)
        if any(curve.xs for curve in curves):
            self.app.call_from_thread(self._show_closer, history, chart, chosen, curves)

    def _show_closer(
        self, history: History, chart: Chart, chosen: tuple[float, float], curves: Sequence[Curve]
    ) -> None:
        if history is self._history and self._ranges.get(chart.id or "") == chosen:
            self._show_curves(chart, history, curves)

    def _draw(self, chart: Chart) -> None:
        if (history := self._history) is not None:
            chosen = self._ranges.get(chart.id or "", (None, None))
            names = self._names(chart, history)
            curves = [history.curve(name, _num_buckets(chart), *chosen) for name in names]
            self._show_curves(chart, history, curves)

    def _show_curves(self, chart: Chart, history: History, curves: Sequence[Curve]) -> None:
        labels = _METRICS[chart.id or ""]
        note = _spread(history.recent("ms.total")) if chart.id == "latency" else ""
        lines = [
            Line(labels[curve.name], curve.xs, curve.mean, curve.low, curve.high)
            for curve in curves
            if curve.xs
        ]
        chart.show(lines, note)

    def _names(self, chart: Chart, history: History) -> list[str]:
        known = set(history.names())
        return [name for name in _METRICS[chart.id or ""] if name in known]


def _num_buckets(chart: Chart) -> int:
    """Two a column: braille has as many."""
    return 2 * max(20, chart.size.width)


def _spread(milliseconds: Sequence[float]) -> str:
    """How the newest steps spread: the middle one, and the one that only 5 % exceed."""
    if not milliseconds:
        return ""
    ordered = sorted(milliseconds)
    middle, high = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))
    return f"p50 {narrate.count(middle)}  p95 {narrate.count(high)} ms"
