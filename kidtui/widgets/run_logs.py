"""What a run has said: its output, events, rewrites and probes, in tabs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import TabbedContent, TabPane

from kidtui.cycle import turned
from kidtui.history import History, LogLine
from kidtui.widgets.flip import Flip
from kidtui.widgets.lines import Lines
from kidtui.widgets.probes import answers
from kidtui.widgets.rewrite_tape import tape

TABS = ("events", "rewrite", "probes", "out", "err")


class RunLogs(Vertical):
    """The tabs; only the open one is drawn."""

    DEFAULT_CSS = """
    RunLogs TabPane { padding: 0; }
    RunLogs TabbedContent, RunLogs ContentSwitcher, RunLogs TabPane { height: 1fr; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, classes="pane")

    def compose(self) -> ComposeResult:
        with TabbedContent(initial=TABS[0]):
            with TabPane("events", id="events"):
                yield Lines("no events yet")
            with TabPane("rewrite", id="rewrite"):
                yield Flip(tape, "no rewrites yet: KID's runs have them")
            with TabPane("probes", id="probes"):
                yield Flip(answers, "no probes yet: evaluations bring them")
            with TabPane("out", id="out"):
                yield Lines("nothing on stdout")
            with TabPane("err", id="err"):
                yield Lines("nothing on stderr")

    @property
    def active(self) -> str:
        return self.query_one(TabbedContent).active

    @active.setter
    def active(self, tab: str) -> None:
        self.query_one(TabbedContent).active = tab

    def show(self, history: History) -> None:
        """Draw what the open tab shows of a run."""
        match self.active:
            case "events":
                self.query_one("#events Lines", Lines).show([_line(line) for line in history.lines()])
            case "rewrite":
                self.query_one("#rewrite Flip", Flip).show(history.snapshot().rewrites)
            case "probes":
                self.query_one("#probes Flip", Flip).show(history.snapshot().view.probes)

    def show_log(self, tab: str, lines: Sequence[str]) -> None:
        self.query_one(f"#{tab} Lines", Lines).show(list(lines))

    def turn_tab(self, by: int) -> None:
        self.active = turned(TABS, self.active, by)

    def turn(self, by: int) -> None:
        """To the rewrite or probes before or after; from another tab, to the rewrites."""
        if self.active not in ("rewrite", "probes"):
            self.active = "rewrite"
        else:
            self.query_one(f"#{self.active} Flip", Flip).turn(by)


def _line(line: LogLine) -> str:
    return f"{_clock(int(line.time))}  {line.words}"


@lru_cache(maxsize=2048)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))
