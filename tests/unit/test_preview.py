"""A long run's first glance."""

from __future__ import annotations

import json

import pytest

from engine import profile as profiles
from engine import runs
from engine.runs import Run
from kidtui import preview as module
from kidtui.history import History
from kidtui.preview import preview


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONG_BYTES", 10_000)
    monkeypatch.setattr(module, "_NUM_SAMPLES", 40)
    monkeypatch.setattr(module, "_WINDOW_BYTES", 400)


def run_with(*generations: range) -> Run:
    profile = profiles.from_values({"name": "x", "student": {"model": "m"}, "method": {"name": "sft"}})
    run = runs.create(profile, [])
    for number, steps in enumerate(generations, 1):
        lines = [
            json.dumps({"v": 1, "kind": "step", "time": step, "step": step, "loss": 1 / step})
            for step in steps
        ]
        lines.insert(len(lines) // 2, "garbage")
        run.events_path(number).write_text("\n".join(lines) + "\n")
    return run


def test_samples_span_the_whole_run() -> None:
    series = preview(run_with(range(1, 2001)))
    assert series is not None
    curve = series.curve("loss", 1000)
    assert 30 <= len(curve.xs) <= 45
    assert curve.xs[0] == 1
    assert curve.xs[-1] > 1980
    assert all(y == pytest.approx(1 / x) for x, y in zip(curve.xs, curve.mean, strict=True))


def test_samples_of_a_resumed_run_are_in_order() -> None:
    series = preview(run_with(range(1, 1001), range(901, 2001)))
    assert series is not None
    xs = series.curve("loss", 1000).xs
    assert list(xs) == sorted(xs)
    assert xs[-1] > 1980


def test_short_empty_and_vanished_runs_have_none() -> None:
    assert preview(run_with(range(1, 20))) is None
    assert preview(run_with()) is None
    run = run_with(range(1, 2001))
    run.events_path(1).unlink()
    run.events_path(1).mkdir()
    assert preview(run) is None


def test_a_history_shows_samples_until_it_has_read_all() -> None:
    history = History(run_with(range(1, 2001)))
    assert history.poll(1000)
    assert history.behind
    assert history.curve("loss", 1000).xs[-1] > 1980
    assert history.curve("loss", 1000, x="seconds").xs[-1] < 100
    for x in ("tokens", "seconds"):  # samples do not tell them
        steps, places = history.ways(x)
        assert len(steps) == len(places) < 30
        assert history.span(x) == (0, places[-1])
    assert (history.span() or (0, 0))[1] > 1980
    while history.behind:
        history.poll(20_000)
    assert len(history.curve("loss", 5000).xs) == 2000
