"""The end of a log file, in lines."""

from __future__ import annotations

from pathlib import Path

_LAST_BYTES = 256 * 1024


def tail(path: Path) -> list[str]:
    """The last lines of a file (at most 256 KiB of it); of a line that was overwritten, what it became.

    Raises:
        OSError: it cannot be read. A file that is not there has no lines.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LAST_BYTES))
            text = file.read(_LAST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return []
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]
    if size > _LAST_BYTES:
        lines[0] = f"… {size - _LAST_BYTES} bytes before"
    return [] if lines == [""] else lines
