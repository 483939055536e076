"""What `make bench` compares are equals, and it tells which promises are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks import promises, steps

SIZES = steps.Setting(
    "tiny",
    teacher=steps.Shape(3, 32, 48, 4, 2),
    student=steps.Shape(2, 32, 48, 4, 2),
    vocabulary=61,
    questions=5,
    prefix=23,
    question=6,
    sql=15,
)


@pytest.fixture
def pair() -> tuple[Any, Any]:
    """Teacher and student, sure enough of their tokens that another rewrite is another gradient."""
    made = steps.make_pair(SIZES, "cpu")
    with torch.no_grad():
        for model in made:
            for parameter in model.parameters():
                parameter.mul_(4)
    return made


def gradient(student: Any, step: Callable[[], None]) -> torch.Tensor:
    student.zero_grad()
    step()
    return torch.cat([parameter.grad.flatten() for parameter in student.parameters()])


@pytest.mark.parametrize("form", ["cached", "packed"])
@pytest.mark.parametrize("method", ["kid", "sft"])
def test_the_reference_learns_what_ours_does(pair, method, form):
    teacher, student = pair
    prefix, items = steps.make_questions(SIZES)
    plain = steps.Plain(teacher, student, prefix, items)
    expected = gradient(student, getattr(plain, method))
    found = gradient(student, steps.ours(method, form, teacher, student, prefix, items))
    assert expected.abs().max() > 0.1
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_whole_step_moves_the_student(pair):
    teacher, student = pair
    prefix, items = steps.make_questions(SIZES)
    before = student.lm_head.weight.clone()
    ways = {"kid": steps.ours("kid", "cached", teacher, student, prefix, items)}
    seconds = steps.medians(steps.optimizer_steps(ways, student), 1, "cpu")
    assert not torch.equal(before, student.lm_head.weight)
    assert student.lm_head.weight.grad is None
    assert 0 < seconds["kid"] < 60


def test_promises_are_told_kept_missed_or_not_measured():
    ratios = {"kid_vs_sft": 0.35, "kid_vs_naive": 0.2, "processes_vs_one": 3.0}
    _, *lines = promises.table(ratios)
    ends = {promise.ratio: line.split()[-2:] for promise, line in zip(promises.PROMISES, lines, strict=True)}
    assert ends.pop("kid_vs_sft") == ["0.35", "kept"]
    assert ends.pop("kid_vs_naive") == ["0.2", "MISSED"]
    assert ends.pop("processes_vs_one") == ["3", "told"]
    assert all(end == ["not", "measured"] for end in ends.values())
