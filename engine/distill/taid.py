"""TAID's schedule: how far the target has moved from the student to the teacher (Shing et al. 2025, 3.3).

    δ = (J_before − J) / J_before           how much the loss fell, relatively
    m ← β·m + (1 − β)·δ                     momentum
    t ← min(1, max(linear, t + α·σ(m)·(1 − t)))

`linear` goes from `start` to 1 with training, so t never falls behind it. α = 5e-4 and β = 0.99 are
the paper's; the state is part of a run's checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEP_SIZE = 5e-4
_MOMENTUM = 0.99


@dataclass
class TaidSchedule:
    """start: t before the first step, 0 to 1. t: where it stands. loss: the divergence of the last step."""

    start: float
    t: float = -1.0
    momentum: float = 0.0
    loss: float | None = None

    def __post_init__(self) -> None:
        self.t = max(self.t, self.start)

    def update(self, loss: float, progress: float) -> None:
        """After an optimizer step whose divergence was `loss`; `progress` of training is done, 0 to 1."""
        if self.loss:
            fallen = (self.loss - loss) / self.loss
            self.momentum = _MOMENTUM * self.momentum + (1 - _MOMENTUM) * fallen
        self.loss = loss
        linear = self.start + (1 - self.start) * progress
        sigmoid = (1 + math.tanh(self.momentum / 2)) / 2  # exp(−m) overflows: a first loss can be next to 0
        adaptive = self.t + _STEP_SIZE * sigmoid * (1 - self.t)
        self.t = min(1.0, max(linear, adaptive))
