"""How Ask is laid out: all panes side by side, or one at a time where it is narrow."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Tab, Tabs

from kidtui.cycle import turned
from kidtui.screens.base import KidScreen
from kidtui.widgets.answer_pane import AnswerPane
from kidtui.widgets.ask_facts import AskFacts
from kidtui.widgets.difference import DifferencePane
from kidtui.widgets.question import Question
from kidtui.widgets.schema_tree import SchemaTree

_READ_ONLY = "asking starts a process, and this monitor is read-only"
_PARTS = ("student", "teacher", "difference", "schema")


class AskLayout(KidScreen):
    """The widgets of Ask, and which of them are seen."""

    AUTO_FOCUS = "#student _Words"
    DEFAULT_CSS = """
    AskLayout #ask { height: 1fr; }
    AskLayout #question { background: transparent; }
    AskLayout #answers { height: 2fr; }
    AskLayout AnswerPane { width: 1fr; height: 1fr; }
    AskLayout #difference { height: auto; min-height: 3; max-height: 35%; }
    AskLayout #schema { dock: left; width: 30; height: 1fr; }
    AskLayout #parts { display: none; }
    AskLayout.-narrow #parts { display: block; }
    AskLayout.-narrow .part { display: none; }
    AskLayout.-narrow .part.-shown { display: block; }
    AskLayout.-narrow #schema { dock: none; width: 100%; }
    AskLayout.-narrow #difference { height: 1fr; max-height: 100%; }
    """

    def body(self) -> Iterator[Widget]:
        with Vertical(id="ask"):
            readonly = self.app.readonly
            yield AskFacts(id="facts")
            question = Question("a question about this database", id="question", classes="pane")
            question.border_title = "question"
            question.disabled = readonly
            yield question
            yield Tabs(*(Tab(part, id=f"tab-{part}") for part in _PARTS), id="parts")
            with Horizontal(id="answers", classes="part -shown"):
                asks = _READ_ONLY if readonly else "/ writes a question, Enter asks it"
                too = "" if readonly else "t asks the teacher the same"
                yield AnswerPane("student", asks, id="student", classes="pane part -shown")
                yield AnswerPane("teacher", too, id="teacher", classes="pane part")
            yield DifferencePane(id="difference", classes="pane part")
            yield SchemaTree(id="schema", classes="pane part")

    def show_part(self, part: str) -> None:
        """Turn to a pane, where one is shown at a time."""
        self.query_one(Tabs).active = f"tab-{part}"

    def focus_part(self) -> None:
        """Leave the question for the pane that is shown, or the student's."""
        part = self.query_one(f"#{self._part}" if self.has_class("-narrow") else "#student")
        (part if part.can_focus else part.query("*").first()).focus()

    def action_question(self) -> None:
        self.query_one(Question).focus()

    def action_part(self, by: int) -> None:
        """The next of the panes, where one is shown at a time."""
        self.show_part(turned(_PARTS, self._part, by))
        self.call_after_refresh(self.focus_part)

    @property
    def _part(self) -> str:
        return self.query_one(Tabs).active.removeprefix("tab-")

    @on(Tabs.TabActivated)
    def _part_chosen(self) -> None:
        seen = {self._part, "answers" if self._part in ("student", "teacher") else ""}
        for widget in self.query(".part"):
            widget.set_class(widget.id in seen, "-shown")
