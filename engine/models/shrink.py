"""A student made by keeping some of a teacher's layers, of an encoder–decoder's in both stacks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from engine.errors import ProfileError
from engine.models.kind import is_encoder_decoder

_MEND = "give the student a model of its own"
_T5_FAMILY = ("t5", "mt5", "umt5")


def keep_layers(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """Drops, in place, every transformer layer whose index is not in `kept`.

    Embeddings, final norm and head stay. The configuration is brought in line, so
    that the result saves and loads as an ordinary model.

    Args:
        kept: ascending indices into the model's layers.

    Raises:
        ProfileError: an index that the model does not have; a model whose layers are not found.
    """
    config = model.config
    if is_encoder_decoder(config):
        return _keep_in_both(model, kept)
    _require_there(kept, config.num_hidden_layers)
    _cut(*_layer_list(model, config.num_hidden_layers), kept)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]
    config.num_hidden_layers = len(kept)
    return model


def _require_there(kept: Sequence[int], total: int) -> None:
    if not kept or min(kept) < 0 or max(kept) >= total:
        raise ProfileError(
            f"student.keep_layers = {list(kept)}: the model has layers 0 to {total - 1}",
            'choose among those, or set student.keep_layers = "none" to keep all',
        )


def _cut(parent: nn.Module, name: str, kept: Sequence[int]) -> None:
    layers: Any = nn.ModuleList(getattr(parent, name)[index] for index in kept)
    setattr(parent, name, layers)
    for position, layer in enumerate(layers):
        for module in layer.modules():  # a cache finds a layer's keys and values by this index
            if hasattr(module, "layer_idx"):
                module.layer_idx = position


def _layer_list(model: PreTrainedModel, total: int) -> tuple[nn.Module, str]:
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == total:
                return parent, name
    raise ProfileError(
        f"student.keep_layers: no list of {total} layers found in a {model.config.model_type} model", _MEND
    )


def _keep_in_both(model: Any, kept: Sequence[int]) -> Any:
    """The T5 family's `keep_layers`: a stack is a list of blocks."""
    config = model.config
    if config.model_type not in _T5_FAMILY:
        raise ProfileError(
            f"student.keep_layers cannot cut a {config.model_type} model: of encoder–decoders it knows "
            + ", ".join(_T5_FAMILY),
            _MEND,
        )
    _require_there(kept, min(config.num_layers, config.num_decoder_layers))
    for stack in (model.encoder, model.decoder):
        first = _self_attention(stack.block[0])
        _cut(stack, "block", kept)
        _give_position_bias(first, _self_attention(stack.block[0]))
        stack.config.num_layers = stack.config.num_decoder_layers = len(kept)
    config.num_layers = config.num_decoder_layers = len(kept)
    return model


def _self_attention(block: Any) -> Any:
    return block.layer[0].SelfAttention


def _give_position_bias(former: Any, first: Any) -> None:
    """A stack's first block holds the relative positions of all: they move into the one that is now first."""
    if not first.has_relative_attention_bias:
        first.relative_attention_bias = former.relative_attention_bias
        first.has_relative_attention_bias = True
