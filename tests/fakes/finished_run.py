"""Finished runs whose answers are known one by one, for tests of studies."""

from __future__ import annotations

import json
from typing import Any

from engine.runs import Run
from tests.fakes.finished import finished

_CLASSES = {"r": None, "v": "value", "j": "join", "s": "syntax", "g": "gold_failed"}


def made(name: str, after: str, before: str | None = None, step_ms: float = 100.0, **keys: Any) -> Run:
    """A run of kid: of each question a letter, r for right, else the error class that begins with it.

    keys: of the profile, with __ for the dot. before: None = its answers from before are not kept.
    """
    sets = [f"{key.replace('__', '.')}={value}" for key, value in keys.items() if key != "method__name"]
    method = keys.get("method__name", "kid")
    run = finished(
        name, method, correct=[letter == "r" for letter in after], sets=sets, latency=step_ms / 100
    )
    for file, letters in (("predictions.jsonl", after), ("predictions-before.jsonl", before)):
        if letters is not None:
            lines = (
                json.dumps({"index": at, "correct": letter == "r", "error": _CLASSES[letter]})
                for at, letter in enumerate(letters)
            )
            (run.path / file).write_text("\n".join(lines) + "\n")
    return run
