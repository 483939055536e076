"""How a run computes: measured where that pays, kept for the whole run, and without a trace in its result."""

from __future__ import annotations

import json

import pytest
import torch

from engine import settings
from engine.distill import ways
from engine.distill.ways import Choice, Way, choose, kept_choice, other_ways, usual_way
from tests.engine import tiny
from tests.engine.test_objective import assert_same, objective, run

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
USUAL = Way("cached", "cached", 1, False, 2)
PACKED = Way("packed", "packed", 0, False, 2)


@pytest.fixture
def timed(monkeypatch):
    """Times by way instead of real ones; what was timed is in the list."""
    ms, asked = {}, []

    def time(made, way, groups, prefixes):
        asked.append(way)
        return ms[way]

    monkeypatch.setattr(ways, "_time", time)
    return ms, asked


@pytest.mark.parametrize(("usual", "packed", "chosen"), [(2000, 1600, PACKED), (2000, 1800, USUAL)])
def test_another_way_is_taken_where_it_is_clearly_faster(timed, usual, packed, chosen):
    timed[0].update({USUAL: usual, PACKED: packed})
    choice = choose(None, USUAL, [PACKED], [], {}, 1000)
    assert choice.way == chosen
    assert [one["ms"] for one in choice.measured] == [usual, packed]


def test_short_runs_are_not_measured(timed):
    timed[0].update({USUAL: 100, PACKED: 1})
    assert choose(None, USUAL, [PACKED], [], {}, 199) == Choice(USUAL)
    assert choose(None, USUAL, [PACKED], [], {}, 2000).way == USUAL
    assert timed[1] == [USUAL]  # 200 s: one measurement says that others do not pay


def test_measuring_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(ways, "_LONG_MS", 0)
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    expected = run(objective(student, teacher))
    made = objective(student, teacher)
    threads, random_state = torch.get_num_threads(), torch.get_rng_state()
    usual = usual_way("cached", "cached", CPU, settings.Train())
    others = [Way("packed", "packed", 0, False, 1), Way("naive", "cached", 0, True, 1)]
    choice = choose(made, usual, others, [tiny.items()], {tiny.DATABASE: tiny.prefix()}, 1000)
    assert len(choice.measured) == 3
    assert all(0 < one["ms"] < float("inf") for one in choice.measured)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in student.parameters())
    for way in (*others[:1], usual):
        way.take(made)
        assert torch.get_num_threads() == way.threads
        assert_same(expected, run(made))
    torch.set_num_threads(threads)


def test_no_memory_for_a_way_means_another_one(monkeypatch):
    made = objective(tiny.model("llama"), None, name="sft")
    monkeypatch.setattr(made, "accumulate", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    assert ways._time(made, USUAL, [], {}) == float("inf")


def test_a_run_keeps_its_way(tmp_path):
    assert kept_choice(tmp_path, lambda: Choice(PACKED, [])).way == PACKED
    assert kept_choice(tmp_path, lambda: Choice(USUAL, [])).way == PACKED
    (tmp_path / "way.json").write_text(json.dumps({"way": {"form": "x"}}))
    assert kept_choice(tmp_path, lambda: Choice(USUAL, [])).way == USUAL


def test_which_ways_there_are(monkeypatch):
    monkeypatch.setattr(ways.psutil, "cpu_count", lambda logical: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    plain = settings.Train()
    assert other_ways(USUAL, CPU, plain) == []
    assert [way.threads for way in other_ways(Way("cached", "cached", 1, False, 4), CPU, plain)] == [2]
    fastest = settings.Train(precision="fastest", threads=2)
    assert [way.bfloat16 for way in other_ways(USUAL, CPU, fastest)] == [True]
    on_gpu = {(way.student_form, way.teacher_form) for way in other_ways(USUAL, GPU, plain)}
    assert on_gpu == {("packed", "cached"), ("packed", "packed"), ("naive", "cached"), ("naive", "naive")}
    inexact = Way("cached", "naive", 1, True, 2)
    assert {way.teacher_form for way in other_ways(inexact, GPU, plain)} == {"naive"}
    assert usual_way("cached", "cached", GPU, plain).bfloat16
    assert not usual_way("cached", "cached", GPU, settings.Train(precision="float32")).bfloat16
    assert not usual_way("cached", "cached", CPU, fastest).bfloat16
    assert usual_way("cached", "cached", CPU, settings.Train(precision="bfloat16")).bfloat16
