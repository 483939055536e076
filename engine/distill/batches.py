"""Which examples make which optimizer step: a pure function of (seed, epoch).

`grouped`: a step is `databases_per_step` groups of up to `questions_per_database` questions on one
database, so that each group's schema is computed once. Inside a database questions are bucketed
by length: a long answer must not pad eleven short ones.
`mixed`: a step is as many questions drawn from the whole set, as every other trainer does it.
Either way every example occurs exactly once an epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

Group = list[int]
"""Positions of examples on one database."""


@dataclass(frozen=True, eq=False)
class Steps(Sequence[list[Group]]):
    """An epoch's optimizer steps, each a list of groups: made when asked for, of a few numbers an example.

    databases: [num_examples] the database of each example, by number.
    positions: [num_examples] of the examples, chunk by chunk.
    starts: [num_chunks + 1] where each chunk begins in `positions`, and where the last ends.
    order: [num_chunks] the chunks as they come in the steps.
    chunks_per_step: the last step may have fewer.
    """

    databases: np.ndarray
    positions: np.ndarray
    starts: np.ndarray
    order: np.ndarray
    chunks_per_step: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.chunks_per_step)

    @overload
    def __getitem__(self, step: int) -> list[Group]: ...
    @overload
    def __getitem__(self, step: slice) -> list[list[Group]]: ...
    def __getitem__(self, step: int | slice) -> list[Group] | list[list[Group]]:
        if isinstance(step, slice):
            return [self[each] for each in range(*step.indices(len(self)))]
        first = range(len(self))[step] * self.chunks_per_step
        chunks = self.order[first : first + self.chunks_per_step]
        return [group for chunk in chunks for group in self._by_database(chunk)]

    def _by_database(self, chunk: int) -> list[Group]:
        found: dict[int, Group] = defaultdict(list)
        for position in self.positions[self.starts[chunk] : self.starts[chunk + 1]].tolist():
            found[self.databases[position]].append(position)
        return list(found.values())


@dataclass(frozen=True)
class Plan:
    """How a training set is cut into steps.

    databases: what stands for the database of each example.
    lengths: [num_examples] tokens of each example's own row (question and answer), to bucket by.
    """

    databases: Sequence[str] | np.ndarray
    lengths: Sequence[int] | np.ndarray
    questions_per_database: int
    databases_per_step: int
    batching: str
    seed: int

    @cached_property
    def steps_per_epoch(self) -> int:
        return len(self.steps(0))

    def total_steps(self, epochs: float, max_steps: int) -> int:
        """Optimizer steps of a run; `max_steps` = 0 goes by epochs."""
        return max_steps or max(1, round(epochs * self.steps_per_epoch))

    def steps(self, epoch: int) -> Steps:
        """All optimizer steps of an epoch."""
        generator = np.random.default_rng((self.seed, epoch, 0x0DE5))
        drawn = generator.permutation(len(self.databases))
        return self._mixed(drawn) if self.batching == "mixed" else self._grouped(drawn, generator)

    def reached(self, total_steps: int) -> list[int]:
        """The examples that so many steps touch, ascending."""
        found = np.zeros(len(self.databases), bool)
        epoch = 0
        while total_steps > 0 and not found.all():
            steps = self.steps(epoch)
            for step in range(min(total_steps, len(steps))):
                for group in steps[step]:
                    found[group] = True
            total_steps -= len(steps)
            epoch += 1
        return np.flatnonzero(found).tolist()

    def _mixed(self, drawn: np.ndarray) -> Steps:
        """A step is a chunk of the examples as they were drawn."""
        starts = _ends(len(drawn), self.questions_per_database * self.databases_per_step)
        return Steps(self._numbers, drawn, starts, np.arange(len(starts) - 1), 1)

    def _grouped(self, drawn: np.ndarray, generator: np.random.Generator) -> Steps:
        """A chunk is a group."""
        drawn = drawn[_together(self._numbers[drawn])]
        within = _within(self._numbers[drawn])
        # Buckets of a few groups, not the whole database: the groups differ from epoch to epoch.
        bucket = np.cumsum(within % (4 * self.questions_per_database) == 0)
        lengths = np.asarray(self.lengths)
        drawn = drawn[np.argsort(bucket * (lengths.max(initial=0) + 1) + lengths[drawn], kind="stable")]
        starts = np.append(np.flatnonzero(within % self.questions_per_database == 0), len(drawn))
        order = generator.permutation(len(starts) - 1)
        return Steps(self._numbers, drawn, starts, order, self.databases_per_step)

    @cached_property
    def _numbers(self) -> np.ndarray:
        """The database of each example, by number."""
        return np.unique(np.asarray(self.databases), return_inverse=True)[1]


def _together(numbers: np.ndarray) -> np.ndarray:
    """An order in which equal numbers stand together, each where its first stood, otherwise as they came."""
    first = np.zeros(numbers.max(initial=-1) + 1, int)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    small = np.min_scalar_type(len(first))  # two bytes are sorted in linear time
    return np.argsort(rank.astype(small)[numbers], kind="stable")


def _within(numbers: np.ndarray) -> np.ndarray:
    """How many equal numbers stand right before each."""
    starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
    return np.arange(len(numbers)) - np.repeat(starts, np.diff(starts, append=len(numbers)))


def _ends(length: int, size: int) -> np.ndarray:
    """Where chunks of `size` begin, and where the last ends."""
    return np.append(np.arange(0, length, size), length)
