"""A frozen model's prefixes, kept from step to step: a teacher reads each schema once, not once a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.models.prefix import Form, Prefix, SharedPrefix, open_prefix, open_prefixes, together
from engine.models.served import ServedPrefix, ServedTeacher


class KeptPrefixes:
    """Prefixes by database, within a memory budget. What came first stays: databases come in random order,
    so that giving one up for another would gain nothing.

    A kept prefix is the very one that was made, so a hit is bit-identical to a miss.

    Args:
        model: its weights never change.
        form: only "cached" prefixes hold anything worth keeping.
        budget: bytes.
    """

    def __init__(self, model: Any, form: Form, budget: int) -> None:
        self.model, self.form = model, form
        self.budget = budget if form == "cached" else 0
        self.num_asked = self.num_hits = 0
        self._kept: dict[Path, SharedPrefix] = {}

    def open(self, databases: Sequence[Path], ids: Sequence[Tensor]) -> Prefix | ServedPrefix:
        """One view of the prefixes with these ids, [P_i] each. To be called without gradient."""
        if isinstance(self.model, ServedTeacher):
            return self.model.open(ids)
        if self.form != "cached":
            self.num_asked += len(ids)
            return open_prefixes(self.model, ids, self.form)
        return together([self._open(*one) for one in zip(databases, ids, strict=True)])

    def _open(self, database: Path, ids: Tensor) -> Prefix:
        self.num_asked += 1
        if database in self._kept:
            self.num_hits += 1
            return self._kept[database]
        made = open_prefix(self.model, ids, self.form)
        if isinstance(made, SharedPrefix) and made.num_bytes <= self.budget:
            self.budget -= made.num_bytes
            self._kept[database] = made
        return made

    def hit_rate(self) -> float | None:
        """Of the prefixes asked for since the last call, how many were there; None where none was asked."""
        rate = self.num_hits / self.num_asked if self.num_asked else None
        self.num_asked = self.num_hits = 0
        return rate

    def give_up(self) -> None:
        """Frees all of them for good: memory is short."""
        self._kept.clear()
        self.budget = 0
