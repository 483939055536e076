"""The teacher's kept prefixes: the same numbers, within a budget, given up when memory is short."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine import settings
from engine.distill.objective import Objective
from engine.models.kept_prefixes import KeptPrefixes
from engine.models.prefix import SharedPrefix
from tests.engine import tiny
from tests.engine.test_objective import objective

HERE, THERE = tiny.DATABASE, Path("b.sqlite")
IDS = {HERE: torch.tensor(tiny.prefix()), THERE: torch.tensor(tiny.prefix(11, seed=9))}


@pytest.fixture
def teacher():
    return tiny.model("llama", seed=7).requires_grad_(False)


def with_cache(student, teacher, **method) -> Objective:
    made = objective(student, teacher, **method)
    made.teacher_prefixes = KeptPrefixes(teacher, "cached", 2**30)
    return made


def losses(made: Objective) -> list[float]:
    prefixes = {HERE: tiny.prefix(), THERE: tiny.prefix(11, seed=9)}
    groups = [tiny.items(3), tiny.items(3, seed=5, database=THERE, start=10)]
    return [made.accumulate(groups, prefixes, epoch=epoch).loss for epoch in range(3)]


@pytest.mark.parametrize("name", ["rkd", "kid"])
def test_a_hit_is_bit_identical_to_a_miss(teacher, name):
    student = tiny.model("llama")
    made = with_cache(student, teacher, name=name)
    assert losses(made) == losses(objective(student, teacher, name=name))
    assert made.teacher_prefixes.hit_rate() == pytest.approx(4 / 6)
    assert made.teacher_prefixes.hit_rate() is None


def test_what_came_first_stays_within_the_budget(teacher):
    with torch.no_grad():
        size = SharedPrefix(teacher, IDS[HERE]).num_bytes
        kept = KeptPrefixes(teacher, "cached", size)
        first = kept.open([HERE], [IDS[HERE]])
        assert kept.open([THERE], [IDS[THERE]]) is not kept.open([THERE], [IDS[THERE]])
        assert kept.open([HERE], [IDS[HERE]]) is first
        assert kept.hit_rate() == 0.25
        kept.give_up()
        assert kept.open([HERE], [IDS[HERE]]) is not first
        assert kept.open([HERE], [IDS[HERE]]) is not first


def test_nothing_is_kept_of_a_form_that_holds_nothing(teacher):
    kept = KeptPrefixes(teacher, "packed", 2**30)
    kept.open([HERE], [IDS[HERE]])
    assert kept.open([HERE], [IDS[HERE]])
    assert kept.hit_rate() == 0


def test_a_profile_says_how_much():
    assert settings.Teacher(model="x").prefix_cache_mb == 1024
