"""A question on a database, and what a model wrote for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.data.benchmarks import Example


@dataclass(frozen=True)
class Question:
    database: Path
    text: str
    evidence: str = ""
    """What one has to know to understand the question."""

    @property
    def example(self) -> Example:
        """As data sets have it, for the prompt."""
        return Example(0, self.database.stem, self.text, "", self.database, self.evidence)


@dataclass(frozen=True)
class Written:
    """SQL on one line.

    tokens: its pieces of text, each with the model's probability for it (not calibrated).
    votes: how many candidates gave its result, and of how many; None without a vote.
    """

    sql: str
    tokens: tuple[tuple[str, float], ...]
    votes: tuple[int, int] | None = None
