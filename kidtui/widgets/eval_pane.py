"""How well the student does: EX over the steps, by difficulty, and what is wrong with its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Static

from kidtui import keys, narrate
from kidtui.cells import shown
from kidtui.watch import Event, View

_SPARKS = "▁▂▃▄▅▆▇█"
_HARDNESS = ("easy", "medium", "hard", "extra")


class EvalPane(Static, can_focus=True):
    """A summary of a run's evaluations. Enter opens the answers behind it."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("scores")

    class Opened(Message):
        """The user wants to see the answers."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", markup=False, id=id, classes="pane")
        self.border_title = "evaluation"
        self._evals: tuple[Event, ...] | None = None
        self._text = Text()

    def show(self, view: View) -> None:
        if view.evals is not self._evals:
            self._evals = view.evals
            self.border_subtitle = "Enter: examples" if view.evals else ""
            self._text = summary(view.evals)
            self.update(self._text, layout=False)

    @property
    def copy_text(self) -> str:
        """What is shown."""
        return self._text.plain

    def action_open(self) -> None:
        self.post_message(self.Opened())

    def on_click(self) -> None:
        self.post_message(self.Opened())


def summary(evals: Sequence[Event]) -> Text:
    """Evaluations as a few lines: the newest of each model, then difficulty and errors of the student."""
    if not evals:
        return Text("no evaluation yet", style="dim")
    newest = {str(event.get("split")): event for event in evals}
    student = [event for event in evals if str(event.get("split")).startswith("student")]
    lines = []
    heads = [
        f"{shown(name.replace('_', ' '), 20)} {narrate.number(event.get('ex'))}"
        for name, event in newest.items()
    ]
    lines.append(Text.assemble(("EX  ", "bold"), "   ".join(heads)))
    curve = [event["ex"] for event in student if isinstance(event.get("ex"), int | float)]
    if len(curve) > 1:
        lines.append(
            Text(f"over {len(curve)} evaluations  {sparks(curve)}  {curve[0]:.3f} → {curve[-1]:.3f}")
        )
    if student:
        lines += _details(student[-1])
    return Text("\n").join(lines)


def sparks(values: Sequence[float]) -> str:
    """Shares from 0 to 1 as bars; of many, the newest 40."""
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[min(top, max(0, round(min(value, 1) * top)))] for value in values[-40:])


def _details(event: Mapping[str, Any]) -> list[Text]:
    lines = []
    hardness = event.get("by_hardness")
    if isinstance(hardness, dict) and hardness:  # a text task has no difficulties
        known = [(name, hardness[name]) for name in _HARDNESS if isinstance(hardness.get(name), dict)]
        parts = [f"{name} {narrate.number(of.get('ex'), 2)} {_bar(of.get('ex'))}" for name, of in known]
        lines.append(Text("difficulty  " + "  ".join(parts)))
    errors = event.get("errors")
    if isinstance(errors, dict) and errors:
        most = sorted(errors.items(), key=lambda item: -_whole(item[1]))
        parts = [
            f"{shown(str(name), 20).replace('_', ' ')} {_whole(number)}"
            for name, number in most
            if _whole(number)
        ]
        lines.append(Text("errors      " + "  ".join(parts)))
    return lines


def _bar(share: Any) -> str:
    return sparks([share]) if isinstance(share, int | float) else " "


def _whole(number: Any) -> int:
    return number if isinstance(number, int) else 0
