"""Plans of epochs: everything once, groups on one database, reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from engine.distill.batches import Plan

DATABASES = ["a"] * 21 + ["b"] * 5 + ["c"]
LENGTHS = np.random.default_rng(0).integers(5, 90, len(DATABASES)).tolist()


def plan(batching: str = "grouped", seed: int = 0) -> Plan:
    return Plan(DATABASES, LENGTHS, 4, 2, batching, seed)


@pytest.mark.parametrize("batching", ["grouped", "mixed"])
def test_an_epoch_has_every_example_once(batching):
    for epoch in range(3):
        steps = plan(batching).steps(epoch)
        assert sorted(index for step in steps for group in step for index in group) == list(range(27))
        assert len(steps) == plan(batching).steps_per_epoch
        for step in steps:
            assert sum(map(len, step)) <= 8
            for group in step:
                assert len({DATABASES[index] for index in group}) == 1


@pytest.mark.parametrize("batching", ["grouped", "mixed"])
def test_only_seed_and_epoch_matter(batching):
    first = list(plan(batching).steps(1))
    assert first == list(plan(batching).steps(1))
    assert first != list(plan(batching).steps(2))
    assert first != list(plan(batching, seed=1).steps(1))


def test_groups_hold_similar_lengths():
    many = Plan(["a"] * 64, np.random.default_rng(1).permutation(64).tolist(), 8, 1, "grouped", 0)
    spreads = [max(group) - min(group) for (group,) in
               ([[many.lengths[i] for i in group] for group in step] for step in many.steps(0))]  # fmt: skip
    assert max(spreads) < 32  # eight at random out of 64 would spread over about 50
