"""Where words go: stdout is data, stderr is narration."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from engine.errors import KidError

_LONGEST_LINE = 10_000  # columns, of one that has to be written out


def data(text: str) -> None:
    """Text that the user asked for, on stdout."""
    print(text, flush=True)


def data_json(value: Any, *, lines: bool = False) -> None:
    """A value as JSON on stdout: indented, or on one line as part of a stream."""
    data(json.dumps(value, ensure_ascii=False, indent=None if lines else 2, default=str))


def markdown(text: str) -> None:
    """A report's Markdown on stdout, laid out for reading; the same words in a pipe, without colour."""
    from rich.console import Console

    from kidtui.report import layout

    Console(highlight=False).print(layout(text), soft_wrap=True)


def note(text: str) -> None:
    """Narration, on stderr. What would drive a terminal (a table's name can) is written out."""
    print("\n".join(map(_plain, text.split("\n"))), file=sys.stderr, flush=True)


def code(sql: str) -> None:
    """A line of SQL on stderr, coloured where that is a terminal."""
    if not sys.stderr.isatty():
        note(sql)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    text = Syntax("", "sql", theme="ansi_dark", background_color="default").highlight(sql)
    text.rstrip()
    Console(stderr=True).print(text, soft_wrap=True)


def error(failure: KidError | dict[str, Any]) -> None:
    """A failure (ours, or a run_end event's) on stderr: what, then how to mend it."""
    if isinstance(failure, KidError):
        failure = {"message": failure.message, "mend": failure.mend}
    note(f"error: {failure['message']}")
    if failure.get("mend"):
        note(f"  {failure['mend']}")


def _plain(line: str) -> str:
    if line.isprintable():
        return line
    from kidtui import cells

    return cells.shown(line, _LONGEST_LINE)


def table(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> None:
    """Rows in columns on stdout; only the last column may be as wide as it likes. Cells may be from files."""
    cells = [list(headers), *([_plain(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        data("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
