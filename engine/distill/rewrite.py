"""Imperfect sequences: which gold tokens are masked, and what the student writes there instead.

KID, sections 3.1 and 3.2 (arXiv 2410.11371). A gold answer is T token ids that end in EOS; EOS is
never masked. A mask depends on (seed, epoch, example, copy) alone, never on batch, rank or order.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


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


def predict(logits: Tensor, banned: Tensor) -> Tensor:
    """The student's one-pass guess: the likeliest token that is not banned. [N, V] → [N].

    Args:
        banned: [b] ids never guessed: padding, EOS and the mask token.
    """
    return logits.index_fill(-1, banned, -torch.inf).argmax(-1)
