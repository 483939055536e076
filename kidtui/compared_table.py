"""A comparison of runs on stdout, in a hundred columns: a pipe gets the same bytes as a terminal."""

from __future__ import annotations

import textwrap
from typing import Final

from engine.study.comparison import Comparison, markdown
from kidtui import cells, console

_WIDTH: Final = 100
_HELD: Final = "\x00%"  # a number and its % stay on one line


def show(comparison: Comparison, *, single: bool = False) -> None:
    """single: with a line for each run under a recipe of several seeds."""
    console.markdown(_wrapped(cells.told(markdown(comparison, with_runs=single, width=_WIDTH))))


def _wrapped(text: str) -> str:
    """Lines of text broken where they are wider than a table may be."""
    lines: list[str] = []
    for line in text.replace(" %", _HELD).split("\n"):
        is_text = not line.startswith("|") and len(line) > _WIDTH
        indent = "  " if line.startswith("- ") else ""
        lines += (
            textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
            if is_text
            else [line]
        )
    return "\n".join(lines).replace(_HELD, " %")
