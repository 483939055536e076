"""The methods, as rows of a table: which sequences × which divergence × which of them MLE asks for.

One training loop runs them all (objective.py): `loss = divergence + mle_weight · MLE`, or MLE alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from engine import settings
from engine.distill import divergences

Source = Literal["gold", "imperfect", "teacher", "student"]
"""Where an answer that is learnt from comes from: the data; the data, partly rewritten by the student
(KID); the teacher, once before training; the student, sampled in the step."""

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(student logits [N, V], teacher logits [N, V]) → [N]."""


@dataclass(frozen=True)
class Method:
    """One row.

    sources: of the answers that student and teacher read; of two, each answer comes from one of them.
    divergence: a name in DIVERGENCES, or "taid", which depends on its schedule; None needs no teacher.
    mle: the sources whose tokens MLE asks the student for.
    share: of two sources, how much comes from the second.
    """

    sources: tuple[Source, ...]
    divergence: str | None
    mle: tuple[Source, ...]
    share: Callable[[settings.Method], float] = lambda given: 0.5


METHODS = {
    "sft": Method(("gold",), None, ("gold",)),
    "seqkd": Method(("teacher",), None, ("teacher",)),
    "fkd": Method(("gold",), "fkl", ("gold",)),
    "rkd": Method(("gold",), "rkl", ("gold",)),
    "f-distill": Method(("teacher", "student"), "tvd", ()),
    "imitkd": Method(("gold", "student"), "fkl", ("gold",)),
    "gkd": Method(("gold", "student"), "rkl", ("gold",), lambda given: given.on_policy),
    "kid": Method(("imperfect",), "rkl", ("imperfect",)),
    "skl": Method(("gold",), "skl", ("gold",)),
    "srkl": Method(("gold",), "srkl", ("gold",)),
    "akl": Method(("gold",), "akl", ("gold",)),
    "taid": Method(("gold",), "taid", ("gold",)),
}

DIVERGENCES: dict[str, Callable[[settings.Method], Divergence]] = {
    "fkl": lambda given: divergences.forward_kl,
    "rkl": lambda given: divergences.reverse_kl,
    "jsd": lambda given: partial(divergences.jensen_shannon, beta=given.beta),
    "tvd": lambda given: divergences.total_variation,
    "skl": lambda given: partial(divergences.skewed_kl, skew=given.skew),
    "srkl": lambda given: partial(divergences.skewed_reverse_kl, skew=given.skew),
    "akl": lambda given: partial(divergences.adaptive_kl, head_mass=given.head_mass),
}


def choose_divergence(method: Method, given: settings.Method, taid_t: float) -> Divergence | None:
    """The divergence of a row, as the profile sets it. `taid_t`: where TAID's schedule stands."""
    name = method.divergence and (given.divergence or method.divergence)
    if name is None:
        return None
    if name == "taid":
        return partial(divergences.interpolated_kl, t=taid_t)
    return DIVERGENCES[name](given)
