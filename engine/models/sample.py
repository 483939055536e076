"""Random answers behind a shared prefix, several for each question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.models.generate import finish, start_rollout
from engine.models.prefix import SharedPrefix


@torch.inference_mode()
def sample(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffixes: Sequence[Sequence[int]],
    *,
    keys: Sequence[tuple[int, ...]],
    temperatures: Sequence[float],
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    top_p: float = 1.0,
    vocabulary: int | None = None,
    shared: bool = True,
) -> list[list[list[int]]]:
    """For each suffix as many continuations of `prefix + suffix` as there are temperatures.

    A token is found by inverting the cumulated probabilities at a uniform random number. The numbers
    of a question are drawn beforehand from a generator of its own, so its answers depend on its key,
    never on the batch or on a global generator.

    Args:
        keys: what seeds each suffix's generator, e.g. (seed, example).
        temperatures: what the logits are divided by; 0 is greedy.
        top_p: keep the likeliest tokens up to this probability, at least one.
        vocabulary: ids from this on are never drawn (None: all can be).

    Other arguments are those of `generate`.

    Returns:
        [suffix][temperature] ids up to and with EOS, or `max_new_tokens` of them.
    """
    num_samples = len(temperatures)
    rollout = start_rollout(
        model,
        prefix,
        suffixes,
        max_new_tokens=max_new_tokens,
        pad_id=pad_id,
        shared=shared,
        copies=num_samples,
    )
    draws = [np.random.default_rng(key).random((num_samples, max_new_tokens)) for key in keys]
    uniform = torch.from_numpy(np.concatenate(draws).astype(np.float32)).to(rollout.device)
    divisors = torch.tensor(list(temperatures) * len(suffixes), device=rollout.device)

    def choose(logits: Tensor, rows: list[int], step: int) -> Tensor:
        chosen = torch.tensor(rows, device=rollout.device)
        return draw(logits[:, :vocabulary], divisors[chosen], uniform[chosen, step], top_p)

    answers = finish(rollout, choose, max_new_tokens, eos_id)
    return [answers[start : start + num_samples] for start in range(0, len(answers), num_samples)]


def draw(logits: Tensor, temperatures: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """One token for each row of `logits` [R, V]; `uniform` [R] in [0, 1] decides which. [R]."""
    greedy = temperatures == 0
    scaled = logits.float() / temperatures.masked_fill(greedy, 1.0)[:, None]
    probabilities = scaled.softmax(-1)
    if top_p < 1:
        probabilities = _nucleus(probabilities, top_p)
    cumulated = probabilities.cumsum(-1)
    # Short of the whole by more than rounding, so that the last token found has a probability.
    sought = uniform.clamp(max=1 - 1e-6) * cumulated[:, -1]
    tokens = torch.searchsorted(cumulated, sought[:, None], right=True)[:, 0]
    return torch.where(greedy, logits.argmax(-1), tokens)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero but for the likeliest tokens: each is kept while those before it have not reached top_p."""
    ordered, ids = probabilities.sort(-1, descending=True)
    dropped = ordered.cumsum(-1) - ordered >= top_p
    return probabilities.masked_fill(dropped.scatter(-1, ids, dropped), 0.0)
