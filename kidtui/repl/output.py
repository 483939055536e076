"""Where rows go: stdout, or a file that was not there before."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from engine import files
from engine.errors import UsageError
from kidtui.repl import pager


class Output:
    """Writes results to stdout, or from `\\o FILE` on to that file, each at once and whole.

    Args:
        paged: long results on a terminal go through the pager.
    """

    def __init__(self, *, paged: bool) -> None:
        self._paged = paged
        self.file: Path | None = None

    def redirect(self, file: Path | None) -> None:
        """To a new file, or with None to stdout again.

        Raises:
            UsageError: there is such a file already: what is typed here changes none.
            OpenError: it cannot be written.
        """
        if file is not None:
            write_new(file, "")
        self.file = file

    def put(self, lines: Iterable[str]) -> None:
        """One result.

        Raises:
            KidError: the file cannot be written.
        """
        if self.file is not None:
            with files.appending(self.file) as append:
                append("".join(f"{line}\n" for line in lines))
            return
        height = os.get_terminal_size().lines if self._paged and sys.stdout.isatty() else sys.maxsize
        pager.show(lines, height=height, out=sys.stdout)


def write_new(path: Path, text: str) -> None:
    """Puts text into a file that must not be there yet.

    Raises:
        UsageError: there is such a file.
        OpenError: it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise UsageError(f"{path} is there already", "name a new file, or remove it first") from None
    except OSError as error:
        raise files.write_error(path, error) from error
    try:
        files.write_all(handle, text.encode())
    except OSError as error:
        path.unlink()
        raise files.write_error(path, error) from error
    finally:
        os.close(handle)
