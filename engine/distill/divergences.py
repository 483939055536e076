"""Divergences between teacher p and student q, token by token.

Each function takes logits, student first, [N, V] each, and gives [N] float32 values; the sum over
the vocabulary is taken here, the mean over tokens is the trainer's. All start from log-softmax in
float32, so that no probability is ever clamped. Definitions: docs/paper_map.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def forward_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """FKL, Σ p·(log p − log q): the student must cover all that the teacher finds likely."""
    log_q, log_p = _log_softmax(student), _log_softmax(teacher)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """RKL, Σ q·(log q − log p): the student must avoid what the teacher finds unlikely.

    No gradient goes to the teacher. Its gradient with respect to the student's logits is closed:
    q·(log q − log p − RKL), so one [N, V] buffer is kept for the backward pass instead of five.
    """
    return _ReverseKL.apply(student, teacher)


class _ReverseKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        log_q = _log_softmax(student)
        ratio = log_q - _log_softmax(teacher)
        q = log_q.exp_()
        value = (q * ratio).sum(-1)
        ctx.save_for_backward(ratio.sub_(value[:, None]).mul_(q))
        ctx.dtype = student.dtype
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grad[:, None]).to(ctx.dtype), None


def entropy(logits: Tensor) -> Tensor:
    """−Σ q·log q, in nats. [N, V] → [N]."""
    log_q = _log_softmax(logits)
    return -(log_q.exp() * log_q).sum(-1)


def _log_softmax(logits: Tensor) -> Tensor:
    """In float32, or in float64 where the logits are (the tests' reference precision)."""
    dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
    return torch.log_softmax(logits, dim=-1, dtype=dtype)
