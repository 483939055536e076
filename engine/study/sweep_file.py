"""Sweep files: what is fixed, what varies, for how long; and the cells that this makes.

profile = "smollm2-135m"          # the base; --profile names another
set.eval.every = 0                # for all cells
budget.max_steps = 400
warm_start.steps = 100

[grid]                            # every combination …
train.seed = [0, 1, 2]

[[cell]]                          # … of each of these cells
label = "kid"
method.name = "kid"

[profiles.demo]                   # where the base is `demo` or builds on it
budget.max_steps = 100
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import paths, profile
from engine.errors import ProfileError, nearest
from engine.profile import Profile
from engine.study.search_space import SearchSettings, flat
from engine.study.sweep_tables import Budget, Launch, SweepFile, read

_MOST_CELLS = 100_000
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a sweep: its label, and the dotted keys in which it differs from the base."""

    label: str
    overrides: dict[str, Any]


@dataclass(frozen=True)
class Definition:
    """A sweep, resolved: nothing more is read from files.

    Attributes:
        name: the file's.
        base: the merged values of the base profile and of all that is fixed.
        warm_steps: of the SFT run before; 0 = none.
        listed: the cells in a list, flat; one without keys where there is only a grid.
        grid: dotted key -> values.
    """

    name: str
    path: Path
    base: dict[str, Any]
    warm_steps: int
    jobs: int
    launch: Launch
    listed: tuple[Cell, ...]
    grid: dict[str, list[Any]]
    search: SearchSettings | None

    @property
    def num_cells(self) -> int:
        """Counted, not built: a mistyped grid can have more than fit into memory."""
        if self.search is not None:
            return self.search.trials
        return len(self.listed) * math.prod(len(values) for values in self.grid.values())

    def cells(self) -> Iterator[Cell]:
        """Each cell of the list with every combination of the grid; none of a search."""
        if self.search is not None:
            return
        for cell in self.listed:
            for values in itertools.product(*self.grid.values()):
                varied = dict(zip(self.grid, values, strict=True))
                label = " ".join(filter(None, (cell.label, described(varied))))
                yield Cell(label or "base", {**cell.overrides, **varied})


def find(ref: str) -> Path:
    """The file of a sweep: a path, else a name.

    Names are looked up in ./sweeps, ./profiles/sweeps, the user's folder, the shipped ones.

    Raises:
        ProfileError: there is no such sweep; the nearest one is named.
    """
    if ref.endswith(".toml") or os.sep in ref:
        path = paths.typed_path(ref)
        if path.is_file():
            return path
        raise ProfileError(f"there is no sweep file {path}", "kid sweep --list shows what there is")
    known = available()
    if ref not in known:
        raise ProfileError(f"there is no sweep '{ref}'", nearest(ref, list(known)))
    return known[ref]


def available() -> dict[str, Path]:
    """Every sweep file that can be named; of two with one name, the first in search order."""
    found: dict[str, Path] = {}
    for folder in (Path("sweeps"), Path("profiles/sweeps"), paths.user_sweeps(), paths.shipped_sweeps()):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def define(
    path: Path, base: str | None = None, overrides: Sequence[str] = (), jobs: int | None = None
) -> Definition:
    """The sweep of that file on a base profile. On it come `[set]` and `[budget]`, those of
    `[profiles.NAME]`, then `--set`, then what each cell says.

    Args:
        base: name or path of a profile; default: the file's.
        overrides: `a.b=value`, for all cells.
        jobs: cells at a time; default: the file's.

    Raises:
        ProfileError, UsageError: see `read` and `engine.profile.load`; a key that is both fixed by
            `overrides` and varied.
    """
    file = read(path)
    found = profile.find(base or file.base)
    profile.from_file(found)  # what is wrong with it is not this sweep's doing
    layers = profile.layers(found)
    values, _ = profile.merged(layers)
    values["recorded"] = []  # results of a profile are not those of a changed one
    names = (values["name"], *(layer.path.stem for layer in layers))
    variants = [file, *(file.profiles[name] for name in names if name in file.profiles)][:2]
    warm_steps = 0
    for variant in variants:
        fixed = _checked_keys(flat(variant.fixed), f"{path}: set")
        for key, value in {**fixed, **(variant.budget or Budget()).values()}.items():
            put(values, key, value)
        if variant.warm_start is not None:
            warm_steps = variant.warm_start.steps
    definition = Definition(
        name=path.stem,
        path=path,
        base=values,
        warm_steps=warm_steps,
        jobs=jobs or file.jobs,
        launch=file.launch,
        listed=tuple(_listed(path, file)),
        grid=_grid(path, file),
        search=_searched(path, file),
    )
    for key, value in map(profile.parse_override, overrides):
        if varying := _varied_by(definition, key):
            raise ProfileError(f"--set {key}: {varying} says it", f"change it in {path}")
        put(values, key, value)
    return definition


def profile_of(base: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> Profile:
    """The profile of a cell.

    Args:
        where: file and cell, for the message.

    Raises:
        ProfileError: the profile refuses a value, or contradicts itself.
    """
    values = deepcopy(dict(base))
    for key, value in overrides.items():
        put(values, key, value)
    found = profile.problems(values)
    if found:
        raise ProfileError(f"{where}: " + "; ".join(problem.message for problem in found), found[0].mend)
    return Profile.model_validate(values)


def checked_cells(definition: Definition) -> list[Cell]:
    """All cells, each with a profile that holds and a label of its own. Of a search there are none yet: the
    ends of its ranges are checked.

    Raises:
        ProfileError: what is wrong, with the cells in which it is; nothing has been started.
    """
    if definition.num_cells > _MOST_CELLS:
        raise ProfileError(
            f"{definition.path}: {definition.num_cells:,} cells",
            f"at most {_MOST_CELLS:,}: shorten the lists",
        )
    cells = list(definition.cells())
    tried = cells
    if definition.search is not None:
        corners = definition.search.corners().items()
        tried = [Cell(f"{key} = {value!r}", {key: value}) for key, values in corners for value in values]
    problems: list[ProfileError] = []
    seen: set[str] = set()
    for cell in tried:
        where = f"{definition.path}: cell '{cell.label}'"
        if cell.label in seen:
            problems.append(ProfileError(f"{where} is there twice", "give each cell a label of its own"))
        seen.add(cell.label)
        try:
            profile_of(definition.base, cell.overrides, where)
        except ProfileError as error:
            problems.append(error)
    if problems:
        lines = [problem.message for problem in problems[:_SHOWN_PROBLEMS]]
        if more := len(problems) - len(lines):
            lines.append(f"and {more} more cells")
        raise ProfileError("\n  ".join(lines), problems[0].mend)
    return cells


def described(overrides: Mapping[str, Any]) -> str:
    """Values in few words: `kid mask_ratio=0.2 seed=1`."""
    words = []
    for key, value in overrides.items():
        last = key.rsplit(".", 1)[-1]
        unique = sum(other.rsplit(".", 1)[-1] == last for other in overrides) == 1
        text = str(value) if isinstance(value, str | int | float) else repr(value)
        words.append(text if key == "method.name" else f"{last if unique else key}={text}")
    return " ".join(words)


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested values."""
    *parents, last = key.split(".")
    for name in parents:
        inner = values.get(name)
        if not isinstance(inner, dict):
            inner = values[name] = {}
        values = inner
    values[last] = deepcopy(value)


def _listed(path: Path, file: SweepFile) -> Iterator[Cell]:
    if not file.cell:
        yield Cell("", {})
    for number, values in enumerate(file.cell, 1):
        settings = dict(values)
        label = settings.pop("label", None)
        if label is not None and not (isinstance(label, str) and label.strip() and label.isprintable()):
            raise ProfileError(
                f"{path}: cell {number}: label must be a line of text", "for example label = 'kid'"
            )
        overrides = _checked_keys(flat(settings), f"{path}: cell {label or number}")
        yield Cell(label or described(overrides), overrides)


def _grid(path: Path, file: SweepFile) -> dict[str, list[Any]]:
    grid = _checked_keys(flat(file.grid), f"{path}: grid")
    for key, values in grid.items():
        if not isinstance(values, list):
            raise ProfileError(f"{path}: grid: {key} must be a list of values", f"for example [{values!r}]")
        if not values:
            raise ProfileError(
                f"{path}: grid: {key} = [] leaves no cell: the grid is empty", "give it values"
            )
    return grid


def _searched(path: Path, file: SweepFile) -> SearchSettings | None:
    if file.search is not None:
        _checked_keys(file.search.ranges(), f"{path}: search.space")
    return file.search


def _checked_keys(values: dict[str, Any], where: str) -> dict[str, Any]:
    known = profile.keys()
    for key in values:
        if key not in known:
            raise ProfileError(f"{where}: unknown key '{key}'", _nearest_key(key))
    return values


def _nearest_key(key: str) -> str:
    """In a profile's own words."""
    try:
        profile.parse_override(f"{key}=0")
    except ProfileError as error:
        return error.mend
    return nearest(key, list(profile.keys()))


def _varied_by(definition: Definition, key: str) -> str:
    """What says this key, or a part of its table, cell by cell; "" if nothing does."""

    def touches(keys: Iterable[str]) -> bool:
        return any(f"{one}.".startswith(f"{key}.") or f"{key}.".startswith(f"{one}.") for one in keys)

    if touches(definition.grid):
        return "the grid"
    if definition.search is not None and touches(definition.search.ranges()):
        return "the search"
    return next((f"cell '{cell.label}'" for cell in definition.listed if touches(cell.overrides)), "")
