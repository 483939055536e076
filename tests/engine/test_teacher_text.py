"""The teacher's answers: written once, kept, shared between runs, and the same whatever the batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine import paths
from engine.distill import teacher_text as module
from engine.distill.teacher_text import Writing, teacher_text
from tests.engine import tiny


class Encoder:
    eos_id, pad_id = tiny.EOS, tiny.PAD
    tokenizer = range(tiny.VOCABULARY)

    def prefix(self, database: Path) -> list[int]:
        return tiny.prefix()


@pytest.fixture
def writing() -> Writing:
    return Writing(tiny.model("llama", seed=7), Encoder(), "a teacher", 0.0, 3, 9, 4)


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """How many questions each call put to the teacher."""
    counts: list[int] = []
    real = module._answer

    def counted(writing, batch):
        counts.append(len(batch))
        return real(writing, batch)

    monkeypatch.setattr(module, "_answer", counted)
    return counts


def quiet(done: int, total: int) -> None:
    pass


def by_hand(model, item, longest: int) -> list[int]:
    ids = [*tiny.prefix(), *item.suffix]
    start = len(ids)
    while len(ids) < start + longest:
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tiny.EOS:
            break
    return ids[start:]


def test_greedy_text_is_the_teachers(writing, tmp_path):
    items = tiny.items(6)
    text = teacher_text(writing, items, tmp_path / "text.json", quiet)
    assert text == {item.index: by_hand(writing.teacher, item, 9) for item in items}


def test_written_once(writing, tmp_path, asked):
    items = tiny.items(6)
    seen: list[tuple[int, int]] = []
    first = teacher_text(writing, items[:4], tmp_path / "a.json", lambda *told: seen.append(told))
    assert (sum(asked), seen[-1]) == (4, (4, 4))
    second = teacher_text(writing, items, tmp_path / "b.json", quiet)
    assert sum(asked) == 6
    assert {index: second[index] for index in first} == first
    for file in (paths.cache_dir() / "teacher-text").iterdir():
        file.unlink()
    assert teacher_text(writing, items, tmp_path / "b.json", quiet) == second  # the run's own copy
    assert sum(asked) == 6
    teacher_text(replace(writing, fingerprint="another"), items, tmp_path / "c.json", quiet)
    assert sum(asked) == 12


def test_a_killed_writer_loses_the_batch_at_most(writing, tmp_path, asked):
    class Killed(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Killed

    items = tiny.items(6)
    with pytest.raises(Killed):
        teacher_text(writing, items, tmp_path / "a.json", stop)
    assert not (tmp_path / "a.json").exists()
    (cache,) = (paths.cache_dir() / "teacher-text").glob("*.jsonl")
    with cache.open("a") as file:
        file.write('["half a li')
    text = teacher_text(writing, items, tmp_path / "a.json", quiet)
    assert sum(asked) == 6
    assert len(text) == 6
    assert len([json.loads(line) for line in cache.read_text().splitlines()]) == 6


def test_samples_depend_on_seed_and_example_alone(writing, tmp_path):
    warm = replace(writing, temperature=1.0)
    text = teacher_text(warm, tiny.items(6), tmp_path / "a.json", quiet)
    for file in (paths.cache_dir() / "teacher-text").iterdir():
        file.unlink()
    single = replace(warm, batch_size=1)
    assert teacher_text(single, tiny.items(6)[::-1], tmp_path / "b.json", quiet) == text
    assert teacher_text(replace(warm, seed=4), tiny.items(6), tmp_path / "c.json", quiet) != text


def test_another_end_of_answers_or_number_format_is_another_text(writing, tmp_path, asked):
    """A student of the same family may end its answers otherwise, behind the very same prompt."""

    class Instruct(Encoder):
        eos_id = 5

    class Larger(Encoder):
        tokenizer = range(tiny.VOCABULARY + 1)

    items = tiny.items(3)
    others = [
        replace(writing, encoder=Instruct()),
        replace(writing, encoder=Larger()),
        replace(writing, teacher=tiny.model("llama", seed=7).to(torch.bfloat16)),
    ]
    for number, one in enumerate([writing, *others], 1):
        teacher_text(one, items, tmp_path / f"{number}.json", quiet)
        assert sum(asked) == number * len(items)
