"""What one model answers: its SQL as it comes, checks, confidence, rows, times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import DataTable, Static

from engine.sql.select_grammar import RESERVED
from engine.sql.text import tokens
from kidtui import cells

if TYPE_CHECKING:
    from kidtui.asking import Answer, Attempt
    from kidtui.repl.formats import Result

_LONGEST = 4_000  # columns of SQL that are shown
_MOST_LINES = 200
_MOST_COLUMNS = 40  # of a result
_LONGEST_CELL = 60
_LONGEST_NAME = 30
_NUM_NAMES = 8  # columns used that are named
_SURE = 0.5
_KEYWORDS = frozenset(RESERVED.split())


class _Words(VerticalScroll, can_focus=True):
    copy_text = ""


class _Rows(DataTable[Text]):
    result: Result | None = None

    @property
    def copy_text(self) -> str:
        """The row at the cursor, whole."""
        if not self.result or not self.row_count:
            return ""
        return "\t".join(map(cells.exact, self.result.rows[self.cursor_row]))


class AnswerPane(Vertical):
    """Student or teacher.

    Args:
        name: of who answers, for the title.
        empty: what to say before there is an answer.
    """

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    AnswerPane _Words { height: auto; max-height: 100%; }
    AnswerPane.-rows _Words { max-height: 70%; }
    AnswerPane _Rows { display: none; height: 1fr; min-height: 3; background: transparent; }
    AnswerPane.-rows _Rows { display: block; }
    """

    def __init__(self, name: str, empty: str, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = name
        self._empty = empty
        self._answer: Answer | None = None
        self._text = Content("")

    def compose(self) -> ComposeResult:
        with _Words():
            yield Static(Content.styled(self._empty, "dim"), markup=False)
        yield _Rows(zebra_stripes=True, cursor_type="row")

    def show(self, answer: Answer | None, doing: str = "") -> None:
        """Draw an answer as far as it is there; `doing`: what is waited for, in place of its own word."""
        self._answer = answer
        width = max(20, self.content_size.width - 2)
        lines = told(answer, width) if answer else [Content.styled(self._empty, "dim")]
        text = Content("\n").join(lines)
        if text != self._text:
            self._text = text
            self.query_one(Static).update(text)
            self.query_one(_Words).copy_text = text.plain
        self.border_subtitle = Content(_state(answer, doing) if answer else "")
        self._show_rows(answer.last.result if answer and answer.last else None)

    def on_resize(self) -> None:
        if self._answer:
            self.show(self._answer)

    def _show_rows(self, result: Result | None) -> None:
        table = self.query_one(_Rows)
        if result is table.result:
            return
        table.result = result
        self.set_class(bool(result and result.rows), "-rows")
        table.clear(columns=True)
        if not result:
            return
        for name in result.columns[:_MOST_COLUMNS]:
            table.add_column(Text(cells.shown(name, _LONGEST_NAME)))
        for row in result.rows:
            table.add_row(*map(_cell, row[:_MOST_COLUMNS]))


def told(answer: Answer, width: int) -> Iterator[Content]:
    """All but the rows of an answer, in lines."""
    for note in answer.notes:
        yield Content.assemble(("! ", "bold $warning"), cells.shown(note, _LONGEST))
    if answer.own:
        yield Content.styled("── your SQL, run as it is ──", "bold $accent")
    for number, attempt in enumerate(answer.attempts, start=1):
        if number > 1:
            yield Content.styled("── second attempt ──", "bold $warning")
        if not attempt.sql:
            yield _as_it_comes(attempt.pieces, bool(answer.doing))
        elif attempt is answer.last:
            yield from _attempt(attempt, width)
        else:
            yield from coloured(attempt.sql, width)
            yield from _failed(attempt)
    if answer.error:
        yield from failure(*answer.error)
    if answer.cancelled:
        yield Content.styled("■ cancelled", "bold $warning")


def failure(message: str, mend: str) -> Iterator[Content]:
    """What failed, and how to mend it."""
    yield Content.assemble(("✗ ", "bold $error"), cells.shown(message, _LONGEST))
    for line in mend.splitlines()[-5:]:
        yield Content.styled(f"  {cells.shown(line, _LONGEST)}", "dim")


def coloured(sql: str, width: int) -> Iterator[Content]:
    """SQL laid out in lines, its keywords, texts and numbers told apart."""
    from kidtui.repl.layout import lay_out

    lines = [line for written in sql.splitlines() for line in lay_out(cells.shown(written, _LONGEST), width)]
    for line in lines[:_MOST_LINES]:
        yield Content.assemble(*((text, _style(kind, text)) for kind, text in tokens(line)))
    if len(lines) > _MOST_LINES:
        yield Content(cells.CUT)


def _attempt(attempt: Attempt, width: int) -> Iterator[Content]:
    from kidtui.repl.narration import ribbon

    yield from coloured(attempt.sql, width)
    if attempt.columns:
        names = [f"{table}.{column}" for table, column in attempt.columns[:_NUM_NAMES]]
        more = len(attempt.columns) - len(names)
        yield _line("uses", ", ".join(names) + (f" and {more} more" if more else ""))
    for problem in attempt.problems:
        if not attempt.failed or problem["message"] != attempt.failed["message"]:  # said once
            yield _marked("✗ check", _with_hint(problem["message"], problem["hint"]), "$error")
    if not attempt.problems and attempt.model_ms is not None and not attempt.failed:
        yield _marked("✓ check", "nothing found", "$success")
    if pieces := [(text, share) for text, share in attempt.pieces if text.strip()]:
        yield _line("confidence", ribbon(pieces))
    yield from _failed(attempt)
    if attempt.result:
        yield _marked("✓ rows", _summary(attempt.result), "$success")
    times = {"model": attempt.model_ms, "database": attempt.database_ms}
    if known := [f"{name} {value:.1f} ms" for name, value in times.items() if value is not None]:
        yield _line("time", ", ".join(known))


def _failed(attempt: Attempt) -> Iterator[Content]:
    if attempt.failed:
        yield _marked("✗ failed", _with_hint(attempt.failed["message"], attempt.failed["hint"]), "$error")


def _as_it_comes(pieces: list[tuple[str, float]], goes_on: bool) -> Content:
    """What the model is less sure of is dim."""
    parts = [(cells.shown(text, _LONGEST), "" if share > _SURE else "dim") for text, share in pieces if text]
    return Content.assemble(*parts, ("▏" if goes_on else cells.CUT, "bold $primary"))


def _state(answer: Answer, doing: str) -> str:
    if answer.doing:
        return f"… {doing or answer.doing}"
    if answer.cancelled:
        return "■ cancelled"
    if answer.error or (answer.last and answer.last.failed):
        return "✗ failed"
    return "✓ done"


def _summary(result: Result) -> str:
    from kidtui.repl.formats import summary

    num_columns = len(result.columns)
    cut = f"; {_MOST_COLUMNS} of {num_columns} columns" if num_columns > _MOST_COLUMNS else ""
    return summary(result) + cut


def _cell(value: cells.Cell) -> Text:
    text = Text(cells.shown(value, _LONGEST_CELL), style="dim" if value is None else "")
    text.justify = "right" if isinstance(value, int | float) else "left"
    return text


def _style(kind: str, text: str) -> str:
    if kind == "quoted":
        return "$success"
    if kind == "word" and text[0].isdigit():
        return "$warning"
    if kind == "word" and text.lower() in _KEYWORDS:
        return "bold $primary"
    return "dim" if kind == "gap" and text.strip() else ""


def _marked(name: str, text: str, style: str) -> Content:
    return Content.assemble((f"{name}  ", f"bold {style}"), cells.shown(text, _LONGEST))


def _line(name: str, text: str) -> Content:
    return Content.assemble((f"{name}  ", "dim"), cells.shown(text, _LONGEST))


def _with_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message
