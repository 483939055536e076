"""The folder that an export becomes: made beside its place, moved there whole, never over what is not one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import KidError, UsageError
from engine.files import write_error

EXAMPLE, MADE_BY = "example.json", "kid export"


@contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder, which becomes `target` when the block ends well and goes when it does not.

    Args:
        replace: an export that is there goes.

    Raises:
        UsageError: `target` is there and not empty.
        KidError: disk full, no permission.
    """
    target = Path(os.path.realpath(target))
    require_free(target, replace=replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        building.chmod(0o755)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield building
        require_free(target, replace=replace)
        _move(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def require_free(target: Path, *, replace: bool) -> None:
    """Raises UsageError where something stands at `target` that must not be lost, or that hides it."""
    try:
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            return
    except OSError as error:
        raise KidError(f"cannot look into {target}: {error.strerror}", "check its permissions") from error
    if not target.is_dir():
        raise UsageError(f"{target} is a file", "name a folder that is not there yet")
    if not _is_export(target):
        raise UsageError(f"{target} is not empty", "name a folder that is not there yet")
    if not replace:
        raise UsageError(f"{target} has an export already", "--force replaces it, or name another folder")


def _is_export(folder: Path) -> bool:
    try:
        told = json.loads((folder / EXAMPLE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("made_by") == MADE_BY


def _move(building: Path, target: Path) -> None:
    old = building.with_name(f"{building.name}-old")
    try:
        if target.exists():
            target.rename(old)
        building.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise write_error(target, error) from error
    shutil.rmtree(old, ignore_errors=True)
