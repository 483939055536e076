"""Text tasks through tokenizers, models and a whole run."""

from __future__ import annotations

import contextlib
import copy
import json
import sqlite3
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine import paths, profile, runs
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.distill.job import load_data, train
from engine.distill.objective import Objective
from engine.errors import DataError
from engine.evaluation.predict import predict
from engine.event_reader import EventReader
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.prefix import open_prefix
from engine.models.rows import answer_rows
from engine.settings import Data, Method
from tests.engine import tiny

AGES = "Ann: 31\nBo: 27\n"
ITEMS = [
    {"context": AGES, "prompt": "Bo = ", "completion": "27"},
    {"prompt": "1 + 1 = ", "completion": "two\n  or  2 ;"},
    {"context": AGES, "prompt": "Ann = ", "completion": "31"},
    {"prompt": "2 + 2 = ", "completion": "4"},
]
LIMITS = Data(max_prompt_tokens=64, max_suffix_tokens=32, max_answer_tokens=32)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("package:engine/data/demo/teacher")


@pytest.fixture(scope="module")
def nameless(tokenizer):
    """A tokenizer without BOS."""
    changed = copy.deepcopy(tokenizer)
    changed.bos_token = None
    assert changed.bos_token_id is None
    return changed


@pytest.fixture
def task(tmp_path: Path) -> DataSet:
    file = tmp_path / "task.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return benchmarks.load(f"text:{file}")


def encoder(tokenizer, data: DataSet, **changes) -> Encoder:
    made = Encoder(tokenizer, LIMITS.model_copy(update=changes))
    made.add(data)
    return made


def model(tokenizer, seed: int = 0):
    return tiny.model("llama", seed=seed, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)


def test_prompts_and_completions_are_kept_to_the_letter(tokenizer, task):
    made = encoder(tokenizer, task)
    items, bos = made.items(task), tokenizer.bos_token_id
    ages, none = items[0].database, items[1].database
    assert (made.prefix(ages)[0], tokenizer.decode(made.prefix(ages)[1:])) == (bos, AGES)
    assert made.prefix(none) == [bos]
    for item, told in zip(items, ITEMS, strict=True):
        assert tokenizer.decode(list(item.suffix)) == told["prompt"]
        assert made.decode(list(item.answer), item.database) == told["completion"]
    assert made.decode(list(items[1].answer)) == "two or 2 ;"  # as SQL it would be


def test_what_is_cut_is_told(tokenizer, task):
    made = encoder(tokenizer, task, max_prompt_tokens=24, max_suffix_tokens=16)
    made.items(task)
    assert made.prompter.dropped == {task.examples[0].database: "the end of the context"}
    assert len(made.prefix(task.examples[0].database)) == 1 + 8


def test_without_context_and_bos_a_row_begins_with_eos(nameless, task):
    made = encoder(nameless, task)
    assert made.prefix(task.examples[1].database) == [nameless.eos_token_id]
    assert nameless.decode(made.prefix(task.examples[0].database)) == AGES


@pytest.mark.parametrize("which", ["tokenizer", "nameless"])
def test_an_empty_context_is_shared_exactly(which, request, task):
    words = request.getfixturevalue(which)
    made, student = encoder(words, task), model(words)
    items = [item for item in made.items(task) if item.database == task.examples[1].database]
    rows = answer_rows([i.suffix for i in items], [i.answer for i in items], made.pad_id, student.device)
    prefix = torch.tensor(made.prefix(items[0].database))
    found = [open_prefix(student, prefix, form).logits(rows) for form in ("cached", "packed", "naive")]
    assert torch.allclose(found[0], found[2], atol=1e-5)
    assert torch.allclose(found[1], found[2], atol=1e-5)


@pytest.mark.parametrize("which", ["tokenizer", "nameless"])
@pytest.mark.parametrize("form", ["cached", "naive"])
def test_a_student_learns_the_texts_and_says_them(which, form, request, task):
    """SFT on groups of both contexts; then greedy answers are the completions, line breaks and all."""
    words = request.getfixturevalue(which)
    made, student = encoder(words, task), model(words)
    items = made.items(task)
    groups = [items[0::2], items[1::2]]
    prefixes = {item.database: made.prefix(item.database) for item in items}
    objective = Objective(student, None, Method(name="sft"), mask_id=words.unk_token_id or 3, banned=[],
                          eos_id=made.eos_id, pad_id=made.pad_id, seed=0,
                          student_form=form)  # fmt: skip
    optimizer = torch.optim.AdamW(student.parameters(), lr=5e-3)
    for epoch in range(40):
        optimizer.zero_grad()
        loss = objective.accumulate(groups, prefixes, epoch=epoch).loss
        optimizer.step()
        if loss < 0.02:
            break
    found = predict(student.eval(), made, task.examples, batch_size=3, max_new_tokens=32)
    assert [answer.sql for answer in found] == [item["completion"] for item in ITEMS]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tokenizer) -> Path:
    """A random two-layer teacher with the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("teacher")
    config = AutoConfig.from_pretrained(paths.demo_source() / "teacher")
    config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                   "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16})  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("method", "batching"), [("kid", "grouped"), ("sft", "mixed")])
def test_a_run_from_start_to_report(teacher, task, tmp_path, method, batching):
    evaluated = tmp_path / "dev.jsonl"
    unwritable = "too long " * 40
    evaluated.write_text("".join(json.dumps({"prompt": "1 + 1 = ", "completion": each}) + "\n"
                                 for each in ("2", unwritable)))  # fmt: skip
    overrides = [f"teacher.model={teacher}", "student.keep_layers=[0]", f"data.train={task.name}",
                 f"data.eval=text:{evaluated}", f"method.name={method}", f"train.batching={batching}",
                 "train.max_steps=2", "train.threads=1", "data.max_answer_tokens=16"]  # fmt: skip
    run = runs.create(profile.load("demo", overrides), ["test"])
    train(run)
    events = EventReader(run).poll()
    evals = [event for event in events if event["kind"] == "eval"]
    assert [event["split"] for event in evals] == ["teacher", "student_before", "student"]
    for event in evals:
        assert (event["metric"], event["num_questions"]) == ("exact_match", 2)
        assert (event["by_hardness"], event["errors"], event["executable"]) == ({}, {}, None)
    (warning,) = [event["message"] for event in events if event["kind"] == "warning"]
    assert "1 of 2 completions" in warning
    assert "first item 1" in warning
    report = json.loads((run.path / "report.json").read_text())
    assert report["metric"] == "exact_match"
    told = (run.path / "report.md").read_text()
    assert "Exact match (white space around an answer aside) on 2 questions of text:" in told
    assert "| model | parameters | exact match | 95 % interval | ms per answer |" in told
    assert "EX" not in told.replace("TEXT", "")
    assert "difficulty" not in told
    predictions = [json.loads(line) for line in (run.path / "predictions.jsonl").read_text().splitlines()]
    assert [line["gold"] for line in predictions] == ["2", unwritable]


def test_sql_and_texts_do_not_go_together(task, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "zoo.sqlite")) as connection:
        connection.execute("CREATE TABLE animal (name TEXT)")
    item = {"db_id": "zoo", "question": "Which?", "query": "SELECT name FROM animal"}
    (tmp_path / "sql.jsonl").write_text(json.dumps(item))
    sql = [f"data.train=file:{tmp_path / 'sql.jsonl'}", f"data.databases={tmp_path}"]
    with pytest.raises(DataError, match="is SQL on databases"):
        load_data(profile.load("demo", [*sql, f"data.eval={task.name}"]), None)
