"""What a run of a profile would take: memory, steps, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import KidError
from engine.profile import Profile
from kidtui import launch, preflight
from kidtui.board import Board
from kidtui.narrate import count, duration

_PARTS = {
    "teacher": "teacher",
    "teacher_prefixes": "its schemas",
    "student": "student",
    "gradients_and_optimizer": "optimizer",
    "activations": "activations",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    memory_mb: MiB by part.
    here_mb, free_mb: this machine's memory, and what of it is free now.
    step_ms: mean of a step of the newest run of the profile that has made one, whose id is `earlier`.
    """

    memory_mb: dict[str, int]
    steps: int
    here_mb: int
    free_mb: int
    step_ms: float | None
    earlier: str

    def words(self, measured: Mapping[str, Any] | None = None) -> str:
        """One line: whether it fits, memory by part, steps, time.

        Args:
            measured: what preflight.measure has found, which knows better.
        """
        if measured is not None:
            told = preflight.words(measured)
            mark = "✗" if not measured["fits"] else "!" if told[0].startswith("tight") else "✓"
            return f"{mark} {' · '.join([*told[:2], f'{count(self.steps)} steps, measured', *told[2:]])}"
        needed = self.memory_mb["total"]
        if needed > self.here_mb:
            verdict = "✗ does not fit"
        else:
            verdict = "! tight" if needed > self.free_mb else "✓ fits"
        parts = ", ".join(
            f"{_PARTS.get(part, part)} {size / 1024:.1f}"
            for part, size in self.memory_mb.items()
            if part != "total"
        )
        if self.step_ms is None:
            time = "minutes: after the first run"
        else:
            time = f"about {duration(self.steps * self.step_ms / 1000)} of steps, as in {self.earlier}"
        memory = f"{needed / 1024:.1f} GB of {self.here_mb / 1024:.1f} ({self.free_mb / 1024:.1f} free)"
        return f"{verdict}: {memory}: {parts} · {count(self.steps)} steps · {time}"


def estimate(chosen: Profile, data_dir: Path | None, command: Sequence[str]) -> Estimate:
    """Ask the engine what a run would take; takes seconds.

    Raises:
        KidError: as the engine says, such as a model that is not there.
    """
    import psutil

    try:
        plan = launch.plan(chosen, data_dir, command)
        memory_mb = {str(part): int(size) for part, size in plan["memory_mb"].items()}
        steps, _ = int(plan["steps"]), memory_mb["total"]
    except OSError as error:
        raise KidError(f"cannot start the engine: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KidError(f"the engine's answer is no plan ({error!r})") from error
    memory = psutil.virtual_memory()
    earlier = next((row for row in Board().refresh() if row.profile == chosen.name and row.step_ms), None)
    return Estimate(
        memory_mb=memory_mb,
        steps=steps,
        here_mb=memory.total >> 20,
        free_mb=memory.available >> 20,
        step_ms=earlier.step_ms if earlier else None,
        earlier=earlier.id if earlier else "",
    )
