"""The files of profiles: listed with what they build on, copied, renamed, deleted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import files, paths, profile, profile_edit
from engine.errors import KidError, OpenError, UsageError

_LARGEST = 1 << 20
"""Bytes of a file that is still opened."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A profile that can be named.

    origin: project, user or shipped.
    bases: what it builds on, nearest first.
    problem: why no run can be made from it, on one line; "" if one can.
    """

    name: str
    path: Path
    origin: str
    bases: tuple[Path, ...] = ()
    description: str = ""
    problem: str = ""


def entries() -> list[Entry]:
    """Every profile that can be named: the project's, the user's, the shipped ones."""
    return [_entry(file) for file in profile.available()]


def _entry(file: profile.ProfileFile) -> Entry:
    bases: tuple[Path, ...] = ()
    try:
        layers = profile.layers(file.path)
        bases = tuple(layer.path for layer in layers[1:])
        found = profile.problems(profile.merged(layers)[0])
    except KidError as error:
        problem = error.message.removeprefix(f"{file.path}: ")
        return Entry(file.name, file.path, file.origin, bases, problem=problem)
    description = str(layers[0].values.get("description", ""))
    problem = found[0].message if found else ""
    return Entry(file.name, file.path, file.origin, bases, description, problem)


def first(among: Sequence[Entry]) -> Path | None:
    """The one to show first: the first of the user's own that is sound; without one, the demo."""
    own = [entry for entry in among if entry.origin != "shipped" and not entry.problem]
    demo = [entry for entry in among if entry.name == "demo"]
    return next((entry.path for entry in (*own, *demo, *among)), None)


def text_of(path: Path) -> str:
    """A profile's text with its own line ends.

    Raises:
        OpenError: it cannot be read, or is no text of a likely size.
    """
    try:
        if not path.is_file():
            raise OpenError(f"{path.name} is no file" if path.exists() else f"{path.name} is no longer there")
        if path.stat().st_size > _LARGEST:
            raise OpenError(f"{path.name} is too large for a profile")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise OpenError(f"{path.name} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise OpenError(f"{path.name} cannot be read: {error.strerror}") from error


def stamps() -> dict[Path, tuple[int, int] | None]:
    """What tells a changed profile file from an unchanged one, of every profile that can be named."""
    return {file.path: stamp(file.path) for file in profile.available()}


def stamp(path: Path) -> tuple[int, int] | None:
    """Time of the last change (ns) and size; None for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def extended_by(path: Path, among: Iterable[Entry]) -> list[Entry]:
    """The profiles that build directly on this file."""
    here = paths.real_path(path)
    return [entry for entry in among if entry.bases and paths.real_path(entry.bases[0]) == here]


def name_problem(name: str, among: Iterable[Entry]) -> str:
    """Why a profile cannot be called this; "" if it can."""
    if not _NAME.fullmatch(name):
        return "letters, digits, '.', '_' and '-', a letter or digit first, 60 at most"
    taken = [entry.origin for entry in among if entry.name == name]
    return f"there is a {taken[0]} profile of this name" if taken else ""


def free_name(wish: str, among: Iterable[Entry]) -> str:
    """The wish, or with the first number at its end that makes a free name of it."""
    taken = {entry.name for entry in among}
    wish = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+", "", wish)[:55] or "profile"
    names = (wish, *(f"{wish}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def new(name: str, base: Entry) -> Path:
    """A profile in the user's folder that builds on another one.

    Raises:
        KidError: the file exists, cannot be written, or the base is broken.
    """
    return profile_edit.new(name, base.name, paths.user_profiles())


def duplicate(entry: Entry, name: str, text: str) -> Path:
    """A copy of a profile: its whole text, in its own folder; one that builds on it for a shipped one.

    Raises:
        KidError: the file exists, or cannot be written.
    """
    if entry.origin == "shipped":
        return new(name, entry)
    path = _free(entry.path.with_name(f"{name}.toml"))
    files.write_text(path, _called(text, name), sync=True)
    return path


def rename(entry: Entry, name: str, among: Iterable[Entry]) -> Path:
    """Give a profile's file another name; what builds on it follows.

    Raises:
        KidError: the name is taken, the file is gone, or a file cannot be written.
    """
    path = _free(entry.path.with_name(f"{name}.toml"))
    following = extended_by(entry.path, among)
    try:
        text = entry.path.read_text("utf-8")
        entry.path.rename(path)
    except (OSError, UnicodeDecodeError) as error:
        raise files.write_error(entry.path, error) from error
    if (renamed := _called(text, name)) != text:
        files.write_text(path, renamed, sync=True)
    for child in following:
        _follow(child, name)
    return path


def delete(entry: Entry) -> None:
    """Delete a profile's file; one that is gone already is no error.

    Raises:
        OpenError: it cannot be deleted.
    """
    try:
        entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise files.write_error(entry.path, error) from error


def _free(path: Path) -> Path:
    if path.exists():
        raise UsageError(f"{path} exists already", "choose another name")
    return path


def _called(text: str, name: str) -> str:
    """The text with `name` as it now is, where it says one at all; a text that is no TOML stays."""
    try:
        says_name = profile_edit.read(Path(f"{name}.toml"), text).settings["name"].source is not None
        return profile_edit.with_value(text, "name", name) if says_name else text
    except (KidError, KeyError):
        return text


def _follow(child: Entry, name: str) -> None:
    """Let a profile extend the new name of what it builds on, in the way it named it before."""
    text = files.read_text(child.path, "the profile")
    before = str(profile_edit.read(child.path, text).settings[profile_edit.EXTENDS].value)
    by_path = before.endswith(".toml") or os.sep in before
    extends = os.path.join(os.path.dirname(before), f"{name}.toml") if by_path else name
    files.write_text(child.path, profile_edit.with_value(text, profile_edit.EXTENDS, extends), sync=True)
