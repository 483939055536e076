"""The SFT steps that a method's cost is stated against: the same loss as ours, and no trace left."""

from __future__ import annotations

import pytest
import torch

from engine import settings
from engine.distill import reference
from engine.distill.objective import Objective
from engine.models.pair import add_lora
from tests.engine import tiny
from tests.engine.test_methods import objective

PREFIXES = {tiny.DATABASE: tiny.prefix()}


def gradients(made: Objective) -> list[torch.Tensor]:
    found = [p.grad.clone() for p in made.student.parameters() if p.grad is not None]
    made.student.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("logits_bytes", [2**30, 4 * 40 * tiny.VOCABULARY])
def test_plain_sft_is_our_sft(monkeypatch, logits_bytes):
    monkeypatch.setattr(reference, "_LOGITS_BYTES", logits_bytes)  # all rows at once, or one at a time
    made, groups = objective("sft"), [tiny.items(4)]
    made.student.zero_grad(set_to_none=True)
    made.accumulate(groups, PREFIXES, epoch=0)
    ours = gradients(made)
    reference.plain_sft(made, groups, PREFIXES)
    for one, other in zip(ours, gradients(made), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_no_trace():
    lora = settings.Lora(rank=4, alpha=8, dropout=0.5)
    student = add_lora(tiny.model("llama"), settings.Student(model="x", lora=lora)).train()
    made = objective("kid", student=student)
    before = torch.get_rng_state()
    told = reference.time_sft(made, [tiny.items(4)], PREFIXES)
    assert told.keys() == {"plain_sft_ms", "sft_ms"}
    assert min(told.values()) > 0
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in student.parameters())
    assert not made.stopwatch.read()
