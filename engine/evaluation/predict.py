"""A model's SQL for every question of a data set."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.benchmarks import Example
from engine.models.encode import Encoder
from engine.models.generate import generate
from engine.models.prefix import shareable


@dataclass(frozen=True)
class Prediction:
    """One answer: SQL on one line, its tokens (EOS included), and its share of the batch's time."""

    index: int
    sql: str
    num_tokens: int
    milliseconds: float


def predict(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    *,
    batch_size: int,
    max_new_tokens: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Prediction]:
    """Greedy answers, in the order of `examples`.

    Questions on one database go through the model together, similar lengths side by side.

    Args:
        model: in evaluation mode.
        progress: called with (done, total) after every batch; what it raises ends the work.
    """
    by_database: dict[Path, list[int]] = defaultdict(list)
    for position, example in enumerate(examples):
        by_database[example.database].append(position)
    suffixes = [encoder.suffix(example) for example in examples]
    shared = shareable(model) is None
    found: dict[int, Prediction] = {}
    for database, positions in by_database.items():
        positions.sort(key=lambda position: len(suffixes[position]))
        for start in range(0, len(positions), batch_size):
            batch = positions[start : start + batch_size]
            began = time.perf_counter()
            answers = generate(
                model,
                encoder.prefix(database),
                [suffixes[position] for position in batch],
                max_new_tokens=max_new_tokens,
                eos_id=encoder.eos_id,
                pad_id=encoder.pad_id,
                shared=shared,
            )
            milliseconds = (time.perf_counter() - began) * 1000 / len(batch)
            for position, answer in zip(batch, answers, strict=True):
                found[position] = Prediction(
                    examples[position].index, encoder.decode(answer), len(answer), milliseconds
                )
            progress(len(found), len(examples))
    return [found[position] for position in range(len(examples))]
