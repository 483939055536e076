"""The methods, as rows of a table: which sequences × which divergence × whether gold likelihood is added.

One training loop (step.py) runs them all. `loss = divergence + mle_weight · MLE`.
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
    mle: whether −log q(gold token) is part of the loss.
    """

    sequences: Literal["gold", "imperfect"]
    divergence: Callable[[Tensor, Tensor], Tensor] | None
    mle: bool


METHODS = {
    "sft": Method("gold", None, mle=True),
    "fkd": Method("gold", divergences.forward_kl, mle=True),
    "rkd": Method("gold", divergences.reverse_kl, mle=True),
    "kid": Method("imperfect", divergences.reverse_kl, mle=True),
}
