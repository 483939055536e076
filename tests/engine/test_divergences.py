"""Each divergence against a plain float64 loop, its gradient, and its bounds (method.md, section 4)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from engine.distill import divergences

N, V = 5, 7


def logits(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return 3 * torch.randn(N, V, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def loop(student: torch.Tensor, teacher: torch.Tensor, term) -> list[float]:
    """Σ over the vocabulary of term(p, q), with probabilities made in plain Python."""
    totals = []
    for row_q, row_p in zip(student.tolist(), teacher.tolist(), strict=True):
        sum_q, sum_p = sum(map(math.exp, row_q)), sum(map(math.exp, row_p))
        pairs = zip((math.exp(x) / sum_p for x in row_p), (math.exp(x) / sum_q for x in row_q), strict=True)
        totals.append(sum(term(p, q) for p, q in pairs))
    return totals


CASES = [
    (divergences.forward_kl, lambda p, q: p * math.log(p / q)),
    (divergences.reverse_kl, lambda p, q: q * math.log(q / p)),
]


@pytest.mark.parametrize(("function", "term"), CASES)
def test_equals_a_plain_loop(function, term):
    student, teacher = logits(0), logits(1)
    assert function(student, teacher).tolist() == pytest.approx(loop(student, teacher, term), rel=1e-12)


@pytest.mark.parametrize(("function", "term"), CASES)
def test_gradient(function, term):
    student, teacher = logits(0).requires_grad_(), logits(1)
    assert gradcheck(lambda z: function(z, teacher), (student,))


def test_closed_gradient_equals_autograd():
    student, teacher = logits(0).requires_grad_(), logits(1)
    weights = torch.rand(N, dtype=torch.float64)
    (closed,) = torch.autograd.grad((divergences.reverse_kl(student, teacher) * weights).sum(), student)
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    plain = (log_q.exp() * (log_q - log_p)).sum(-1)
    (autograd,) = torch.autograd.grad((plain * weights).sum(), student)
    torch.testing.assert_close(closed, autograd, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("function", [case[0] for case in CASES])
def test_zero_for_equals_and_never_negative(function):
    same = logits(2, torch.float32)
    assert function(same, same).abs().max() < 1e-6
    rough = function(logits(3).bfloat16(), logits(4).bfloat16())
    assert rough.dtype == torch.float32
    assert (rough >= 0).all()


@pytest.mark.parametrize("function", [case[0] for case in CASES])
def test_finite_where_probabilities_vanish(function):
    student = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    value = function(student, torch.tensor([[-200.0, 200.0, 0.0]]))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad.isfinite().all()


def test_entropy():
    uniform = torch.zeros(1, V)
    assert divergences.entropy(uniform).item() == pytest.approx(math.log(V))
    assert divergences.entropy(torch.tensor([[100.0, 0.0]])).item() == pytest.approx(0, abs=1e-6)
