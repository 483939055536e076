"""Change one key of a profile file, or start a new one; comments and layout stay as they are."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from engine import files, profile
from engine.errors import ProfileError, UsageError


def set_value(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a profile file, or take it out when the value is None.

    The file is checked before it is replaced: a value that would break the profile
    leaves it as it was.

    Raises:
        ProfileError: no such file, not TOML, unknown key, impossible value.
        OpenError: the file cannot be written.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    changed = with_value(text, key, value)
    profile.from_file(path, text=changed)
    files.write_text(path, changed, sync=True)


def with_value(text: str, key: str, value: Any) -> str:
    """The TOML text with that key set (or taken out, for None); nothing else differs.

    Raises:
        ProfileError: the text is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ProfileError(f"not valid TOML: {error}") from None
    *tables, last = key.split(".")
    table: Any = document
    for name in tables:
        if not isinstance(table.get(name), MutableMapping):
            if value is None:
                return text
            table[name] = tomlkit.table()
        table = table[name]
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value
    return tomlkit.dumps(document)


def new(name: str, base: str, folder: Path, overrides: Sequence[str] = ()) -> Path:
    """A new profile file that extends `base`, with `a.b=value` on top.

    Raises:
        UsageError: the file exists already.
        ProfileError: there is no such base, an impossible name or value.
        OpenError: the folder or the file cannot be written.
    """
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} exists already", "choose another name, or edit it")
    origin = profile.find(base)
    if os.sep in name:
        raise ProfileError(f"'{name}' is no name of a profile", "the folder is named with --to")
    # A name stays a name; a path is meant from here, not from the new file's folder.
    extends = str(origin.resolve()) if base.endswith(".toml") or os.sep in base else base
    text = tomlkit.dumps({"extends": extends, "description": f"{origin.stem}, changed"})
    for override in overrides:
        text = with_value(text, *profile.parse_override(override))
    profile.from_file(path, text=text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.write_error(folder, error) from error
    files.write_text(path, text, sync=True)
    return path
