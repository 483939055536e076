"""A model behind the service: evaluation's answers, each database read once, work that can be stopped."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import profile
from engine.data.benchmarks import Example
from engine.data.glance import readable
from engine.errors import DatabaseError, ModelError
from engine.evaluation.predict import predict
from engine.models.constrain import Constrainer
from engine.models.encode import Encoder
from engine.models.load import load_model, load_tokenizer
from engine.models.sample import sample
from engine.models.stream import CHUNK
from engine.protocol import Decoding
from engine.question import Question, Written
from engine.sql.execute import Executor
from engine.writer import KEPT, Pieces, Writer, open_writer
from tests.engine import tiny

DEMO = "package:engine/data/demo/teacher"
MAX_NEW_TOKENS = 64
GREEDY, BEAM = Decoding(), Decoding(name="beam", num_beams=3)
VOTE = Decoding(name="vote", num_samples=4, temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(DEMO)


@pytest.fixture(scope="module")
def teacher():
    return load_model(DEMO)


@pytest.fixture(scope="module")
def asked(data) -> list[Example]:
    """As the writer asks: each is the only one."""
    return [replace(example, index=0) for example in data.examples[90:630:135]]


@pytest.fixture(scope="module")
def short(data) -> Question:
    """A question whose answer is short."""
    return question(next(example for example in data.examples if len(example.query) < 30))


@pytest.fixture(scope="module")
def executor():
    with Executor(jobs=1, timeout=5) as opened:
        yield opened


@pytest.fixture
def encoder(tokenizer) -> Encoder:
    return Encoder(tokenizer, profile.load("demo").data)


@pytest.fixture
def writer(teacher, encoder, executor) -> Writer:
    return Writer(teacher, encoder, executor, MAX_NEW_TOKENS)


@pytest.fixture
def music(data, tmp_path: Path) -> Path:
    """A copy of a demo database."""
    file = next(example.database for example in data.examples if example.db_id == "music")
    return Path(shutil.copy(file, tmp_path / "music.sqlite"))


def question(example: Example) -> Question:
    return Question(example.database, example.question, example.evidence)


def write(writer: Writer, asked: Example | Question, decoding: Decoding = GREEDY) -> Written:
    asked = question(asked) if isinstance(asked, Example) else asked
    return writer.write(asked, decoding, lambda text, probability: None, lambda: None)


@contextmanager
def passes(model: Any) -> Iterator[list[tuple[int, int]]]:
    """Each pass that was made, as (tokens that the cache held, tokens that were read)."""
    seen: list[tuple[int, int]] = []

    def note(_model, _inputs, given, _output) -> None:
        width = given["input_ids"].shape[1]
        seen.append((given["past_key_values"].get_seq_length() - width, width))

    hook = model.register_forward_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


HOW = [
    (GREEDY, {}),
    (BEAM, {"decode": "beam", "num_beams": 3}),
    (VOTE, {"decode": "vote", "num_samples": 4, "temperature": 1.0, "seed": 3}),
]


@pytest.mark.parametrize(("decoding", "how"), HOW, ids=[decoding.name for decoding, _ in HOW])
def test_answers_are_those_of_the_evaluation(writer, encoder, executor, asked, decoding, how):
    arguments = {"batch_size": 16, "max_new_tokens": MAX_NEW_TOKENS, "executor": executor}
    found = [write(writer, example, decoding) for example in asked]
    expected = predict(writer._model, encoder, asked, **arguments, **how)
    assert [written.sql for written in found] == [answer.sql for answer in expected]
    for written in found:
        assert joined(written) == written.sql
        assert all(0 < probability <= 1 for _, probability in written.tokens)
        assert (written.votes is None) == (decoding.name != "vote")


def joined(written: Written) -> str:
    return "".join(text for text, _ in written.tokens)


@pytest.mark.parametrize(("decoding", "how"), HOW, ids=[decoding.name for decoding, _ in HOW])
def test_a_model_that_cannot_share_answers_as_in_the_evaluation(
    encoder, executor, tokenizer, asked, decoding, how
):
    # Tied to its embeddings, a random model says its last token again, whatever came before.
    changes = {
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "max_position_embeddings": 1024,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    }
    model = tiny.model("gemma3_text", **changes)
    writer = Writer(model, encoder, executor, 9)
    arguments = {"batch_size": 1, "max_new_tokens": 9, "executor": executor}
    found = [write(writer, example, decoding) for example in asked[:3]]
    expected = predict(model, encoder, asked[:3], **arguments, **how)
    assert [written.sql for written in found] == [answer.sql for answer in expected]
    assert [len(written.tokens) for written in found] == [answer.num_tokens for answer in expected]


def test_votes_are_the_candidates_with_the_elected_result(writer, encoder, asked):
    counted = Counter()
    for example in asked:
        written = write(writer, example, VOTE)
        (candidates,) = sample(
            writer._model,
            encoder.prefix(example.database),
            [encoder.suffix(example)],
            keys=[(VOTE.seed, 0)],
            temperatures=[0.0] + [VOTE.temperature] * VOTE.num_samples,
            max_new_tokens=MAX_NEW_TOKENS,
            eos_id=encoder.eos_id,
            pad_id=encoder.pad_id,
        )
        texts = [encoder.decode(ids) for ids in candidates]
        with closing(sqlite3.connect(example.database)) as connection:
            results = [rows(connection, text) for text in texts]
        assert written.sql in texts
        alike = results.count(results[texts.index(written.sql)])
        assert written.votes == (alike, len(texts))
        counted[alike] += 1
    assert len(counted) > 1  # not all of them, each time


def test_votes_are_for_a_result_however_it_is_asked_for(writer, short, monkeypatch):
    texts = ["SELECT 1", "SELECT 2", "SELECT 1 + 1", "SELECT nothing"]
    candidates = [writer.encoder.answer(text) for text in texts]
    monkeypatch.setattr("engine.writer.sample", lambda *_prompts, **_how: [candidates])
    written = write(writer, short, VOTE)
    assert (written.sql, written.votes) == ("SELECT 2", (2, 4))


def rows(connection: sqlite3.Connection, sql: str) -> list[str] | None:
    try:
        return sorted(map(repr, connection.execute(sql)))
    except sqlite3.Error:
        return None


def test_greedy_tokens_are_told_as_they_come_in_fewer_passes(writer, asked):
    told: list[tuple[str, float]] = []
    passes_before: list[int] = []

    def on_token(text: str, probability: float) -> None:
        told.append((text, probability))
        passes_before.append(len(seen))

    for example in asked:
        writer.read(example.database, lambda: None)
    with passes(writer._model) as seen:
        tokens = [writer.write(question(one), GREEDY, on_token, lambda: None).tokens for one in asked]
    assert told == [token for answer in tokens for token in answer]
    assert len(set(passes_before)) == len(seen)  # every pass ended in a token
    assert len(seen) < len(told)  # some in several


def test_beams_and_votes_tell_no_tokens_before_the_end(writer, short):
    told = []
    for decoding in (BEAM, VOTE):
        writer.write(short, decoding, lambda *token: told.append(token), lambda: None)
    assert told == []


@pytest.mark.parametrize(
    "text", ["SELECT 'é漢🙂' FROM t", "漢漢 🙂🙂", "naïve Ω≈ç √", "𝔘𝔫𝔦", "SELECT \ufffd, 1"]
)
def test_pieces_are_whole_characters_and_make_up_the_text(encoder, text):
    pieces = Pieces(encoder)
    ids = encoder.ids(text)
    found = [pieces.add(token) for token in [*ids, encoder.eos_id]]
    assert "".join(found) == text
    assert found.count("") > 1
    assert found[-1] == ""
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in found)


def test_a_broken_character_does_not_keep_what_follows_it(encoder):
    pieces = Pieces(encoder)
    ids = [encoder.ids("漢")[0], *encoder.ids("a b")]
    assert "".join(map(pieces.add, ids)) == encoder.text(ids) == "\ufffda b"


def test_constrained_answers_are_free_ones_where_those_are_of_the_grammar(writer, asked):
    pytest.importorskip("llguidance", reason="needs llguidance")
    constrained = GREEDY.model_copy(update={"constrained": True})
    for example in asked:
        assert write(writer, example, constrained) == write(writer, example)


def test_constrained_answers_have_no_other_names(writer, encoder, tmp_path):
    pytest.importorskip("llguidance", reason="needs llguidance")
    database = tmp_path / "boats.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE yard (slip INTEGER, hull TEXT)")
    other = Question(database, "How many singers are there?")
    constrainer = Constrainer(encoder.tokenizer, encoder.eos_id)

    def read(text: str) -> None:
        constraint = constrainer.start(readable(database))
        for token in encoder.ids(text):
            constraint.accept(token)

    with pytest.raises(AssertionError, match="cannot follow"):
        read(write(writer, other).sql)
    read(joined(write(writer, other, GREEDY.model_copy(update={"constrained": True}))))


class StoppedError(Exception):
    pass


def stop_after(number: int):
    """A check that lets so many passes be."""
    left = [number]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoppedError

    return check


@pytest.mark.parametrize("number", [0, 1, 2, 5])
@pytest.mark.parametrize("decoding", [GREEDY, BEAM, VOTE], ids=lambda decoding: decoding.name)
def test_work_stops_at_the_next_pass_and_the_next_question_is_answered(writer, short, decoding, number):
    for _ in range(2):  # the prefix is to be read; it has been read
        with passes(writer._model) as seen, pytest.raises(StoppedError):
            writer.write(short, decoding, lambda *token: None, stop_after(number))
        assert len(seen) == number
        again = write(writer, short, decoding)
    fresh = Writer(writer._model, writer.encoder, writer._executor, MAX_NEW_TOKENS)
    assert again == write(fresh, short, decoding)


def test_alternatives_stop_too_and_leave_nothing_behind(writer, short):
    found = writer.alternatives(short, 3, stop_after(40))
    first = next(found)
    with pytest.raises(StoppedError):
        list(writer.alternatives(short, 3, stop_after(5)))
    del found
    with passes(writer._model) as seen:
        while len(seen) < 40:  # more than the first check lets be
            assert write(writer, short, BEAM) == first


def test_alternatives_are_the_beams_best_first(writer, asked):
    for example in asked[:2]:
        found = list(writer.alternatives(question(example), 3, lambda: None))
        assert len({joined(written) for written in found}) == 3
        assert found[0] == write(writer, example, BEAM)
        scores = [
            sum(math.log(probability) for _, probability in written.tokens) / len(written.tokens)
            for written in found
        ]
        assert scores == sorted(scores, reverse=True)
        assert all(joined(written) == written.sql and written.votes is None for written in found)


def test_a_prefix_is_read_once_and_in_chunks(writer, encoder, short):
    with passes(writer._model) as seen:
        writer.read(short.database, lambda: None)
    length = len(encoder.prefix(short.database))
    assert seen == [(start, min(CHUNK, length - start)) for start in range(0, length, CHUNK)]
    assert len(seen) > 1
    with passes(writer._model) as seen:
        writer.read(short.database, lambda: None)
        for decoding in (GREEDY, BEAM, VOTE):
            write(writer, short, decoding)
        list(writer.alternatives(short, 2, lambda: None))
    assert min(held for held, _ in seen) == length


def test_a_database_that_has_changed_is_read_again(writer, music):
    before = Question(music, "How many songs are there?")
    write(writer, before)
    old = writer.prompt(before)
    with closing(sqlite3.connect(music)) as connection:
        connection.execute("ALTER TABLE song ADD COLUMN zither TEXT")
    assert "zither" not in old["prefix"]
    assert "zither" in writer.prompt(before)["prefix"]
    with passes(writer._model) as seen:
        write(writer, before)
    assert seen[0] == (0, CHUNK)
    new = writer.prompt(before)
    assert "song.zither ( text )" in new["prefix"]
    assert new["num_tokens"][0] > old["num_tokens"][0]
    assert sum(width for held, width in seen if held < new["num_tokens"][0]) == new["num_tokens"][0]


def test_values_that_have_changed_are_matched_anew(writer, music):
    asked = Question(music, "Which songs are called Quixotic Zebra?")
    assert "Quixotic" not in writer.prompt(asked)["suffix"].partition("\nWhich")[0]
    write(writer, asked)
    with closing(sqlite3.connect(music)) as connection:
        connection.execute("UPDATE song SET title = 'Quixotic Zebra' WHERE id = 1")
        connection.commit()
    write(writer, asked)
    assert "song.title ( Quixotic Zebra )" in writer.prompt(asked)["suffix"]


def test_the_prompt_counts_what_it_shows(writer, encoder, asked):
    told = writer.prompt(question(asked[0]))
    assert told["prefix"].removeprefix("<s>").startswith("database schema :\n")
    assert told["suffix"].endswith(f"{asked[0].question}\n")
    assert told["num_tokens"] == [
        len(encoder.prefix(asked[0].database)),
        len(encoder.suffix(asked[0])),
    ]


def test_the_last_databases_are_kept(teacher, encoder, executor, music):
    writer = Writer(teacher, encoder, executor, 1)
    files = [Path(shutil.copy(music, music.with_name(f"{number}.sqlite"))) for number in range(KEPT + 1)]

    def reads(number: int) -> bool:
        with passes(teacher) as seen:
            write(writer, Question(files[number], "How many songs are there?"))
        return seen[0][0] == 0

    assert all(reads(number) for number in range(KEPT))
    assert not any(reads(number) for number in range(KEPT))
    assert not reads(0)  # the last used now: 1 goes before it
    assert reads(KEPT)
    assert not reads(0)
    assert reads(1)


def test_a_database_that_is_gone_is_told_and_others_are_answered(writer, music, short):
    whole = write(writer, short)
    write(writer, Question(music, "How many songs are there?"))
    music.unlink()
    with pytest.raises(DatabaseError):
        write(writer, Question(music, "How many songs are there?"))
    assert write(writer, short) == whole


@pytest.fixture
def _no_global_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.writer.set_threads", lambda _profile: None)


@pytest.mark.usefixtures("_no_global_settings")
def test_a_profile_opens_its_student_and_its_teacher(executor, short, writer):
    demo = profile.load("demo")
    answering = demo.model_copy(update={"student": demo.student.model_copy(update={"model": DEMO})})
    for role in ("student", "teacher"):
        opened = open_writer(answering, role, executor)
        assert opened.name == DEMO
        assert opened.num_parameters == sum(weight.numel() for weight in writer._model.parameters())
        assert write(opened, short) == write(writer, short)


@pytest.mark.usefixtures("_no_global_settings")
@pytest.mark.parametrize(
    ("role", "changes", "message"),
    [
        ("teacher", {"teacher": None}, "no teacher"),
        ("teacher", {"teacher": {"model": "package:engine/data/nowhere"}}, "nowhere"),
        ("student", {"student": {"model": "/nowhere/at/all"}}, "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_opened_is_an_error_with_a_mend(executor, role, changes, message):
    demo = profile.load("demo")
    for part, values in changes.items():
        changed = getattr(demo, part).model_copy(update=values) if values else None
        demo = demo.model_copy(update={part: changed})
    with pytest.raises(ModelError, match=message) as caught:
        open_writer(demo, role, executor)
    assert caught.value.mend
