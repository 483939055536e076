"""A student made by keeping some of a teacher's layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from engine.errors import ProfileError


def keep_layers(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """Drops, in place, every transformer layer whose index is not in `kept`.

    Embeddings, final norm and head stay. The configuration is brought in line, so
    that the result saves and loads as an ordinary model.

    Args:
        kept: ascending indices into the model's layers.

    Raises:
        ProfileError: an index that the model does not have.
    """
    config = model.config
    total = config.num_hidden_layers
    if not kept or min(kept) < 0 or max(kept) >= total:
        raise ProfileError(
            f"student.keep_layers = {list(kept)}: the model has layers 0 to {total - 1}", "choose among those"
        )
    parent, name = _layer_list(model, total)
    setattr(parent, name, nn.ModuleList(getattr(parent, name)[index] for index in kept))
    for position, layer in enumerate(getattr(parent, name)):
        for module in layer.modules():  # a cache finds a layer's keys and values by this index
            if hasattr(module, "layer_idx"):
                module.layer_idx = position
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]
    config.num_hidden_layers = len(kept)
    return model


def _layer_list(model: PreTrainedModel, total: int) -> tuple[nn.Module, str]:
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == total:
                return parent, name
    raise ProfileError(
        f"student.keep_layers: no list of {total} layers found in a {model.config.model_type} model",
        "give the student a model of its own",
    )
