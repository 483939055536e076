"""Which examples make which optimizer step: a pure function of (seed, epoch).

`grouped`: a step is `databases_per_step` groups of up to `questions_per_database` questions on one
database, so that each group's schema is computed once. Inside a database questions are bucketed
by length: a long answer must not pad eleven short ones.
`mixed`: a step is as many questions drawn from the whole set, as every other trainer does it.
Either way every example occurs exactly once an epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Group = list[int]
"""Positions of examples on one database."""


@dataclass(frozen=True)
class Plan:
    """How a training set is cut into steps.

    databases: the database of each example.
    lengths: [num_examples] tokens of each example's own row (question and answer), to bucket by.
    """

    databases: Sequence[str]
    lengths: Sequence[int]
    questions_per_database: int
    databases_per_step: int
    batching: str
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return len(self.steps(0))

    def total_steps(self, epochs: float, max_steps: int) -> int:
        """Optimizer steps of a run; `max_steps` = 0 goes by epochs."""
        return max_steps or max(1, round(epochs * self.steps_per_epoch))

    def steps(self, epoch: int) -> list[list[Group]]:
        """All optimizer steps of an epoch, each a list of groups."""
        generator = np.random.default_rng((self.seed, epoch, 0x0DE5))
        if self.batching == "mixed":
            size = self.questions_per_database * self.databases_per_step
            order = generator.permutation(len(self.databases)).tolist()
            return [self._by_database(chunk) for chunk in _chunks(order, size)]
        groups = self._groups(generator)
        order = generator.permutation(len(groups))
        return list(_chunks([groups[index] for index in order], self.databases_per_step))

    def reached(self, total_steps: int) -> list[int]:
        """The examples that so many steps touch, ascending."""
        found: set[int] = set()
        epoch = 0
        while total_steps > 0 and len(found) < len(self.databases):
            steps = self.steps(epoch)[:total_steps]
            found.update(index for step in steps for group in step for index in group)
            total_steps -= len(steps)
            epoch += 1
        return sorted(found)

    def _groups(self, generator: np.random.Generator) -> list[Group]:
        groups: list[Group] = []
        for members in self._by_database(generator.permutation(len(self.databases)).tolist()):
            # Buckets of a few groups, not the whole database: the groups differ from epoch to epoch.
            for bucket in _chunks(members, 4 * self.questions_per_database):
                bucket.sort(key=lambda index: self.lengths[index])
                groups.extend(_chunks(bucket, self.questions_per_database))
        return groups

    def _by_database(self, indices: Sequence[int]) -> list[Group]:
        found: dict[str, Group] = defaultdict(list)
        for index in indices:
            found[self.databases[index]].append(index)
        return list(found.values())


def _chunks(items: list, size: int) -> Iterator[list]:
    return (items[start : start + size] for start in range(0, len(items), size))
