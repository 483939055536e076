"""The methods, as rows of a table: which sequences × which divergence.

One training loop (step.py) runs them all. `loss = divergence + mle_weight · MLE`, or MLE alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engine.distill import divergences


@dataclass(frozen=True)
class Method:
    """One row.

    sequences: what the student and the teacher read: the gold answer, or KID's imperfect one.
    divergence: (student logits [N, V], teacher logits [N, V]) → [N]; None needs no teacher.
    """

    sequences: Literal["gold", "imperfect"]
    divergence: Callable[[Tensor, Tensor], Tensor] | None


METHODS = {
    "sft": Method("gold", None),
    "fkd": Method("gold", divergences.forward_kl),
    "rkd": Method("gold", divergences.reverse_kl),
    "kid": Method("imperfect", divergences.reverse_kl),
}
