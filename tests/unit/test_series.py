"""Metrics over steps: exact while there are few, and bounded however many come."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from kidtui.series import Curve, Series


def step(number: Any, loss: Any = 1.0, generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {"kind": "step", "generation": generation, "step": number, "loss": loss, **fields}


def test_few_steps_are_kept_exactly() -> None:
    series = Series()
    series.extend([step(1, 3.0), step(2, 2.0)])
    series.extend([step(3, 2.5)])
    exact = (3.0, 2.0, 2.5)
    assert series.curve("loss", 100) == Curve("loss", (1.0, 2.0, 3.0), exact, exact, exact)
    assert series.curve("lr", 100) == Curve("lr")
    assert Series().curve("loss", 100) == Curve("loss")
    assert series.names == ("loss",)
    assert Series().names == ()


@pytest.mark.parametrize("size", [1, 3, 500])
def test_many_steps_give_the_lowest_the_mean_and_the_highest_of_their_buckets(size: int) -> None:
    values = [random.Random(4).gauss(0, 1) + at / 100 for at in range(1000)]
    steps = [step(at + 1, value) for at, value in enumerate(values)]
    series = Series(capacity=16)
    for at in range(0, len(steps), size):
        series.extend(steps[at : at + size])
    curve = series.curve("loss", 1000)
    assert len(curve.xs) == 16  # 15 full buckets of 64 and the rest
    pieces = [values[at : at + 64] for at in range(0, 1000, 64)]
    assert curve.low == tuple(min(piece) for piece in pieces)
    assert curve.high == tuple(max(piece) for piece in pieces)
    assert curve.mean == pytest.approx([sum(piece) / len(piece) for piece in pieces])
    assert curve.xs == tuple([64 * at + 32.5 for at in range(15)] + [980.5])


@pytest.mark.parametrize("buckets", [1, 2, 3, 7, 15, 16])
def test_a_curve_has_at_most_the_buckets_asked_for(buckets: int) -> None:
    series = Series(capacity=16)
    series.extend([step(at, float(at)) for at in range(1, 1001)])
    for start, stop in ((None, None), (300, None), (None, 700), (300, 700), (650, 650)):
        curve = series.curve("loss", buckets, start, stop)
        assert 1 <= len(curve.xs) <= buckets
        assert curve.low[0] <= (start or 1)
        assert curve.high[-1] >= (stop or 1000)
        assert all(
            low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True)
        )
    assert series.curve("loss", buckets, 2000, 3000).xs == ()
    assert series.curve("loss", 1).mean == (500.5,)


def test_what_is_no_finite_number_is_left_out() -> None:
    series = Series()
    values = [1.0, None, math.nan, math.inf, 10**400, "high", [1], {}, 3.0]
    series.extend([step(at, value) for at, value in enumerate(values)])
    for at, value in enumerate(values):
        series.extend([step(20 + at, value, ms={"total": value, "mask": 1})])
    series.extend([step(40, ms="slow"), step(41, ms=None)])
    assert series.curve("loss", 100).mean == (1.0, 3.0, 1.0, 3.0, 1.0, 1.0)
    assert series.curve("ms.total", 100).xs == (20.0, 28.0)
    assert len(series.curve("ms.mask", 100).xs) == 9
    assert series.curve("loss", 1).mean == (10 / 6,)


def test_steps_without_a_number_are_left_out() -> None:
    series = Series()
    numbers = [None, "first", math.nan, 10**400, 1, [2], 2]
    series.extend([{"kind": "step"}, *(step(number) for number in numbers)])
    assert series.curve("loss", 100).xs == (1.0, 2.0)
    series.extend([])
    series.extend([{"kind": "step"}])
    assert series.curve("loss", 100).xs == (1.0, 2.0)


def test_a_metric_may_come_late_and_names_are_bounded() -> None:
    series = Series()
    series.extend([step(1), step(2, recovered_rate=0.5, path="x")])
    assert series.curve("recovered_rate", 10).xs == (2.0,)
    assert series.names == ("loss", "recovered_rate")
    series.extend([step(3 + at, **{f"metric {at}": 1.0}) for at in range(200)])
    assert len(series.names) <= 64
    assert len(series.curve("loss", 1000).xs) == 202


def test_a_resumed_run_drops_what_it_does_again() -> None:
    series = Series()
    series.extend([step(at, 1.0) for at in range(1, 11)])
    series.extend([step(6, 2.0, 2), step(7, 2.0, 2)])
    curve = series.curve("loss", 100)
    assert curve.xs == (1, 2, 3, 4, 5, 6, 7)
    assert curve.mean == (1, 1, 1, 1, 1, 2, 2)
    series.extend([step(8, 2.0, 2), step(3, 3.0, 3), step(4, 3.0, 3), step(1, 4.0, 4)])
    assert series.curve("loss", 100) == Curve("loss", (1.0,), (4.0,), (4.0,), (4.0,))


def test_no_value_of_a_dropped_step_stays_in_a_merged_bucket() -> None:
    series = Series(capacity=16)
    series.extend([step(at, 1.0 if at < 500 else 9.0) for at in range(1, 1001)])
    series.extend([step(at, 2.0, 2) for at in range(500, 600)])
    curve = series.curve("loss", 100)
    assert max(curve.high) == 2.0
    assert list(curve.xs) == sorted(set(curve.xs))
    assert curve.xs[-1] <= 599


def test_over_tokens_and_seconds() -> None:
    series = Series()
    series.extend([step(at, num_tokens=100 * at, ms={"total": 500.0}) for at in (1, 2, 3)])
    assert series.curve("loss", 9, x="tokens").xs == (100.0, 300.0, 600.0)
    assert series.curve("loss", 9, x="seconds").xs == (0.5, 1.0, 1.5)
    assert series.ways("tokens") == ((1, 2, 3), (100, 300, 600))
    assert (series.span(), series.span("seconds"), Series().span()) == ((1, 3), (0.5, 1.5), None)
    assert series.curve("loss", 9, 200, 400, x="tokens").xs == (300.0,)
    series.extend([step(2, generation=2, num_tokens=50, ms={"total": 1000.0})])
    assert series.curve("loss", 9, x="tokens").xs == (100.0, 150.0)
    assert series.curve("loss", 9, x="seconds").xs == (0.5, 1.5)


def test_seconds_of_steps_that_do_not_say_what_they_took() -> None:
    series = Series()
    times = [(1, 100.0, 1), (2, 103.0, 1), (3, 1000.0, 1), (4, 5000.0, 2), (5, 5002.0, 2), (6, None, 2)]
    series.extend([step(number, generation=generation, time=at) for number, at, generation in times[:2]])
    series.extend([step(number, generation=generation, time=at) for number, at, generation in times[2:]])
    # a pause counts as a minute, the time between two generations not at all
    assert series.curve("loss", 9, x="seconds").xs == (0.0, 3.0, 63.0, 63.0, 65.0, 65.0)
