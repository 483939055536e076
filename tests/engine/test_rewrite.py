"""Which tokens are masked, and what is written there (method.md, section 1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.distill.rewrite import choose_positions, num_masked, predict

STRATEGIES = ["random", "uniform", "hard", "easy"]


@pytest.mark.parametrize(
    ("length", "ratio", "expected"),
    [
        (10, 0, 0),
        (10, 0.2, 2),
        (12, 0.2, 2),
        (13, 0.2, 3),
        (10, 0.25, 3),
        (2, 0.2, 1),
        (1, 0.2, 0),
        (10, 1, 9),
    ],
)
def test_number(length, ratio, expected):
    assert num_masked(length, ratio) == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64])
@pytest.mark.parametrize("ratio", [0, 0.1, 0.2, 0.5, 1])
def test_positions(strategy, length, ratio):
    entropies = np.random.default_rng(0).random(length)
    chosen = choose_positions(length, ratio, strategy, (0, 1, 2, 3), entropies)
    assert len(set(chosen.tolist())) == num_masked(length, ratio)
    assert all(0 <= position < length - 1 for position in chosen)  # never EOS
    again = choose_positions(length, ratio, strategy, (0, 1, 2, 3), entropies)
    assert chosen.tolist() == again.tolist()


@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_each_part_of_the_key_changes_the_mask(strategy):
    masks = {
        tuple(choose_positions(60, 0.1, strategy, key))
        for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    }
    assert len(masks) > 3  # uniform's phases may fall together, five random masks may not
    assert strategy == "uniform" or len(masks) == 5


def test_hard_and_easy_follow_entropy():
    entropies = np.array([0.5, 3.0, 0.1, 2.0, 9.0])  # the last belongs to EOS
    assert choose_positions(5, 0.4, "hard", (0, 0, 0, 0), entropies).tolist() == [1, 3]
    assert choose_positions(5, 0.4, "easy", (0, 0, 0, 0), entropies).tolist() == [0, 2]


def test_uniform_is_evenly_spaced():
    gaps = np.diff(choose_positions(101, 0.1, "uniform", (3, 0, 0, 0)))
    assert set(gaps.tolist()) == {10}


def test_prediction_takes_the_next_best_where_the_best_is_banned():
    logits = torch.tensor([[1.0, 9.0, 5.0, 2.0], [7.0, 1.0, 2.0, 3.0]])
    assert predict(logits, torch.tensor([1])).tolist() == [2, 0]
    assert predict(logits, torch.tensor([0, 1])).tolist() == [2, 3]
    assert logits[0, 1] == 9.0  # the caller's logits are untouched
