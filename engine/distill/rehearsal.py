"""A run's own trainer without a run: it makes steps, and nothing of them stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from engine.data.benchmarks import DataSet
from engine.distill.batches import Plan
from engine.distill.control import Control
from engine.distill.job import Job, Prepared
from engine.distill.methods import METHODS
from engine.distill.ranks import Ranks
from engine.distill.teacher_text import Answers
from engine.models.encode import Encoder, Item
from engine.models.pair import Pair
from engine.profile import Profile
from engine.run_writer import SilentWriter
from engine.runs import Run

_LOOK_SECONDS = 0.005


def rehearse(profile: Profile, data: tuple[DataSet, DataSet], listener: Listener) -> Prepared:
    """What a run of this profile would work with.

    Args:
        data: training set and evaluation set.
        listener: hears what the trainer tells.

    Raises:
        KidError: as Job.prepare.
    """
    return _Rehearsal(listener.run, listener, _Unasked(), Ranks()).prepare(profile, data)


class _Unasked(Control):
    """Nobody asks anything: the signals stay as they are."""

    def __init__(self) -> None:
        pass

    def check(self) -> None:
        pass


class Listener(SilentWriter):
    """Keeps what the trainer tells. Its run has no place on any disk: who would write there fails."""

    def __init__(self) -> None:
        super().__init__(Run("preflight", Path(os.devnull)))
        self.steps: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def event(self, kind: str, **fields: Any) -> None:
        if kind == "step":
            self.steps.append(fields)
        elif kind == "warning":
            self.warnings.append(fields["message"])


class _Rehearsal(Job):
    """A run's job as far as its trainer."""

    def _teacher_text(
        self, profile: Profile, pair: Pair, encoder: Encoder, items: Sequence[Item], plan: Plan
    ) -> Answers:
        """The gold answers stand in: what the teacher writes should be as long."""
        if "teacher" not in METHODS[profile.method.name].sources:
            return {}
        return {item.index: list(item.answer) for item in items}


@dataclass
class Peak:
    """The most resident memory in bytes, while `watched`."""

    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.most = max(self.most, process.memory_info().rss)
            if self._ended.wait(_LOOK_SECONDS):
                return

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, name="kid-peak", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
