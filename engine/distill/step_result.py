"""What one optimizer step saw, before it becomes events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class StepResult:
    """What one optimizer step saw. Losses are means over the step's trained tokens.

    num_recovered: rows in which the student guessed every masked token right; None without rewriting.
    teacher_tail_mass: mean of what a served teacher gives to tokens that it does not name; None without one.
    sample: one rewritten answer, token by token (imperfect.Imperfect.sample), where it was asked for.
    measures: mean of every divergence (divergences.measures), where they were asked for.
    """

    num_tokens: int
    num_rows: int
    loss_kd: float = 0.0
    loss_mle: float = 0.0
    loss: float = 0.0
    num_recovered: int | None = None
    teacher_tail_mass: float | None = None
    tokens_useful: int = 0
    tokens_computed: int = 0
    sample: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
