"""How alike two kinds of errors are: their shares, and the distance between those, with its uncertainty.

A question is the unit: its errors hang together, so intervals come from resampling whole questions.
Distances are Jensen–Shannon distances to the base 2: the root of the divergence, 0 for equal
distributions and 1 for those that have nothing in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.study.token_classes import CLASSES

STRATEGIES = ("random", "uniform", "hard", "easy")
REAL, REAL_ALL, GOLD = "inference", "inference_all", "gold"
"""The student's errors in its wrong answers; in all its answers; every gold token, as if all were wrong."""
NUM_BINS = 10
DIMENSIONS = ("token_class", "position", "error_class")


@dataclass(frozen=True, slots=True)
class Seen:
    """The errors of one question.

    classes: [len(CLASSES)] wrong tokens by class. positions: [NUM_BINS] by relative position.
    error: the class of the whole SQL's error; "" where its rows are right, or where there is none.
    """

    classes: tuple[float, ...] = (0.0,) * len(CLASSES)
    positions: tuple[float, ...] = (0.0,) * NUM_BINS
    error: str = ""


def count(
    places: Sequence[int], kinds: Sequence[str], length: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Wrong tokens by class and by position.

    Args:
        places: where in the answer each wrong token stands. kinds: the class of each.
        length: of the answer, in tokens.
    """
    classes, positions = [0.0] * len(CLASSES), [0.0] * NUM_BINS
    for place, kind in zip(places, kinds, strict=True):
        classes[CLASSES.index(kind)] += 1
        positions[min(NUM_BINS - 1, place * NUM_BINS // length)] += 1
    return tuple(classes), tuple(positions)


def js_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen–Shannon distance, base 2, of counts, [..., C] → [...]; NaN where one has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (counts / counts.sum(-1, keepdims=True) for counts in (first, second))
        middle = (p + q) / 2
        divergence = sum(np.where(one > 0, one * np.log2(one / middle), 0.0).sum(-1) / 2 for one in (p, q))
        distance = np.sqrt(np.clip(divergence, 0.0, 1.0))
    empty = (first.sum(-1) == 0) | (second.sum(-1) == 0)
    return np.where(empty, np.nan, distance)


def compare(seen: Mapping[str, Sequence[Seen]], *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Shares and distances of the errors, by each of DIMENSIONS; plain enough for JSON.

    Args:
        seen: for each of STRATEGIES, REAL, REAL_ALL, GOLD the errors of the same N questions, in one order.

    Returns:
        For each dimension: `names` of the parts, `shares` of every source, `distances` of the strategies
        and of GOLD from REAL ({value, low, high: the 95 % bootstrap interval, all: from REAL_ALL}),
        `chance`: what two samples of the same errors stay below in 95 % of cases (there nothing is told
        apart), `nearest` strategy, `won`: in what part of the resamples each strategy is the nearest, and
        `certainty`: in what part the nearest one is. `overall`: the same for the mean of the three distances.
    """
    num_questions = len(seen[REAL])
    errors = Counter(one.error for name in (REAL, *STRATEGIES) for one in seen[name] if one.error)
    names = {
        "token_class": list(CLASSES),
        "position": [f"{10 * start}–{10 * start + 10} %" for start in range(NUM_BINS)],
        "error_class": [kind for kind, _ in errors.most_common()],
    }
    draws = np.random.default_rng(seed).multinomial(
        num_questions, [1 / num_questions] * num_questions, size=resamples
    )
    found: dict[str, Any] = {}
    values, drawn = [], []
    for dimension in DIMENSIONS:
        counts = {source: _matrix(dimension, them, names["error_class"]) for source, them in seen.items()}
        if dimension == "error_class":
            del counts[GOLD]
        part, exact, resampled = _compare_one(counts, draws)
        found[dimension] = {"names": names[dimension], **part}
        values.append(exact)
        drawn.append(resampled)
    overall, resampled_overall = np.mean(values, axis=0), np.mean(drawn, axis=0)
    return {
        "dimensions": found,
        "overall": {
            "distances": dict(zip(STRATEGIES, map(_number, overall), strict=True)),
            **_nearest(overall, resampled_overall),
        },
        "resamples": resamples,
    }


def _matrix(dimension: str, them: Sequence[Seen], errors: Sequence[str]) -> np.ndarray:
    """[N, C] counts."""
    if dimension == "token_class":
        return np.array([one.classes for one in them])
    if dimension == "position":
        return np.array([one.positions for one in them])
    return np.array([[float(one.error == kind) for kind in errors] for one in them]).reshape(len(them), -1)


def _compare_one(
    counts: Mapping[str, np.ndarray], draws: np.ndarray
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """A dimension's figures, and the strategies' distances: as they are [4], and resampled [S, 4]."""
    totals = {source: matrix.sum(0) for source, matrix in counts.items()}
    resampled = {source: draws @ matrix for source, matrix in counts.items()}
    distances, exact, drawn = {}, {}, {}
    for source in (*STRATEGIES, *([GOLD] if GOLD in counts else [])):
        exact[source] = js_distance(totals[source], totals[REAL])
        drawn[source] = js_distance(resampled[source], resampled[REAL])
        distances[source] = {
            "value": _number(exact[source]),
            **_interval(exact[source], drawn[source]),
            "all": _number(js_distance(totals[source], totals[REAL_ALL])),
        }
    # Two resamples, not one and the sample: both kinds of errors that are compared are samples.
    by_chance = js_distance(resampled[REAL], np.roll(resampled[REAL], 1, axis=0))
    strategies = np.stack([exact[name] for name in STRATEGIES])
    strategies_drawn = np.stack([drawn[name] for name in STRATEGIES], axis=-1)
    part = {
        "shares": {source: _shares(total) for source, total in totals.items()},
        "counts": {source: float(total.sum()) for source, total in totals.items()},
        "distances": distances,
        "chance": _number(np.nanquantile(by_chance, 0.95)) if not np.isnan(by_chance).all() else None,
        **_nearest(strategies, strategies_drawn),
    }
    return part, strategies, strategies_drawn


def _interval(value: np.ndarray, drawn: np.ndarray) -> dict[str, float | None]:
    """The percentile interval, stretched to hold the value: resampling adds noise, and with it distance."""
    if np.isnan(value):
        return {"low": None, "high": None}
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return {"low": float(min(low, value)), "high": float(max(high, value))}


def _nearest(values: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    """The strategy with the least distance, and in what part of the resamples each has it."""
    if np.isnan(values).all():
        return {"nearest": None, "certainty": None, "won": None}
    best = int(np.nanargmin(values))
    winners = np.nanargmin(drawn[~np.isnan(drawn).all(axis=1)], axis=1)
    won = {name: float((winners == at).mean()) for at, name in enumerate(STRATEGIES)}
    return {"nearest": STRATEGIES[best], "certainty": won[STRATEGIES[best]], "won": won}


def _shares(total: np.ndarray) -> list[float] | None:
    return [float(share) for share in total / total.sum()] if total.sum() else None


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
