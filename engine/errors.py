"""What can go wrong because of the user's world, each with its exit code.

    KidError (1)              the work failed
    ├── UsageError (2)        the command line is wrong
    │   └── ProfileError      the profile is wrong
    ├── OpenError (3)         something could not be opened
    │   ├── ModelError        a model, tokenizer or adapter
    │   ├── DatabaseError     a database
    │   ├── DataError         a data set
    │   └── RunError          a run directory
    ├── TimeLimitError (4)    a time limit was reached
    └── RefusedError (5)      the SQL guard said no

Our own mistakes are `assert`s, never these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KidError(Exception):
    """A failure with one line for the user.

    Args:
        message: what failed and why, naming the thing; no full stop, no traceback.
        mend: what the user can do about it (optional).
    """

    exit_code = 1

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}\n  {self.mend}" if self.mend else self.message


class UsageError(KidError):
    exit_code = 2


class ProfileError(UsageError):
    pass


class OpenError(KidError):
    exit_code = 3


class ModelError(OpenError):
    pass


class DatabaseError(OpenError):
    pass


class DataError(OpenError):
    pass


class RunError(OpenError):
    pass


class TimeLimitError(KidError):
    exit_code = 4


class RefusedError(KidError):
    exit_code = 5


def describe(error: BaseException) -> dict[str, Any]:
    """An error on its way to another process: message, mend, exit code."""
    if isinstance(error, KidError):
        return {"message": error.message, "mend": error.mend, "exit_code": error.exit_code}
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    code = 130 if isinstance(error, KeyboardInterrupt) else 1
    return {"message": message, "mend": "err.log has the details", "exit_code": code}


def described(told: Mapping[str, Any]) -> KidError:
    """The error that `describe` told of."""
    failure = KidError(told["message"], told.get("mend", ""))
    failure.exit_code = told["exit_code"]
    return failure


def fault(error: Exception) -> KidError:
    """An error of our own making, on one line."""
    words = (str(error).splitlines() or [""])[0]
    return KidError(f"{type(error).__name__}: {words} (a fault in kid)")


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """A half sentence that names the nearest of `known`, e.g. `did you mean 'qwen-1.5b'?`."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + ", ".join(known) if known else "there is none"
