"""Exposure bias as excess accumulated error, ExAccErr (Arora et al. 2022; evaluation.md, section 6).

With p the teacher, taken as the oracle, and q the student, both next-token distributions:

    R(l)      sum over steps t ≤ l of the mean of KL(p‖q) in contexts that the student has sampled
    l·ε(l)    the same in contexts that the teacher has sampled
    ExAccErr  (R(l) − l·ε(l)) / (l·ε(l)) · 100 %: what the student loses by reading its own tokens

The context of step 1 is the prompt, so that ExAccErr(1) = 0. The step that samples EOS counts, later
ones do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.benchmarks import Example
from engine.distill.divergences import forward_kl
from engine.evaluation.predict import batches
from engine.models.encode import Encoder
from engine.models.prefix import choose_form, open_prefix, shareable
from engine.models.rows import Rows, answer_rows
from engine.models.sample import sample

HEADLINE, TOLD = 16, (8, 16, 32, 64)
_RESAMPLES = 1000
_LOGITS = 2**27  # values of one model's logits held at once, half a GiB in float32


@dataclass(frozen=True, slots=True)
class Point:
    """ExAccErr at one length.

    regret, oracle: R(l) and l·ε(l), in nats.
    value: per cent; None where the oracle's own sum is 0, as for a student that equals its teacher.
    low, high: the 95 % bootstrap interval of `value` over prompts.
    """

    length: int
    regret: float
    oracle: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Exposure:
    """The curves of ExAccErr at l = 1, 2, …

    all: each step's mean is over all prompts; an answer that has ended adds nothing.
    active: it is over those still going on.
    num_active: of each step, the student's and the teacher's contexts that still go on.
    """

    num_prompts: int
    all: tuple[Point, ...]
    active: tuple[Point, ...]
    num_active: tuple[tuple[int, int], ...]

    @property
    def headline(self) -> Point:
        """l = 16 over all prompts, or the end of a shorter curve."""
        return self.all[min(HEADLINE, len(self.all)) - 1]

    def told(self) -> dict[str, Any]:
        """The figures that a report shows, plain enough for JSON; values in per cent or None."""
        headline = self.headline
        return {
            "num_prompts": self.num_prompts,
            "headline_length": headline.length,
            "headline": headline.value,
            "interval": None if headline.low is None else (headline.low, headline.high),
            "points": [
                {
                    "length": length,
                    "value": self.all[length - 1].value,
                    "active": self.active[length - 1].value,
                }
                for length in TOLD
                if length <= len(self.all)
            ],
            "curve": [
                {
                    "length": point.length,
                    "regret": point.regret,
                    "oracle": point.oracle,
                    "value": point.value,
                    "active": active.value,
                    "num_active": num_active,
                }
                for point, active, num_active in zip(self.all, self.active, self.num_active, strict=True)
            ],
        }


@torch.inference_mode()
def exposure(
    student: Any,
    teacher: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    *,
    batch_size: int = 8,
    max_new_tokens: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exposure:
    """ExAccErr of a student against its teacher, from one answer that each samples to every question.

    Both sample at temperature 1 from their whole distributions, with the same random numbers:
    where they agree their contexts do too, which narrows the interval. Of vocabularies of different
    sizes (padding rows) the common part counts.

    Args:
        student, teacher: in evaluation mode, with one tokenizer, each on its device.
        examples: at least one.
        max_new_tokens: length of the curves.
        progress: called with (done, total) after every batch of prompts.
    """
    suffixes = [encoder.suffix(example) for example in examples]
    vocabulary = min(student.config.vocab_size, teacher.config.vocab_size)
    most = max(1, _LOGITS // vocabulary)
    kl = np.zeros((2, len(examples), max_new_tokens))  # in the student's contexts, in the teacher's
    active = np.zeros(kl.shape, dtype=bool)
    done = 0
    for database, batch in batches(examples, suffixes, batch_size):
        ids, batch_suffixes = encoder.prefix(database), [suffixes[position] for position in batch]
        readers = _reader(student, ids, vocabulary), _reader(teacher, ids, vocabulary)
        for who, model in enumerate((student, teacher)):
            sampled = sample(
                model,
                ids,
                batch_suffixes,
                keys=[(seed, examples[position].index) for position in batch],
                temperatures=[1.0],
                max_new_tokens=max_new_tokens,
                eos_id=encoder.eos_id,
                pad_id=encoder.pad_id,
                vocabulary=vocabulary,
                shared=shareable(model) is None,
            )
            answers = [only for (only,) in sampled]
            divergences = _divergences(*readers, batch_suffixes, answers, most, encoder.pad_id)
            for position, values in zip(batch, divergences, strict=True):
                kl[who, position, : len(values)] = values
                active[who, position, : len(values)] = True
        done += len(batch)
        progress(done, len(examples))
    kl[1, :, 0] = kl[0, :, 0]  # one context, the prompt, that two passes may round differently
    return curves(Contexts(kl[0], active[0]), Contexts(kl[1], active[1]), seed=seed)


def _reader(model: Any, prefix: Sequence[int], vocabulary: int) -> Callable[[Rows], Tensor]:
    """A function from rows behind the prefix to the model's logits [N, vocabulary] at their places."""
    device = next(model.parameters()).device
    opened = open_prefix(model, torch.tensor(prefix, device=device), choose_form(model)[0])

    def read(rows: Rows) -> Tensor:
        return opened.logits(rows.to(device))[:, :vocabulary]

    return read


def _divergences(
    student: Callable[[Rows], Tensor],
    teacher: Callable[[Rows], Tensor],
    suffixes: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    most: int,
    pad_id: int,
) -> Iterator[np.ndarray]:
    """For each answer KL(p‖q) at every one of its tokens, in the context of those before it.

    most: places read in one pass, or one answer's.
    """
    start = 0
    while start < len(answers):
        end, places = start + 1, len(answers[start])
        while end < len(answers) and places + len(answers[end]) <= most:
            places += len(answers[end])
            end += 1
        rows = answer_rows(suffixes[start:end], answers[start:end], pad_id, torch.device("cpu"))
        q = student(rows)
        values = forward_kl(q, teacher(rows).to(q.device)).clamp(min=0).double().cpu().numpy()
        yield from np.split(values, np.cumsum([len(answer) for answer in answers[start : end - 1]]))
        start = end


@dataclass(frozen=True)
class Contexts:
    """What one model's sampled contexts cost.

    kl: [N, L] KL(p‖q) at each step, 0 where the context has ended. active: [N, L] booleans, where it has not.
    weights: [N], what each context counts; as sampled, 1 each.
    """

    kl: np.ndarray
    active: np.ndarray
    weights: np.ndarray | None = None


def curves(student: Contexts, teacher: Contexts, *, seed: int = 0) -> Exposure:
    """The curves from both models' contexts for the same N prompts, in one order. Pure."""
    num_prompts = len(student.kl)
    generator = np.random.default_rng(seed)
    resampled = generator.multinomial(num_prompts, [1 / num_prompts] * num_prompts, size=_RESAMPLES)
    going_on = zip(*(who.active.sum(0).tolist() for who in (student, teacher)), strict=True)
    return Exposure(
        num_prompts,
        _curve(student, teacher, resampled, over_active=False),
        _curve(student, teacher, resampled, over_active=True),
        tuple(going_on),
    )


def _curve(
    student: Contexts, teacher: Contexts, resampled: np.ndarray, *, over_active: bool
) -> tuple[Point, ...]:
    """One point for each length. `resampled`: [S, N], how often each prompt is in each resample."""
    once = np.ones((1, len(student.kl)))
    (regret,), (oracle,) = (_accumulated(who, once, over_active) for who in (student, teacher))
    drawn = _excess(*(_accumulated(who, resampled, over_active) for who in (student, teacher)))
    points = []
    for place, value in enumerate(_excess(regret, oracle).tolist()):
        defined = drawn[:, place][~np.isnan(drawn[:, place])]
        known = not np.isnan(value) and len(defined) > 0
        low, high = np.percentile(defined, (2.5, 97.5)).tolist() if known else (None, None)
        sums = float(regret[place]), float(oracle[place])
        points.append(Point(place + 1, *sums, value if known else None, low, high))
    return tuple(points)


def _accumulated(contexts: Contexts, counts: np.ndarray, over_active: bool) -> np.ndarray:
    """[S, L] running sums over the steps of the mean over prompts, each taken `counts` [S, N] times."""
    weights = counts if contexts.weights is None else counts * contexts.weights
    totals = weights @ contexts.kl
    sizes = weights @ contexts.active if over_active else weights.sum(1, keepdims=True)
    return np.divide(totals, sizes, out=np.zeros_like(totals), where=sizes > 0).cumsum(1)


def _excess(regret: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """Per cent, NaN where it is undefined."""
    return np.divide(100 * (regret - oracle), oracle, out=np.full_like(regret, np.nan), where=oracle > 0)
