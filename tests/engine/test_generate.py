"""Greedy answers behind a shared prefix equal the model's own, row by row."""

from __future__ import annotations

import pytest
import torch

from engine.models.generate import generate
from engine.models.prefix import EXACT_TYPES, shareable
from tests.engine import tiny

SUFFIXES = [[5, 9], [7, 3, 4, 8, 21], [30], [11, 12, 13]]


def one_by_one(model, prefix, suffix, length: int) -> list[int]:
    row = [*prefix, *suffix]
    for _ in range(length):
        with torch.no_grad():
            row.append(model(input_ids=torch.tensor([row])).logits[0, -1].argmax().item())
        if row[-1] == tiny.EOS:
            break
    return row[len(prefix) + len(suffix) :]


@pytest.mark.parametrize("kind", EXACT_TYPES)
@pytest.mark.parametrize("shared", [True, False])
def test_equals_plain_greedy_decoding(kind, shared):
    model = tiny.model(kind)
    answers = generate(
        model, tiny.prefix(), SUFFIXES, max_new_tokens=12, eos_id=tiny.EOS, pad_id=tiny.PAD, shared=shared
    )
    assert answers == [one_by_one(model, tiny.prefix(), suffix, 12) for suffix in SUFFIXES]


def test_rows_that_end_early_leave_and_the_others_go_on():
    model = tiny.model("llama")
    free = generate(model, tiny.prefix(), SUFFIXES, max_new_tokens=12, eos_id=-1, pad_id=tiny.PAD)
    stop = free[0][2]  # as EOS, this token ends some rows and not others
    answers = generate(model, tiny.prefix(), SUFFIXES, max_new_tokens=12, eos_id=stop, pad_id=tiny.PAD)
    for answer, whole in zip(answers, free, strict=True):
        end = whole.index(stop) + 1 if stop in whole else len(whole)
        assert answer == whole[:end]


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("mistral", {"sliding_window": 8}, "sliding-window"),
        ("gpt_neox", {}, "not proven"),
        ("llama", {}, None),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 8}, None),
    ],
)
def test_sharing_is_decided_from_the_configuration(kind, changes, reason):
    found = shareable(tiny.model(kind, **changes))
    assert found is None if reason is None else reason in found
