"""One greedy answer, token by token, as fast as one row can be had.

SQL copies names from the schema. So the tokens that followed the last ones earlier in the prompt are
guessed to follow again, and read in one pass with the last token (prompt lookup): those that the model
would have chosen itself are kept, the rest is forgotten. The answer is the same, in fewer passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.models.cache import start_cache
from engine.models.kind import is_encoder_decoder
from engine.models.prefix import SharedPrefix, open_prefix
from engine.models.rows import answer_rows
from engine.models.seq2seq import EncoderDecoderRollout

CHUNK = 128  # prompt tokens in one pass: a cancelled answer is given up between two passes
NUM_GUESSED = 8  # tokens read ahead at most
_LONGEST_MATCH, _SHORTEST_MATCH = 3, 2  # tokens that must have gone before in the same order


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its probability under the model, constraint or not."""

    id: int
    probability: float


class Restriction(Protocol):
    """What may follow (constrain.py)."""

    def restrict(self, logits: Tensor) -> Tensor:
        """[V] logits, -inf where a token cannot follow."""

    def accept(self, token: int) -> None:
        """The answer goes on with this token."""


@torch.inference_mode()
def stream(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffix: Sequence[int],
    *,
    max_new_tokens: int,
    eos_id: int,
    shared: bool = True,
    known: Sequence[int] = (),
    restriction: Restriction | None = None,
) -> Iterator[Token]:
    """The tokens of the greedy continuation of `prefix + suffix`, up to and with EOS.

    Args:
        prefix, suffix, shared: as in `generate`.
        known: ids in which continuations are looked up, such as the whole prompt's. Needs `shared`.
        restriction: of what may follow; its greedy choice is among what it leaves.
    """
    row: _Row | _EncoderDecoderRow
    if not shared or is_encoder_decoder(model.config):
        assert not isinstance(prefix, SharedPrefix)
        suffix, prefix, known = [*prefix, *suffix], [], ()
    if is_encoder_decoder(model.config):
        row = _EncoderDecoderRow(model)
    else:
        row = _Row(model, prefix, len(suffix) + max_new_tokens + NUM_GUESSED)
    text = list(known)
    read, logits = list(suffix), row.read(suffix, 1)
    left = max_new_tokens
    guessed: list[int] = []
    while left:
        # logits[i] follows the i-th of [last token, *guessed]; a guess counts if it is what would be chosen.
        for place in range(len(logits)):
            token = _choose(logits[place], restriction)
            yield token
            left -= 1
            text.append(token.id)
            if token.id == eos_id or not left:
                return
            if place == len(guessed) or token.id != guessed[place]:
                break
        row.forget(len(guessed) - place)
        guessed = _look_up(text, min(NUM_GUESSED, left - 1)) if known else []
        read = [token.id, *guessed]
        logits = row.read(read, len(read))


@torch.inference_mode()
def probabilities(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffix: Sequence[int],
    answer: Sequence[int],
) -> list[float]:
    """The probability of each token of an answer that was found in another way. Arguments: see `stream`."""
    if not isinstance(prefix, SharedPrefix):
        suffix, prefix = [*prefix, *suffix], []
    if is_encoder_decoder(model.config):
        logits = _read_answer(model, suffix, answer)
    else:
        row = _Row(model, prefix, len(suffix) + len(answer))
        logits = row.read([*suffix, *answer[:-1]], len(answer))
    chosen = torch.tensor(answer, device=logits.device)[:, None]
    return logits.float().softmax(-1).gather(1, chosen)[:, 0].tolist()


def _choose(logits: Tensor, restriction: Restriction | None) -> Token:
    probabilities = logits.float().softmax(-1)
    token = int((restriction.restrict(logits) if restriction else logits).argmax())
    if restriction:
        restriction.accept(token)
    return Token(token, float(probabilities[token]))


def _look_up(text: list[int], num: int) -> list[int]:
    """What followed when the last tokens of `text` stood there the last time, `num` tokens at most."""
    for length in range(_LONGEST_MATCH, _SHORTEST_MATCH - 1, -1):
        last = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start] == last[0] and text[start : start + length] == last:
                return text[start + length : start + length + num]
    return []


def _read_answer(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> Tensor:
    """[len(answer), V] an encoder–decoder's logits at each token of an answer."""
    device = next(model.parameters()).device
    opened = open_prefix(model, torch.tensor([], dtype=torch.long, device=device), "naive")
    return opened.logits(answer_rows([prompt], [answer], 0, device))


class _Row:
    """One row's cache, which grows by several tokens at a time and can be cut back."""

    def __init__(self, model: Any, prefix: SharedPrefix | Sequence[int], room: int) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._cache: Any = start_cache(model, prefix, 1, room)
        self._length = len(prefix)

    def read(self, ids: Sequence[int], num_logits: int) -> Tensor:
        """[num_logits, V] next-token logits behind the last of `ids`."""
        outputs = [
            self._model(
                input_ids=chunk[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=min(num_logits, len(chunk)),
            )
            for chunk in torch.tensor(ids, device=self._device).split(CHUNK)
        ]
        self._length += len(ids)
        return torch.cat([output.logits[0] for output in outputs])[-num_logits:]

    def forget(self, num: int) -> None:
        """Cuts the last `num` tokens off."""
        if num:
            self._length -= num
            for layer in self._cache.layers:
                layer.cut(self._length)


class _EncoderDecoderRow:
    """One answer of an encoder–decoder, which grows by one token at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rollout: EncoderDecoderRollout | None = None

    def read(self, ids: Sequence[int], num_logits: int) -> Tensor:
        """[1, V] next-token logits: first behind the question `ids`, then behind the token in `ids`."""
        if self._rollout is None:
            self._rollout = EncoderDecoderRollout(self._model, [], [ids])
        else:
            (token,) = ids
            self._rollout.append(torch.tensor([token], device=self._rollout.device))
        return self._rollout.logits()

    def forget(self, num: int) -> None:
        assert not num, "an encoder–decoder reads no guesses ahead"
