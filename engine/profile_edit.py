"""Read a profile file key by key, change one key, start a new file; comments and layout stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli
import tomlkit
from pydantic import BaseModel
from tomlkit.exceptions import TOMLKitError

from engine import files, profile
from engine.errors import ProfileError, UsageError
from engine.profile import Layer
from engine.profile_problems import Problem

EXTENDS = "extends"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a profile says to one dotted key.

    value: None where nothing says it; a mapping for a table.
    source: the file that says it; None for a default.
    """

    key: str
    value: Any
    source: Path | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A profile file key by key: `settings` in the order of the keys, empty when the text is not TOML."""

    settings: dict[str, Setting]
    problems: list[Problem]


def read(path: Path, text: str) -> Reading:
    """What a profile file says that may be wrong, here and in the files that it extends.

    Args:
        path: where the file is, or will be.
        text: what it says.
    """
    try:
        own = tomli.loads(text)
    except (ValueError, RecursionError) as error:  # what is no TOML; too long a number; too deep a list
        return Reading({}, [Problem("", f"not valid TOML: {error}", "")])
    extends = own.pop(EXTENDS, None)
    try:
        layers = profile.layers(path, text)
        problems = profile.problems(profile.merged(layers)[0])
    except ProfileError as error:
        layers = [Layer(path, own)]
        problems = [Problem("", error.message.removeprefix(f"{path}: "), error.mend)]
    settings = {EXTENDS: Setting(EXTENDS, extends, path if extends is not None else None)}
    settings |= {key: _setting(key, layers) for key, _ in profile.keys().items() if not _in_list(key)}
    return Reading(settings, problems)


def _setting(key: str, layers: Sequence[Layer]) -> Setting:
    field = profile.keys()[key]
    # What a file says of itself is not handed on.
    for layer in layers[:1] if key in ("name", "description", "recorded") else layers:
        value: Any = layer.values
        for name in key.split("."):
            if not isinstance(value, Mapping) or name not in value:
                break
            value = value[name]
        else:
            return Setting(key, value, layer.path)
        if not isinstance(value, Mapping):  # its table was taken out, as by teacher = "none"
            return Setting(key, None, None)
    if key == "name":
        return Setting(key, layers[0].path.stem, None)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return Setting(key, None if isinstance(default, BaseModel) else default, None)


def _in_list(key: str) -> bool:
    parents = (key[:end] for end, sign in enumerate(key) if sign == ".")
    return any(_kinds(parent) == {list} for parent in parents)


def is_table(key: str) -> bool:
    """Whether the key is a table, such as `student.lora`."""
    return any(issubclass(kind, BaseModel) for kind in _kinds(key))


def choices(key: str) -> tuple[str, ...]:
    """The words that a key can have, as they are typed; none where it is free."""
    if key == EXTENDS:
        return ()
    annotation = profile.keys()[key].annotation
    for kind in (annotation, *get_args(annotation)):
        if kind is bool:
            return ("true", "false")
        if get_origin(kind) is Literal:
            return get_args(kind)
    return ()


def typed(key: str, text: str) -> Any:
    """The value that a user means who types this text for a key; None for an empty one.

    Text needs no quotes and a list no brackets. Numbers keep the way they are written. What cannot be
    a value of this key comes back as text, for `read` to say what is wrong with it.
    """
    text = text.strip()
    kinds = _kinds(key)
    if not text:
        return None
    if list in kinds and str not in kinds and text != "none" and not text.startswith("["):
        text = f"[{text}]"
    if str in kinds and text[0] not in ("\"'[" if list in kinds else "\"'"):
        return text
    try:
        return tomlkit.value(text)
    except (TOMLKitError, ValueError, RecursionError):
        return text


def _kinds(key: str) -> set[type]:
    """The Python types that a key takes; a choice of words is str."""
    if key == EXTENDS:
        return {str}
    annotation = profile.keys()[key].annotation
    inner = get_args(annotation) if get_origin(annotation) not in (list, Literal) else ()
    kinds = set()
    for kind in inner or (annotation,):
        plain = str if get_origin(kind) is Literal else get_origin(kind) or kind
        if plain is not type(None):
            kinds.add(plain)
    return kinds


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
    """The TOML text with that key set (or taken out, for None, with the table that it leaves empty).

    Nothing else differs.

    Raises:
        ProfileError: the text is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ProfileError(f"not valid TOML: {error}") from None
    *tables, last = key.split(".")
    table: Any = document
    above: list[tuple[Any, str]] = []
    for name in tables:
        above.append((table, name))
        if not isinstance(table.get(name), MutableMapping):
            if value is None:
                return text
            table[name] = tomlkit.table()
        table = table[name]
    if value is None:
        table.pop(last, None)
        for parent, name in reversed(above):
            if "".join(tomlkit.dumps(parent[name]).split()) in ("", "{}"):  # one with a comment in it stays
                del parent[name]
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
