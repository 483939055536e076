"""A cell as text that breaks no terminal and hides nothing.

What is not seen is written out, as Python writes it: `\\n`, `\\x1b`, `\\u202e`. That holds for controls
(C0, DEL, C1), line separators, marks that turn the direction of text, lone surrogates, and characters
without width. Two of these stay where they belong: the joiners of emoji and of Indic and Arabic words.
A backslash of the text's own is left as it is.
"""

from __future__ import annotations

import re
from typing import Final

from wcwidth import iter_graphemes, wcswidth, wcwidth

from kidtui import narrate

Cell = None | int | float | str | bytes

NULL = "NULL"
CUT = "…"
_LONGEST_LINE: Final = 2000
_LOOKED_AT: Final = 8
"""Characters read for each column that there is: enough for any script and for most emoji."""

_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SEPARATORS = "\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
_UNSEEN = (
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_STRAY_JOINER = "[\u200c\u200d](?![\u0300-\U0010ffff])"
_DRIVING = _TURNING + _SEPARATORS + _SURROGATES + "\x7f-\x9f"
UNSAFE = re.compile(f"[\0-\x1f{_DRIVING}{_UNSEEN}]|{_STRAY_JOINER}")
"""One character that is not shown as it is."""
_UNSAFE_IN_A_FILE = re.compile(f"[\0-\x08\x0b\x0c\x0e-\x1f{_DRIVING}]|\r(?!\n)")


def shown(cell: Cell, room: int) -> str:
    """A cell on one line, for reading, in `room` columns at most; what was cut ends in `…`.

    NULL is `NULL`; a blob is `x'0A1B'`, its size added where it is cut; a float is as Python writes it.
    The time taken depends on `room`, not on the length of the cell.
    """
    assert room > 0
    if isinstance(cell, bytes):
        return _blob(cell, room)
    return _text(NULL if cell is None else cell if isinstance(cell, str) else exact(cell), room)


def told(text: str) -> str:
    """Words of ours with names from disk in them: as `shown`, but line breaks stay."""
    return "\n".join(shown(line, _LONGEST_LINE) if line else "" for line in text.split("\n"))


def exact(cell: Cell) -> str:
    """A whole cell, for a file: tabs and line breaks stay, and so does what only has no width.

    The other characters that drive a terminal are written out here, too. NULL is empty.
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return _UNSAFE_IN_A_FILE.sub(_written_out, cell)
    if isinstance(cell, bytes):
        return f"x'{cell.hex().upper()}'"
    return repr(cell)


def num_columns(text: str) -> int:
    """The columns that shown text takes on a terminal."""
    return len(text) if text.isascii() else wcswidth(text)


def _text(text: str, room: int) -> str:
    head = text[: room + 1]
    if head.isascii() and head.isprintable():
        return text if len(text) <= room else head[: room - 1] + CUT
    head = text[: _LOOKED_AT * room]
    whole = _visible(head)
    if len(head) == len(text) and num_columns(whole) <= room:
        return whole
    pieces: list[str] = []
    used = 0
    for piece in iter_graphemes(head):  # neither an emoji nor what is written out is cut in two
        pieces.append(_visible(piece))
        used += num_columns(pieces[-1])
        if used >= room:
            break
    while num_columns("".join(pieces)) >= room:
        pieces.pop()
    return "".join(pieces) + CUT


def _blob(blob: bytes, room: int) -> str:
    size = len(blob)
    if 2 * size + 3 <= room:
        return exact(blob)
    tail = f"{CUT}' ({narrate.count(size)} bytes)"
    num_shown = max(0, room - len("x'") - len(tail)) // 2
    return _text(f"x'{blob[:num_shown].hex().upper()}{tail}", room)


def _visible(text: str) -> str:
    """Nothing unsafe, and no accent at the start that would sit on what stands before the cell."""
    text = UNSAFE.sub(_written_out, text)
    return ascii(text[0])[1:-1] + text[1:] if text and wcwidth(text[0]) == 0 else text


def _written_out(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
