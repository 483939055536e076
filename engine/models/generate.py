"""Answers from a model, many questions on one database at once, behind one shared prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.models.prefix import SharedPrefix


@torch.inference_mode()
def generate(
    model: Any,
    prefix: Sequence[int],
    suffixes: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    shared: bool = True,
) -> list[list[int]]:
    """Greedy continuations of `prefix + suffix`, one for each suffix.

    Args:
        prefix: [P] ids, common to all.
        shared: run the prefix once. Without it every row runs prefix and suffix, for models
            where sharing is not exact (prefix.shareable).

    Returns:
        Ids up to and with EOS, or `max_new_tokens` of them.
    """
    device = next(model.parameters()).device
    if not shared:
        suffixes, prefix = [[*prefix, *suffix] for suffix in suffixes], []
    ids, mask = _pad_left(suffixes, len(prefix), pad_id, device)
    room = ids.shape[1] + max_new_tokens
    cache = _start(model, torch.tensor(prefix, device=device), len(suffixes), room)
    positions = (mask.cumsum(1) - 1).clamp_(min=0)[:, len(prefix) :]
    answers: list[list[int]] = [[] for _ in suffixes]
    open_rows = list(range(len(suffixes)))
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        tokens = output.logits[:, -1].argmax(-1)
        going_on = []
        for place, (row, token) in enumerate(zip(open_rows, tokens.tolist(), strict=True)):
            answers[row].append(token)
            if token != eos_id:
                going_on.append(place)
        if not going_on:
            break
        if len(going_on) <= len(open_rows) // 2:  # finished rows cost as much as open ones
            chosen = torch.tensor(going_on, device=device)
            cache.batch_select_indices(chosen)
            tokens, mask, positions = tokens[chosen], mask[chosen], positions[chosen]
            open_rows = [open_rows[place] for place in going_on]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(open_rows), 1)], dim=1)
    return [_up_to(answer, eos_id) for answer in answers]


def _up_to(answer: list[int], eos_id: int) -> list[int]:
    return answer[: answer.index(eos_id) + 1] if eos_id in answer else answer


def _pad_left(
    suffixes: Sequence[Sequence[int]], prefix_length: int, pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Ids [B, S] and attention mask [B, P + S]: every row ends in the same column."""
    width = max(map(len, suffixes))
    ids = [[pad_id] * (width - len(suffix)) + list(suffix) for suffix in suffixes]
    mask = [[1] * prefix_length + [0] * (width - len(suffix)) + [1] * len(suffix) for suffix in suffixes]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _start(model: Any, prefix: Tensor, size: int, room: int) -> DynamicCache:
    """The prefix's cache for `size` rows, with room for `room` more tokens each."""
    if not len(prefix):
        return DynamicCache(config=model.config)
    cache = SharedPrefix(model, prefix).cache(size)
    layers: list[Any] = cache.layers
    cache.layers = [_RoomyLayer(layer.keys, layer.values, room) for layer in layers]
    return cache


class _RoomyLayer(DynamicLayer):
    """A cache layer that writes new tokens in place. The stock layer copies itself at every token."""

    def __init__(self, keys: Tensor, values: Tensor, room: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self._length = keys.shape[-2]
        self._buffers = tuple(
            torch.cat([part, part.new_empty(*part.shape[:2], room, part.shape[3])], dim=2)
            for part in (keys, values)
        )
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start, self._length = self._length, self._length + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self._length] = states
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._buffers = tuple(buffer[indices] for buffer in self._buffers)
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)
