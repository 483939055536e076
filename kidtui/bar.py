"""The progress bar of `kid distill`, on a terminal's stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kidtui import narrate
from kidtui.watch import View


class Bar:
    """One line: what the run is at, a bar, loss in its parts, tokens/s, time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[counted]}"),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("starting", total=None, counted="", detail="")

    def show(self, view: View) -> None:
        at = view.progress
        training = at.name == "training"
        self._progress.update(
            self._task,
            description=at.name,
            completed=at.done,
            total=at.total or None,  # unknown: the bar pulses
            counted=f"{narrate.count(at.done)}/{narrate.count(at.total)}" if at.total else "",
            detail=self._detail(view) if training else "",
        )

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _detail(self, view: View) -> str:
        speed = f"{narrate.count(view.step.get('tokens_per_s'))} tokens/s"
        return f"{narrate.loss(view.step)}  {speed}  eta {narrate.duration(view.step.get('eta_s'))}"

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
