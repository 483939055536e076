"""Two queries side by side: how their trees differ, and their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.sql.compare import prepare, same_result
from engine.sql.diagnose import diagnose
from engine.sql.execute import Executor, Outcome

_ROWS_SHOWN = 5
_MAX_ROWS = 100_000  # of one result


@dataclass(frozen=True)
class Contrast:
    """What sets `sql` apart from `other`.

    same: whether their results are the same by Spider's rules; None where one failed or is cut.
    messages: how `sql` and `other` failed, "" where they did not.
    num_rows: of both results.
    only: up to five rows that only `sql`, and only `other`, gives; with how many there are.
    classes, lines: of the trees, as `diagnose` has them: "-" is `other`, "+" is `sql`.
    """

    same: bool | None
    messages: tuple[str, str]
    num_rows: tuple[int, int]
    only: tuple[tuple[tuple, ...], tuple[tuple, ...]]
    num_only: tuple[int, int]
    classes: tuple[str, ...]
    lines: tuple[str, ...]


def contrast(
    executor: Executor,
    database: Path,
    sql: str,
    other: str,
    *,
    known: Outcome | None = None,
    check: Callable[[], None] = lambda: None,
) -> Contrast:
    """Runs both queries and compares them.

    Args:
        known: what came of `other`, where it has been run; used where it is whole.
        check: as in `Executor.run`.
    """
    _, _, ordered = prepare(other, sql, keep_distinct=True)
    ours = executor.run(database, sql, _MAX_ROWS, check)
    whole = known is not None and not known.truncated
    theirs = known if known and whole else executor.run(database, other, _MAX_ROWS, check)
    found = diagnose(other, sql)
    more, less = _rows_apart(ours, theirs), _rows_apart(theirs, ours)
    return Contrast(
        same=None if _unknown(ours) or _unknown(theirs) else same_result(theirs.rows, ours.rows, ordered),
        messages=(ours.message, theirs.message),
        num_rows=(len(ours.rows), len(theirs.rows)),
        only=(tuple(more[:_ROWS_SHOWN]), tuple(less[:_ROWS_SHOWN])),
        num_only=(len(more), len(less)),
        classes=found.classes if found.lines else (),
        lines=found.lines,
    )


def _unknown(outcome: Outcome) -> bool:
    return bool(outcome.error) or outcome.truncated


def _rows_apart(outcome: Outcome, other: Outcome) -> list[tuple]:
    """Rows of one result that the other lacks, each as often as it is missing."""
    return list((Counter(outcome.rows) - Counter(other.rows)).elements())
