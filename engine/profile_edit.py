"""Change one key of a profile file, or start a new one; comments and layout stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AbstractTable

from engine import files, profile
from engine.errors import ProfileError, UsageError


def set_value(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a profile file, or take it out when the value is None.

    The file is checked before it is replaced: a value that would break the profile
    leaves it as it was.

    Raises:
        ProfileError: unknown key, impossible value.
        OpenError: the file cannot be written.
    """
    text = path.read_text("utf-8")
    changed = with_value(text, key, value)
    profile.from_file(path, text=changed)
    files.write_text(path, changed, sync=True)


def with_value(text: str, key: str, value: Any) -> str:
    """The TOML text with that key set; nothing else differs."""
    document = tomlkit.parse(text)
    *tables, last = key.split(".")
    table: Any = document
    for name in tables:
        if not isinstance(table.get(name), AbstractTable):
            if value is None:
                return text
            table[name] = tomlkit.table()
        table = table[name]
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value
    return tomlkit.dumps(document)


def new(name: str, base: str, folder: Path, overrides: list[str]) -> Path:
    """A new profile file that extends `base`, with these values on top.

    Raises:
        UsageError: the file exists already.
        ProfileError: there is no such base, an impossible name or value.
    """
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} exists already", "choose another name, or edit it")
    profile.find(base)
    text = f'extends = "{base}"\ndescription = "As {base}, but …"\n'
    for override in overrides:
        key, value = profile.parse_override(override)
        text = with_value(text, key, value)
    profile.from_file(path, text=text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProfileError(
            f"cannot make {folder}: {error.strerror}", "choose another folder with --to"
        ) from None
    files.write_text(path, text)
    return path
