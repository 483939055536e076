"""Imperfect sequences: which gold tokens are masked, and what the student writes there instead.

KID, sections 3.1 and 3.2 (arXiv 2410.11371). A gold answer is T token ids that end in EOS; EOS is
never masked. A mask depends on (seed, epoch, example, copy) alone, never on batch, rank or order.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from engine.models.sample import draw

_DRAWING = 0xD2  # keeps these numbers apart from the mask's


def num_masked(length: int, ratio: float) -> int:
    """k of T = `length` tokens: 0 if ratio is 0, else min(T − 1, max(1, round-half-up(ratio·T)))."""
    return 0 if ratio == 0 else min(length - 1, max(1, math.floor(ratio * length + 0.5)))


def choose_positions(
    length: int,
    ratio: float,
    strategy: str,
    key: tuple[int, int, int, int],
    entropies: np.ndarray | None = None,
) -> np.ndarray:
    """The masked positions of one answer, ascending, [k] integers in [0, length − 1).

    Args:
        length: T, with EOS.
        strategy: `random` (uniform without replacement), `uniform` (evenly spaced, random phase),
            `hard` and `easy` (highest and lowest student entropy on the gold sequence; ties by position).
        key: (seed, epoch, example, copy).
        entropies: [T], for `hard` and `easy`.
    """
    count, candidates = num_masked(length, ratio), length - 1
    generator = np.random.default_rng(key)
    if strategy == "random":
        chosen = generator.choice(candidates, size=count, replace=False)
    elif strategy == "uniform":
        spacing = candidates / max(count, 1)
        chosen = np.floor((np.arange(count) + generator.random()) * spacing).astype(int)
    else:
        assert strategy in ("hard", "easy"), strategy
        assert entropies is not None, "hard and easy read the student's entropies"
        order = np.argsort(entropies[:candidates], kind="stable")
        chosen = order[len(order) - count :] if strategy == "hard" else order[:count]
    return np.sort(chosen)


def predict(
    logits: Tensor, banned: Tensor, uniform: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """The student's one-pass guess: the likeliest token that is not banned. [N, V] → [N].

    Args:
        banned: [b] ids never guessed: padding, EOS and the mask token.
        uniform: [N] numbers in [0, 1): draw the token by them instead.
        temperature: what the logits are divided by before drawing.
    """
    allowed = logits.index_fill(-1, banned, -torch.inf)
    if uniform is None:
        return allowed.argmax(-1)
    return draw(allowed, torch.full_like(uniform, temperature), uniform, top_p=1.0)


def uniform_numbers(length: int, key: tuple[int, int, int, int]) -> np.ndarray:
    """[length] numbers in [0, 1) to draw one answer's tokens by. `key` is that of its mask."""
    return np.random.default_rng((*key, _DRAWING)).random(length, dtype=np.float32)
