"""Roll-in: the answers that a step learns from, before anything of them is rewritten.

They are the gold ones, the teacher's, or samples of the student, as the method's row says
(methods.py). A sample depends on (seed, epoch, example) alone, never on the batch, and is drawn by
the student in evaluation mode, many questions at once behind one shared prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import settings
from engine.distill.methods import Method
from engine.models.encode import Item
from engine.models.sample import sample

_WHICH_SOURCE, _SAMPLING = 0xA1, 0xA2  # keep the generators of one example apart


@dataclass(frozen=True, slots=True)
class Row:
    """One answer of a step.

    answer: token ids, up to and with EOS, or cut at the longest answer.
    taught: whether MLE asks the student for these tokens.
    copy: which of several rewrites of one answer this is (method.copies).
    """

    item: Item
    answer: tuple[int, ...]
    taught: bool
    copy: int = 0

    @property
    def length(self) -> int:
        """Tokens that a pass reads: the last one is only ever predicted."""
        return len(self.item.suffix) + len(self.answer) - 1


@dataclass(frozen=True)
class RollIn:
    """Where a run's answers come from.

    teacher_text: the teacher's answer by the example's index, for methods that have this source.
    vocabulary: ids from this on are never drawn (None: all can be).
    shared: whether the student may share its prefix.
    """

    student: Any
    given: settings.Method
    seed: int
    eos_id: int
    pad_id: int
    vocabulary: int | None
    max_new_tokens: int
    shared: bool
    teacher_text: Mapping[int, Sequence[int]]

    def rows(
        self, method: Method, items: Sequence[Item], prefix: Sequence[int], epoch: int, max_rows: int = 0
    ) -> list[Row]:
        """The rows of one group, `items` on one database with this prefix.

        Args:
            max_rows: answers sampled at a time at most (0: all), for memory; the result is the same.
        """
        sources = [self._source(method, item, epoch) for item in items]
        sampled = [item for item, source in zip(items, sources, strict=True) if source == "student"]
        samples: dict[int, list[int]] = {}
        size = max_rows or max(1, len(sampled))
        for start in range(0, len(sampled), size):
            batch = sampled[start : start + size]
            answers = self._sample(batch, prefix, epoch)
            samples.update(zip((item.index for item in batch), answers, strict=True))
        copies = self.given.copies if "imperfect" in method.sources else 1
        rows = []
        for item, source in zip(items, sources, strict=True):
            answer: Sequence[int] = item.answer
            if source == "student":
                answer = samples[item.index]
            elif source == "teacher":
                answer = self.teacher_text[item.index]
            rows += [Row(item, tuple(answer), source in method.mle, copy) for copy in range(copies)]
        return rows

    def _source(self, method: Method, item: Item, epoch: int) -> str:
        if len(method.sources) == 1:
            return method.sources[0]
        chance = np.random.default_rng((self.seed, epoch, item.index, _WHICH_SOURCE)).random()
        return method.sources[chance < method.share(self.given)]

    def _sample(self, items: Sequence[Item], prefix: Sequence[int], epoch: int) -> list[list[int]]:
        training = self.student.training
        self.student.eval()
        try:
            answers = sample(
                self.student,
                prefix,
                [item.suffix for item in items],
                keys=[(self.seed, epoch, item.index, _SAMPLING) for item in items],
                temperatures=[self.given.temperature],
                max_new_tokens=self.max_new_tokens,
                eos_id=self.eos_id,
                pad_id=self.pad_id,
                vocabulary=self.vocabulary,
                shared=self.shared,
            )
        finally:  # the trainer goes on after running out of memory here
            self.student.train(training)
        return [answer for (answer,) in answers]
