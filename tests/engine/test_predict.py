"""Answers to a whole data set: their order, keeping and resuming, and the vote by execution."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.data.benchmarks import Example
from engine.evaluation.predict import predict
from engine.evaluation.vote import choose
from engine.models.beam import beam_search
from engine.models.generate import generate
from engine.sql.execute import Executor
from tests.engine import tiny

PREFIXES = {"a": tiny.prefix(), "b": tiny.prefix(17, seed=3)}
# What each example asks, in tokens; databases and lengths are mixed.
SUFFIXES = [[5, 9], [7, 3, 4, 8, 21], [30], [11, 12, 13], [40, 41], [9, 9, 9, 9], [50, 6, 7]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    for name in PREFIXES:
        with contextlib.closing(sqlite3.connect(folder / f"{name}.sqlite")) as connection:
            connection.executescript(
                "CREATE TABLE t (x INTEGER, y TEXT); INSERT INTO t VALUES (1, 'p'), (2, 'q'), (3, 'q')"
            )
            connection.commit()
    return folder


@pytest.fixture(scope="module")
def executor():
    with Executor(jobs=1, timeout=5) as opened:
        yield opened


@pytest.fixture
def examples(folder: Path) -> list[Example]:
    names = "abbabaa"
    return [
        Example(10 * place, name, str(place), "SELECT 1", folder / f"{name}.sqlite")
        for place, name in enumerate(names)
    ]


@pytest.fixture
def model():
    made = tiny.model("llama")
    made.get_input_embeddings().weight.data.mul_(0.2)  # its head, too: so that samples differ
    return made


ENCODER = SimpleNamespace(
    eos_id=tiny.EOS,
    pad_id=tiny.PAD,
    prefix=lambda database: PREFIXES[database.stem],
    suffix=lambda example: SUFFIXES[int(example.question)],
    decode=lambda ids, database=None: f"SELECT {ids[0] % 4} -- {ids}",
)


def answers(model, examples, **changes):
    return predict(model, ENCODER, examples, **{"batch_size": 2, "max_new_tokens": 6, **changes})


def one_by_one(decoder, model, examples, **changes):
    """What the decoder says to each example alone, as SQL."""
    arguments = {"max_new_tokens": 6, "eos_id": tiny.EOS, "pad_id": tiny.PAD, **changes}
    return [
        ENCODER.decode(decoder(model, ENCODER.prefix(one.database), [ENCODER.suffix(one)], **arguments)[0])
        for one in examples
    ]


@pytest.mark.parametrize(
    ("decoder", "decode", "changes"),
    [(generate, "greedy", {}), (beam_search, "beam", {"num_beams": 3})],
)
def test_answers_come_in_the_order_of_the_examples(model, examples, decoder, decode, changes):
    seen = []
    found = answers(model, examples, decode=decode, progress=lambda *counts: seen.append(counts), **changes)
    assert [answer.index for answer in found] == [0, 10, 20, 30, 40, 50, 60]
    assert [answer.sql for answer in found] == one_by_one(decoder, model, examples, **changes)
    assert all(answer.num_tokens == 6 and answer.milliseconds > 0 for answer in found)
    assert seen[-1] == (7, 7)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("decode", ["greedy", "vote"])
def test_an_interrupted_evaluation_goes_on_to_the_same_answers(model, examples, executor, decode):
    arguments = {"decode": decode, "num_samples": 3, "executor": executor, "batch_size": 8}
    whole = answers(model, examples, **arguments)
    kept = []

    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        answers(model, examples, on_batch=kept.extend, progress=stop, **arguments)
    assert 4 <= len(kept) < 7
    counts = []
    rest = answers(model, examples, on_batch=kept.extend, done={answer.index for answer in kept},
                   progress=lambda *two: counts.append(two), **arguments)  # fmt: skip
    assert len(rest) < 7
    assert counts[-1] == (7, 7)
    assert {answer.index: answer.sql for answer in kept} == {answer.index: answer.sql for answer in whole}


def test_a_vote_is_by_result_and_the_seed_decides_what_is_sampled(model, examples, executor):
    def elect(**changes):
        found = answers(
            model, examples, decode="vote", num_samples=9, temperature=3.0, executor=executor, **changes
        )
        return [answer.sql for answer in found]

    assert elect() == elect(batch_size=30)
    assert elect() != elect(seed=1)
    assert elect() != one_by_one(generate, model, examples)


@pytest.mark.parametrize(
    ("candidates", "elected"),
    [
        # the largest group, by its first member; equal texts count each
        (["SELECT 1", "SELECT 2", "SELECT 1 + 1"], 1),
        (["SELECT 1", "SELECT 2", "SELECT 2"], 1),
        # ties: the first, here the greedy answer
        (["SELECT 1", "SELECT 2"], 0),
        (["SELECT 1", "SELECT 2", "SELECT 2", "SELECT 3 - 2"], 0),
        # errors never win, unless there is nothing else
        (["SELECT z FROM t", "SELECT z FROM t", "DROP TABLE t", "SELECT 1"], 3),
        (["SELECT z FROM t", "", "DROP TABLE t"], 0),
        # an empty result loses ties only
        (["SELECT x FROM t WHERE x > 9", "SELECT 1"], 1),
        (["SELECT x FROM t WHERE x > 9", "SELECT y FROM t WHERE x > 8", "SELECT 1"], 0),
        # order and columns
        (["SELECT 9", "SELECT x FROM t", "SELECT x FROM t WHERE x * -1 < 0"], 1),
        (["SELECT 9", "SELECT x, y FROM t", "SELECT y, x FROM t"], 1),
        (["SELECT 9", "SELECT x FROM t ORDER BY x", "SELECT x FROM t ORDER BY x DESC"], 0),
        (["SELECT 9", "SELECT x FROM t ORDER BY x", "SELECT x FROM t ORDER BY -x DESC"], 1),
        (["SELECT 9", "SELECT count(*), y FROM t GROUP BY y", "SELECT 1, 'p' UNION ALL SELECT 2, 'q'"], 1),
        # one result that is too long equals no other
        (
            ["SELECT 9"]
            + [
                f"WITH c(n) AS (SELECT {n} UNION ALL SELECT n FROM c LIMIT 20000) SELECT 1 FROM c"
                for n in "12"
            ],
            0,
        ),
    ],
)
def test_the_elected_candidate(folder, executor, candidates, elected):
    database = folder / "a.sqlite"
    found = choose([["SELECT 5"], candidates], [database, database], executor)
    assert found == ["SELECT 5", candidates[elected]]


def test_each_question_is_put_to_its_own_database(folder, executor, tmp_path):
    other = tmp_path / "c.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.executescript("CREATE TABLE u (x INTEGER)")
        connection.commit()
    candidates = ["SELECT count(*) FROM t", "SELECT count(*) FROM u"]
    found = choose([candidates, candidates], [folder / "a.sqlite", other], executor)
    assert found == candidates
