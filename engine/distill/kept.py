"""The teacher's prefixes in a preflight: what reading and keeping them costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.distill.methods import METHODS
from engine.distill.trainer import Trainer
from engine.profile import Profile


class Kept:
    """Reads the teacher's prefixes before a step, which then is what most steps are: it finds them kept.

    ms_a_token, bytes_a_token: of reading and of keeping, once something was read.
    """

    def __init__(self, trainer: Trainer, profile: Profile) -> None:
        self._trainer = trainer
        self._prefixes = trainer.objective.teacher_prefixes
        self._budget = self._prefixes.budget
        self._any = self._budget > 0 and METHODS[profile.method.name].divergence is not None
        self._timed: list[tuple[float, int]] = []
        self._num_tokens = 0

    def read(self, databases: Sequence[Path]) -> None:
        if not self._any:
            return
        objective = self._trainer.objective
        for database in databases:
            ids = torch.tensor(self._trainer.prefixes[database], device=objective.teacher.device)
            before = self._prefixes.budget
            started = time.perf_counter()
            with torch.no_grad(), objective.autocast():
                self._prefixes.open([database], [ids])
            if ids.is_cuda:
                torch.cuda.synchronize(ids.device)
            if self._prefixes.budget < before:
                self._timed.append((time.perf_counter() - started, len(ids)))
                self._num_tokens += len(ids)

    @property
    def num_bytes(self) -> int:
        return self._budget - self._prefixes.budget

    @property
    def bytes_a_token(self) -> float:
        return self.num_bytes / self._num_tokens if self._num_tokens else 0.0

    @property
    def room(self) -> float:
        """Tokens that can be kept."""
        return self._budget / self.bytes_a_token if self._num_tokens else 0.0

    @property
    def ms_a_token(self) -> float:
        # The first one read warms up.
        timed = self._timed[1:] or self._timed
        tokens = sum(size for _, size in timed)
        return 1000 * sum(seconds for seconds, _ in timed) / tokens if tokens else 0.0
