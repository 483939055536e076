"""The study of a student's errors, with the demo's teacher as the student."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from engine import profile as profiles
from engine.data import benchmarks
from engine.data.glance import readable
from engine.distill.rewrite import num_masked
from engine.errors import DataError, KidError
from engine.evaluation.answering import answer_all
from engine.evaluation.request import Folder, open_folder
from engine.evaluation.request import Request as Asked
from engine.evaluation.sample import stratified
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.locate import fingerprint
from engine.models.pair import load_student
from engine.profile import Profile
from engine.settings import Method
from engine.study import study_errors
from engine.study.artificial import DRAWS, Classified, Guesses, classified, guess
from engine.study.error_distribution import STRATEGIES
from engine.study.study_errors import Request, edits, study

MODEL = "package:engine/data/demo/teacher"
METHOD = Method(mask_ratio=0.3)


def words(text: str) -> Classified:
    """An answer whose tokens are letters; capitals are tables, others columns."""
    return Classified(tuple(map(ord, text)), tuple("table" if char.isupper() else "column" for char in text))


@pytest.mark.parametrize(
    ("gold", "answer", "found"),
    [
        ("abC", "abC", []),
        ("abC", "abx", [(2, "table")]),  # replaced: gold's class
        ("abC", "aC", [(1, "column")]),  # missing
        ("abC", "aXbC", [(1, "table")]),  # one too many: its own class, before b
        ("ab", "abC", [(1, "table")]),  # at the end: the last place
        ("ab", "", [(0, "column"), (1, "column")]),
    ],
)
def test_edits(gold: str, answer: str, found: list[tuple[int, str]]) -> None:
    assert list(zip(*edits(words(gold), words(answer)), strict=True)) == found


def test_wrong_guesses_are_counted_where_they_stand() -> None:
    guesses = Guesses.none(2)
    guesses.add(1, words("aBcd"), [ord("a"), 2, 2, ord("d")], [ord("a"), ord("x"), ord("c"), ord("d")])
    assert (guesses.masked, guesses.wrong) == (2, 1)
    assert guesses.classes[0].sum() == 0
    assert guesses.classes[1].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert guesses.positions[1].nonzero()[0].tolist() == [2]


@pytest.fixture(scope="module")
def profile() -> Profile:
    values: dict[str, Any] = profiles.load("demo").model_dump(mode="json", exclude_none=True)
    return Profile.model_validate(
        {
            **values,
            "student": {"model": MODEL},
            "method": {"name": "sft"},
            "train": {"threads": 1},
            "recorded": [],
        }
    )


@pytest.fixture(scope="module")
def questions(profile: Profile) -> tuple[Any, ...]:
    data = benchmarks.load("demo/dev")
    encoder = Encoder(load_tokenizer(MODEL), profile.data)
    encoder.add(data)
    examples = stratified(data.examples, 6)
    golds = [classified(encoder, example.query, readable(example.database)) for example in examples]
    return load_student(profile), encoder, examples, golds


@pytest.fixture(scope="module")
def found(questions: tuple[Any, ...]) -> dict[str, Guesses]:
    return guess(*questions, METHOD, seed=0, batch_size=6, progress=lambda *told: None)


def test_every_strategy_masks_and_guesses(questions: tuple[Any, ...], found: dict[str, Guesses]) -> None:
    _, encoder, examples, golds = questions
    once = sum(num_masked(len(gold.ids) + 1, METHOD.mask_ratio) for gold in golds)
    for strategy in STRATEGIES:
        one = found[strategy]
        assert one.masked == once * (DRAWS if strategy in ("random", "uniform") else 1)
        assert one.classes.sum() == one.positions.sum() == one.wrong
        assert 0 < one.wrong < one.masked
    for text, gold, wrong in zip(found["hard"].texts, golds, found["hard"].classes.sum(1), strict=True):
        assert (text == encoder.decode(list(gold.ids))) == (wrong == 0)
    assert len(examples) == len(found["easy"].texts)


def test_guesses_do_not_depend_on_the_batch(questions: tuple[Any, ...], found: dict[str, Guesses]) -> None:
    parts = guess(*questions, METHOD, seed=0, batch_size=1, progress=lambda *told: None)
    for strategy in STRATEGIES:
        assert np.array_equal(found[strategy].classes, parts[strategy].classes)
        assert found[strategy].texts == parts[strategy].texts


@pytest.fixture
def folder(profile: Profile) -> Folder:
    """A request for answers to six questions."""
    data = benchmarks.load("demo/dev")
    asked = Asked(profile.model_dump(mode="json"), fingerprint(MODEL), "demo/dev", data.fingerprint, limit=6)
    return open_folder(asked)


def test_a_study(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_all([folder], lambda *told: None)
    told = [json.loads(line) for line in folder.answers_file.read_text().splitlines()]
    told[0]["sql"] = "SELECT 'no such thing'"
    folder.answers_file.write_text("".join(f"{json.dumps(one)}\n" for one in told))
    phases: list[str] = []
    request = Request(str(folder.path), METHOD.model_dump(mode="json"), seed=0)
    report = study(request, lambda name, done, total: phases.append(name))
    json.dumps(report, allow_nan=False)
    assert (report["num_questions"], report["num_left_out"]) == (6, 0)
    assert 1 <= report["num_wrong"] < 6
    assert report["mask_ratio"] == METHOD.mask_ratio
    assert set(report["dimensions"]["token_class"]["shares"]) == {
        *STRATEGIES,
        "inference",
        "inference_all",
        "gold",
    }
    counts = report["dimensions"]["token_class"]["counts"]
    assert counts["inference_all"] >= counts["inference"] > 0
    assert counts["random"] == report["masked"]["random"]["wrong"]
    assert report["dimensions"]["error_class"]["counts"]["inference"] == report["num_wrong"]
    assert "masking and guessing" in phases
    monkeypatch.setattr(study_errors, "judge", lambda data, examples, texts, executor: [""] * len(texts))
    with pytest.raises(KidError, match="answers all 6 questions right"):
        study(request, lambda *told: None)


def test_a_data_set_that_has_changed_is_told(folder: Folder) -> None:
    changed = replace(folder.request(), fingerprint="other")
    (folder.path / "request.json").write_text(json.dumps(asdict(changed)))
    with pytest.raises(DataError, match="has changed since it was asked for"):
        study(Request(str(folder.path), METHOD.model_dump(mode="json"), 0), lambda *told: None)
