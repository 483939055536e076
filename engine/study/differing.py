"""The settings in which runs differ, and which runs are worth their cost. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

ABSENT: Final = "absent"
"""In place of a setting that a run's profile does not have at all."""

UNKNOWN: Final = "?"
"""In place of a setting of a run whose profile cannot be read."""

_NO_SETTINGS: Final = frozenset({"description", "recorded"})


def differing(profiles: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """The settings that are not the same in all profiles: dotted key, and each profile's value as text."""
    every = [flat(profile) for profile in profiles]
    keys = dict.fromkeys(key for each in every for key in each)
    rows = [(key, tuple(each.get(key, ABSENT) for each in every)) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> value as text, without what is no setting: the description and recorded results."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if not prefix and name in _NO_SETTINGS:
            continue
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = _words(value)
    return found


def is_dominated(score: float, cost: float, known: Iterable[tuple[float, float]]) -> bool:
    """Whether another (score, cost) is at least as good and as cheap, and better in one of the two."""
    return any(other >= score and price <= cost and (other, price) != (score, cost) for other, price in known)


def _words(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
