"""One prompt prefix, computed once, and every pass that continues from it.

94 % of a text-to-SQL prompt is the schema, the same for every question on a database. A
`Prefix` holds one model's view of it; each pass (mask, teacher, student, generation) reads only
its own short rows. Gradients flow back into the prefix through its keys and values. Three forms
give the same numbers:

    cached   SharedPrefix runs the prefix once into a cache; rows continue from the expanded cache
    packed   one row [prefix | row | row | …] with a block mask (packed.py)
    naive    NaivePrefix runs prefix + row for every row: the reference, and the fallback

Encoder–decoder models have a form of their own (seq2seq.py). One view may stand for the prefixes of
several databases: `Rows.groups` says which each row reads.

Rows are padded on the right. Under a causal mask no real token sees a pad, so no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from engine.models.head import read_at
from engine.models.kind import is_encoder_decoder
from engine.models.packed import PackedPrefix
from engine.models.rows import Rows
from engine.models.seq2seq import EncoderDecoderPrefix

# Model types whose attention is full and whose positions count on from a cache, each compared
# with the naive step in tests/engine/test_prefix.py. Others run naively, and say so.
EXACT_TYPES = ("llama", "qwen2", "qwen3", "codegen", "mistral", "gemma")


class Prefix(Protocol):
    def logits(self, rows: Rows) -> Tensor:
        """[N, V] next-token logits at the wanted places."""

    def backward(self) -> None:
        """Sends what the rows' backward passes left at the prefix on into the model's parameters."""


Form = Literal["cached", "packed", "naive"]


def shareable(model: Any) -> str | None:
    """None where a prefix can be cached for this model as it is set, else the reason why it cannot."""
    if reason := _inexact(model):
        return reason
    if _checkpoints(model) and model.training:
        return "activation checkpointing drops the cache"
    return None


def choose_form(model: Any) -> tuple[Form, str | None]:
    """How training should share this model's prefix; where it cannot, "naive" and the reason."""
    if reason := _inexact(model):
        return "naive", reason
    return ("packed" if _checkpoints(model) else "cached"), None


def _checkpoints(model: Any) -> bool:
    return getattr(model, "is_activation_checkpointing", False)


def _inexact(model: Any) -> str | None:
    """Why sharing would not be exact, decided from the configuration: some models are wrong in silence."""
    config = model.config
    if is_encoder_decoder(config):
        return "it is an encoder–decoder model, whose encoder reads prefix and question together"
    if config.model_type not in EXACT_TYPES:
        return f"sharing is not proven exact for '{config.model_type}' models"
    layer_types = getattr(config, "layer_types", None) or []
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if windowed or any(kind != "full_attention" for kind in layer_types):
        return "the model has sliding-window attention"
    return None


def open_prefix(model: Any, ids: Tensor, form: Form) -> Prefix:
    """A prefix in a form that is exact for the model; an encoder–decoder's is its own, whatever is asked.

    `ids`: [P]. Honours torch's gradient mode.
    """
    if is_encoder_decoder(model.config):
        return EncoderDecoderPrefix(model, ids)
    return _FORMS[form](model, ids)


def open_prefixes(model: Any, ids: Sequence[Tensor], form: Form) -> Prefix:
    """One view of several prefixes, [P_i] each. All but cached ones run in one pass."""
    if form == "cached" or is_encoder_decoder(model.config):
        return together([open_prefix(model, one, form) for one in ids])
    return _FORMS[form](model, *ids)


def together(prefixes: Sequence[Prefix]) -> Prefix:
    """One view of several prefixes, each of which runs its own rows."""
    return prefixes[0] if len(prefixes) == 1 else _Several(prefixes)


class SharedPrefix:
    """Keys and values of a prefix, made once.

    With gradients, the rows continue from detached copies, so that any number of them can run
    and be freed one after the other; `backward` then sends their summed gradient through the
    prefix, once.

    Args:
        ids: [P].
        chunk: run so many tokens at a time (None: all at once), for callers that want to be interrupted.
    """

    def __init__(self, model: Any, ids: Tensor, chunk: int | None = None) -> None:
        self.model: Any = model
        cache = DynamicCache(config=model.config)
        with read_at(model, ids.new_empty(0), ids.new_empty(0)):
            for part in ids.split(chunk or len(ids)):
                model(input_ids=part[None], past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        self._made: list[Tensor] = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
        self._held = [
            tensor.detach().requires_grad_() if tensor.requires_grad else tensor for tensor in self._made
        ]

    def __len__(self) -> int:
        return self._held[0].shape[-2]

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._held)

    def cache(self, size: int) -> DynamicCache:
        """The prefix's cache as `size` rows see it. Views: `update` would copy them here already."""
        cache = DynamicCache(config=self.model.config)
        held = zip(self._held[::2], self._held[1::2], strict=True)
        layers: list[Any] = cache.layers
        for layer, (keys, values) in zip(layers, held, strict=True):
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (held.expand(size, -1, -1, -1) for held in (keys, values))
        return cache

    def logits(self, rows: Rows) -> Tensor:
        with read_at(self.model, rows.rows, rows.columns):
            output = self.model(
                input_ids=rows.ids, past_key_values=self.cache(rows.ids.shape[0]), use_cache=True
            )
        return output.logits[0]

    def backward(self) -> None:
        reached = [
            (made, held.grad)
            for made, held in zip(self._made, self._held, strict=True)
            if held.grad is not None
        ]
        if reached:
            made, gradients = zip(*reached, strict=True)
            torch.autograd.backward(made, gradients)
        self._made = self._held = []


class NaivePrefix:
    """The prefix in front of every row, as every other trainer does it."""

    def __init__(self, model: Any, *ids: Tensor) -> None:
        self.model = model
        self.lengths = torch.tensor([len(one) for one in ids], device=ids[0].device)
        self.ids = pad_sequence(list(ids), batch_first=True)

    def logits(self, rows: Rows) -> Tensor:
        width = rows.ids.shape[1]
        starts = self.lengths[rows.groups]
        places = starts[:, None] + torch.arange(width, device=starts.device)
        whole = torch.nn.functional.pad(self.ids[rows.groups], (0, width)).scatter(1, places, rows.ids)
        with read_at(self.model, rows.rows, rows.columns + starts[rows.rows]):
            return self.model(input_ids=whole, use_cache=False).logits[0]

    def backward(self) -> None:
        """Nothing is held back: the rows' own backward passes went all the way."""


class _Several:
    """Prefixes, one after the other: the rows come by group, so their places do too."""

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self.prefixes = prefixes

    def logits(self, rows: Rows) -> Tensor:
        parts = [rows.only(rows.groups == group) for group in range(len(self.prefixes))]
        return torch.cat(
            [prefix.logits(part) for prefix, part in zip(self.prefixes, parts, strict=True) if len(part.rows)]
        )

    def backward(self) -> None:
        for prefix in self.prefixes:
            prefix.backward()


_FORMS: dict[Form, Callable[..., Prefix]] = {
    "cached": SharedPrefix,
    "packed": PackedPrefix,
    "naive": NaivePrefix,
}
