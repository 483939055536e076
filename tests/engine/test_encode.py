"""Texts to ids: three pieces tokenised apart, the same in training and evaluation."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import profile
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.distill.objective import Objective
from engine.errors import ModelError
from engine.evaluation.predict import predict
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.protocol import Decoding
from engine.question import Question
from engine.settings import Data, Method
from engine.writer import Writer
from tests.engine import tiny

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("package:engine/data/demo/teacher")


@pytest.fixture(scope="module")
def release(data, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """One of the demo's databases in Spider's layout, whose tables.json has a comment for each column."""
    examples = [example for example in data.examples if example.db_id == "music"]
    folder = tmp_path_factory.mktemp("data") / "spider"
    file = folder / "database" / "music" / "music.sqlite"
    file.parent.mkdir(parents=True)
    shutil.copy(examples[0].database, file)
    with closing(sqlite3.connect(file)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        columns = [
            [number, name]
            for number, table in enumerate(tables)
            for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])
        ]
    entry = {
        "db_id": "music",
        "table_names_original": tables,
        "column_names_original": [[-1, "*"], *columns],
        "column_names": [[-1, "*"], *([number, f"what {name} means"] for number, name in columns)],
    }
    (folder / "tables.json").write_text(json.dumps([entry]))
    items = [{key: getattr(example, key) for key in ("db_id", "question", "query")} for example in examples]
    (folder / "dev.json").write_text(json.dumps(items))
    return benchmarks.load("spider/dev", folder.parent)


def demo_settings(**changes) -> Data:
    return profile.load("demo").data.model_copy(update=changes)


def encoder(tokenizer, data, **changes) -> Encoder:
    made = Encoder(tokenizer, demo_settings(**changes))
    made.add(data)
    return made


def test_plain(tokenizer, data):
    made, example = encoder(tokenizer, data), data.examples[0]
    (item, *_) = made.items(data)
    prefix = made.prefix(example.database)
    assert prefix[0] == tokenizer.bos_token_id
    assert tokenizer.decode(prefix[1:]).startswith("database schema :\ntable ")
    assert tokenizer.decode(list(item.suffix)).endswith(f"{example.question}\n")
    assert item.answer[-1] == tokenizer.eos_token_id
    assert made.decode(list(item.answer)) == example.query
    assert item.length == len(item.suffix) + len(item.answer) - 1


def test_chat_puts_the_same_text_into_the_template(tokenizer, data):
    chat = copy.deepcopy(tokenizer)
    chat.chat_template = TEMPLATE
    made, plain, example = (
        encoder(chat, data, prompt_format="chat"),
        encoder(tokenizer, data),
        data.examples[0],
    )
    whole = chat.decode(made.prefix(example.database) + made.suffix(example))
    text = tokenizer.decode(plain.prefix(example.database)[1:] + plain.suffix(example))
    assert whole == f"<|user|>{text}<|end|><|assistant|>"


def test_chat_needs_a_template(tokenizer, data):
    with pytest.raises(ModelError, match="no chat template"):
        encoder(tokenizer, data, prompt_format="chat")


def test_an_answer_ends_at_eos(tokenizer, data):
    made = encoder(tokenizer, data)
    ids = [*made.ids("SELECT  1\n"), tokenizer.eos_token_id, *made.ids("more")]
    assert made.decode(ids) == "SELECT 1"


def test_evidence_is_left_out_where_the_profile_says_so(tokenizer, data):
    example = replace(data.examples[0], evidence="old means born before 1950")
    plain, without = encoder(tokenizer, data), encoder(tokenizer, data, evidence=False)
    assert "old means" in tokenizer.decode(plain.suffix(example))
    assert without.suffix(example) == plain.suffix(data.examples[0])


class Fed:
    """The rows that a model reads: each as all the ids in front of its next token, cached ones included."""

    def __init__(self, model) -> None:
        self.rows: list[list[int]] = []
        self._alone: list[int] = []  # the last row that was no batch's: what a cache holds begins it
        self._hook = model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _model, _inputs, given) -> None:
        ids, mask = given["input_ids"], given.get("attention_mask")
        cache = given.get("past_key_values")
        held = cache.get_seq_length() if cache is not None else 0
        assert held <= len(self._alone)
        for row, line in enumerate(ids.tolist()):
            real = mask[row, held:].bool().tolist() if mask is not None else [True] * len(line)
            new = [id for id, kept in zip(line, real, strict=True) if kept]
            self.rows.append([*self._alone[:held], *new])
        if len(ids) == 1:
            self._alone = self.rows[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_error) -> None:
        self._hook.remove()


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    questions=st.lists(TEXTS, min_size=1, max_size=4),
    evidence=TEXTS,
    budget=st.sampled_from([96, 256, 1024]),
    place=st.integers(0, 600),
    released=st.booleans(),
)
def test_training_evaluation_and_repl_feed_prefix_and_suffix_tokenised_apart(
    tokenizer, data, release, questions, evidence, budget, place, released
):
    data = release if released else data
    changes = {"max_prompt_tokens": budget, "max_suffix_tokens": 64}
    model = tiny.model("llama", vocab_size=len(tokenizer), max_position_embeddings=2048)
    made = encoder(tokenizer, data, **changes)
    first = data.examples[place % len(data.examples)]
    asked = [
        replace(first, index=index, question=text, evidence=evidence) for index, text in enumerate(questions)
    ]
    schema = made.prompter.prefix(first.database, data.tables.get(first.db_id))
    assert ("comment : what" in schema) == (released and budget == 1024)
    head = ([tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []) + made.ids(schema)
    expected = [head + made.ids(made.prompter.suffix(example)) for example in asked]

    with Fed(model) as fed:
        predict(model, made, asked, batch_size=8, max_new_tokens=1)
    assert sorted(fed.rows[-len(asked) :]) == sorted(expected)

    items = made.items(replace(data, examples=tuple(asked)))
    answer = list(made.answer(first.query))[:-1]  # EOS is only predicted
    objective = Objective(
        model, None, Method(name="sft"), mask_id=0, banned=[], eos_id=made.eos_id, pad_id=made.pad_id, seed=0
    )
    with Fed(model) as fed:
        objective.accumulate([items], {first.database: made.prefix(first.database)}, epoch=0)
    assert len(fed.rows) == 1 + len(asked)  # the prefix, and what follows it
    for want in expected:
        assert any(row[: len(want) + len(answer)] == want + answer for row in fed.rows)

    writer = Writer(model, Encoder(tokenizer, demo_settings(**changes)), None, max_new_tokens=1)
    with Fed(model) as fed:
        for example, want in zip(asked, expected, strict=True):
            for decoding in (Decoding(), Decoding(name="beam")):
                question = Question(example.database, example.question, example.evidence)
                writer.write(question, decoding, lambda text, probability: None, lambda: None)
                assert fed.rows[-1] == want
