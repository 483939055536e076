"""What is known of a teacher that says only its likeliest tokens.

Let K be the tokens whose probability p_i is known, p_t = 1 − Σ_K p_i the mass of all others (the tail),
and q the student. The tail's mass is spread as the student's own is, P_i = p_t · q_i / q_t, with no gradient
to q. Why this leaves every f-divergence D(p‖q) = Σ q_i f(p_i / q_i) as it is over the coarse tokens, which
are K and one bucket for the tail:

    value     in the tail P_i / q_i = p_t / q_t = r for every i, so Σ_t q_i f(r) = q_t f(r), the bucket's
    gradient  with P held, ∂D = Σ (f(r_i) − r_i f'(r_i)) ∂q_i; in the tail all r_i are r, Σ_t ∂q_i = ∂q_t

FKL, RKL, JSD, TVD and the skewed KLs are f-divergences. Making tokens one never raises such a divergence
(the data processing inequality): what is learnt from is a lower bound of the true one.
docs/served_teacher.md states by how much it can be too low.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NO_ID = 2**31 - 1
"""Fills places that know fewer tokens than others; beyond every vocabulary."""

_LEAST = 1e-6
"""Log-probabilities in float32 leave 1 − Σp open by so much: a smaller tail is not known to be there."""


@dataclass(frozen=True)
class TopK:
    """The likeliest tokens at N places.

    ids: [N, K] token ids, each once a place; NO_ID where a place knows fewer.
    log_probs: [N, K] their log-probabilities, float32; −inf at NO_ID.
    """

    ids: Tensor
    log_probs: Tensor

    def __getitem__(self, places: slice) -> TopK:
        return TopK(self.ids[places], self.log_probs[places])

    def to(self, device: torch.device) -> TopK:
        return TopK(self.ids.to(device), self.log_probs.to(device))

    def tail_mass(self) -> Tensor:
        """[N] probability of all other tokens together."""
        return self._tail().clamp(min=0)

    def against(self, student: Tensor) -> Tensor:
        """[N, V] log-probabilities of all tokens, the tail spread as the student's is.

        Ids that the student does not have are left out, as with a teacher whose logits are known.

        Args:
            student: [N, V] logits; no gradient goes to them.
        """
        log_q = torch.log_softmax(student.detach(), -1, dtype=_precision(student))
        vocabulary = log_q.shape[-1]
        ids = self.ids.clamp(max=vocabulary)  # what is not the student's goes to a column that is cut off
        known = torch.zeros_like(log_q, dtype=torch.bool)
        known = F.pad(known, (0, 1)).scatter_(1, ids, True)[:, :vocabulary]
        log_q_tail = log_q.masked_fill(known, -torch.inf).logsumexp(-1, keepdim=True)
        log_p_tail = self._tail().clamp(min=_LEAST).log()[:, None].to(log_q.dtype)
        filled = log_q.add_(log_p_tail - log_q_tail)  # without a tail this is inf, and all of it is replaced
        return F.pad(filled, (0, 1)).scatter_(1, ids, self.log_probs.to(log_q.dtype))[:, :vocabulary]

    def _tail(self) -> Tensor:
        """1 − Σp, which rounding may leave just below 0."""
        return 1 - self.log_probs.exp().sum(-1)


def _precision(logits: Tensor) -> torch.dtype:
    return logits.dtype if logits.dtype == torch.float64 else torch.float32
