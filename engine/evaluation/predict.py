"""A model's answer to every question of a data set."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.data.benchmarks import Example
from engine.evaluation.vote import choose
from engine.models.beam import beam_search
from engine.models.encode import Encoder
from engine.models.generate import generate
from engine.models.prefix import shareable
from engine.models.sample import sample
from engine.sql.execute import Executor


@dataclass(frozen=True)
class Prediction:
    """One answer: SQL on one line, its tokens (EOS included), and its share of the batch's time.

    Of a text task `sql` is the text as it was generated.
    """

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
    decode: Literal["greedy", "beam", "vote"] = "greedy",
    num_beams: int = 4,
    num_samples: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
    executor: Executor | None = None,
    on_batch: Callable[[Sequence[Prediction]], None] = lambda batch: None,
    done: Collection[int] = (),
) -> list[Prediction]:
    """Answers in the order of `examples`, those that are `done` left out.

    Questions on one database go through the model together, similar lengths side by side.

    Args:
        model: in evaluation mode.
        batch_size: rows at once: questions, or questions times beams or candidates.
        progress: called with (done, total) after every batch; what it raises ends the work.
        decode: greedy; the best of `num_beams` beams (beam.py); or the winner of a vote by execution
            (vote.py) among the greedy answer and `num_samples` samples at `temperature`.
        seed: of the samples. An example's samples depend on it and on the example's index alone.
        executor: runs the candidates of a vote.
        on_batch: called with the answers of every batch, before `progress`, for the caller to keep.
        done: indices of examples that have been answered before.
    """
    suffixes = [encoder.suffix(example) for example in examples]
    arguments: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "eos_id": encoder.eos_id,
        "pad_id": encoder.pad_id,
        "shared": shareable(model) is None,
    }

    def answer(database: Path, batch: Sequence[int]) -> list[list[int]]:
        prompts = model, encoder.prefix(database), [suffixes[position] for position in batch]
        if decode == "greedy":
            return generate(*prompts, **arguments)
        if decode == "beam":
            return beam_search(*prompts, num_beams=num_beams, **arguments)
        assert executor is not None, "a vote runs its candidates"
        candidates = sample(
            *prompts,
            keys=[(seed, examples[position].index) for position in batch],
            temperatures=[0.0] + [temperature] * num_samples,
            **arguments,
        )
        return _elect(candidates, encoder, database, executor)

    num_rows = {"greedy": 1, "beam": num_beams, "vote": 1 + num_samples}[decode]
    found: dict[int, Prediction] = {}
    left = {position for position, example in enumerate(examples) if example.index not in done}
    for database, batch in batches(examples, suffixes, max(1, batch_size // num_rows)):
        # After the cut, so that answers do not depend on what is done: a batch is one rounding of them.
        if not (batch := [position for position in batch if position in left]):
            continue
        began = time.perf_counter()
        answers = answer(database, batch)
        milliseconds = (time.perf_counter() - began) * 1000 / len(batch)
        for position, ids in zip(batch, answers, strict=True):
            found[position] = Prediction(
                examples[position].index, encoder.decode(ids, database), len(ids), milliseconds
            )
        on_batch([found[position] for position in batch])
        progress(len(examples) - len(left) + len(found), len(examples))
    return [found[position] for position in sorted(found)]


def batches(
    examples: Sequence[Example], suffixes: Sequence[Sequence[int]], size: int
) -> Iterator[tuple[Path, list[int]]]:
    """Positions of examples, cut into batches: each on one database, similar suffix lengths side by side."""
    by_database: dict[Path, list[int]] = defaultdict(list)
    for position, example in enumerate(examples):
        by_database[example.database].append(position)
    for database, positions in by_database.items():
        positions.sort(key=lambda position: len(suffixes[position]))
        for start in range(0, len(positions), size):
            yield database, positions[start : start + size]


def _elect(
    candidates: Sequence[Sequence[list[int]]], encoder: Encoder, database: Path, executor: Executor
) -> list[list[int]]:
    """The winner among each question's candidates, as ids."""
    texts = [[encoder.decode(ids) for ids in question] for question in candidates]
    winners = choose(texts, [database] * len(texts), executor)
    return [
        question[queries.index(winner)]
        for question, queries, winner in zip(candidates, texts, winners, strict=True)
    ]
