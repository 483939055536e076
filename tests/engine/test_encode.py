"""Texts to ids: three pieces tokenised apart, the same in training and evaluation."""

from __future__ import annotations

import copy

import pytest

from engine import profile
from engine.data import benchmarks
from engine.errors import ModelError
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("package:engine/data/demo/teacher")


@pytest.fixture
def data():
    return benchmarks.load("demo/dev")


def encoder(tokenizer, data, **changes) -> Encoder:
    made = Encoder(tokenizer, profile.load("demo").data.model_copy(update=changes))
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
