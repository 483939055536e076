"""How heavy the steps of a plan are, and from a few timed ones, how long all of them take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.distill.batches import Plan
from engine.models.encode import Item


@dataclass(frozen=True)
class Load:
    """What a run computes, step by step, as far as its first epoch says.

    tokens: [num_steps] of the student's passes in each step of the first epoch.
    databases: [num_steps] the databases of each step.
    total_steps: of the whole run.
    """

    tokens: Sequence[int]
    databases: Sequence[Sequence[Path]]
    total_steps: int

    @property
    def mean(self) -> float:
        return sum(self.tokens) / len(self.tokens)

    def samples(self) -> tuple[int, int, int]:
        """A light step (the heaviest of the lightest quarter), the one nearest the mean, the heaviest."""
        ascending = sorted(range(len(self.tokens)), key=lambda step: self.tokens[step])
        middling = min(ascending, key=lambda step: abs(self.tokens[step] - self.mean))
        return ascending[(len(ascending) - 1) // 4], middling, ascending[-1]

    def first_readings(self, prefixes: Mapping[Path, Sequence[int]], room: float) -> tuple[int, int]:
        """What a teacher that keeps so many tokens of prefixes reads in the run.

        Returns:
            Tokens of the prefixes that it has to read, and how many tokens it keeps in the end.
        """
        kept: set[Path] = set()
        num_read = num_kept = 0
        for step in range(self.total_steps):
            for database in self.databases[step % len(self.databases)]:
                if database in kept:
                    continue
                num_read += len(prefixes[database])
                if num_kept + len(prefixes[database]) <= room:
                    num_kept += len(prefixes[database])
                    kept.add(database)
        return num_read, num_kept


@dataclass(frozen=True)
class Timed:
    """A step that was run: its tokens as `Load` counts them, milliseconds in all and of the optimizer."""

    num_tokens: int
    ms: float
    optimizer_ms: float


def load_of(
    plan: Plan,
    items: Sequence[Item],
    prefixes: Mapping[Path, Sequence[int]],
    *,
    total_steps: int,
    copies: int,
    naive: bool,
) -> Load:
    """Counts a plan's first epoch, gold answers standing for those that are sampled.

    Args:
        copies: rows of each answer.
        naive: whether every row runs its whole prefix.
    """
    tokens, databases = [], []
    steps = plan.steps(0)
    for step in range(min(total_steps, len(steps))):
        groups = steps[step]
        databases.append([items[group[0]].database for group in groups])
        tokens.append(
            sum(
                max(plan.lengths[index] for index in group) * len(group) * copies
                + len(prefixes[database]) * (len(group) * copies if naive else 1)
                for group, database in zip(groups, databases[-1], strict=True)
            )
        )
    return Load(tokens, databases, total_steps)


def mean_ms(timed: Sequence[Timed], tokens: float) -> float:
    """Milliseconds of a step of so many tokens: the optimizer's stay, the others grow with the tokens."""
    fixed = sum(step.optimizer_ms for step in timed) / len(timed)
    passes = sum(step.ms - step.optimizer_ms for step in timed)
    return fixed + passes / sum(step.num_tokens for step in timed) * tokens
