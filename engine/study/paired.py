"""Whether the best recipe is better than the second best, on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.evaluation import statistics
from engine.evaluation.statistics import Difference
from engine.study.group import Group, metric


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The best against the second best; pairs are the answers to one question.

    num: questions. difference: of the mean scores, with the paired bootstrap's interval and p.
    mcnemar: of single runs alone; of several seeds an answer is no longer right or wrong.
    reason: why there is no test, else "".
    """

    first: str = ""
    second: str = ""
    num: int = 0
    difference: Difference | None = None
    mcnemar: statistics.Comparison | None = None
    metric: str = "EX"
    reason: str = ""

    @property
    def words(self) -> str:
        """The test in a line or two."""
        if self.difference is None:
            return f"No test: {self.reason}."
        low, high = self.difference.interval
        exact = f", McNemar p = {self.mcnemar.p_value:.3g}" if self.mcnemar else ""
        verdict = "the questions tell them apart" if low > 0 or high < 0 else "they cannot be told apart"
        return (
            f"{self.first} against {self.second}: {self.difference.difference:+.3f} {self.metric} "
            f"on the same {self.num} questions, 95 % interval {low:+.3f} to {high:+.3f}, paired bootstrap "
            f"p = {self.difference.p_value:.3g}{exact}: {verdict}."
        )


def between(groups: Sequence[Group]) -> PairedTest:
    """The test of the two finished groups with the highest scores; of equal ones the first given counts."""
    scored = [group for group in groups if group.score and group.score.step is None]
    if len(scored) < 2:
        return PairedTest(reason="it takes two finished runs with a score")
    first, second = sorted(scored, key=lambda group: -(group.score.value if group.score else 0.0))[:2]
    reason = _reason(first, second)
    if reason:
        return PairedTest(first.label, second.label, reason=reason)
    left, right = list(first.answers.values()), list(second.answers.values())
    exact = None
    if len(first.standings) == len(second.standings) == 1:
        exact = statistics.mcnemar([value == 1 for value in left], [value == 1 for value in right])
    return PairedTest(
        first.label, second.label, len(left), statistics.paired_bootstrap(left, right), exact, metric([first])
    )  # fmt: skip


def _reason(first: Group, second: Group) -> str:
    for group in (first, second):
        if not group.answers:
            several = len(group.standings) > 1 and all(one.answers for one in group.standings)
            why = (
                "its runs answered different questions"
                if several
                else "its predictions.jsonl is not there or broken"
            )
            return f"the best two are {first.label} and {second.label}, and of {group.label} {why}"
    if {one.data for one in first.standings} != {one.data for one in second.standings}:
        return f"{first.label} and {second.label} were scored on different data sets"
    if set(first.answers) != set(second.answers):
        return (
            f"{first.label} and {second.label} answered different questions "
            f"({_counts(first.answers, second.answers)})"
        )
    return ""


def _counts(first: Mapping[int, float], second: Mapping[int, float]) -> str:
    return f"{len(first)} and {len(second)}, {len(set(first) & set(second))} of them in both"
