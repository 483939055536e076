"""What benchmarks/against_trl.py times is the same quantity on both sides. It needs TRL."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine import tiny

pytest.importorskip("trl", reason="TRL is not installed: pip install 'kid-sql[bench]'")
pytestmark = pytest.mark.slow  # its trainers take seconds to import

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def against_trl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("against_trl")
    for name in ("against_trl", "steps"):  # too plain names to leave behind
        sys.modules.pop(name, None)


@dataclass
class Sides:
    """TRL's trainers and our steps, all of one student."""

    trl: Any
    rkd: Callable[[], Any]
    gkd: Callable[[], Any]
    student: Any

    def gradient(self, step: Callable[[], Any]) -> torch.Tensor:
        self.student.zero_grad()
        step()
        return torch.cat([parameter.grad.flatten() for parameter in self.student.parameters()])


@pytest.fixture
def sides(against_trl: Any, tmp_path: Path) -> Sides:
    steps = importlib.import_module("steps")
    shape = steps.Shape(3, 32, 48, 4, 2)
    setting = steps.Setting("tiny", shape, shape, tiny.VOCABULARY, questions=4, prefix=12, question=3, sql=5)
    teacher, student = tiny.model("llama", seed=1).requires_grad_(False), tiny.model("llama", seed=2).train()
    given = setting, teacher, student, *steps.make_questions(setting)
    rkd = against_trl.kid_step("rkd", *given, mle_weight=0.0)
    gkd = against_trl.kid_step("gkd", *given)
    return Sides(against_trl.Trl(*given, str(tmp_path)), rkd, gkd, student)


def test_loss_and_gradient_on_gold_answers_are_the_same(against_trl: Any, sides: Sides) -> None:
    losses = against_trl.check_same_loss(sides.trl, sides.rkd, sides.student)
    assert losses["kid"] > 0.1  # models that differ
    ours = sides.gradient(sides.rkd)
    for theirs in (sides.trl.rkd, lambda: sides.trl.distillation_loss().backward()):
        torch.testing.assert_close(sides.gradient(theirs), ours, rtol=1e-4, atol=1e-6)


def test_all_sample_answers_of_one_length(sides: Sides) -> None:
    """The steps assert the length; their losses are those of samples, not of gold answers."""
    gold = sides.trl.rkd().item()
    for loss in (sides.gkd().loss_kd, sides.trl.gkd().item(), sides.trl.distillation().item()):
        assert 0 < loss != pytest.approx(gold, rel=1e-4)
