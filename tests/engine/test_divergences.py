"""Each divergence against a plain float64 loop, its gradient, and its bounds (method.md, section 4)."""

from __future__ import annotations

import math
from functools import partial

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


def skewed(share: float, a: float, b: float) -> float:
    """a·log(a / mixture), the mixture having `share` of a."""
    return a * math.log(a / (share * a + (1 - share) * b))


def jsd(beta: float, p: float, q: float) -> float:
    m = beta * p + (1 - beta) * q
    return beta * p * math.log(p / m) + (1 - beta) * q * math.log(q / m)


def given(function, **options):
    made = partial(function, **options)
    made.__name__ = function.__name__
    return made


CASES = [
    (divergences.forward_kl, lambda p, q: p * math.log(p / q)),
    (divergences.reverse_kl, lambda p, q: q * math.log(q / p)),
    (given(divergences.jensen_shannon, beta=0.5), partial(jsd, 0.5)),
    (given(divergences.jensen_shannon, beta=0.1), partial(jsd, 0.1)),
    (given(divergences.jensen_shannon, beta=0.0), lambda p, q: p * math.log(p / q)),
    (given(divergences.jensen_shannon, beta=1.0), lambda p, q: q * math.log(q / p)),
    (divergences.total_variation, lambda p, q: abs(p - q) / 2),
    (given(divergences.skewed_kl, skew=0.1), lambda p, q: skewed(0.1, p, q)),
    (given(divergences.skewed_reverse_kl, skew=0.1), lambda p, q: skewed(0.1, q, p)),
    (given(divergences.interpolated_kl, t=1.0), lambda p, q: p * math.log(p / q)),
]
ALL = [*(case[0] for case in CASES), given(divergences.adaptive_kl, head_mass=0.5)]


@pytest.mark.parametrize(("function", "term"), CASES)
def test_equals_a_plain_loop(function, term):
    student, teacher = logits(0), logits(1)
    assert function(student, teacher).tolist() == pytest.approx(loop(student, teacher, term), rel=1e-12)


@pytest.mark.parametrize("function", [case[0] for case in CASES])
def test_gradient(function):
    student, teacher = logits(0).requires_grad_(), logits(1)
    assert gradcheck(lambda z: function(z, teacher), (student,))


@pytest.mark.parametrize("which", ["forward_kl", "reverse_kl"])
def test_closed_gradient_equals_autograd(which):
    student, teacher = logits(0).requires_grad_(), logits(1)
    weights = torch.rand(N, dtype=torch.float64)
    function = getattr(divergences, which)
    (closed,) = torch.autograd.grad((function(student, teacher) * weights).sum(), student)
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    first, second = (log_p, log_q) if which == "forward_kl" else (log_q, log_p)
    plain = (first.exp() * (first - second)).sum(-1)
    (autograd,) = torch.autograd.grad((plain * weights).sum(), student)
    torch.testing.assert_close(closed, autograd, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("function", ALL)
def test_zero_for_equals_and_never_negative(function):
    same = logits(2, torch.float32)
    assert function(same, same).abs().max() < 1e-6
    rough = function(logits(3).bfloat16(), logits(4).bfloat16())
    assert rough.dtype == torch.float32
    assert (rough >= 0).all()


@pytest.mark.parametrize("function", ALL)
def test_finite_where_probabilities_vanish(function):
    student = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    value = function(student, torch.tensor([[-200.0, 200.0, 0.0]]))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad.isfinite().all()


def test_bounds():
    student, teacher = logits(5, torch.float32), logits(6, torch.float32)
    half = divergences.jensen_shannon(student, teacher, 0.5)
    assert (half <= math.log(2)).all()
    torch.testing.assert_close(half, divergences.jensen_shannon(teacher, student, 0.5), rtol=0, atol=1e-6)
    apart = 300 * torch.eye(2)
    assert divergences.total_variation(apart, apart.flip(0)).tolist() == [1.0, 1.0]
    assert divergences.jensen_shannon(apart, apart.flip(0), 0.5).tolist() == pytest.approx([math.log(2)] * 2)
    for skewed_one, plain in (
        (divergences.skewed_kl, divergences.forward_kl),
        (divergences.skewed_reverse_kl, divergences.reverse_kl),
    ):
        expected = plain(student, teacher)
        torch.testing.assert_close(skewed_one(student, teacher, 0.0), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(skewed_one(student, teacher, 1e-12), expected, rtol=0, atol=1e-6)


def test_adaptive_kl_by_hand():
    """Head: the teacher's likeliest token, and those after it while their mass is at most μ."""
    p, q = torch.tensor([[0.4, 0.3, 0.2, 0.1]]), torch.tensor([[0.1, 0.3, 0.2, 0.4]])
    fkl, rkl = divergences.forward_kl(q.log(), p.log()), divergences.reverse_kl(q.log(), p.log())
    for mass, head, tail in ((0.5, 0.3, 0.3), (0.95, 0.3, 0.3), (0.999, 0.3, 0.3)):
        found = divergences.adaptive_kl(q.log(), p.log(), mass)
        torch.testing.assert_close(found, (head * fkl + tail * rkl) / (head + tail))
    uneven = torch.tensor([[0.1, 0.5, 0.3, 0.1]])  # gaps 0.3, 0.2 in the head, 0.1, 0 in the tail
    fkl, rkl = divergences.forward_kl(uneven.log(), p.log()), divergences.reverse_kl(uneven.log(), p.log())
    found = divergences.adaptive_kl(uneven.log(), p.log(), 0.8)
    torch.testing.assert_close(found, (0.5 * fkl + 0.1 * rkl) / 0.6)


def test_adaptive_kl_keeps_its_weights_out_of_the_gradient():
    student, teacher = logits(0).requires_grad_(), logits(1)
    (found,) = torch.autograd.grad(divergences.adaptive_kl(student, teacher, 0.5).sum(), student)
    with torch.no_grad():
        fkl, rkl = divergences.forward_kl(student, teacher), divergences.reverse_kl(student, teacher)
        share = (divergences.adaptive_kl(student, teacher, 0.5) - rkl) / (fkl - rkl)
    mixed = share * divergences.forward_kl(student, teacher)
    mixed = mixed + (1 - share) * divergences.reverse_kl(student, teacher)
    (expected,) = torch.autograd.grad(mixed.sum(), student)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_entropy():
    uniform = torch.zeros(1, V)
    assert divergences.entropy(uniform).item() == pytest.approx(math.log(V))
    assert divergences.entropy(torch.tensor([[100.0, 0.0]])).item() == pytest.approx(0, abs=1e-6)
