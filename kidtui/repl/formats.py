"""The rows of a result as lines of text, the same on a terminal, in a pipe and in a file.

Three are for reading, three for programs:

table, vertical, markdown   A cell is cut to `max_cell`, and everything in it that is not seen is written
                            out (cells.py). NULL is `NULL`, a blob `x'0A1B'`. In markdown a line break
                            is `<br>`.
csv                         A cell is whole. Tabs and line breaks stay; the other characters that drive
                            a terminal are written out, such as `\\x1b`. NULL is nothing, an empty text
                            `""`, a blob `x'0A1B'`.
json, jsonl                 A cell is whole and exact: what is not seen is `\\u001b`, which every reader
                            turns back. NULL is null, a blob `{"blob": "0a1b"}`, an infinity
                            `{"float": "inf"}`. The second of two columns called `id` is `id_2`.

Integers are exact everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from kidtui import cells, narrate

FORMATS = ("table", "vertical", "csv", "json", "jsonl", "markdown")
MAX_CELL = 1000
"""Columns of a cell where nothing else limits it."""
NARROWEST = 6
"""A table's column keeps this width, or its own where that is less."""
LONGEST_NAME = 40
"""Of a column, in front of its values."""

_BAR = " │ "
_QUOTED = re.compile('[",\r\n]')
_LINE_BREAK = re.compile("\r\n|\n|\r")
_MARKUP = str.maketrans({"\\": "\\\\", "|": "\\|", "<": "&lt;", "&": "&amp;"})


@dataclass(frozen=True)
class Result:
    """What a query gave; `truncated`: there were more rows than these."""

    columns: Sequence[str]
    rows: Sequence[tuple[cells.Cell, ...]]
    truncated: bool = False


def lines(
    result: Result, format: str, *, width: int | None = None, max_cell: int = MAX_CELL
) -> Iterator[str]:
    """A result in one of `FORMATS`, line by line, without the ends of the lines.

    A record of csv is one of these lines even where its cells break lines.

    Args:
        width: columns that a table may take; wider columns give way first, and a table that cannot be
            made to fit is shown vertically. None: as wide as its cells.
        max_cell: columns of a cell that is shown for reading.
    """
    assert result.columns, "every query has a column"
    match format:
        case "table":
            return _table(result, width, max_cell)
        case "vertical":
            return _vertical(result, max_cell)
        case "csv":
            return _csv(result)
        case "json":
            return _json(result)
        case "jsonl":
            return _objects(result)
        case "markdown":
            return _markdown(result, max_cell)
    raise AssertionError(f"no such format: {format}")


def summary(result: Result) -> str:
    """How many rows there are, for stderr."""
    num_rows = len(result.rows)
    rows = "row" if num_rows == 1 else "rows"
    if result.truncated:
        return f"first {narrate.count(num_rows)} {rows}; there are more"
    return f"{narrate.count(num_rows) if num_rows else 'no'} {rows}"


def _table(result: Result, width: int | None, max_cell: int) -> Iterator[str]:
    columns = list(_columns(result))
    room = max_cell if width is None else max(1, min(max_cell, width))
    texts = [_measured(column, room) for column in columns]
    if width is not None:
        limit = _limit([max(widths) for _, widths in texts], width - len(_BAR) * (len(columns) - 1))
        if limit is None:
            yield from _vertical(result, max_cell)
            return
        for at, column in enumerate(columns):
            if max(texts[at][1]) > limit:
                texts[at] = _measured(column, limit)
    padded = [
        _padded(*pair, to_right=to_right) for pair, to_right in zip(texts, _numeric(result), strict=True)
    ]
    header, *rows = zip(*padded, strict=True)
    yield _BAR.join(header)
    yield "─┼─".join("─" * max(widths) for _, widths in texts)
    yield from map(_BAR.join, rows)


def _vertical(result: Result, max_cell: int) -> Iterator[str]:
    names = _padded(*_measured(result.columns, min(max_cell, LONGEST_NAME)), to_right=False)
    for number, row in enumerate(result.rows, start=1):
        yield f"── row {narrate.count(number)} ──"
        for name, cell in zip(names, row, strict=True):
            yield name + _BAR + cells.shown(cell, max_cell)


def _csv(result: Result) -> Iterator[str]:
    for row in chain([result.columns], result.rows):
        yield ",".join(map(_field, row))


def _field(cell: cells.Cell) -> str:
    text = cells.exact(cell)
    if cell == "" or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _json(result: Result) -> Iterator[str]:
    yield "["
    last = len(result.rows) - 1
    for at, line in enumerate(_objects(result)):
        yield f"  {line}" + ("," if at < last else "")
    yield "]"


def _objects(result: Result) -> Iterator[str]:
    from engine.protocol import tell_cell

    names = _distinct(result.columns)
    for row in result.rows:
        told = dict(zip(names, map(tell_cell, row), strict=True))
        text = json.dumps(told, ensure_ascii=False, allow_nan=False)
        yield cells.UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of which no two are equal: the second `id` is `id_2`."""
    taken = set(names)
    numbers: dict[str, int] = {}
    distinct = []
    for name in names:
        number, new = numbers.get(name, 0) + 1, name
        while number > 1 and (new := f"{name}_{number}") in taken:
            number += 1
        numbers[name] = number
        taken.add(new)
        distinct.append(new)
    return distinct


def _markdown(result: Result, max_cell: int) -> Iterator[str]:
    yield _markdown_row(result.columns, max_cell)
    yield "| " + " | ".join("---:" if numeric else "---" for numeric in _numeric(result)) + " |"
    for row in result.rows:
        yield _markdown_row(row, max_cell)


def _markdown_row(row: Sequence[cells.Cell], max_cell: int) -> str:
    return "| " + " | ".join(_markdown_cell(cell, max_cell) for cell in row) + " |"


def _markdown_cell(cell: cells.Cell, max_cell: int) -> str:
    if not isinstance(cell, str):
        return cells.shown(cell, max_cell)
    parts = _LINE_BREAK.split(cell[:max_cell])
    text = "<br>".join(cells.shown(part, max_cell).translate(_MARKUP) for part in parts)
    return text if len(cell) <= max_cell else text.removesuffix(cells.CUT) + cells.CUT


def _columns(result: Result) -> Iterator[tuple[cells.Cell, ...]]:
    """Each column from its name down."""
    return zip(result.columns, *result.rows, strict=True)


def _numeric(result: Result) -> Iterator[bool]:
    """Of each column, whether it holds numbers and nothing else; these stand to the right."""
    for _, *column in _columns(result):
        kinds = {type(cell) for cell in column} - {type(None)}
        yield bool(kinds) and kinds <= {int, float}


def _limit(widths: Sequence[int], room: int) -> int | None:
    """The width beyond which columns are cut so that all fit into `room`; None where they cannot."""
    limits = range(max(NARROWEST, *widths), NARROWEST - 1, -1)
    return next((limit for limit in limits if sum(min(width, limit) for width in widths) <= room), None)


def _measured(column: Sequence[cells.Cell], room: int) -> tuple[list[str], list[int]]:
    """Cells as they are shown, and the columns that each takes."""
    texts = [cells.shown(cell, room) for cell in column]
    return texts, [cells.num_columns(text) for text in texts]


def _padded(texts: Sequence[str], widths: Sequence[int], *, to_right: bool) -> list[str]:
    widest = max(widths)
    gaps = [" " * (widest - width) for width in widths]
    pairs = zip(gaps, texts, strict=True) if to_right else zip(texts, gaps, strict=True)
    return ["".join(pair) for pair in pairs]
