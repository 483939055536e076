"""What a sweep file may say: one class per table, one field per key.

The docstring under a field is its help text: error messages show it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import tomli
from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from engine import files
from engine.errors import ProfileError, nearest
from engine.profile_problems import explain
from engine.settings import Table, mistake
from engine.study.search_space import SearchSettings

# Training by time ends by time: so many passes no run makes.
_ENDLESS_EPOCHS = 1000.0


class Budget(Table):
    max_steps: int = Field(default=0, ge=0)
    """Optimizer steps of every cell; 0 = as the profile says."""
    seconds: float = Field(default=0.0, ge=0)
    """Seconds of training of every cell, in place of a number of steps; 0 = by steps."""

    @model_validator(mode="after")
    def _one_measure(self) -> Budget:
        if self.max_steps and self.seconds:
            raise mistake("budget has both max_steps and seconds", "remove one: equal steps or equal time")
        return self

    def values(self) -> dict[str, Any]:
        """The keys of a profile that it sets, dotted."""
        if self.seconds:
            return {
                "train.max_seconds": self.seconds,
                "train.max_steps": 0,
                "train.epochs": _ENDLESS_EPOCHS,
            }
        return {"train.max_steps": self.max_steps, "train.max_seconds": 0.0} if self.max_steps else {}


class WarmStart(Table):
    steps: int = Field(default=0, ge=0)
    """Steps of one SFT run that all cells of a student and seed start from; they count for none of them."""


class Launch(Table):
    engine: Literal["local", "ray"] = Field(default="local", alias="with")
    """local = processes on this machine; ray = tasks on a ray cluster (pip install 'kid-sql[ray]')."""
    num_cpus: float = Field(default=1.0, gt=0)
    """ray: cores that a cell asks for."""


class Variant(Table):
    """What is otherwise where the sweep's base is a certain profile."""

    fixed: dict[str, Any] = Field(default_factory=dict, alias="set")
    """Keys of the profile, for all cells."""
    budget: Budget | None = None
    """How long every cell trains."""
    warm_start: WarmStart | None = None
    """What all cells start from."""


class SweepFile(Variant):
    description: str = ""
    """One line for lists."""
    base: str = Field(default="demo", min_length=1, alias="profile")
    """The profile that all cells build on: a name or a path."""
    jobs: int = Field(default=1, ge=1)
    """Cells that run at a time."""
    grid: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of the profile, each with a list of values: every combination is a cell."""
    cell: list[dict[str, Any]] = Field(default_factory=list)
    """Cells in a list: a label, and dotted keys of the profile."""
    profiles: dict[str, Variant] = Field(default_factory=dict)
    """By the base's name: set, budget and warm_start in place of those above."""
    search: SearchSettings | None = None
    """In place of grid and cell: let optuna choose what to try."""
    launch: Launch = Launch()
    """Where cells run."""

    @model_validator(mode="after")
    def _something_to_do(self) -> SweepFile:
        if self.search is not None and (self.grid or self.cell):
            raise mistake("search stands in place of grid and cell", "remove one of them")
        if self.search is None and not self.grid and not self.cell:
            raise mistake(
                "there is nothing to run: the grid is empty",
                "give [grid] lists of values, [[cell]] tables, or [search]",
            )
        return self


def read(path: Path) -> SweepFile:
    """A sweep file, checked but for what the base profile has to say.

    Raises:
        ProfileError: not TOML, an unknown key, an impossible value, an empty grid.
        DataError: it cannot be read.
    """
    try:
        values = tomli.loads(files.read_text(path, "the sweep"))
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: not valid TOML: {error}") from None
    try:
        return SweepFile.model_validate(values)
    except ValidationError as error:
        raise _problem(path, error) from None


def _problem(path: Path, error: ValidationError) -> ProfileError:
    lines, mends = [], []
    for one in error.errors():
        if one["type"] == "extra_forbidden":
            table = ".".join(str(part) for part in one["loc"][:-1])
            inside = [key for key in _keys() if key.rpartition(".")[0] == table]
            lines.append(f"{path}: unknown key '{'.'.join(map(str, one['loc']))}'")
            mends.append(nearest(".".join(map(str, one["loc"])), inside))
        else:
            problem = explain(one, _keys())
            lines.append(f"{path}: {problem.message}")
            mends.append(problem.mend)
    return ProfileError("\n  ".join(lines), mends[0])


@cache
def _keys() -> dict[str, FieldInfo]:
    """Every key of a sweep file as it is written, dotted."""
    found: dict[str, FieldInfo] = {}
    tables: dict[str, type[Table]] = {
        "": SweepFile,
        "budget.": Budget,
        "warm_start.": WarmStart,
        "launch.": Launch,
        "search.": SearchSettings,
    }
    for prefix, table in tables.items():
        for name, field in table.model_fields.items():
            found[prefix + (field.alias or name)] = field
    return found
