"""What is wrong with a profile's values, in words that a user can act on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from engine.errors import nearest


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a profile's values; `key` is dotted, "" for the whole."""

    key: str
    message: str
    mend: str


_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotes",
    "string_too_short": "must not be empty",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_pattern_mismatch": "does not fit the pattern {pattern}",
    "literal_error": "must be one of {expected}",
}


def explain(error: Mapping[str, Any], known: Mapping[str, FieldInfo]) -> Problem:
    """pydantic's finding in our words, with the key's help text as the mend.

    Args:
        known: every key of a profile, dotted.
    """
    key = _known_key(error["loc"], known)
    context = error.get("ctx", {})
    if error["type"] == "kid":
        message = context["message"]
        names_key = key and key not in message and key in known and not _is_table(key, known)
        return Problem(key, f"{key} {message}" if names_key else message, context["mend"])
    words = _WORDS.get(error["type"], "{reason}").format(**context, reason=error["msg"])
    shown = "" if error["type"] == "missing" else f" = {json.dumps(error['input'], default=str)}"
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        expected = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        hint = nearest(error["input"], expected)
        if hint.startswith("did"):
            return Problem(key, f"{key}{shown} {words}", hint)
    help_text = known[key].description if key in known else ""
    return Problem(key, f"{key}{shown} {words}", f"{key}: {help_text}" if help_text else "")


def _known_key(location: Iterable[object], known: Mapping[str, FieldInfo]) -> str:
    """The longest part of pydantic's location that is a key: it adds list indices and union tags."""
    parts = [str(part) for part in location]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts)


def _is_table(key: str, known: Mapping[str, FieldInfo]) -> bool:
    return any(other.startswith(f"{key}.") for other in known)
