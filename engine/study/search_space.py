"""What a search may try: `[search]` of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from engine.settings import Table, mistake

_BOUNDS = {"low", "high", "log"}


class SearchSettings(Table):
    trials: int = Field(default=20, ge=1)
    """How many cells are tried."""
    space: dict[str, Any] = Field(min_length=1)
    """Dotted keys of the profile: { low = 1e-5, high = 1e-3, log = true }, or a list to choose from."""

    @model_validator(mode="after")
    def _sensible_ranges(self) -> SearchSettings:
        for key, values in self.ranges().items():
            if (
                isinstance(values, list)
                and values
                and all(isinstance(value, str | int | float | bool) for value in values)
            ):
                continue
            if not (isinstance(values, dict) and {"low", "high"} <= values.keys() <= _BOUNDS):
                raise mistake(
                    f"search.space: {key} is neither a range nor a list of values",
                    f"for example {key} = {{ low = 0.1, high = 0.5 }}",
                )
            low, high, log = values["low"], values["high"], values.get("log", False)
            if not (_is_number(low) and _is_number(high) and low < high and (low > 0 or not log)):
                raise mistake(
                    f"search.space: {key} goes from {low!r} to {high!r}"
                    + (", on a logarithmic scale" if log else ""),
                    "low must be less than high, and with log more than 0",
                )
        return self

    def ranges(self) -> dict[str, Any]:
        """Dotted key -> a list to choose from, or {"low", "high", "log"}."""
        return flat(self.space, leaf=lambda value: bool(_BOUNDS & value.keys()))

    def corners(self) -> dict[str, list[Any]]:
        """Dotted key -> the values that the profile must accept, for all to be sure."""
        return {
            key: values if isinstance(values, list) else [values["low"], values["high"]]
            for key, values in self.ranges().items()
        }


def flat(values: Mapping[str, Any], prefix: str = "", leaf: Any = lambda value: False) -> dict[str, Any]:
    """Nested tables as dotted keys.

    Args:
        leaf: tells of a table whether it is a value.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value and not leaf(value):
            found |= flat(value, f"{prefix}{key}.", leaf)
        else:
            found[prefix + key] = value
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
