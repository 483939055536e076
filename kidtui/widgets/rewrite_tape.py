"""The tape of rewrites: gold, masked and rewritten tokens, one under the other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from kidtui import narrate
from kidtui.cells import num_columns, shown
from kidtui.watch import Event

_LABELS = ("gold", "masked", "guess", "")
_INDENT = max(map(len, _LABELS)) + 2
_WIDEST_TOKEN = 24


def tape(rewrites: Sequence[Event], at: int, width: int) -> Text:
    """One answer as training has seen it, in lines of `width` columns.

    Under each masked token stands whether the student's guess is the gold token (✓) or not (✗).
    """
    rewrite = rewrites[at]
    gold, masked, guess = (_tokens(rewrite.get(name)) for name in ("gold", "masked", "imperfect"))
    columns = list(zip(gold, masked, guess, strict=False))
    hidden = [original != mask for original, mask, _ in columns]
    wrong = sum(original != guessed for original, _, guessed in columns)
    head = (
        f"step {narrate.count(rewrite.get('step'))}: {sum(hidden)} of {len(columns)} tokens masked,"
        f" {wrong} rewritten wrongly   ({at + 1}/{len(rewrites)})"
    )
    lines = [Text(head)]
    begin = 0
    while begin < len(columns):
        end, used = begin, _INDENT
        while end < len(columns) and (end == begin or used + _width(columns[end]) + 1 <= width):
            used += _width(columns[end]) + 1
            end += 1
        lines += _block(columns[begin:end], hidden[begin:end])
        begin = end
    return Text("\n").join(lines)


def _block(columns: Sequence[tuple[str, str, str]], hidden: Sequence[bool]) -> list[Text]:
    rows = [Text(label.ljust(_INDENT), style="dim") for label in _LABELS]
    for (original, mask, guessed), is_hidden in zip(columns, hidden, strict=True):
        right = original == guessed
        style = "" if not is_hidden else "bold green" if right else "bold red underline"
        mark = "" if not is_hidden else "✓" if right else "✗"
        cells = (
            (original, ""),
            (mask, "reverse" if is_hidden else "dim"),
            (guessed, style or "dim"),
            (mark, style),
        )
        width = _width((original, mask, guessed))
        for row, (token, token_style) in zip(rows, cells, strict=True):
            row.append(token, token_style.replace(" underline", "") if token == mark else token_style)
            row.append(" " * (width + 1 - num_columns(token)))
    return rows


def _tokens(value: object) -> list[str]:
    tokens = value if isinstance(value, list) else []
    return [shown(str(token).replace(" ", "·"), _WIDEST_TOKEN) or "∅" for token in tokens]


def _width(column: Sequence[str]) -> int:
    return max(map(num_columns, column))
