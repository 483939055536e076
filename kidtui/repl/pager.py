"""Lines on a terminal, in the user's pager where they are more than the screen shows."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import TextIO

PAGER = "less -SRFX"
"""Cuts no line in two, passes colours on, leaves when all fits, and what was read stays on the screen."""


def show(lines: Iterable[str], *, height: int, out: TextIO) -> None:
    """Writes lines to `out`; on a terminal, those that a screen of `height` cannot hold with a prompt go
    through the pager.

    `$PAGER` names another pager; set to nothing, it means none. A pager that cannot be started is none.
    One that ends early, or is interrupted, has shown what was wanted.
    """
    lines = iter(lines)
    screen = list(islice(lines, height))
    pager = _start(out) if len(screen) >= height and out.isatty() else None
    texts = (f"{line}\n" for line in chain(screen, lines))
    if pager is None:
        out.writelines(texts)
        out.flush()
    else:
        _read_in(pager, texts)


def _start(out: TextIO) -> subprocess.Popen[str] | None:
    if os.environ.get("TERM", "dumb") == "dumb":
        return None  # nothing there moves a cursor
    out.flush()
    try:
        return subprocess.Popen(
            shlex.split(os.environ.get("PAGER", PAGER)),
            stdin=subprocess.PIPE,
            stdout=out,
            encoding="utf-8",
            # Rows are only to be read: less in this mode starts no shell, and opens and writes no file.
            env={"LESSCHARSET": "utf-8", **os.environ, "LESSSECURE": "1"},
        )
    except (OSError, ValueError, IndexError):
        return None  # not found, not a command line, or empty


def _read_in(pager: subprocess.Popen[str], texts: Iterator[str]) -> None:
    assert pager.stdin
    try:
        with suppress(BrokenPipeError, KeyboardInterrupt):
            pager.stdin.writelines(texts)
    finally:
        with suppress(BrokenPipeError, KeyboardInterrupt):
            pager.stdin.close()
        _wait_for(pager)


def _wait_for(pager: subprocess.Popen[str]) -> None:
    while True:  # Ctrl-C is the pager's while it has the screen
        with suppress(KeyboardInterrupt):
            pager.wait()
            return
