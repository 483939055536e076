"""Distances between kinds of errors; what a report says of them; repairs, sensitivity, grouping from runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import RunError
from engine.study import error_figures, error_report, grouping, repairs, sensitivity, study_figures
from engine.study.error_distribution import (
    GOLD,
    NUM_BINS,
    REAL,
    REAL_ALL,
    STRATEGIES,
    Seen,
    compare,
    count,
    js_distance,
)
from engine.study.token_classes import CLASSES
from tests.fakes.finished_run import made


def plain_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """The definition, in loops."""
    p, q = ([one / sum(counts) for one in counts] for counts in (first, second))
    total = 0.0
    for one, other in zip(p, q, strict=True):
        middle = (one + other) / 2
        total += sum(share * math.log2(share / middle) for share in (one, other) if share) / 2
    return math.sqrt(max(total, 0))


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [([3, 1], [6, 2], 0.0), ([1, 0], [0, 5], 1.0), ([0, 0], [1, 2], None), ([5, 1, 0], [1, 1, 4], ...)],
)
def test_distance(first: list[float], second: list[float], distance: Any) -> None:
    found = float(js_distance(np.array(first), np.array(second)))
    if distance is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(plain_distance(first, second) if distance is ... else distance)


def test_errors_are_counted_by_class_and_by_place() -> None:
    classes, positions = count([0, 9, 19], ["keyword", "column", "column"], 20)
    assert classes[CLASSES.index("column")] == 2
    assert sum(classes) == 3
    assert [place for place, number in enumerate(positions) if number] == [0, 4, 9]
    assert count([2], ["literal"], 3)[1][6] == 1


def seen(kind: str, place: int, error: str = "") -> Seen:
    return Seen(*count([place], [kind], NUM_BINS), error)


def sources(num: int = 40) -> dict[str, list[Seen]]:
    """random is as the real errors are, uniform half so, hard not at all, easy has none."""
    real = [seen("column", 9, "value") if at % 2 else seen("table", 3, "join") for at in range(num)]
    other = [seen("keyword", 0, "syntax") for _ in range(num)]
    return {
        REAL: real,
        REAL_ALL: real,
        GOLD: [seen("keyword", at % NUM_BINS) for at in range(num)],
        "random": list(real),
        "uniform": [real[at] if at % 4 < 2 else other[at] for at in range(num)],
        "hard": other,
        "easy": [Seen()] * num,
    }


def test_the_nearest_strategy_is_named_with_its_certainty() -> None:
    found = compare(sources(), resamples=200)
    for part in found["dimensions"].values():
        values = {name: part["distances"][name]["value"] for name in STRATEGIES}
        assert values["random"] == 0.0
        assert 0.2 < values["uniform"] < 0.9
        assert values["hard"] == 1.0
        assert values["easy"] is None
        assert (part["nearest"], part["certainty"]) == ("random", 1.0)
        assert (
            part["distances"]["uniform"]["low"] <= values["uniform"] <= part["distances"]["uniform"]["high"]
        )
        assert 0 < part["chance"] < 0.4
    assert found["overall"]["nearest"] == "random"
    assert found["overall"]["distances"]["easy"] is None
    assert found["dimensions"]["error_class"]["names"][0] in ("syntax", "value", "join")
    assert GOLD not in found["dimensions"]["error_class"]["shares"]
    json.dumps(found, allow_nan=False)


def test_chance_is_what_two_samples_of_the_same_errors_are_apart() -> None:
    generator = np.random.default_rng(5)
    shares = [0.4, 0.3, 0.2, 0.1]

    def sample(num: int = 60) -> list[Seen]:
        kinds = generator.choice(["column", "table", "keyword", "literal"], num, p=shares)
        return [seen(kind, 0, "join") for kind in kinds]

    real = sample()
    found = compare(dict.fromkeys((REAL, REAL_ALL, GOLD, *STRATEGIES), real), resamples=1000)
    totals = [[np.sum([one.classes for one in sample()], axis=0) for _ in range(300)] for _ in range(2)]
    apart = np.quantile(js_distance(*map(np.array, totals)), 0.95)
    assert found["dimensions"]["token_class"]["chance"] == pytest.approx(apart, rel=0.15)


def test_uncertain_where_the_questions_are_few() -> None:
    few = sources(6)
    few["uniform"] = [*few["random"][:5], few["hard"][5]]
    few["random"] = [few["hard"][0], *few["random"][1:]]
    found = compare(few, resamples=300)
    assert 0.2 < found["overall"]["certainty"] < 0.95
    assert sum(found["overall"]["won"].values()) == pytest.approx(1)


def errors_report(them: Mapping[str, Sequence[Seen]] | None = None) -> dict[str, Any]:
    return {
        "run": "r1",
        "data": "demo/dev",
        "num_questions": 40,
        "num_left_out": 2,
        "num_wrong": 40,
        "mask_ratio": 0.2,
        "signatures": ["a sign"],
        "masked": {name: {"tokens": 8, "wrong": 4} for name in STRATEGIES},
        **compare(them or sources(), resamples=100),
    }


def test_report_in_plain_words() -> None:
    text = error_report.markdown(errors_report())
    assert "**random** masks" in text
    assert "sure: it is the nearest in 100 % of 100 resamples" in text
    assert "Of the four strategies they are the nearest here, too." in text
    assert "2 more are left out" in text
    assert "not told apart from the real errors" in text
    assert "**Note:** a sign" in text
    assert "| token class | 0.00 (" in text
    hard = sources()
    hard["random"], hard["hard"] = hard["hard"], hard["random"]
    assert "Here other masks come nearer, in 100 % of the resamples." in error_report.markdown(
        errors_report(hard)
    )


def test_figures_of_errors_are_whole_files(tmp_path: Path) -> None:
    written = error_figures.write(errors_report(), tmp_path)
    assert sorted(path.name for path in written) == sorted(path.name for path in tmp_path.iterdir())
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert all(path.read_bytes()[:4] in (b"\x89PNG", b"<?xm") for path in written)
    assert len(written) == 8


def test_repairs_are_counted_question_by_question() -> None:
    report = repairs.repairs([made("a", after="rrvjrg", before="vvvrsg")])
    assert report["classes"] == ["right", "syntax", "join", "value"]
    (group,) = report["groups"]
    assert group["num"] == 5  # a gold that fails is no answer's error
    assert group["matrix"] == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 1]]
    text = repairs.markdown(report)
    assert "| value | 67 % of 3 |" in text
    assert "| right (stays right) | 0 % of 1 |" in text


def test_repairs_of_seeds_are_summed_and_methods_stand_side_by_side() -> None:
    them = [made(f"k{seed}", "rv", "vv", train__seed=seed) for seed in (0, 1)]
    report = repairs.repairs([*them, made("s", "vv", "vv", method__name="sft")])
    assert [(group["label"], group["num"]) for group in report["groups"]] == [("kid", 4), ("sft", 2)]
    assert "| value | 50 % of 4 | 0 % of 2 |" in repairs.markdown(report)


def test_without_answers_from_before_there_is_nothing_to_tell() -> None:
    with pytest.raises(RunError, match=r"no run has kept .*run a: no predictions-before\.jsonl"):
        repairs.repairs([made("a", "rv")])


def test_an_unfinished_run_is_told_and_left_out() -> None:
    whole, half = made("a", "rv", "vv"), made("b", "rv", train__learning_rate=0.5)
    report = repairs.repairs([whole, half])
    assert [group["runs"] for group in report["groups"]] == [["a"]]
    assert report["problems"] == ["run b: no predictions-before.jsonl"]


def test_sensitivity_by_ratio_and_strategy() -> None:
    them = [
        made("a0", "rrvv", method__mask_ratio=0.1, train__seed=0),
        made("a1", "rrrv", method__mask_ratio=0.1, train__seed=1),
        made("b0", "rrrr", method__mask_ratio=0.4),
        made("c0", "rvvv", method__mask_ratio=0.4, method__mask_strategy="hard"),
        made("s", "rrrv", method__name="sft"),
    ]
    report, groups = sensitivity.sensitivity(them)
    (family,) = report["families"]
    told = {(cell["ratio"], cell["strategy"]): cell for cell in family["cells"]}
    assert told[0.1, "random"]["ex"]["value"] == 0.625
    assert told[0.1, "random"]["spread"] == [0.5, 0.75]
    assert told[0.4, "hard"]["ex"]["value"] == 0.25
    assert [other["label"] for other in report["others"]] == ["sft"]
    text = sensitivity.markdown(report)
    assert "| mask_ratio | random | hard |" in text
    assert "| 0.4 | **1.000** (" in text
    assert "| 0.1 | 0.625 (" in text
    assert len(groups) == 4


def test_a_recipe_that_stands_twice_is_told() -> None:
    twice = [
        made(name, answers, method__mask_ratio=0.4) for name, answers in (("b0", "rrrr"), ("b1", "vvvv"))
    ]
    report, _ = sensitivity.sensitivity([made("a0", "rrvv", method__mask_ratio=0.1), *twice])
    assert sum("not in the table, it repeats" in note for note in report["notes"]) == 1
    assert "| 0.4 | **1.000** (" in sensitivity.markdown(report)
    kinds = [made(f"{name}", "rv", None, 50.0, train__batching=kind)
             for name, kind in (("g0", "grouped"), ("g1", "grouped"), ("m", "mixed"))]  # fmt: skip
    report = grouping.grouping(kinds)
    assert len(report["pairs"]) == 1
    assert sum("left out, it repeats" in problem for problem in report["problems"]) == 1


def test_sensitivity_needs_what_differs() -> None:
    with pytest.raises(RunError, match="differ in mask_ratio or mask_strategy alone"):
        sensitivity.sensitivity([made("a", "rv"), made("b", "rv", method__name="sft")])


def test_grouping_at_equal_steps_and_at_equal_time() -> None:
    them = [
        made(f"{kind}{budget}{seed}", after, None, ms, train__batching=kind, train__seed=seed,
             train__max_seconds=float(budget))
        for budget in (0, 9)
        for kind, ms, answers in (("grouped", 50.0, ("rrrv", "rrvv")), ("mixed", 125.0, ("rvvv", "rrvv")))
        for seed, after in enumerate(answers)
    ]  # fmt: skip
    report = grouping.grouping(them)
    assert [pair["budget"] for pair in report["pairs"]] == ["equal steps", "equal time"]
    pair = report["pairs"][0]
    assert pair["difference"]["value"] == pytest.approx(0.25)
    assert pair["difference"]["seeds"] == [0.5, 0.0]
    assert pair["difference"]["low"] <= 0.25 <= pair["difference"]["high"]
    assert pair["time_ratio"] == pytest.approx(2.5)
    text = grouping.markdown(report)
    assert "A mixed step takes 2.50 times as long as a grouped one." in text
    assert "seed by seed +0.500, +0.000" in text
    with pytest.raises(RunError, match=r"differ in train\.batching alone"):
        grouping.grouping(them[:2])


def test_figures_of_the_other_studies(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    runs_of = [made("a", "rrvj", "vvvv"), made("b", "rvvj", "vjsv", train__batching="mixed")]
    written = study_figures.write_repairs(repairs.repairs(runs_of), folder)
    written += study_figures.write_grouping(grouping.grouping(runs_of), folder)
    assert {path.stem.split("-")[0] for path in written} == {"repairs", "grouping"}
    assert sorted(written) == sorted(folder.iterdir())
