"""Follow a run's events while they are written."""

from __future__ import annotations

import json
from typing import Any

from engine.runs import Run


class EventReader:
    """Reads a run's events in order, over all generations, each once.

    A half line at the end is not yet there; a line that is no event is skipped and
    counted in `num_skipped`. Each event gets its `generation`.

    Args:
        run: the run to follow.
        generation: the first generation to read; default all.
    """

    def __init__(self, run: Run, generation: int = 1) -> None:
        self._run = run
        self._generation = generation
        self._offset = 0
        self.num_skipped = 0

    def poll(self) -> list[dict[str, Any]]:
        """The events that are new since the last call, oldest first."""
        events: list[dict[str, Any]] = []
        for generation in self._run.generations():
            if generation < self._generation:
                continue
            if generation > self._generation:
                self._generation, self._offset = generation, 0
            events += self._read(generation)
        return events

    def _read(self, generation: int) -> list[dict[str, Any]]:
        with self._run.events_path(generation).open("rb") as file:
            file.seek(self._offset)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        parsed = [_parse(line) for line in whole.splitlines()]
        self.num_skipped += parsed.count(None)
        return [{**event, "generation": generation} for event in parsed if event is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
