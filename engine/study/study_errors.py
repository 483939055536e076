"""The artificial errors that KID would train on, beside those that the student makes when it answers.

    artificial  gold tokens are masked by a strategy and guessed in one pass: the guesses that are wrong
    real        the student's greedy answers, aligned to gold by the fewest edits of tokens

Both are counted in the model's own tokens, by the class of the gold token (of the inserted one, where
the answer has a token too many), and by the error of the whole SQL, which runs on the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.data.benchmarks import DataSet, Example
from engine.data.glance import readable
from engine.errors import DataError, KidError, ModelError
from engine.evaluation import request as answering
from engine.evaluation.answering import load_asked
from engine.evaluation.answers import Answer
from engine.evaluation.evaluate import Options, evaluate
from engine.evaluation.sample import stratified
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.locate import fingerprint
from engine.models.pair import load_student
from engine.models.threads import set_threads
from engine.profile import Profile
from engine.progress import Progress
from engine.provenance import usable_cores
from engine.settings import Method
from engine.sql.execute import Executor
from engine.study.artificial import DRAWS, Classified, Guesses, classified, guess
from engine.study.error_distribution import GOLD, REAL, REAL_ALL, Seen, compare, count


@dataclass(frozen=True, slots=True)
class Request:
    """What is studied.

    folder: the student's answers (evaluation/request.py), with its profile and the questions.
    method: the profile's settings of it, for what guess() (artificial.py) reads of them.
    seed: of the masks and of the resampling.
    """

    folder: str
    method: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class _Questions:
    """What is studied: examples with their gold answers and the student's SQL, in one order."""

    data: DataSet
    examples: Sequence[Example]
    golds: Sequence[Classified]
    texts: Sequence[str]
    num_left_out: int


def study(request: Request, progress: Progress) -> dict[str, Any]:
    """The report on a student's errors, plain enough for JSON (see error_distribution.compare).

    Args:
        progress: called with (what is being done, done, total).

    Raises:
        KidError: the student has no error to compare with; a model or a data set cannot be opened.
    """
    folder = answering.Folder(Path(request.folder))
    asked = folder.request()
    method, profile = Method.model_validate(request.method), Profile.model_validate(asked.profile)
    spec = profile.student.model
    assert spec, "a request names its model"
    set_threads(profile)
    progress(f"loading {spec}", 0, 0)
    if fingerprint(spec, profile.student.adapter) != asked.model:
        raise ModelError(f"model {spec} has changed since it was asked", "ask again")
    encoder = Encoder(load_tokenizer(spec, profile.trusts(spec)), profile.data)
    asked_of = _questions(asked, folder, encoder, profile.data.max_answer_tokens)
    with Executor(usable_cores(), profile.eval.timeout) as executor:
        errors = judge(asked_of.data, asked_of.examples, asked_of.texts, executor)
        if not any(errors):
            raise KidError(
                f"the student answers all {len(errors)} questions right: there is no error to compare with",
                "ask more (--limit 0), or harder ones (--data SET)",
            )
        guessed = guess(
            load_student(profile),
            encoder,
            asked_of.examples,
            asked_of.golds,
            method,
            seed=request.seed,
            batch_size=profile.eval.batch_size,
            progress=progress,
        )
        seen = _real(asked_of, errors, encoder) | _artificial(asked_of, guessed, executor, progress)
    return {
        "v": 1,
        "study": "errors",
        "student": spec,
        "data": asked.data,
        "num_questions": len(errors),
        "num_left_out": asked_of.num_left_out,
        "num_wrong": sum(map(bool, errors)),
        "mask_ratio": method.mask_ratio,
        "seed": request.seed,
        "draws": DRAWS,
        "masked": {name: {"tokens": one.masked, "wrong": one.wrong} for name, one in guessed.items()},
        **compare(seen, seed=request.seed),
    }


def _questions(
    asked: answering.Request, folder: answering.Folder, encoder: Encoder, longest: int
) -> _Questions:
    """The questions whose gold answer could be written whole: others are no part of training either."""
    data = load_asked(asked)
    encoder.add(data)
    sampled = stratified(data.examples, asked.limit)
    golds = [classified(encoder, example.query, readable(example.database)) for example in sampled]
    kept = [place for place, gold in enumerate(golds) if 0 < len(gold.ids) < longest]
    if not kept:
        raise DataError(
            f"no gold answer of {asked.data} fits data.max_answer_tokens = {longest}",
            "choose another data set",
        )
    answers = {answer.index: answer.sql for answer in folder.answers()}
    examples = [sampled[place] for place in kept]
    texts = [answers[example.index] for example in examples]
    return _Questions(data, examples, [golds[place] for place in kept], texts, len(sampled) - len(kept))


def _real(asked_of: _Questions, errors: Sequence[str], encoder: Encoder) -> dict[str, list[Seen]]:
    """The errors of the student's answers, and what every gold token would give. `errors`: of each SQL."""
    every = []
    for example, gold, text, error in zip(
        asked_of.examples, asked_of.golds, asked_of.texts, errors, strict=True
    ):
        answer = classified(encoder, text, readable(example.database))
        places, kinds = edits(gold, answer)
        every.append(Seen(*count(places, kinds, len(gold.ids)), error))
    return {
        REAL_ALL: every,
        REAL: [one if one.error else Seen() for one in every],
        GOLD: [Seen(*count(range(len(gold.ids)), gold.kinds, len(gold.ids))) for gold in asked_of.golds],
    }


def _artificial(
    asked_of: _Questions, guessed: Mapping[str, Guesses], executor: Executor, progress: Progress
) -> dict[str, list[Seen]]:
    found = {}
    for number, (strategy, guesses) in enumerate(guessed.items()):
        progress("judging the rewritten answers", number, len(guessed))
        errors = judge(asked_of.data, asked_of.examples, guesses.texts, executor)
        rows = zip(guesses.classes.tolist(), guesses.positions.tolist(), errors, strict=True)
        found[strategy] = [Seen(tuple(one), tuple(other), error) for one, other, error in rows]
    return found


def judge(data: DataSet, examples: Sequence[Example], texts: Sequence[str], executor: Executor) -> list[str]:
    """The class of each SQL's error, "" where its rows are gold's, or where gold itself fails.

    What is gold to the letter needs no run.
    """
    found = [""] * len(examples)
    places = [at for at, text in enumerate(texts) if text != " ".join(examples[at].query.split())]
    if not places:
        return found
    asked = replace(data, examples=tuple(examples[at] for at in places))
    answers = [Answer(texts[at], examples[at].index) for at in places]
    scored = evaluate(asked, answers, Options(), executor, source="the student")
    for at, item in zip(places, scored.items, strict=True):
        found[at] = "" if item.ex or item.gold_failed else item.error_class
    return found


def edits(gold: Classified, answer: Classified) -> tuple[list[int], list[str]]:
    """Place and class of every token that the fewest edits (Levenshtein) from gold to the answer touch.

    Replaced and missing tokens count with gold's class, at their place; a token too many counts with
    its own, at the place of the gold token before which it stands, or of the last one.
    """
    from rapidfuzz.distance import Levenshtein

    places: list[int] = []
    kinds: list[str] = []
    for step in Levenshtein.opcodes(gold.ids, answer.ids):
        if step.tag == "insert":
            inserted = answer.kinds[step.dest_start : step.dest_end]
            places += [min(step.src_start, len(gold.ids) - 1)] * len(inserted)
            kinds += inserted
        elif step.tag != "equal":
            places += range(step.src_start, step.src_end)
            kinds += gold.kinds[step.src_start : step.src_end]
    return places, kinds
