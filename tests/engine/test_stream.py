"""A row read token by token, with guesses ahead, says what plain greedy decoding says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch

from engine.models.cache import RoomyLayer, start_cache
from engine.models.generate import generate
from engine.models.prefix import EXACT_TYPES, SharedPrefix, shareable
from engine.models.stream import CHUNK, NUM_GUESSED, probabilities, stream
from tests.engine import tiny

SUFFIX = [5, 9, 7, 3]
NEVER = 99  # as EOS: no model here has it
UNSHARED = {
    "a short window": ("mistral", {"sliding_window": 8}),
    "a window longer than a chunk": ("mistral", {"sliding_window": CHUNK + 20}),
    "gemma3": (
        "gemma3_text",
        {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "gpt_neox": ("gpt_neox", {}),
}


def few_words(kind: str, seed: int):
    """A model of six tokens: what comes next has stood there before, followed by this or by that."""
    model = tiny.model(kind, seed, vocab_size=6, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(0.1)
    return model


def few_words_prompt(seed: int) -> tuple[list[int], list[int], list[int]]:
    """Prefix, suffix, and both."""
    prefix, suffix = ([one % 6 for one in tiny.prefix(length, seed)] for length in (60, 7))
    return prefix, suffix, [*prefix, *suffix]


def shared(model, prefix: list[int]) -> SharedPrefix:
    with torch.inference_mode():
        return SharedPrefix(model, torch.tensor(prefix), CHUNK)


def answer(model, prefix, suffix=SUFFIX, length: int = 24, eos: int = NEVER, **how) -> list[int]:
    return [token.id for token in stream(model, prefix, suffix, max_new_tokens=length, eos_id=eos, **how)]


def transformers_greedy(model, prompt: list[int], length: int) -> list[int]:
    ids = torch.tensor([prompt])
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=length,
        eos_token_id=NEVER,
        pad_token_id=tiny.PAD,
    )
    return found[0, len(prompt) :].tolist()


def softmaxes(model, prompt: list[int], ids: list[int]) -> list[float]:
    """The probability of each of `ids` behind the prompt, by one pass without a cache."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :]
    return logits.softmax(-1)[range(len(ids)), ids].tolist()


@contextmanager
def passes(model) -> Iterator[list[tuple[int, int]]]:
    """Each pass as (tokens that the cache held, tokens that were read)."""
    seen: list[tuple[int, int]] = []

    def note(_model, _inputs, given) -> None:
        seen.append((given["past_key_values"].get_seq_length(), given["input_ids"].shape[1]))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize("length", [1, 24])
@pytest.mark.parametrize("kind", EXACT_TYPES)
def test_the_answer_is_that_of_plain_greedy_decoding(kind, length):
    model, prefix = tiny.model(kind), tiny.prefix()
    expected = transformers_greedy(model, [*prefix, *SUFFIX], length)
    arguments = {"max_new_tokens": length, "eos_id": NEVER, "pad_id": tiny.PAD}
    assert generate(model, prefix, [SUFFIX], **arguments) == [expected]
    for given in (prefix, shared(model, prefix)):
        assert answer(model, given, length=length) == expected
        assert answer(model, given, length=length, known=[*prefix, *SUFFIX]) == expected
    assert answer(model, prefix, length=length, shared=False, known=[*prefix, *SUFFIX]) == expected


@pytest.mark.parametrize(("kind", "changes"), UNSHARED.values(), ids=UNSHARED)
def test_a_model_that_cannot_share_reads_chunks_and_single_tokens(kind, changes):
    model, prefix = tiny.model(kind, max_position_embeddings=512, **changes), tiny.prefix(2 * CHUNK + 20)
    assert shareable(model)
    expected = transformers_greedy(model, [*prefix, *SUFFIX], 24)
    arguments = {"max_new_tokens": 24, "eos_id": NEVER, "pad_id": tiny.PAD, "shared": False}
    assert generate(model, prefix, [SUFFIX], **arguments) == [expected]
    with passes(model) as seen:
        assert answer(model, prefix, shared=False, known=[*prefix, *SUFFIX]) == expected
    assert [width for _, width in seen] == [CHUNK, CHUNK, 24, *[1] * 23]
    assert probabilities(model, prefix, SUFFIX, expected) == pytest.approx(
        softmaxes(model, [*prefix, *SUFFIX], expected), abs=1e-5
    )


@pytest.mark.parametrize("seed", range(2, 5))
@pytest.mark.parametrize("kind", EXACT_TYPES)
def test_guesses_that_hit_and_guesses_that_miss_leave_the_answer_the_same(kind, seed):
    model = few_words(kind, seed)
    prefix, suffix, prompt = few_words_prompt(seed)
    expected = transformers_greedy(model, prompt, 90)
    found = shared(model, prefix)
    with passes(model) as seen:
        assert answer(model, found, suffix, 90, known=prompt) == expected
    starts = [held for held, _ in seen[1:]]
    hits = sum(after - before - 1 for before, after in pairwise(starts))
    guesses = sum(width - 1 for _, width in seen[1:-1])
    assert hits > 3
    assert guesses - hits > 3
    for length in (1, 2, NUM_GUESSED + 1, 40):
        assert answer(model, found, suffix, length, known=prompt) == expected[:length]


@pytest.mark.parametrize("known", [False, True])
def test_the_answer_ends_with_the_first_eos(known):
    model = few_words("qwen3", 4)
    prefix, suffix, prompt = few_words_prompt(4)
    free = transformers_greedy(model, prompt, 40)
    for place in {free.index(token) for token in free}:
        found = answer(model, shared(model, prefix), suffix, 40, free[place], known=prompt if known else ())
        assert found == free[: place + 1]


@pytest.mark.parametrize(
    ("length", "widths"),
    [
        (1, [4]),
        (2, [4, 1]),
        (3, [4, 2]),
        (10, [4, 1 + NUM_GUESSED]),
        (20, [4, 1 + NUM_GUESSED, 1 + NUM_GUESSED, 1]),  # the last one left needs no guess
        (24, [4, 1 + NUM_GUESSED, 1 + NUM_GUESSED, 5]),
    ],
)
def test_an_answer_that_copies_the_prompt_takes_few_passes(length, widths):
    model, copied = tiny.model("llama"), list(range(10, 40))
    prefix = [*SUFFIX, *copied]
    found = shared(model, prefix)
    with passes(model) as seen:
        known = [*prefix, *SUFFIX]
        assert answer(model, found, length=length, known=known, restriction=Script(copied)) == copied[:length]
    assert [width for _, width in seen] == widths
    with passes(model) as seen:
        assert answer(model, found, length=length, restriction=Script(copied)) == copied[:length]
    assert [width for _, width in seen] == [4, *[1] * (length - 1)]


def test_an_eos_that_was_guessed_ends_the_answer():
    model, copied = tiny.model("llama"), list(range(10, 40))
    prefix = [*SUFFIX, *copied]
    arguments = {"known": [*prefix, *SUFFIX], "restriction": Script(copied)}
    with passes(model) as seen:
        assert answer(model, shared(model, prefix), eos=copied[5], **arguments) == copied[:6]
    assert [width for _, width in seen[1:]] == [4, 1 + NUM_GUESSED]


def test_each_token_comes_as_soon_as_it_is_known():
    model, prefix = tiny.model("llama"), tiny.prefix()
    found = shared(model, prefix)
    with passes(model) as seen:
        tokens = stream(model, found, SUFFIX, max_new_tokens=9, eos_id=NEVER)
        for number in range(1, 10):
            next(tokens)
            assert len(seen) == number


class Script:
    """Leaves nothing but the tokens of an answer in their order."""

    def __init__(self, ids: list[int]) -> None:
        self._ids = ids
        self.accepted: list[int] = []

    def restrict(self, logits: torch.Tensor) -> torch.Tensor:
        restricted = torch.full_like(logits, -torch.inf)
        left = self._ids[len(self.accepted)]
        restricted[left] = logits[left]
        return restricted

    def accept(self, token: int) -> None:
        self.accepted.append(token)


class NoneOfTheLastTwo(Script):
    """Strikes out the last two tokens."""

    def restrict(self, logits: torch.Tensor) -> torch.Tensor:
        restricted = logits.clone()
        restricted[self.accepted[-2:]] = -torch.inf
        return restricted


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", EXACT_TYPES)
def test_a_restriction_is_asked_at_every_token_and_told_each_once(kind, known):
    model = few_words(kind, 3)
    prefix, suffix, prompt = few_words_prompt(3)
    reference = NoneOfTheLastTwo([])
    for _ in range(40):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + reference.accepted])).logits[0, -1]
        reference.accept(int(reference.restrict(logits).argmax()))
    restriction = NoneOfTheLastTwo([])
    arguments = {"known": prompt if known else (), "restriction": restriction}
    with passes(model) as seen:
        found = answer(model, shared(model, prefix), suffix, 40, **arguments)
    assert found == reference.accepted == restriction.accepted
    assert (max(width for _, width in seen[2:]) > 2) == known


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("kind", EXACT_TYPES)
def test_probabilities_are_those_of_the_free_model(kind, restricted):
    model = few_words(kind, 3)
    prefix, suffix, prompt = few_words_prompt(3)
    found, restriction = shared(model, prefix), NoneOfTheLastTwo([]) if restricted else None
    tokens = list(
        stream(model, found, suffix, max_new_tokens=40, eos_id=NEVER, known=prompt, restriction=restriction)
    )
    ids = [token.id for token in tokens]
    expected = pytest.approx(softmaxes(model, prompt, ids), abs=1e-5)
    assert [token.probability for token in tokens] == expected
    assert probabilities(model, found, suffix, ids) == expected
    assert probabilities(model, prefix, suffix, ids) == expected


@pytest.mark.parametrize("length", [1, CHUNK - 10, CHUNK, 2 * CHUNK + 20])
def test_what_is_long_is_read_in_chunks_and_gives_the_same(length):
    model = tiny.model("llama", max_position_embeddings=2048)
    prefix, suffix, given = (tiny.prefix(size, size) for size in (2 * CHUNK + 44, CHUNK + 50, length))
    with passes(model) as seen:
        found = shared(model, prefix)
    assert seen == [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, 44)]
    with passes(model) as seen:
        ids = answer(model, found, suffix, 5)
    assert seen[:2] == [(300, CHUNK), (300 + CHUNK, 50)]
    assert ids == transformers_greedy(model, [*prefix, *suffix], 5)
    with passes(model) as seen:
        each = probabilities(model, found, suffix, given)
    assert max(width for _, width in seen) <= CHUNK
    assert each == pytest.approx(softmaxes(model, [*prefix, *suffix], given), abs=1e-5)


def test_a_layer_that_is_cut_back_goes_on_from_there():
    keys, values = torch.randn(2, 1, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    layer = RoomyLayer(keys[:, :, :3], values[:, :, :3], room=4)
    layer.update(-keys[:, :, 3:7], -values[:, :, 3:7])
    layer.cut(5)
    assert layer.get_seq_length() == 5
    assert torch.equal(layer.keys, torch.cat([keys[:, :, :3], -keys[:, :, 3:5]], 2))
    grown = layer.update(keys[:, :, 5:7], values[:, :, 5:7])
    for found, all_of in zip(grown, (keys, values), strict=True):
        assert torch.equal(found, torch.cat([all_of[:, :, :3], -all_of[:, :, 3:5], all_of[:, :, 5:7]], 2))
    assert (layer.keys is grown[0], layer.values is grown[1]) == (True, True)


def test_rows_leave_the_prefix_that_they_share_as_it_was():
    model, prefix = tiny.model("llama"), tiny.prefix()
    found = shared(model, prefix)
    first = answer(model, found)
    answer(model, found, [30, 8])
    assert answer(model, found) == first
    assert start_cache(model, found, 1, 4).get_seq_length() == len(found) == len(prefix)
