"""Names for compared runs: the method, and what else tells one from the other. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.settings import Method
from engine.study.differing import ABSENT, differing, flat

_NAMES_NOTHING: Final = frozenset({"name", "train.seed", "method.name"})
_LONG: Final = (".model", ".adapter")  # paths, of which the end is what one knows


def labels(every: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> list[str]:
    """A label for each profile, such as "kid mask_ratio=0.3"; all are different.

    Named are the keys of `[method]` that differ and are not the default's, and the default's, too, of a key
    that one method's runs vary: the only one, or one of three values or more. Where that does not tell two
    apart, other settings do, and at last their ids. A run without a profile has its id.
    """
    known = [settings for settings in every if settings]
    rows = {key: values for key, values in differing(known) if key not in _NAMES_NOTHING}
    methods = [str(settings["method"]["name"]) for settings in known]
    found = [_of_method(at, methods, rows) for at in range(len(known))]
    for key, values in rows.items():
        if not key.startswith("method."):
            found = _told_apart(found, key, values)
    named = iter(found)
    all_labels = [next(named) if settings else own for settings, own in zip(every, ids, strict=True)]
    counts = Counter(all_labels)
    return [
        f"{label} {own}" if counts[label] > 1 else label for label, own in zip(all_labels, ids, strict=True)
    ]


def _of_method(at: int, methods: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    words = [methods[at]]
    among = {
        key: {value for value, method in zip(values, methods, strict=True) if method == methods[at]}
        for key, values in rows.items()
        if key.startswith("method.")
    }
    num_varied = sum(len(values) > 1 for values in among.values())
    for key, values in among.items():
        name, value = key.removeprefix("method."), rows[key][at]
        is_varied = len(values) > 2 or (len(values) == 2 and num_varied == 1)
        if is_varied or value not in (ABSENT, _default(name)):
            words.append(f"{name}={value}")
    return " ".join(words)


def _told_apart(found: Sequence[str], key: str, values: Sequence[str]) -> list[str]:
    """The labels with one more setting in those that are the same but for it."""
    among = {label: {value for other, value in zip(found, values, strict=True) if other == label}
             for label in found}  # fmt: skip
    return [
        f"{label} {key}={_value(key, value, values)}" if len(among[label]) > 1 else label
        for label, value in zip(found, values, strict=True)
    ]


def _default(name: str) -> str:
    return flat({name: Method.model_fields[name].default})[name] if name in Method.model_fields else ""


def _value(key: str, value: str, values: Sequence[str]) -> str:
    """A model's last part, where that is enough to tell them apart."""
    ends = {one: one.rstrip("/").rpartition("/")[2] or one for one in values}
    return ends[value] if key.endswith(_LONG) and len(set(ends.values())) == len(ends) else value
