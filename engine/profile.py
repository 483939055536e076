"""Profiles: a teacher, a student and every setting of a run, from TOML files.

A file may extend another one (`extends = "base"`); `--set a.b=value` comes on top.
What is wrong is said with the file, the key and how to mend it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import tomli
import tomlkit
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from engine import paths
from engine.errors import ProfileError, UsageError, nearest
from engine.profile_problems import Problem, explain
from engine.settings import Data, Eval, Launch, Method, Recorded, Student, Table, Teacher, Train, mistake

_OVERRIDE = "--set"


class Profile(Table):
    """A resolved profile: what a run is made from."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)
    """Name of the profile; runs are named after it. Left out: the file's name."""
    description: str = ""
    """One line for lists."""
    teacher: Teacher | None = None
    """The model that teaches; not needed by sft."""
    student: Student
    """The model that learns."""
    method: Method = Method()
    """How it learns."""
    data: Data = Data()
    """What it learns from."""
    train: Train = Train()
    """How long, how fast, in which batches."""
    eval: Eval = Eval()
    """When and on what it is scored."""
    launch: Launch = Launch()
    """In how many processes it trains."""
    recorded: list[Recorded] = Field(default_factory=list)
    """Earlier results that the report shows beside its own, named as such."""

    @model_validator(mode="after")
    def _teacher_where_needed(self) -> Profile:
        if self.teacher is None and self.method.name != "sft":
            raise mistake(
                f'method.name = "{self.method.name}" needs a teacher',
                'add [teacher] with a model, or set method.name = "sft"',
            )
        if self.teacher is None and self.student.model is None:
            raise mistake(
                "the student is made from the teacher's layers, but there is no [teacher]",
                "add [teacher] with a model, or set student.model",
            )
        return self

    @model_validator(mode="after")
    def _served_teacher_only_teaches(self) -> Profile:
        if self.teacher is None or not self.teacher.url:
            return self
        if self.student.model is None:
            raise mistake(
                "the student is made from the teacher's layers, which are the server's (teacher.url)",
                "set student.model, of the teacher's family",
            )
        if self.student.share_base:
            raise mistake(
                "student.share_base contradicts teacher.url: the teacher's weights are the server's",
                "remove student.share_base",
            )
        if self.method.name in ("seqkd", "f-distill"):
            raise mistake(
                f'method.name = "{self.method.name}" reads answers that the teacher writes, and a served'
                " teacher (teacher.url) is only asked for probabilities",
                "choose another method, or load the teacher here",
            )
        return self

    @model_validator(mode="after")
    def _one_base(self) -> Profile:
        teacher, student = self.teacher, self.student
        if teacher and student.quantize and student.model is None and teacher.adapter:
            raise mistake(
                "student.quantize: the student is made from the teacher with teacher.adapter merged in, and"
                " nothing is merged into quantised weights",
                "set student.model, or remove student.quantize",
            )
        if not student.share_base:
            return self
        if teacher is None:
            raise mistake("student.share_base: there is no [teacher] to share with", "remove it")
        for key in ("model", "device", "dtype", "quantize"):
            ours, theirs = getattr(student, key), getattr(teacher, key)
            if ours != theirs:
                raise mistake(
                    f"student.share_base: student.{key} = {ours or 'none'} and teacher.{key} ="
                    f" {theirs or 'none'} are not one",
                    f"set student.{key} to the teacher's, or remove student.share_base",
                )
        if student.adapter:
            raise mistake(
                "student.share_base: student.adapter would be merged into the teacher too",
                "remove student.adapter, or student.share_base",
            )
        return self

    def local(self) -> Profile:
        """The same without a teacher that a server has: what is loaded on this machine."""
        return self.model_copy(update={"teacher": None}) if self.teacher and self.teacher.url else self

    def trusts(self, model: str) -> bool:
        """Whether the Python code that comes with this model of the profile may run."""
        roles = [role for role in (self.teacher, self.student) if role is not None]
        return any(role.trust_remote_code for role in roles if role.model == model)

    def toml(self) -> str:
        """The whole profile as TOML, defaults included."""
        return tomlkit.dumps(self.model_dump(exclude_none=True))


@dataclass(frozen=True, slots=True)
class ProfileFile:
    name: str
    path: Path
    origin: str  # "project", "user" or "shipped"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one file of a chain says itself, as its TOML nests it, without `extends`."""

    path: Path
    values: dict[str, Any]


def load(ref: str | Path, overrides: Sequence[str] = ()) -> Profile:
    """The profile of that name or path, with `a.b=value` overrides applied.

    Raises:
        ProfileError: not found, not TOML, an unknown key, an impossible value.
        UsageError: an override that is not key=value.
    """
    return from_file(find(ref), overrides)


def from_file(path: Path, overrides: Sequence[str] = (), text: str | None = None) -> Profile:
    """As `load`, from this file; `text` stands in for what the file says."""
    values, origins = merged(layers(path, text))
    return _checked(values, origins, path, overrides)


def from_values(values: dict[str, Any], overrides: Sequence[str] = ()) -> Profile:
    """As `load`, from values that no file says. What is wrong with them is said as with an override."""
    return _checked(values, {}, Path(_OVERRIDE), overrides)


def _checked(
    values: dict[str, Any], origins: dict[str, str], path: Path, overrides: Sequence[str]
) -> Profile:
    for override in overrides:
        _apply(override, values, origins)
    found = problems(values)
    if not found:
        return Profile.model_validate(values)
    lines = [f"{_origin(problem.key, origins, path)}: {problem.message}" for problem in found]
    raise ProfileError("\n  ".join(lines), found[0].mend)


def layers(path: Path, text: str | None = None) -> list[Layer]:
    """What a file says itself and what those say that it builds on, nearest first; nothing merged yet.

    Args:
        text: stands in for what the file says.

    Raises:
        ProfileError: not found, not TOML, an unknown key, files that extend each other in a circle.
    """
    found: list[Layer] = []
    base: Path | None = path
    while base is not None:
        below = tuple(paths.real_path(layer.path) for layer in found)
        here = paths.real_path(base)
        if here in below:
            names = " → ".join(file.stem for file in (*below[below.index(here) :], here))
            raise ProfileError(
                f"{base}: profiles extend each other in a circle: {names}", "remove one 'extends'"
            )
        values = _read(base, None if found else text)
        extends = values.pop("extends", None)
        _check_keys(values, str(base))
        found.append(Layer(base, values))
        base = _base(extends, base, (*below, here)) if extends is not None else None
    return found


def merged(found: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of `layers` on top of each other, and the file that each dotted key comes from."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in reversed(found):
        own = deepcopy(layer.values)
        own.setdefault("name", layer.path.stem)
        # What a file says of itself is not handed on: a changed profile has other results.
        own |= {"description": own.get("description", ""), "recorded": own.get("recorded", [])}
        _merge(values, own)
        origins.update((key, str(layer.path)) for key, _ in _leaves(own))
    return values, origins


def problems(values: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with these merged values, in the order of the keys; empty when all is well."""
    try:
        Profile.model_validate(dict(values))
    except ValidationError as error:
        found = {problem.key: problem for problem in (explain(one, keys()) for one in error.errors())}
        return list(found.values())
    return []


def available() -> list[ProfileFile]:
    """Every profile that can be named, in search order; of two with one name, the first."""
    found: dict[str, ProfileFile] = {}
    for file in _search():
        found.setdefault(file.name, file)
    return list(found.values())


def find(ref: str | Path, skip: Sequence[Path] = ()) -> Path:
    """The file of a profile: a path, else a name in ./profiles, the user's folder, the shipped ones.

    Raises:
        ProfileError: there is no such profile; the nearest one is named.
    """
    text = os.fspath(ref)
    if text.endswith(".toml") or os.sep in text:
        path = _typed_path(text)
        if path.is_file():
            return path
        raise ProfileError(f"there is no profile file {path}", "kid profiles list shows what there is")
    for file in _search():
        if file.name == text and paths.real_path(file.path) not in skip:
            return file.path
    names = [file.name for file in available()]
    raise ProfileError(f"there is no profile '{text}'", nearest(text, names))


def _typed_path(text: str) -> Path:
    try:
        return paths.typed_path(text)
    except UsageError as error:
        raise ProfileError(error.message, error.mend) from None


def json_schema() -> dict[str, Any]:
    """JSON Schema of a profile file, for editors."""
    schema = Profile.model_json_schema()
    schema["properties"] = {
        "extends": {
            "type": "string",
            "description": "The profile that this one builds on: a name or a path.",
        },
        **schema["properties"],
    }
    schema["required"] = []
    return schema


@cache
def keys() -> dict[str, FieldInfo]:
    """Every key of a profile, dotted, with its type, limits and help text."""
    return dict(_keys(Profile, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield prefix + name, field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Table):
                yield from _keys(kind, f"{prefix}{name}.")


def _search() -> Iterator[ProfileFile]:
    shipped = paths.shipped_profiles()
    folders = [("project", Path("profiles")), ("user", paths.user_profiles()), ("shipped", shipped)]
    for origin, folder in folders:
        if origin == "project" and paths.real_path(folder) == paths.real_path(shipped):
            continue
        for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem):
            yield ProfileFile(path.stem, path, origin)


def _base(base: object, path: Path, chain: tuple[Path, ...]) -> Path:
    if not isinstance(base, str) or not base:
        raise ProfileError(f"{path}: extends must be the name or path of a profile, in quotes")
    if base.endswith(".toml") or os.sep in base:
        return find(path.parent / _typed_path(base))
    try:
        # A project's own `demo` may extend the shipped `demo`.
        return find(base, skip=chain)
    except ProfileError as error:
        in_chain = [file for file in chain if file.stem == base]
        if in_chain:
            return in_chain[0]
        raise ProfileError(f'{path}: extends = "{base}": {error.message}', error.mend) from None


def _read(path: Path, text: str | None) -> dict[str, Any]:
    if text is None and path.exists() and not path.is_file():
        raise ProfileError(f"{path}: cannot be read: it is no file")  # a pipe would never answer
    try:
        return tomli.loads(path.read_text("utf-8") if text is None else text)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # what is no TOML; too long a number; too deep a list
        raise ProfileError(f"{path}: not valid TOML: {error}") from None


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _check_keys(values: Mapping[str, Any], source: str) -> None:
    for key, _ in _leaves(values):
        if key not in keys():
            raise ProfileError(f"{source}: unknown key '{key}'", _nearest_key(key))


def _nearest_key(key: str) -> str:
    """The nearest known key: the same word in another table, else a similar one in its own."""
    *parents, last = key.split(".")
    same = [known for known in keys() if known.split(".")[-1] == last]
    if same:
        return f"did you mean '{same[0]}'?"
    while parents and ".".join(parents) not in keys():
        last = parents.pop()
    table = "".join(f"{parent}." for parent in parents)
    siblings = [known for known in keys() if known.startswith(table) and "." not in known[len(table) :]]
    return nearest(table + last, siblings) if siblings else f"{table[:-1]} is not a table"


def parse_override(override: str) -> tuple[str, Any]:
    """The dotted key and the value of `a.b=value`.

    Raises:
        UsageError: it is not key=value.
        ProfileError: there is no such key.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(
            f"{_OVERRIDE} {override}: not key=value", f"for example {_OVERRIDE} train.max_steps=100"
        )
    if key not in keys():
        raise ProfileError(f"{_OVERRIDE}: unknown key '{key}'", _nearest_key(key))
    return key, _toml_value(text.strip())


def _apply(override: str, values: dict[str, Any], origins: dict[str, str]) -> None:
    key, value = parse_override(override)
    layer = value
    for name in reversed(key.split(".")):
        layer = {name: layer}
    _check_keys(layer, _OVERRIDE)
    _merge(values, layer)
    origins.update((leaf, _OVERRIDE) for leaf, _ in _leaves(layer))


def _toml_value(text: str) -> Any:
    """A TOML value; what is not one, such as a bare word or a path, is taken as text."""
    try:
        parsed = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _origin(key: str, origins: Mapping[str, str], path: Path) -> str:
    """Where a key was said; a table as a whole, where it was said last."""
    inside = [source for known, source in origins.items() if known == key or known.startswith(f"{key}.")]
    if not inside or not key:
        return str(path)
    return _OVERRIDE if _OVERRIDE in inside else inside[0]
