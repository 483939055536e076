"""Training items on disk: the same as in memory, written once, never stale, and little memory."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from engine import profile
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.data.corrections import extended
from engine.distill.batches import Plan
from engine.distill.control import StopRequested
from engine.distill.job import fitting_items, make_plan
from engine.errors import DataError, KidError
from engine.models import stored_items
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.stored_items import StoredItems, mark, place, write
from engine.profile import Profile


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("package:engine/data/demo/teacher")


def texts(folder: Path, number: int = 23, name: str = "task.jsonl") -> Path:
    """Items in three contexts; every fifth completion is long."""
    lines = []
    for i in range(number):
        prompt, completion = f"{i} = ", "word " * (40 if i % 5 == 4 else 3)
        lines.append({"context": f"context {i % 3} " * 9, "prompt": prompt, "completion": completion})
    file = folder / name
    file.write_text("\n\n".join(map(json.dumps, lines)))
    return file


def settings(*overrides: str) -> Profile:
    limits = ["data.max_prompt_tokens=40", "data.max_suffix_tokens=20", "data.max_answer_tokens=32"]
    return profile.load("demo", [*limits, *overrides])


def encoder(tokenizer, data: DataSet, given: Profile) -> Encoder:
    made = Encoder(tokenizer, given.data)
    made.add(data)
    return made


def stored(tokenizer, data: DataSet, given: Profile, progress=lambda done, total: None) -> StoredItems:
    made = encoder(tokenizer, data, given)
    path = place(made, data, given)
    write(path, made, data, given.data.max_answer_tokens, progress)
    return StoredItems(path)


def no_tokenizing(*_) -> None:
    raise AssertionError("the items were there")


@pytest.mark.parametrize("rows", [4, 10_000])
def test_items_are_those_of_a_list(tokenizer, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(stored_items, "_ROWS", rows)
    data, given = benchmarks.load(f"text:{texts(tmp_path)}"), settings()
    made = encoder(tokenizer, data, given)
    expected = fitting_items(made, data, given)
    items = stored(tokenizer, data, given)
    assert 0 < len(expected) < 23
    assert list(items) == expected
    assert (items[-1], items[2:9:3]) == (expected[-1], expected[2:9:3])
    assert list(items.lengths) == [item.length for item in expected]
    assert [items.databases[at] for at in items.numbers] == [str(item.database) for item in expected]
    assert items.mark == mark(items) == mark(expected) != mark(expected[:-1])
    assert items.notes == {str(name): what for name, what in made.prompter.dropped.items()} != {}
    assert items.num_unwritable == made.num_unwritable(expected)
    with pytest.raises(IndexError):
        items[len(expected)]
    of_list = Plan([str(item.database) for item in expected], [item.length for item in expected],
                   *[getattr(make_plan(items, given), name) for name in
                     ("questions_per_database", "databases_per_step", "batching", "seed")])  # fmt: skip
    assert list(make_plan(items, given).steps(1)) == list(of_list.steps(1))


def test_sql_items_are_those_of_a_list(tokenizer, data):
    small, given = benchmarks.limited(data, 12, 0), settings()
    items = stored(tokenizer, small, given)
    assert list(items) == fitting_items(encoder(tokenizer, small, given), small, given)


def test_written_once(tokenizer, tmp_path, monkeypatch):
    data = benchmarks.load(f"text:{texts(tmp_path)}")
    first = list(stored(tokenizer, data, settings()))
    monkeypatch.setattr(Encoder, "stream", no_tokenizing)
    assert list(stored(tokenizer, data, settings("train.learning_rate=0.5", "method.name=sft"))) == first


def test_what_items_depend_on_makes_others(tokenizer, tmp_path):
    file = texts(tmp_path)
    data = benchmarks.load(f"text:{file}")
    places = [place(encoder(tokenizer, data, given), data, given) for given in (
        settings(), settings("data.max_answer_tokens=9"), settings("data.max_prompt_tokens=41"),
        settings("data.max_suffix_tokens=21"), settings("data.train_limit=5"),
        settings("data.train_limit=5", "train.seed=1"))]  # fmt: skip
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["context"])
    places.append(place(encoder(other, data, settings()), data, settings()))
    file.write_text(file.read_text().replace("context 2", "context 5"))
    changed = benchmarks.load(f"text:{file}")
    places.append(place(encoder(tokenizer, changed, settings()), changed, settings()))
    assert len(set(places)) == 8


def test_a_changed_database_makes_others(tokenizer, data):
    small, given = benchmarks.limited(data, 3, 0), settings()
    before = place(encoder(tokenizer, small, given), small, given)
    os.utime(small.examples[0].database, ns=(10**18, 10**18))
    assert place(encoder(tokenizer, small, given), small, given) != before


def test_a_broken_off_writing_leaves_nothing(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_items, "_ROWS", 4)
    data, given = benchmarks.load(f"text:{texts(tmp_path)}"), settings()
    told = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 12:
            raise StopRequested

    with pytest.raises(StopRequested):
        stored(tokenizer, data, given, stop)
    assert told == [(4, 23), (8, 23), (12, 23)]
    path = place(encoder(tokenizer, data, given), data, given)
    assert {file.suffix for file in path.parent.iterdir()} == {".lock"}
    path.with_suffix(".part").write_text("of one that was killed")
    whole = list(stored(tokenizer, data, given))
    assert len(whole) == len(fitting_items(encoder(tokenizer, data, given), data, given))
    os.truncate(path, path.stat().st_size // 2)  # as a power cut may
    assert list(stored(tokenizer, data, given)) == whole


def test_a_cache_that_cannot_be_written(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("KID_HOME", str(texts(tmp_path, name="home")))
    data = benchmarks.load(f"text:{texts(tmp_path)}")
    with pytest.raises(KidError, match="cannot write"):
        stored(tokenizer, data, settings())


def test_examples_stay_in_their_file(tmp_path):
    file = texts(tmp_path)
    data = benchmarks.load(f"text:{file}")
    whole = tuple(data.examples)
    (tmp_path / "list.json").write_text(
        json.dumps([json.loads(line) for line in file.read_text().split("\n\n")])
    )
    in_memory = benchmarks.load(f"text:{tmp_path / 'list.json'}")
    assert (whole, data.fingerprint) == (in_memory.examples, in_memory.fingerprint)
    assert (data.examples[-2], data.examples[3:5]) == (whole[-2], whole[3:5])
    assert list(benchmarks.limited(data, 7, 3).examples) == list(benchmarks.limited(in_memory, 7, 3).examples)
    file.write_text(file.read_text().replace("word", "ward"))
    with pytest.raises(DataError, match="has changed"):
        data.examples[0]
    file.unlink()
    with pytest.raises(DataError, match="has changed"):
        list(data.examples)


def test_corrections_stand_behind_the_lines(data, tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"db_id": e.database.stem, "question": e.question, "query": e.query} for e in data.examples[:5]]
    file.write_text("\n".join(map(json.dumps, rows)))
    folder = data.examples[0].database.parent.parent
    own = benchmarks.load(f"file:{file}", databases=folder)
    more = extended(benchmarks.limited(own, 3, 0), data.examples[10:12])
    assert [example.question for example in more.examples][-2:] == [e.question for e in data.examples[10:12]]
    assert (len(more.examples), more.examples[3], more.examples[-1]) == (5, *data.examples[10:12])
    assert set(more.databases.values()) >= {example.database for example in more.examples}


def nested_steps(plan: Plan, epoch: int) -> list[list[list[int]]]:
    """The plan in words of one syllable: lists of lists."""

    def by_database(positions: list[int]) -> list[list[int]]:
        found = defaultdict(list)
        for position in positions:
            found[plan.databases[position]].append(position)
        return list(found.values())

    def cut(whole: list, size: int) -> list[list]:
        return [whole[start : start + size] for start in range(0, len(whole), size)]

    generator = np.random.default_rng((plan.seed, epoch, 0x0DE5))
    drawn = generator.permutation(len(plan.databases)).tolist()
    size = plan.questions_per_database
    if plan.batching == "mixed":
        return [by_database(chunk) for chunk in cut(drawn, size * plan.databases_per_step)]
    groups = []
    for members in by_database(drawn):
        for bucket in cut(members, 4 * size):
            groups += cut(sorted(bucket, key=lambda position: plan.lengths[position]), size)
    return cut([groups[at] for at in generator.permutation(len(groups))], plan.databases_per_step)


@pytest.mark.parametrize("batching", ["grouped", "mixed"])
def test_steps_are_those_of_nested_lists(batching):
    generator = np.random.default_rng(0)
    for size in (1, 7, 40, 160):
        databases = [f"d{number}" for number in generator.integers(0, 7, size)]
        lengths = generator.integers(3, 12, size).tolist()
        for each, together in ((1, 1), (3, 2), (5, 4)):
            plan = Plan(databases, lengths, each, together, batching, 1)
            for epoch in range(2):
                expected = nested_steps(plan, epoch)
                assert list(plan.steps(epoch)) == expected
                assert plan.steps_per_epoch == len(expected)
            half = expected[: len(expected) // 2]
            assert plan.steps(1)[: len(half)] == half
        reached = sorted(index for step in nested_steps(plan, 0)[:3] for group in step for index in group)
        assert plan.reached(3) == reached


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path):
    """150 000 lines take no 150 MB more than 1000, from the file to the plan's first step."""
    peaks = []
    for number in (1000, 150_000):
        file = texts(tmp_path, number)
        script = f"""
            import resource
            from tests.engine.test_stored_items import *
            data, given = benchmarks.load("text:{file}"), settings()
            items = stored(load_tokenizer("package:engine/data/demo/teacher"), data, given)
            [items[index] for group in make_plan(items, given).steps(0)[0] for index in group]
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, len(items))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
        )
        peak, num_items = map(int, done.stdout.split())
        assert num_items == number - number // 5
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 150, peaks
