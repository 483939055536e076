"""A model's head, run only where its logits are wanted: most of a pass's places are prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def read_at(model: Any, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Lets the model's head see only the hidden states at (rows, columns), as [1, N, D].

    What the model does to logits after its head (scaling, soft caps) still happens.
    """

    def gather(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, columns][None], *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        hook.remove()
