"""Runs compared by their files: scores, costs, seeds, labels, the paired test, signs of failure."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from engine import files, profile
from engine.evaluation import statistics
from engine.evaluation.request import Request, open_folder
from engine.models.locate import fingerprint
from engine.runs import Run
from engine.study.comparison import Comparison, compare, markdown, to_json
from engine.study.differing import is_dominated
from engine.study.labels import labels
from kidtui.report import layout
from tests.fakes.finished import STEPS, finished, reference, scored, step, tell, write


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KID_HOME", str(tmp_path))
    return tmp_path


def settings(*sets: str) -> dict[str, object]:
    return profile.load("demo", sets).model_dump(mode="json")


def labels_of(*each: Sequence[str]) -> list[str]:
    return labels([settings(*sets) for sets in each], [f"r{number}" for number in range(len(each))])


def right(num: int, of: int = 40) -> list[bool]:
    return [True] * num + [False] * (of - num)


# Labels


def test_label_is_method_and_what_differs() -> None:
    assert labels_of(["method.name=sft"], ["method.name=kid"]) == ["sft", "kid"]
    two = labels_of(["method.mask_ratio=0.2"], ["method.mask_ratio=0.4"])
    assert two == ["kid mask_ratio=0.2", "kid mask_ratio=0.4"]
    variants = labels_of(
        ["method.name=rkd"], [], ["method.rewrite=mask"], ["method.rewrite=mask", "method.mle_context=gold"]
    )
    assert variants == ["rkd", "kid", "kid rewrite=mask", "kid rewrite=mask mle_context=gold"]


def test_label_names_other_settings_only_where_the_method_does_not_tell() -> None:
    found = labels_of(
        ["method.name=sft", "train.learning_rate=0.1"],
        ["method.name=kid", "train.learning_rate=0.2"],
        ["method.name=kid", "train.learning_rate=0.3"],
    )
    assert found == ["sft", "kid train.learning_rate=0.2", "kid train.learning_rate=0.3"]
    models = labels_of(["teacher.model=Qwen/small-1b"], ["teacher.model=Qwen/large-7b"])
    assert models == ["kid teacher.model=small-1b", "kid teacher.model=large-7b"]


def test_labels_of_the_same_settings_have_the_ids() -> None:
    assert labels_of([], []) == ["kid r0", "kid r1"]
    assert labels([{}, settings()], ["broken", "r1"]) == ["broken", "kid"]


# What one run has


def test_a_run_has_its_figures() -> None:
    one = compare([finished("a", "kid", correct=right(30), latency=2.5)]).standings[0]
    assert one.label == one.method == "kid"
    assert one.score is not None
    assert (one.score.value, one.score.num) == (0.75, 40)
    assert (one.score.low, one.score.high) == pytest.approx((0.65, 0.85))
    assert (one.before, one.teacher, one.steps, one.seconds) == (0.25, 0.9, STEPS, 5.0)
    assert one.latency == pytest.approx(2.5)
    assert one.latency_shared == pytest.approx(5.0)
    assert (one.step_ms, one.tokens_per_s, one.memory_mb) == (250.0, 1000.0, 500.0 + STEPS)
    assert one.curve == ((0, 0.25), (10, 0.5), (STEPS, 0.75))
    assert (one.errors_before, one.errors_after) == ({"syntax": 3}, {"value": 10})
    assert one.problem == ""


def test_latency_is_the_median_and_leaves_out_the_warm_up() -> None:
    odd = [reference(21, 100, 50, 900), reference(22, 100, 50, 300), reference(23, 100, 50, 320)]
    timed = finished("a", "kid", latency=None, more=odd)
    assert compare([timed]).standings[0].latency == pytest.approx(3.2)
    warm = finished("b", "kid", latency=None, more=odd, sets=["method.warmup_steps=21"])
    assert compare([warm]).standings[0].latency == pytest.approx(3.1)


def test_latency_that_was_not_measured_is_not_invented() -> None:
    found = compare([finished("a", latency=None), finished("b", "kid", latency=None)])
    assert [one.latency for one in found.standings] == [None, None]
    row = next(line for line in markdown(found).split("\n") if line.startswith("| kid | –"))
    assert row.startswith("| kid | – | – | 100 |")
    assert any("reference_every" in note for note in found.notes)


def test_a_resumed_run_counts_each_step_once_and_the_newer_word() -> None:
    run = finished("a", latency=None)
    tell(run, [step(20, loss=9.0, ms=700), scored(20, 0.1, 4), step(21, ms=900)], generation=2)
    one = compare([run]).standings[0]
    assert [number for number, _ in one.losses] == list(range(1, 22))
    assert dict(one.losses)[20] == 9.0
    assert dict(one.curve)[20] == 0.1
    assert one.step_ms == 100.0


def test_what_is_no_number_is_not_taken_for_one() -> None:
    strange = [
        {"kind": "step", "step": "x", "loss": 1},
        {"kind": "step", "step": 21, "loss": "low", "ms": [1], "tokens_per_s": None, "memory_mb": True},
        {"kind": "eval", "step": 3, "split": "student", "ex": 7, "num_questions": 4, "errors": 5},
        {"kind": "reference", "step": 4, "plain_sft_ms": 0, "sft_ms": "?", "method_ms": 5},
        {"kind": "divergences", "step": 5, "fkl": None, "rkl": 0.5},
    ]
    found = compare([finished("a", more=strange)])
    one = found.standings[0]
    assert one.latency == 2.0
    assert 3 not in dict(one.curve)
    assert one.divergences == {"rkl": ((5, 0.5),)}
    json.dumps(to_json(found), allow_nan=False)


def exposed(run: Run, value: float, num: int = 30) -> None:
    """What `kid eval --run RUN --exposure N` leaves."""
    last = run.path / "student" / "last"
    last.mkdir(parents=True, exist_ok=True)
    (last / "model.safetensors").write_bytes(b"weights")
    told = settings(f"student.model=run:{run.id}", "student.keep_layers=none")
    request = Request(told, fingerprint(f"run:{run.id}"), "demo/dev", "f1", exposure=num)
    folder = open_folder(request)
    measured = {"headline": value, "interval": [value - 1, value + 1], "headline_length": 16}
    files.write_json(folder.exposure_file(request), {**measured, "num_prompts": num})


def test_exaccerr_of_the_student_as_it_is_now() -> None:
    run = finished("a", "kid")
    exposed(run, 5.3)
    found = compare([run])
    told = found.standings[0].exaccerr
    assert told is not None
    assert (told.value, told.low, told.high, told.length, told.num) == (5.3, 4.3, 6.3, 16, 30)
    assert "| 5.3 % |" in markdown(found)
    (run.path / "student" / "last" / "model.safetensors").write_bytes(b"trained on")
    assert compare([run]).standings[0].exaccerr is None


# Runs that are not whole


def test_broken_and_unfinished_runs_are_told_in_a_word() -> None:
    names = ("whole", "damaged", "going", "gone")
    every = [finished(name, "kid", sets=[f"train.seed={at}"]) for at, name in enumerate(names)]
    _, damaged, going, gone = every
    (damaged.path / "run.json").write_text("{")
    (going.path / "report.json").unlink()
    write(going, "status.json", {**json.loads((going.path / "status.json").read_text()), "state": "stopped"})
    shutil.rmtree(gone.path)
    found = compare(every)
    by_id = {one.run.id: one for one in found.standings}
    assert by_id["whole"].problem == ""
    assert "run.json" in by_id["damaged"].problem
    assert by_id["going"].problem == f"stopped at step {STEPS}"
    assert by_id["going"].score is not None
    assert by_id["going"].score.step == STEPS
    assert by_id["gone"].state == "gone"
    text = markdown(found)
    assert "- damaged: cannot read" in text
    assert f"(going): stopped at step {STEPS}" in text
    json.dumps(to_json(found), allow_nan=False)


def test_a_run_without_events_or_predictions() -> None:
    run = finished("a")
    run.events_path(1).unlink()
    (run.path / "predictions.jsonl").write_text("not json\n")
    one = compare([run]).standings[0]
    assert (one.curve, one.latency, one.answers) == (((0, 0.25),), None, {})
    assert one.score is not None


def test_the_ends_of_a_curve_come_from_the_report_where_no_event_has_them() -> None:
    run = finished("a", latency=None, curve={})
    kept = [line for line in run.events_path(1).read_text().splitlines() if '"eval"' not in line]
    run.events_path(1).write_text("\n".join(kept) + "\n")
    assert compare([run]).standings[0].curve == ((0, 0.25), (STEPS, 0.75))


def test_a_text_task_is_scored_by_exact_match() -> None:
    texts = [finished("a", "kid"), finished("b", "rkd", correct=right(3, 4))]
    for run in texts:
        report = json.loads((run.path / "report.json").read_text())
        write(run, "report.json", {**report, "metric": "exact_match"})
    text = markdown(compare(texts))
    assert "| recipe | exact match |" in text
    assert "+0.000 exact match on the same 4 questions" in text
    assert "EX" not in text.replace("ExAccErr", "")
    assert "| recipe | score |" in markdown(compare([*texts, finished("c", "sft")]))


# Seeds


def test_runs_that_differ_in_their_seed_alone_are_one_row() -> None:
    kid = [finished(f"k{seed}", "kid", correct=right(num), sets=[f"train.seed={seed}"])
           for seed, num in enumerate((28, 32, 30))]  # fmt: skip
    found = compare([*kid, finished("s", "sft")])
    group = found.groups[0]
    assert [one.label for one in group.standings] == ["kid seed=0", "kid seed=1", "kid seed=2"]
    assert group.score is not None
    assert group.score.value == pytest.approx(0.75)
    assert group.spread == (0.7, 0.8)
    shares = [fmean(one.answers[index] for one in group.standings) for index in range(40)]
    assert (group.score.low, group.score.high) == statistics.bootstrap_interval(shares)
    text = markdown(found)
    assert "3: 0.700–0.800" in text
    assert "seed 1" not in text
    assert "| · seed 1 | 0.800 |" in markdown(found, with_runs=True)
    assert "- train.seed: `0`, `1`, `2`" in text


def test_the_same_seed_twice_is_no_second_seed() -> None:
    twice = compare([finished("a", "kid"), finished("b", "kid")])
    assert [group.label for group in twice.groups] == ["kid a", "kid b"]


def test_each_seed_may_have_a_warm_start_of_its_own() -> None:
    for seed in (0, 1):
        finished(f"warm{seed}", "sft", sets=[f"train.seed={seed}"])
    cells = [
        finished(f"c{seed}", "kid", sets=[f"train.seed={seed}", f"student.model=run:warm{seed}",
                                          "student.keep_layers=none"])
        for seed in (0, 1)
    ]  # fmt: skip
    assert [group.label for group in compare(cells).groups] == ["kid"]
    other = finished("w2", "sft", sets=["train.learning_rate=0.5"])
    stranger = finished("c2", "kid", sets=["train.seed=2", f"student.model=run:{other.id}",
                                           "student.keep_layers=none"])  # fmt: skip
    assert len(compare([*cells, stranger]).groups) == 2


# The settings, the test, the signs


def test_only_settings_that_differ_are_told() -> None:
    found = compare([finished("a", "sft"), finished("b", "kid", sets=["train.learning_rate=0.5"])])
    assert [key for key, _ in found.settings] == ["method.name", "train.learning_rate"]
    assert "- train.learning_rate: `0.001`; `0.5` (kid)" in markdown(found)


def test_the_best_two_are_tested_on_the_same_questions() -> None:
    first, second = right(30), [False] * 5 + right(25, 35)
    found = compare([finished("c", "sft", correct=right(10)), finished("a", "kid", correct=first),
                     finished("b", "rkd", correct=second)])  # fmt: skip
    test = found.test
    assert (test.first, test.second, test.num) == ("kid", "rkd", 40)
    assert test.mcnemar == statistics.mcnemar(first, second)
    assert test.difference == statistics.paired_bootstrap(first, second)
    assert "kid against rkd: +0.125 EX on the same 40 questions" in test.words
    assert "tell them apart" in test.words


def reason(*runs: Run) -> str:
    test = compare(runs).test
    assert test.difference is None
    assert test.reason in markdown(compare(runs)) or len(runs) == 1
    return test.reason


def test_why_there_is_no_test() -> None:
    kid, rkd = finished("a", "kid", correct=right(30)), finished("b", "rkd", correct=right(20, 30))
    assert "two finished runs" in reason(kid)
    assert "answered different questions (40 and 30, 30 of them in both)" in reason(kid, rkd)
    report = json.loads((rkd.path / "report.json").read_text())
    report["data"]["eval"]["fingerprint"] = "f2"
    write(rkd, "report.json", report)
    assert "different data sets" in reason(kid, rkd)
    (rkd.path / "predictions.jsonl").unlink()
    assert "predictions.jsonl" in reason(kid, rkd)


def signs(*runs: Run) -> Sequence[str]:
    return compare(runs).signatures


def test_falling_loss_with_a_poor_score_is_named() -> None:
    fallen = {"losses": (2.0, 0.1)}
    good = finished("a", "kid", correct=right(30), **fallen)
    assert signs(good) == ()
    worse = finished("b", "kid", correct=right(10), before=0.5, **fallen)
    [line] = signs(worse)
    assert "the training loss fell from 1.95 to 0.15, but EX from 0.500 to 0.250" in line
    peaked = finished("c", "kid", correct=right(20), curve={10: 0.8, STEPS: 0.5}, **fallen)
    [line] = signs(peaked)
    assert "0.800 at step 10 to 0.500" in line
    flat = finished("d", "kid", correct=right(10), before=0.5, losses=(2.0, 1.9))
    assert signs(flat) == ()


def test_high_exaccerr_is_named() -> None:
    run = finished("a", "fkd")
    exposed(run, 35.4)
    [line] = signs(run)
    assert "ExAccErr is 35.4 % at 16 tokens (95 % interval 34.4 to 36.4)" in line


def test_a_teacher_that_is_too_large_is_named() -> None:
    small = finished("a", "kid", correct=right(32), sets=["teacher.model=x/small"])
    large = finished("b", "kid", correct=right(30), sets=["teacher.model=x/large"],
                     parameters={"teacher": 14_000, "student": 1_000})  # fmt: skip
    [line] = signs(small, large)
    assert "0.750 with a teacher of 14.0 times the student's size, 0.800 with one of 2.0 times" in line
    sft = finished("c", "sft", correct=right(38), sets=["teacher.model=x/large"])
    assert any("below the 0.950 of sft" in line for line in signs(sft, large))
    assert signs(sft, small) == ()


def test_unfair_comparisons_are_noted() -> None:
    one, other = finished("a", "kid"), finished("b", "rkd", correct=right(4, 8))
    info = json.loads((other.path / "run.json").read_text())
    write(other, "run.json", {**info, "machine": {"host": "there"}})
    report = json.loads((other.path / "report.json").read_text())
    write(other, "report.json", {**report, "steps": 7})
    notes = " ".join(compare([one, other]).notes)
    assert "different numbers of questions (4, 8)" in notes
    assert "same number of steps (7, 20)" in notes
    assert "different machines" in notes


def test_dominated_is_what_another_beats() -> None:
    known = [(0.8, 2.0), (0.7, 1.0), (0.7, 2.0), (0.8, 3.0)]
    assert [is_dominated(score, cost, known) for score, cost in known] == [False, False, True, True]
    assert not is_dominated(0.8, 2.0, [(0.8, 2.0), (0.8, 2.0)])
    assert is_dominated(0.7, 2.0, [(0.8, 2.0)])
    assert is_dominated(0.7, 2.0, [(0.7, 1.0)])


# How it is told


def widest(found: Comparison) -> int:
    lines = layout(markdown(found, with_runs=True, width=100)).plain.split("\n")
    return max(len(line) for line in lines if line.startswith("  "))


def test_tables_fit_and_no_number_is_cut() -> None:
    long = [f"method.{key}" for key in ("rewrite=sample", "mle_context=gold", "temperature=0.75")]
    every = [
        finished(f"r{at}", "kid", correct=right(20 + at), before=at / 100, latency=3.25 + at,
                 sets=[*long, f"method.mask_ratio=0.{at}5", f"method.mask_strategy={kind}",
                       f"method.mask_token=<|a_long_token_{at}|>"])
        for at, kind in enumerate(("random", "uniform", "random"))
    ]  # fmt: skip
    seeds = [finished(f"s{seed}", "sft", sets=[f"train.seed={seed}"]) for seed in (0, 1)]
    found = compare([*every, *seeds])
    assert widest(found) <= 100
    text = layout(markdown(found, width=100)).plain
    assert "- A kid" in text
    for number in ("0.500", "0.525", "0.550", "0.400–0.600", "3.25×", "10.50×", "2: 0.750–0.750"):
        assert number in text
    assert "a_long_token_1" in text


def test_json_has_all_that_is_told() -> None:
    found = to_json(compare([finished("a", "kid", latency=2.5), finished("b", "sft", latency=0.5)]))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [run["id"] for run in found["runs"]] == ["a", "b"]
    assert found["groups"][0]["latency"] == 2.5
    assert found["settings"]["method.name"] == {"kid": "kid", "sft": "sft"}
    assert found["test"]["num"] == 4


def test_the_runs_are_not_touched() -> None:
    run = finished("a")
    exposed(run, 3.0)
    before = {path: os.stat(path).st_mtime_ns for path in run.path.rglob("*")}
    compare([run])
    assert {path: os.stat(path).st_mtime_ns for path in run.path.rglob("*")} == before
