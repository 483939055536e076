"""A cache of keys and values that grows in place, and can be cut back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.models.prefix import SharedPrefix


def start_cache(model: Any, prefix: SharedPrefix | Sequence[int], size: int, room: int) -> DynamicCache:
    """A prompt's cache for `size` rows, with room for `room` more tokens each.

    Args:
        prefix: [P] ids, which are run here, or what was made of them before. No ids, no room: the model's
            own kind of cache, for models where a prefix cannot be shared.
    """
    if not isinstance(prefix, SharedPrefix):
        if not len(prefix):
            return DynamicCache(config=model.config)
        prefix = SharedPrefix(model, torch.tensor(prefix, device=next(model.parameters()).device))
    cache = prefix.cache(size)
    layers: list[Any] = cache.layers
    cache.layers = [RoomyLayer(layer.keys, layer.values, room) for layer in layers]
    return cache


class RoomyLayer(DynamicLayer):
    """A cache layer that writes new tokens in place. The stock layer copies itself at every token."""

    def __init__(self, keys: Tensor, values: Tensor, room: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self._length = keys.shape[-2]
        self._prompt_length = 0  # known once the prompts have been written
        self._buffers = tuple(
            torch.cat([part, part.new_empty(*part.shape[:2], room, part.shape[3])], dim=2)
            for part in (keys, values)
        )
        self._show()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start, self._length = self._length, self._length + key_states.shape[-2]
        self._prompt_length = self._prompt_length or self._length
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self._length] = states
        return self._show()

    def cut(self, length: int) -> None:
        """Forgets all but the first `length` tokens."""
        self._length = length
        self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        self._buffers = tuple(buffer[indices] for buffer in self._buffers)
        self._show()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows change places only with rows of the same prompt, so the prompt's columns stay."""
        generated = slice(self._prompt_length, self._length)
        for buffer in self._buffers:
            buffer[:, :, generated] = buffer[beam_idx, :, generated]

    def _show(self) -> tuple[Tensor, Tensor]:
        keys, values = (buffer[:, :, : self._length] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values
