"""What the REPL says on stderr: SQL as it is written, checks, confidence, failures, differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine.errors import KidError
from engine.sql.contrast import Contrast
from kidtui import cells, console, narrate
from kidtui.repl import formats
from kidtui.repl.layout import lay_out

_BLOCKS = "▁▂▃▄▅▆▇█"
_INDENT = "  "
_LONGEST = 4_000  # columns of SQL that are shown
_NUM_BLOCKS = 50
_NUM_COLUMNS = 8  # columns of the schema that are named

Event = dict[str, Any]


class Still:
    """Where there is no terminal nothing is drawn."""

    def wait(self, words: Callable[[], str]) -> None:
        """Something is waited for; `words` name it, now and later."""

    def token(self, event: Event) -> None:
        """SQL goes on with this."""

    def clear(self) -> None:
        """Takes away what is drawn."""


class Drawing(Still):
    """What is waited for, then SQL as it is written: what the model is less sure of is dim."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._live: Any = None
        self._written: list[tuple[str, float]] = []
        self._waiting: Callable[[], str] = str

    def wait(self, words: Callable[[], str]) -> None:
        from rich.live import Live

        self._waiting = words
        if self._live is None:
            self._live = Live(
                get_renderable=self._draw, console=self._console, transient=True, refresh_per_second=12
            )
            self._live.start()

    def token(self, event: Event) -> None:
        self._written.append((event["text"], event["p"]))

    def clear(self) -> None:
        self._written = []
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> Any:
        from rich.text import Text

        if not self._written:
            return Text(_INDENT + self._waiting(), "dim")
        text = Text(_INDENT)
        for piece, probability in self._written:
            text.append(cells.shown(piece, _LONGEST), "" if probability > 0.5 else "dim")
        return text


class Narration:
    """The voice of a session.

    Args:
        live: there is a terminal whose lines can be drawn again: SQL is shown as it is written.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live

    def note(self, text: str) -> None:
        console.note(text)

    def error(self, failure: KidError) -> None:
        console.error(failure)

    @contextmanager
    def drawing(self) -> Iterator[Still]:
        """A line that is drawn again and again while one waits. Nothing of it stays on the screen."""
        drawing = Drawing() if self._live else Still()
        try:
            yield drawing
        finally:
            drawing.clear()

    def sql(self, event: Event, width: int) -> None:
        """SQL that a model wrote, with all that is known of it before it runs."""
        second = event["attempt"] > 1
        if second:
            self.note("second attempt")
        self.code(event["sql"], width)
        if event["columns"]:
            names = [f"{table}.{column}" for table, column in event["columns"]]
            more = f" and {len(names) - _NUM_COLUMNS} more" if len(names) > _NUM_COLUMNS else ""
            self._line("columns", ", ".join(names[:_NUM_COLUMNS]) + more)
        for problem in event["problems"]:
            self._line("check", _with_hint(problem["message"], problem["hint"]))
        if event["votes"]:
            votes, of = event["votes"]
            self._line(
                "vote", f"{votes} of {of} candidates give this result" if votes else "all candidates fail"
            )
        tokens = [(text, share) for text, share in event["tokens"] if text.strip()]
        if tokens:
            self._line("confidence", ribbon(tokens))
        self._line("model", f"{event['ms']:.0f} ms")

    def code(self, sql: str, width: int) -> None:
        """SQL, laid out and coloured."""
        for written in sql.splitlines():
            for line in lay_out(cells.shown(written, _LONGEST), width - len(_INDENT)):
                console.code(_INDENT + line)

    def failed(self, event: Event) -> None:
        """A query that failed."""
        self._line("failed", _with_hint(event["message"], event["hint"]))

    def finished(self, summary: str, milliseconds: float) -> None:
        self._line(summary, f"{milliseconds:.1f} ms in the database")

    def difference(self, found: Contrast, ours: str, theirs: str) -> None:
        """How two answers differ, in their trees and in their rows."""
        if found.same is None:
            for name, message in zip((ours, theirs), found.messages, strict=True):
                if message:
                    self._line(name, message)
            if not any(found.messages):
                self._line("rows", "not compared: there are too many")
        else:
            self._line("rows", "the same" if found.same else "not the same")
        for name, rows, num, of in zip(
            (ours, theirs), found.only, found.num_only, found.num_rows, strict=True
        ):
            if found.same is False and num:
                self._line(f"only {name}", f"{narrate.count(num)} of {narrate.count(of)} rows")
                result = formats.Result([f"{n}" for n in range(1, len(rows[0]) + 1)], rows)
                for line in list(formats.lines(result, "table", max_cell=40))[2:]:
                    self.note(2 * _INDENT + line)
        if found.lines:
            self._line("trees", f"- {theirs}, + {ours}")
            for line in found.lines:
                self.note(2 * _INDENT + cells.shown(line, _LONGEST))
        elif found.same:
            self._line("trees", "the same")

    def _line(self, name: str, text: str) -> None:
        self.note(f"{_INDENT}{name}: {cells.shown(text, _LONGEST)}")


def ribbon(tokens: Sequence[tuple[str, float]]) -> str:
    """A block for each token, as high as the model's probability for it, and the least of them named."""
    blocks = "".join(_BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)] for _, share in tokens)
    if len(blocks) > _NUM_BLOCKS:
        blocks = blocks[:_NUM_BLOCKS] + cells.CUT
    text, share = min(tokens, key=lambda token: token[1])
    return f"{blocks} least for {text.strip()!r}: {share:.2f} (not calibrated)"


def _with_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message
