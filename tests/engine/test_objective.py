"""The optimizer step: shared prefix = naive, any split gives one gradient, prompts get none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine import settings
from engine.distill.objective import Objective, StepResult
from engine.models.prefix import EXACT_TYPES
from tests.engine import tiny


def objective(student, teacher, *, shared: bool = True, normalise: str = "token", **method) -> Objective:
    return Objective(
        student,
        teacher,
        settings.Method(**{"name": "kid", **method}),
        mask_id=tiny.MASK,
        banned=[tiny.EOS, tiny.PAD, tiny.MASK],
        pad_id=tiny.PAD,
        seed=3,
        shared_student=shared,
        shared_teacher=shared,
        normalise=normalise,
    )


def run(made: Objective, groups=None, **options) -> tuple[StepResult, dict[str, torch.Tensor]]:
    groups = groups or [tiny.items()]
    prefixes = {tiny.DATABASE: tiny.prefix(), Path("b.sqlite"): tiny.prefix(11, seed=9)}
    made.student.zero_grad()
    result = made.accumulate(groups, prefixes, epoch=0, **options)
    return result, {
        name: parameter.grad.clone()
        for name, parameter in made.student.named_parameters()
        if parameter.grad is not None
    }


def assert_same(left, right, tolerance: float = 2e-5) -> None:
    (result, gradient), (other, other_gradient) = left, right
    assert result.loss == pytest.approx(other.loss, rel=1e-5)
    assert result.loss_kd == pytest.approx(other.loss_kd, rel=1e-4, abs=1e-7)
    assert gradient.keys() == other_gradient.keys()
    scale = max(tensor.abs().max() for tensor in gradient.values())
    assert scale > 0
    for name in gradient:
        difference = (gradient[name] - other_gradient[name]).abs().max()
        assert difference <= tolerance * scale, name


@pytest.mark.parametrize("kind", EXACT_TYPES)
@pytest.mark.parametrize(
    "method",
    [
        {"name": "sft"},
        {"name": "rkd"},
        {"name": "kid"},
        {"name": "kid", "mask_strategy": "hard", "mle_context": "gold"},
    ],
    ids=lambda method: "-".join(method.values()),
)
def test_shared_prefix_equals_naive(kind, method):
    student, teacher = tiny.model(kind), tiny.model(kind, seed=7)
    shared = run(objective(student, teacher, **method))
    naive = run(objective(student, teacher, shared=False, **method))
    assert_same(shared, naive)
