"""Execution accuracy and its reasons: Spider's EX, and TS where a database has several files.

The rules are section 3 of evaluation.md. Deviations from the official evaluator: queries
are only read (`DROP TABLE` scores 0), can time out, and score 0 when empty; a lower-case
`value` in a prediction stays what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataError
from engine.sql.compare import prepare, same_result
from engine.sql.execute import Executor, Outcome
from engine.sql.hardness import LEVELS, hardness
from engine.sql.text import tables

if TYPE_CHECKING:
    from engine.data.benchmarks import Example


@dataclass(frozen=True, slots=True)
class Verdict:
    """One prediction judged.

    error, message: the class of the prediction's error (see Outcome) and what SQLite said; None and ""
        where it ran. Where the gold failed they are the gold's, and the prediction does not count.
    vacuous: the gold reads a table without rows, so that a match says little.
    """

    index: int
    db_id: str
    correct: bool
    error: str | None
    message: str
    hardness: str
    gold_failed: bool
    vacuous: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """The predictions that share a database and a gold query, as they are run."""

    database: Path
    gold: str
    ordered: bool
    positions: dict[str, list[int]] = field(default_factory=dict)  # prediction -> where it stands


@dataclass(frozen=True, slots=True)
class _Finding:
    correct: bool
    error: str | None = None
    message: str = ""
    gold_failed: bool = False


def score(
    examples: Sequence[Example],
    predictions: Sequence[str],
    *,
    timeout: float = 30.0,
    jobs: int = 2,
    keep_distinct: bool = False,
    executor: Executor | None = None,
) -> list[Verdict]:
    """One verdict per example, in their order.

    Args:
        timeout: seconds for one query, and `jobs` queries at once; unused with an `executor`.
        keep_distinct: run DISTINCT instead of deleting it.
        executor: one that is open already, and stays so.

    Raises:
        DataError: the numbers of examples and predictions differ.
        KidError: no process for SQL can be started.
    """
    if len(examples) != len(predictions):
        raise DataError(
            f"{len(predictions)} predictions for {len(examples)} questions", "give one for each, in order"
        )
    if executor is None:
        with Executor(jobs, timeout) as own:
            return score(examples, predictions, keep_distinct=keep_distinct, executor=own)

    groups: dict[tuple[Path, str], _Group] = {}
    for position, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
        gold, pred, ordered = prepare(example.query, prediction, keep_distinct)
        group = groups.setdefault((example.database, gold), _Group(example.database, gold, ordered))
        group.positions.setdefault(pred, []).append(position)

    is_empty = cache(partial(_is_empty, executor))
    verdicts: dict[int, Verdict] = {}
    with closing(executor.each(partial(_judge, executor), groups.values())) as judged:
        for group, findings in zip(groups.values(), judged, strict=True):
            for position, found in _by_position(group, findings):
                example = examples[position]
                verdicts[position] = Verdict(
                    example.index,
                    example.db_id,
                    found.correct,
                    found.error,
                    found.message,
                    hardness(example.query),
                    found.gold_failed,
                    vacuous=any(is_empty(group.database, table) for table in tables(example.query)),
                )
    return [verdicts[position] for position in range(len(examples))]


def _judge(executor: Executor, group: _Group) -> dict[str, _Finding]:
    """A finding for each distinct prediction: it must match on every file of the database (rule 4)."""
    findings: dict[str, _Finding] = {}
    for file in _files(group.database):
        waiting = [pred for pred in group.positions if pred not in findings]
        if not waiting:
            break
        gold = executor.run(file, group.gold)
        if gold.error == "crashed":  # killed from outside, perhaps: that must not cost all of the group
            gold = executor.run(file, group.gold)
        if gold.error or gold.truncated:
            message = f"gold: {gold.message or 'its result is too large to compare'}"
            return dict.fromkeys(group.positions, _Finding(False, gold.error or "other_exec", message, True))
        for pred in waiting:
            # One row more than gold's is enough to tell that there are too many.
            answer = gold if pred == group.gold else executor.run(file, pred, max_rows=len(gold.rows) + 1)
            if answer.error or not _same(gold, answer, group.ordered):
                findings[pred] = _Finding(False, answer.error, answer.message)
    return {pred: findings.get(pred, _Finding(True)) for pred in group.positions}


def _by_position(group: _Group, findings: dict[str, _Finding]) -> Iterator[tuple[int, _Finding]]:
    for pred, positions in group.positions.items():
        for position in positions:
            yield position, findings[pred]


def _same(gold: Outcome, answer: Outcome, ordered: bool) -> bool:
    return not answer.truncated and same_result(gold.rows, answer.rows, ordered)


def _files(database: Path) -> list[Path]:
    """The files that stand for one database: in the benchmarks' layout all of its own folder's."""
    if database.parent.name != database.stem:
        return [database]
    return sorted({database, *database.parent.glob("*.sqlite")}, key=lambda file: (file != database, file))


def _is_empty(executor: Executor, database: Path, table: str) -> bool:
    quoted = table.replace('"', '""')
    outcome = executor.run(database, f'SELECT 1 FROM "{quoted}" LIMIT 1')
    return outcome.error is None and not outcome.rows


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Figures of a set of verdicts, as fractions of 1; plain enough for JSON.

    Items whose gold failed are counted in `num_questions` and `gold_failed` alone. Where nothing
    is left to score, `ex` and `executable` are 0, and the figures of parts of the set None.
    """
    scored = [verdict for verdict in verdicts if not verdict.gold_failed]
    by_hardness = {level: [verdict for verdict in scored if verdict.hardness == level] for level in LEVELS}
    return {
        "ex": _accuracy(scored) or 0.0,
        "num_questions": len(verdicts),
        "gold_failed": len(verdicts) - len(scored),
        "executable": sum(verdict.error is None for verdict in scored) / max(1, len(scored)),
        "by_hardness": {
            level: {"ex": _accuracy(items), "num": len(items)} for level, items in by_hardness.items()
        },
        "errors": dict(Counter(verdict.error for verdict in scored if verdict.error).most_common()),
        "vacuous": sum(verdict.vacuous for verdict in scored),
        "ex_without_vacuous": _accuracy([verdict for verdict in scored if not verdict.vacuous]),
    }


def _accuracy(verdicts: Sequence[Verdict]) -> float | None:
    return sum(verdict.correct for verdict in verdicts) / len(verdicts) if verdicts else None
