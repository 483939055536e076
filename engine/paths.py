"""Where things lie: shipped files, the user's folders, runs, data sets.

`KID_HOME` moves everything that kid writes under one folder; without it the
platform's own state, config, data and cache folders are used.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from engine.errors import UsageError

_ENGINE = Path(__file__).resolve().parent


def shipped_profiles() -> Path:
    """The folder of the profiles that ship with kid, in a wheel and in a checkout.

    A wheel carries them inside the package (hatchling's force-include); an
    editable install does not see that, and uses the folder beside the package.
    """
    in_wheel = _ENGINE / "_profiles"
    return in_wheel if in_wheel.is_dir() else _ENGINE.parent / "profiles"


def shipped_sweeps() -> Path:
    """The folder of the sweeps that ship with kid."""
    return shipped_profiles() / "sweeps"


def demo_source() -> Path:
    """The folder of the embedded demo: seed data, tokenizer, teacher."""
    return _ENGINE / "data" / "demo"


def typed_path(text: str) -> Path:
    """The path that a text means, `~` put in; it need not be there.

    Raises:
        UsageError: no file can have that name.
    """
    try:
        path = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
    except (RuntimeError, ValueError, OSError) as error:
        shown = text if len(text) < 100 else f"{text[:100]}…"
        raise UsageError(
            f"'{shown}' is no path: {getattr(error, 'strerror', None) or error}", "check it"
        ) from error
    return path


def real_path(path: Path) -> Path:
    """The path without links, as far as it can be followed: a circle of links or a vanished folder stays."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def _home(kind: str) -> Path:
    if home := os.environ.get("KID_HOME"):
        return Path(home).expanduser().absolute()
    return Path(getattr(platformdirs, f"user_{kind}_path")("kid", appauthor=False))


def runs_dir() -> Path:
    """`$KID_HOME/runs`, else `runs` in the user's state folder."""
    return _home("state") / "runs"


def evaluations_dir() -> Path:
    """Where answers of models that are no run's student are kept."""
    return _home("state") / "evaluations"


def history_file() -> Path:
    """What was typed in the REPL."""
    return _home("state") / "history"


def sweeps_dir() -> Path:
    """Sweeps, one folder each."""
    return _home("state") / "sweeps"


def user_profiles() -> Path:
    return _home("config") / "profiles"


def user_sweeps() -> Path:
    return _home("config") / "sweeps"


def config_file() -> Path:
    """The user's settings of the front end."""
    return _home("config") / "config.toml"


def cache_dir() -> Path:
    return _home("cache") / "cache"


def corrections_file() -> Path:
    """What the user has corrected in the REPL, unless another file was named."""
    return _home("data") / "corrections.jsonl"


def data_dirs(given: str | Path | None = None) -> list[Path]:
    """The folders in which data sets are looked for, first to last.

    `--data-dir` (given), then `KID_DATA_DIR`, then the user's data folder.
    """
    candidates = [given, os.environ.get("KID_DATA_DIR"), _home("data") / "data"]
    return [Path(folder).expanduser().absolute() for folder in candidates if folder]
