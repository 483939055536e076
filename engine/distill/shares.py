"""An optimizer step shared out to several processes: who takes which questions, and one result of all."""

from __future__ import annotations

from collections.abc import Sequence

from engine.distill.step_result import StepResult
from engine.models.encode import Item


def deal(groups: Sequence[Sequence[Item]], number: int) -> list[list[Sequence[Item]]]:
    """The groups that each of `number` processes takes: the first takes groups 0, number, 2·number, …

    Where there are fewer groups than processes, the largest are halved until there are enough; with
    fewer questions than processes, the last ones get none. The first process's first question is the
    step's first.
    """
    parts = list(groups)
    while len(parts) < number and (longest := max(map(len, parts))) > 1:
        place = next(index for index, part in enumerate(parts) if len(part) == longest)
        half = (longest + 1) // 2
        parts[place : place + 1] = [parts[place][:half], parts[place][half:]]
    return [parts[start::number] for start in range(number)]


def weights(results: Sequence[StepResult], normalise: str) -> list[float]:
    """What each process's mean counts in the mean over the whole step.

    Args:
        normalise: "token" weighs by trained tokens, "sequence" by answers.
    """
    counts = [result.num_tokens if normalise == "token" else result.num_rows for result in results]
    return [count / sum(counts) for count in counts]


def merged(results: Sequence[StepResult], normalise: str) -> StepResult:
    """The step's result: counts are added, losses and measures are means over all."""
    shares = weights(results, normalise)
    recovered = [result.num_recovered for result in results if result.num_recovered is not None]
    whole = StepResult(
        num_tokens=sum(result.num_tokens for result in results),
        num_rows=sum(result.num_rows for result in results),
        num_recovered=sum(recovered) if recovered else None,
        tokens_useful=sum(result.tokens_useful for result in results),
        tokens_computed=sum(result.tokens_computed for result in results),
        sample=next((result.sample for result in results if result.sample), {}),
    )
    tails = [(share, result.teacher_tail_mass) for share, result in zip(shares, results, strict=True)]
    if any(tail is not None for _, tail in tails):
        whole.teacher_tail_mass = sum(share * tail for share, tail in tails if tail is not None)
    for share, result in zip(shares, results, strict=True):
        whole.loss += share * result.loss
        whole.loss_kd += share * result.loss_kd
        whole.loss_mle += share * result.loss_mle
        for name, value in result.measures.items():
            whole.measures[name] = whole.measures.get(name, 0.0) + share * value
    return whole
