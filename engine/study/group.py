"""Runs of one recipe that differ in their seed, as one row: means over the seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from engine.evaluation.statistics import bootstrap_interval
from engine.study.standing import Score, Standing


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone; mostly one run. Figures are means over the runs that have them.

    label: unique among the groups.
    score: the mean of their scores. Its interval is that of the questions: of each the mean over the
        seeds is taken, and the questions are resampled. It does not say how much seeds differ: `spread` does.
    spread: lowest and highest score, None of fewer than two.
    """

    label: str
    standings: tuple[Standing, ...]

    @property
    def first(self) -> Standing:
        return self.standings[0]

    @property
    def method(self) -> str:
        return self.first.method

    @cached_property
    def score(self) -> Score | None:
        scores = [one.score for one in self.standings if one.score]
        if len(scores) < 2:
            return scores[0] if scores else None
        value = fmean(score.value for score in scores)
        answers = self.answers
        if answers and all(one.answers for one in self.standings if one.score):
            low, high = bootstrap_interval(list(answers.values()))
        else:  # not the same questions: the mean of their own intervals
            low, high = fmean(score.low for score in scores), fmean(score.high for score in scores)
        return Score(value, low, high, min(score.num for score in scores))

    @property
    def spread(self) -> tuple[float, float] | None:
        values = [one.score.value for one in self.standings if one.score]
        return (min(values), max(values)) if len(values) > 1 else None

    @cached_property
    def answers(self) -> Mapping[int, float]:
        """Question's index -> share of the runs that were right; empty where they had other questions."""
        answered = [one.answers for one in self.standings if one.answers]
        if not answered or any(set(one) != set(answered[0]) for one in answered):
            return {}
        return {index: fmean(one[index] for one in answered) for index in sorted(answered[0])}

    def mean(self, name: str) -> float | None:
        """The mean of a figure of the standings, such as "latency"; None where no run has it."""
        values = [value for one in self.standings if (value := getattr(one, name)) is not None]
        return fmean(values) if values else None

    @property
    def memory_mb(self) -> float | None:
        return max((one.memory_mb for one in self.standings if one.memory_mb is not None), default=None)

    @property
    def exaccerr(self) -> float | None:
        values = [one.exaccerr.value for one in self.standings if one.exaccerr]
        return fmean(values) if values else None

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """(step, mean EX) at the steps that all runs with a curve have."""
        curves = [dict(one.curve) for one in self.standings if one.curve]
        steps = set.intersection(*map(set, curves)) if curves else set()
        return tuple((step, fmean(curve[step] for curve in curves)) for step in sorted(steps))

    @property
    def errors_before(self) -> Mapping[str, float]:
        """Error class -> share of the questions; empty where it is not known."""
        return _shares((one.errors_before, one.num_before) for one in self.standings)

    @property
    def errors_after(self) -> Mapping[str, float]:
        return _shares((one.errors_after, one.num_after) for one in self.standings)

    def divergence(self, name: str) -> tuple[tuple[int, float], ...]:
        """(step, mean value) of a divergence at the steps that all runs with it have."""
        curves = [dict(one.divergences[name]) for one in self.standings if one.divergences.get(name)]
        steps = set.intersection(*map(set, curves)) if curves else set()
        return tuple((step, fmean(curve[step] for curve in curves)) for step in sorted(steps))

    @property
    def problem(self) -> str:
        """What is wrong with its runs, "" where nothing is."""
        found = [one for one in self.standings if one.problem]
        if len(self.standings) == 1 or not found:
            return found[0].problem if found else ""
        return f"{len(found)} of {len(self.standings)} runs: {found[0].run.id}: {found[0].problem}"


def metric(groups: Iterable[Group]) -> str:
    """What the scores are; "score" where they are not of one kind."""
    kinds = {one.metric for group in groups for one in group.standings if one.score}
    return kinds.pop() if len(kinds) == 1 else "score"


def costs(groups: Sequence[Group]) -> tuple[str, list[tuple[Group, float, float]]]:
    """What the cost of a training step is counted in, and (group, cost, score) of those that have both.

    The cost is the latency relative to plain SFT; where no group has timed that, milliseconds of a step.
    """
    scored = [(group, group.score.value) for group in groups if group.score]
    for name, unit in (
        ("latency", "× plain SFT"),
        ("step_ms", "ms"),
    ):
        found = [(group, cost, ex) for group, ex in scored if (cost := group.mean(name)) is not None]
        if found:
            return unit, found
    return "", []


def _shares(counted: Iterable[tuple[Mapping[str, int], int]]) -> dict[str, float]:
    known = [(errors, num) for errors, num in counted if num]
    total = sum(num for _, num in known)
    kinds = Counter[str]()
    for errors, _ in known:
        kinds.update(errors)
    return {kind: count / total for kind, count in kinds.most_common()}
