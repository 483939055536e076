"""The errors that KID would train on: gold tokens masked by each strategy, and guessed by the student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.data.benchmarks import Example
from engine.distill.chunk import Weighing, make_chunk
from engine.distill.imperfect import Rewriter
from engine.distill.job import choose_mask_token
from engine.distill.rollin import Row
from engine.evaluation.predict import batches
from engine.models.encode import Encoder, Item
from engine.models.prefix import choose_form, open_prefix
from engine.settings import Method
from engine.study.error_distribution import NUM_BINS, STRATEGIES, count
from engine.study.token_classes import CLASSES, Schema, classes_of_pieces, offsets_of_pieces

DRAWN = ("random", "uniform")
"""The strategies that draw their masks; of the others an answer has one mask alone."""
DRAWS = 4
"""Masks of one answer by a strategy that draws them."""
_LOGITS = 2**27  # values of the logits held at once, half a GiB in float32


@dataclass(frozen=True, slots=True)
class Classified:
    """An answer: its ids without EOS, and the class of each."""

    ids: tuple[int, ...]
    kinds: tuple[str, ...]


def classified(encoder: Encoder, sql: str, schema: Schema) -> Classified:
    """An answer's tokens with their classes."""
    text = encoder.prompter.target(sql)
    ids, offsets = offsets_of_pieces(encoder.tokenizer, text)
    return Classified(tuple(ids), tuple(classes_of_pieces(text, offsets, schema)))


@dataclass
class Guesses:
    """What came of one strategy's masks: of each question the wrong guesses, summed over the draws.

    texts: the first draw's answers as SQL. masked, wrong: tokens over all questions and draws.
    """

    classes: np.ndarray
    positions: np.ndarray
    texts: list[str]
    masked: int = 0
    wrong: int = 0

    @classmethod
    def none(cls, num_questions: int) -> Guesses:
        classes, positions = (np.zeros((num_questions, num)) for num in (len(CLASSES), NUM_BINS))
        return cls(classes, positions, [""] * num_questions)

    def add(self, question: int, gold: Classified, masked: Sequence[int], rewritten: Sequence[int]) -> None:
        """Counts one answer. masked, rewritten: its ids without EOS, with masks, and with guesses there."""
        wrong = [place for place, token in enumerate(rewritten) if token != gold.ids[place]]
        classes, positions = count(wrong, [gold.kinds[place] for place in wrong], len(gold.ids))
        self.classes[question] += classes
        self.positions[question] += positions
        self.masked += sum(one != other for one, other in zip(masked, gold.ids, strict=True))
        self.wrong += len(wrong)


@torch.inference_mode()
def guess(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    golds: Sequence[Classified],
    method: Method,
    *,
    seed: int,
    batch_size: int,
    progress: Callable[[str, int, int], None],
) -> dict[str, Guesses]:
    """Every strategy's masks and what the student guesses there, by the code that rewrites in training.

    Args:
        method: of the profile; its strategy is not looked at, and every mask is rewritten.
    """
    items = [
        Item(
            example.index,
            example.database,
            tuple(encoder.suffix(example)),
            (*gold.ids, encoder.eos_id),
        )
        for example, gold in zip(examples, golds, strict=True)
    ]
    mask_id = choose_mask_token(encoder.tokenizer, method.mask_token)
    device = next(model.parameters()).device
    banned = torch.tensor(sorted({mask_id, encoder.eos_id, encoder.pad_id}), device=device)
    rewrite = "predict" if method.rewrite == "mask" else method.rewrite
    rewriters = {
        strategy: Rewriter(
            method.model_copy(update={"mask_strategy": strategy, "rewrite": rewrite}),
            mask_id,
            banned,
            vocabulary=len(encoder.tokenizer),
            seed=seed,
            epoch=0,
            ratio=method.mask_ratio,
        )
        for strategy in STRATEGIES
    }
    found = {strategy: Guesses.none(len(items)) for strategy in STRATEGIES}
    longest = max(len(item.answer) for item in items)
    size = max(1, min(batch_size, _LOGITS // (model.config.vocab_size * longest)))
    done = 0
    for database, batch in batches(examples, [item.suffix for item in items], size):
        ids = torch.tensor(encoder.prefix(database), device=device)
        prefix = open_prefix(model, ids, choose_form(model)[0])
        gold_logits = None
        for draw in range(DRAWS):
            rows = [
                Row(items[position], items[position].answer, taught=True, copy=draw) for position in batch
            ]
            chunk = make_chunk([rows], Weighing("token", 1, 1), encoder.pad_id, device)
            if gold_logits is None:
                gold_logits = prefix.logits(chunk.context)
            for strategy in STRATEGIES if draw == 0 else DRAWN:
                imperfect = rewriters[strategy].rewrite(prefix, chunk, gold_logits)
                for row, position in enumerate(batch):
                    item = items[position]
                    answer = slice(len(item.suffix), item.length)
                    masked, rewritten = (
                        which[row, answer].tolist() for which in (imperfect.masked, imperfect.rows.ids)
                    )
                    found[strategy].add(position, golds[position], masked, rewritten)
                    if draw == 0:
                        found[strategy].texts[position] = encoder.decode(rewritten)
        done += len(batch)
        progress("masking and guessing", done, len(items))
    return found
