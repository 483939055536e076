"""Answers from a model, many questions on one database at once, behind one shared prefix.

Here: the rows that grow token by token (`Rollout`; an encoder–decoder's are in seq2seq.py), and greedy
decoding. Beam search (beam.py) and sampling (sample.py) steer the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.models.cache import start_cache
from engine.models.kind import is_encoder_decoder
from engine.models.prefix import SharedPrefix
from engine.models.seq2seq import EncoderDecoderRollout


@torch.inference_mode()
def generate(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffixes: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    shared: bool = True,
) -> list[list[int]]:
    """Greedy continuations of `prefix + suffix`, one for each suffix.

    Args:
        prefix: [P] ids, common to all, or what was made of them before.
        shared: run the prefix once. Without it every row runs prefix and suffix, for models
            where sharing is not exact (prefix.shareable).

    Returns:
        Ids up to and with EOS, or `max_new_tokens` of them.
    """
    rollout = start_rollout(
        model, prefix, suffixes, max_new_tokens=max_new_tokens, pad_id=pad_id, shared=shared
    )
    return finish(rollout, lambda logits, rows, step: logits.argmax(-1), max_new_tokens, eos_id)


def start_rollout(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffixes: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    pad_id: int,
    shared: bool,
    copies: int = 1,
) -> Rollout | EncoderDecoderRollout:
    """The rows of a model's kind, none of them begun. Arguments are those of `Rollout`."""
    if is_encoder_decoder(model.config):
        assert not isinstance(prefix, SharedPrefix)
        return EncoderDecoderRollout(model, prefix, suffixes, copies=copies)
    return Rollout(
        model, prefix, suffixes, max_new_tokens=max_new_tokens, pad_id=pad_id, shared=shared, copies=copies
    )


def finish(
    rollout: Rollout | EncoderDecoderRollout,
    choose: Callable[[Tensor, list[int], int], Tensor],
    max_new_tokens: int,
    eos_id: int,
) -> list[list[int]]:
    """Lets every row grow by itself to its end.

    Args:
        choose: (next-token logits [R, V] of R open rows, the rows' numbers, the step from 0) -> [R] tokens.

    Returns:
        One answer for each row: ids up to and with EOS, or `max_new_tokens` of them.
    """
    answers: list[list[int]] = [[] for _ in range(rollout.num_rows)]
    open_rows = list(range(rollout.num_rows))
    for step in range(max_new_tokens):
        tokens = choose(rollout.logits(), open_rows, step)
        going_on = []
        for place, (row, token) in enumerate(zip(open_rows, tokens.tolist(), strict=True)):
            answers[row].append(token)
            if token != eos_id:
                going_on.append(place)
        if not going_on:
            break
        if len(going_on) <= len(open_rows) // 2:  # finished rows cost as much as open ones
            rollout.keep(going_on)
            tokens = tokens[torch.tensor(going_on, device=tokens.device)]
            open_rows = [open_rows[place] for place in going_on]
        rollout.append(tokens)
    return [_up_to(answer, eos_id) for answer in answers]


def _up_to(answer: list[int], eos_id: int) -> list[int]:
    return answer[: answer.index(eos_id) + 1] if eos_id in answer else answer


class Rollout:
    """Rows of `prefix + suffix + what was appended`, and the model's cache of them.

    Use: `logits`, then perhaps `keep` or `shuffle`, then `append`; and again.

    Args:
        prefix: as in `generate`.
        max_new_tokens: how many tokens a row will be given at most.
        shared: as in `generate`.
        copies: rows for each suffix, side by side. The prompts run once, then their cache is copied.
    """

    def __init__(
        self,
        model: Any,
        prefix: SharedPrefix | Sequence[int],
        suffixes: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        pad_id: int,
        shared: bool,
        copies: int = 1,
    ) -> None:
        self.model: Any = model
        self.device = next(model.parameters()).device
        self.num_rows = len(suffixes) * copies
        if not shared:
            assert not isinstance(prefix, SharedPrefix)
            suffixes, prefix = [[*prefix, *suffix] for suffix in suffixes], []
        self._copies = copies
        self._ids, self._mask = _pad_left(suffixes, len(prefix), pad_id, self.device)
        room = self._ids.shape[1] + max_new_tokens
        self._cache = start_cache(model, prefix, len(suffixes), room)
        self._positions = (self._mask.cumsum(1) - 1).clamp_(min=0)[:, len(prefix) :]

    def logits(self) -> Tensor:
        """[R, V] next-token logits of all rows."""
        output = self.model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
        if self._copies > 1:
            chosen = torch.arange(len(logits), device=self.device).repeat_interleave(self._copies)
            self._copies = 1
            self._select(chosen)
            logits = logits[chosen]
        return logits

    def append(self, tokens: Tensor) -> None:
        """One token, [R], for each row."""
        self._ids, self._positions = tokens[:, None], self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all rows but these."""
        self._select(torch.tensor(rows, device=self.device))
        self.num_rows = len(rows)

    def shuffle(self, sources: Sequence[int]) -> None:
        """Gives each row what was appended to another of the same suffix. `sources`: R row numbers."""
        cache: Any = self._cache  # its annotation asks for a type that no tensor has
        cache.reorder_cache(torch.tensor(sources, device=self.device))

    def _select(self, chosen: Tensor) -> None:
        self._cache.batch_select_indices(chosen)
        self._mask, self._positions = self._mask[chosen], self._positions[chosen]


def _pad_left(
    suffixes: Sequence[Sequence[int]], prefix_length: int, pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Ids [B, S] and attention mask [B, P + S]: every row ends in the same column."""
    width = max(map(len, suffixes))
    ids = [[pad_id] * (width - len(suffix)) + list(suffix) for suffix in suffixes]
    mask = [[1] * prefix_length + [0] * (width - len(suffix)) + [1] * len(suffix) for suffix in suffixes]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
