"""Voting by execution: of several queries for a question, one with the result that most of them give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from engine.sql.compare import prepare, same_result
from engine.sql.execute import Executor, Outcome

MAX_ROWS = 10_000  # of one result; a longer one equals no other


@dataclass
class _Group:
    """Candidates with equal results: how the first was run, and where they all stand."""

    outcome: Outcome
    ordered: bool
    places: list[int] = field(default_factory=list)

    def holds(self, outcome: Outcome, ordered: bool) -> bool:
        whole = not (self.outcome.truncated or outcome.truncated)
        return whole and same_result(self.outcome.rows, outcome.rows, self.ordered or ordered)


def choose(candidates: Sequence[Sequence[str]], databases: Sequence[Path], executor: Executor) -> list[str]:
    """For each question the query that is elected among its candidates.

    The largest group of candidates with equal results wins, by its first member. Of groups of one
    size a result with rows beats an empty one, then the group of the earliest candidate wins: where
    candidate 0 is the greedy answer, it wins ties. Queries that fail are in no group; if all fail,
    candidate 0 is chosen. The order of rows counts where either query has an ORDER BY.

    Args:
        candidates: at least one for each question; equal texts are run once and counted each.
        databases: the file of each question.
    """
    elections = executor.each(
        lambda question: elect(*question, executor).query, zip(candidates, databases, strict=True)
    )
    with closing(elections) as found:
        return list(found)


@dataclass(frozen=True)
class Election:
    """The query that won, and how many candidates gave its result: 0 where all failed."""

    query: str
    votes: int


def elect(
    candidates: Sequence[str], database: Path, executor: Executor, check: Callable[[], None] = lambda: None
) -> Election:
    """One question's election, by the rules of `choose`; what `check` raises before a query ends it."""
    groups: list[_Group] = []
    group_of: dict[str, _Group | None] = {}  # None: it failed
    for place, text in enumerate(candidates):
        if text not in group_of:
            group_of[text] = _find_group(executor, text, database, groups, check)
        if (group := group_of[text]) is not None:
            group.places.append(place)
    if not groups:
        return Election(candidates[0], 0)
    best = max(groups, key=lambda group: (len(group.places), bool(group.outcome.rows), -group.places[0]))
    return Election(candidates[best.places[0]], len(best.places))


def _find_group(
    executor: Executor, text: str, database: Path, groups: list[_Group], check: Callable[[], None]
) -> _Group | None:
    """Runs a query and finds the group of its result, a new one if need be."""
    _, query, ordered = prepare(text, text, keep_distinct=True)
    outcome = executor.run(database, query, MAX_ROWS, check)
    if outcome.error:
        return None
    for group in groups:
        if group.holds(outcome, ordered):
            return group
    groups.append(_Group(outcome, ordered))
    return groups[-1]
