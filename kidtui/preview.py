"""A long run at a first glance: some of its steps, from all over its events, before they are read through."""

from __future__ import annotations

from typing import Any, BinaryIO

from pydantic_core import from_json

from engine.runs import Run
from kidtui.series import Series

_LONG_BYTES = 4 * 1024 * 1024
_NUM_SAMPLES = 400
_WINDOW_BYTES = 8 * 1024


def preview(run: Run) -> Series | None:
    """About 400 steps, evenly over the bytes of a run's events; None where it is short or cannot be read.

    Steps that were done again after a resume stand in the order of their numbers.
    """
    try:
        sizes = {number: run.events_path(number).stat().st_size for number in run.generations()}
        total = sum(sizes.values())
        if total < _LONG_BYTES:
            return None
        steps: list[dict[str, Any]] = []
        for generation, size in sizes.items():
            num = max(2, _NUM_SAMPLES * size // total)
            with run.events_path(generation).open("rb") as file:
                places = (size * at // num for at in range(num))
                found = [_step_at(file, place) for place in (*places, max(0, size - _WINDOW_BYTES))]
            steps += [{**step, "generation": generation} for step in found if step is not None]
    except OSError:
        return None
    series = Series()
    series.extend(sorted(steps, key=lambda step: step["step"]))
    return series


def _step_at(file: BinaryIO, place: int) -> dict[str, Any] | None:
    """The first whole step event behind a place, if one is near."""
    file.seek(place)
    window = file.read(_WINDOW_BYTES)
    lines = window.split(b"\n")[1 if place else 0 : -1]
    for line in lines:
        if b'"step"' not in line[:40]:
            continue
        try:
            event = from_json(line, allow_inf_nan=False)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("kind") == "step" and isinstance(event.get("step"), int):
            return event
    return None
