"""A loss over [N, V] logits whose float32 work never holds more than a part of the N places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients_by_parts(
    logits: Sequence[Tensor], loss: Callable[[slice, Sequence[Tensor]], Tensor]
) -> list[Tensor]:
    """The gradient, [N, V] each, of a loss with respect to its logits, before it goes into any weight.

    Args:
        logits: [N, V] each, at the same N places.
        loss: of some of the places, which the slice names, and their logits, [n, V] each; the whole loss
            is the sum over all places.
    """
    gradients = [torch.empty_like(one) for one in logits]
    num_places, vocabulary = logits[0].shape
    size = max(1, _budget(logits[0].device) // (4 * vocabulary))
    for start in range(0, num_places, size):
        part = slice(start, start + size)
        leaves = [one.detach()[part].requires_grad_() for one in logits]
        loss(part, leaves).backward()
        for gradient, leaf in zip(gradients, leaves, strict=True):
            gradient[part] = 0 if leaf.grad is None else leaf.grad
    return gradients


def _budget(device: torch.device) -> int:
    """Bytes of a float32 buffer: on a CPU, small ones stay in its caches; a GPU wants few launches."""
    return 2**25 if device.type == "cpu" else 2**28
