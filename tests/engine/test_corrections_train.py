"""A profile that names corrections trains on them, with the prompt that the REPL makes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine import profile, runs
from engine.data import benchmarks, corrections
from engine.data.benchmarks import Example
from engine.data.corrections import Correction
from engine.data.prompt import Prompter
from engine.distill.job import fitting_items, load_data
from engine.distill.plan import plan
from engine.event_reader import EventReader
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from kidtui.commands.distill import _plan_lines

PROFILE = """extends = "demo"
[method]
name = "sft"
[data]
corrections = {file}
train_limit = 1
[train]
max_steps = 2
threads = 1
[eval]
limit = 1
before = false
"""


@pytest.fixture
def asked() -> Example:
    return benchmarks.load("demo/dev").examples[0]


@pytest.fixture
def corrected(tmp_path: Path, asked: Example) -> profile.Profile:
    """The demo with one of its training examples, and a fix of one of its held-out questions."""
    file = tmp_path / "corrections.jsonl"
    corrections.add(Correction(f"demo/{asked.db_id}", asked.question, f"{asked.query};", "fix"), file)
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE.format(file=json.dumps(str(file))))
    return profile.load(path)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("package:engine/data/demo/teacher")


def test_the_training_set_ends_in_the_correction_as_the_held_out_set_has_it(corrected, asked, tokenizer):
    train_set, eval_set = load_data(corrected, None)
    assert len(train_set.examples) == 2  # train_limit leaves corrections alone
    assert train_set.examples[1].index == len(benchmarks.load("demo/train").examples)
    encoder = Encoder(tokenizer, corrected.data)
    for data in (train_set, eval_set):
        encoder.add(data)
    learnt, held_out = encoder.items(train_set)[1], encoder.items(eval_set)[0]
    assert (learnt.database, learnt.suffix, learnt.answer) == (
        held_out.database, held_out.suffix, held_out.answer)  # fmt: skip


def test_the_prompt_is_the_repls_comments_of_tables_json_included(corrected, tmp_path, tokenizer):
    pets = tmp_path / "release" / "database" / "pets" / "pets.sqlite"
    pets.parent.mkdir(parents=True)
    with closing(sqlite3.connect(pets)) as connection:
        connection.executescript("CREATE TABLE pet (nm TEXT); INSERT INTO pet VALUES ('Rex')")
    entry = {
        "db_id": "pets",
        "table_names_original": ["pet"],
        "column_names_original": [[-1, "*"], [0, "nm"]],
        "column_names": [[-1, "*"], [0, "nickname"]],
    }
    (tmp_path / "release" / "tables.json").write_text(json.dumps([entry]))
    said = Correction(str(pets), "Is there a Rex?", "SELECT * FROM pet", "good", evidence="Rex is a dog")
    corrections.add(said, Path(corrected.data.corrections))
    train_set, _ = load_data(corrected, None)
    encoder = Encoder(tokenizer, corrected.data)
    encoder.add(train_set)
    item = fitting_items(encoder, train_set, corrected)[-1]

    def count(text: str) -> int:
        return len(encoder.ids(text))

    alone = Prompter(count, corrected.data.max_prompt_tokens, corrected.data.max_suffix_tokens)
    prefix = alone.prefix(pets, benchmarks.tables_entry(pets))
    assert "comment : nickname" in prefix
    assert tokenizer.decode(encoder.prefix(pets)).endswith(prefix)
    suffix = alone.suffix(Example(0, "pets", said.question, "", pets, said.evidence))
    assert "Rex )\nRex is a dog Is there a Rex?" in suffix
    assert tokenizer.decode(list(item.suffix)) == suffix


def test_a_dry_run_counts_the_corrections_that_are_trained_on(corrected, asked):
    too_long = f"SELECT {', '.join(map(str, range(500)))}"
    corrections.add(
        Correction("demo/music", "Count.", too_long, "fix"), Path(corrected.data.corrections)
    )  # more tokens than data.max_answer_tokens
    planned = plan({"profile": corrected.model_dump(mode="json")})
    assert (planned["examples"], planned["corrections"]) == (2, 1)
    assert "2 examples, 1 of them corrections)" in _plan_lines(planned)[-1]
    without = corrected.model_dump(mode="json")
    without["data"]["corrections"] = None
    planned = plan({"profile": without})
    assert (planned["examples"], planned["corrections"]) == (1, 0)
    assert "correction" not in _plan_lines(planned)[-1]


def test_a_run_trains_on_the_correction_and_its_report_says_so(corrected):
    run = runs.create(corrected, ["test"])
    command = [sys.executable, "-P", "-m", "engine", "train", "--run", str(run.path)]
    subprocess.run(command, check=True, timeout=120)
    begun = next(event for event in EventReader(run).poll() if event["kind"] == "run_start")
    assert (begun["num_examples"], begun["steps_per_epoch"]) == (2, 1)  # each step has seen it
    train_set, _ = load_data(corrected, None)
    assert run.report()["data"]["train"] == {
        "name": "demo/train and corrections",
        "num_examples": 2,
        "fingerprint": train_set.fingerprint,
    }


@pytest.mark.slow
def test_a_run_whose_corrections_have_changed_is_not_resumed(corrected):
    run = runs.create(corrected, ["test"])
    command = [sys.executable, "-P", "-m", "engine", "train", "--run", str(run.path)]
    subprocess.run(command, check=True, timeout=120)
    corrections.add(
        Correction("demo/music", "How many?", "SELECT 1", "fix"), Path(corrected.data.corrections)
    )
    again = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert again.returncode == 3
    assert "the training data has changed" in EventReader(run).poll()[-1]["error"]["message"]
