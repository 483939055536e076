"""Files that are whole or not there: written beside the target, then moved onto it."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import DataError, KidError, OpenError


def read_text(path: Path, what: str, mend: str = "save it as UTF-8") -> str:
    """A file's text, without a byte order mark.

    Args:
        what: what the file is, for the message: "the predictions".
        mend: what to do where it is no text.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", mend) from error
    except OSError as error:
        raise DataError(
            f"cannot read {what} {path}: {error.strerror}", "check the path and its permissions"
        ) from error


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Put `text` at `path`, atomically; with `sync` a power cut does not take it back.

    Raises:
        KidError: the disk is full; nothing is left behind.
        OpenError: no permission, no such folder.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            try:
                write_all(handle, text.encode())
                if sync:
                    os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(temporary, path)
            if sync:
                flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, error) from error


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
    """Put `value` at `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", sync=sync)


def flush(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Raises:
        OSError: the system's.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # that of a file system which cannot, as of folders on some networks
            raise
    finally:
        os.close(handle)


@contextmanager
def appending(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that adds text to the end of `path`, each time at once and whole.

    Raises:
        KidError: the disk is full.
        OpenError: no permission, no such folder.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise write_error(path, error) from error

    def append(text: str) -> None:
        try:
            write_all(handle, text.encode())
        except OSError as error:
            raise write_error(path, error) from error

    try:
        yield append
    finally:
        os.close(handle)


def write_all(handle: int, content: bytes) -> None:
    """Write every byte: a disk that fills up takes a part first and refuses the rest."""
    while content:
        content = content[os.write(handle, content) :]


def write_error(path: Path, error: Exception) -> KidError:
    """What to tell the user when `path` could not be written.

    Args:
        error: the system's, or that of a library which hides it in its text or behind its own.
    """
    if isinstance(error.__context__, OSError) and not isinstance(error, OSError):
        error = error.__context__
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return KidError(f"cannot write {path}: the disk is full", "free some space, then try again or resume")
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return OpenError(f"cannot write {path}: {reason}", "check the folder and its permissions")
