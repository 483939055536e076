"""Divergences between teacher p and student q, token by token.

Each function takes logits, student first, [N, V] each, and gives [N] float32 values; the sum over
the vocabulary is taken here, the mean over tokens is the trainer's. All start from log-softmax in
float32, so that no probability is ever clamped. No gradient goes to the teacher.
Definitions and sources: docs/paper_map.md.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def forward_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """FKL, Σ p·(log p − log q): the student must cover all that the teacher finds likely.

    Its gradient with respect to the student's logits is closed, q − p: one [N, V] buffer is kept.
    """
    return _ForwardKL.apply(student, teacher)


class _ForwardKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        log_q, log_p = _log_softmax(student), _log_softmax(teacher)
        ratio = log_p - log_q
        p = log_p.exp_()
        value = (p * ratio).sum(-1)
        ctx.save_for_backward(log_q.exp_().sub_(p))
        ctx.dtype = student.dtype
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _scaled(ctx, grad), None


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """RKL, Σ q·(log q − log p): the student must avoid what the teacher finds unlikely.

    Its gradient with respect to the student's logits is closed, q·(log q − log p − RKL).
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
        return _scaled(ctx, grad), None


def _scaled(ctx: Any, grad: Tensor) -> Tensor:
    (gradient,) = ctx.saved_tensors
    return (gradient * grad[:, None]).to(ctx.dtype)


def jensen_shannon(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """JSD(β), β·KL(p‖m) + (1−β)·KL(q‖m) with m = (1−β)·q + β·p (Agarwal et al. 2024, eq. 1).

    At β = 0 and 1, where that is zero, it is FKL and RKL by definition: the scale jumps there.
    """
    if beta in (0.0, 1.0):
        return reverse_kl(student, teacher) if beta else forward_kl(student, teacher)
    log_q, log_p = _log_softmax(student), _log_softmax(teacher.detach())
    log_m = _mixture(log_p, log_q, beta)
    return beta * _kl(log_p, log_m) + (1 - beta) * _kl(log_q, log_m)


def total_variation(student: Tensor, teacher: Tensor) -> Tensor:
    """TVD, ½ Σ |p − q| (f-distill, Wen et al. 2023)."""
    q, p = _log_softmax(student).exp(), _log_softmax(teacher.detach()).exp()
    return 0.5 * (p - q).abs().sum(-1)


def skewed_kl(student: Tensor, teacher: Tensor, skew: float) -> Tensor:
    """SKL(α), KL(p ‖ α·p + (1−α)·q) (DistiLLM, Ko et al. 2024)."""
    if skew == 0:
        return forward_kl(student, teacher)
    log_q, log_p = _log_softmax(student), _log_softmax(teacher.detach())
    return _kl(log_p, _mixture(log_p, log_q, skew))


def skewed_reverse_kl(student: Tensor, teacher: Tensor, skew: float) -> Tensor:
    """SRKL(α), KL(q ‖ (1−α)·p + α·q) (DistiLLM)."""
    if skew == 0:
        return reverse_kl(student, teacher)
    log_q, log_p = _log_softmax(student), _log_softmax(teacher.detach())
    return _kl(log_q, _mixture(log_q, log_p, skew))


def adaptive_kl(student: Tensor, teacher: Tensor, head_mass: float) -> Tensor:
    """AKL: FKL and RKL weighed by how far apart p and q are in p's head and in its tail (Wu et al. 2024).

    Head: the teacher's likeliest token and those after it while their summed probability is at most
    `head_mass`. The weights carry no gradient.
    """
    with torch.no_grad():
        p, q = _log_softmax(teacher).exp(), _log_softmax(student).exp()
        p, order = p.sort(dim=-1, descending=True)
        gaps = (p - q.gather(-1, order)).abs()
        in_head = p.cumsum(-1) <= head_mass
        in_head[:, 0] = True
        head, whole = (gaps * in_head).sum(-1), gaps.sum(-1)
        share = torch.where(whole > 0, head / whole.clamp(min=torch.finfo(whole.dtype).tiny), 0.5)
    return share * forward_kl(student, teacher) + (1 - share) * reverse_kl(student, teacher)


def interpolated_kl(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    """TAID(t), KL(p_t‖q) with p_t = softmax((1−t)·z_q + t·z_p), z_q without gradient (Shing et al. 2025)."""
    dtype = _precision(student)
    return forward_kl(student, torch.lerp(student.detach().to(dtype), teacher.to(dtype), t))


def entropy(logits: Tensor) -> Tensor:
    """−Σ q·log q, in nats. [N, V] → [N]."""
    log_q = _log_softmax(logits)
    return -(log_q.exp() * log_q).sum(-1)


def measures(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """How far apart the two are, by every measure, for the events; [N] each, without gradient."""
    with torch.no_grad():
        return {
            "fkl": forward_kl(student, teacher),
            "rkl": reverse_kl(student, teacher),
            "jsd": jensen_shannon(student, teacher, 0.5),
            "tvd": total_variation(student, teacher),
            "student_entropy": entropy(student),
            "teacher_entropy": entropy(teacher),
            "top1_agreement": (student.argmax(-1) == teacher.argmax(-1)).float(),
        }


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def _mixture(log_a: Tensor, log_b: Tensor, share: float) -> Tensor:
    """log(share·a + (1 − share)·b)."""
    return torch.logaddexp(log_a + math.log(share), log_b + math.log1p(-share))


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1, dtype=_precision(logits))


def _precision(logits: Tensor) -> torch.dtype:
    """float32, or float64 where the logits are (the tests' reference precision)."""
    return logits.dtype if logits.dtype == torch.float64 else torch.float32
