"""What one run reached and what it cost, from its files alone. What is wrong with them is told in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from pydantic import ValidationError

from engine import runs
from engine.errors import RunError
from engine.evaluation.items import GOLD_FAILED
from engine.evaluation.statistics import mean_interval
from engine.profile import Profile
from engine.runs import LIVE_STATES, Run
from engine.study.differing import flat
from engine.study.events import Told, number, read_events
from engine.study.exaccerr import ExAccErr, exaccerr

_DEEPEST: Final = 4  # runs that begin with what a run made that began with …
_METRICS: Final = {"execution_accuracy": "EX", "exact_match": "exact match"}
ROLES: Final = ("teacher", "student_before", "student")


@dataclass(frozen=True, slots=True)
class Score:
    """EX with its 95 % interval over the questions, and the number of questions.

    step: where it was taken of a run that has not ended; None at the end.
    """

    value: float
    low: float
    high: float
    num: int
    step: int | None = None


@dataclass(frozen=True)
class Standing:
    """A run as its files tell it. What they do not tell is None or empty.

    label: unique among the compared runs.
    method: `method.name`; seed: `train.seed`; settings: the whole profile, defaults filled in.
    recipe: the settings but for seed and profile's name, as pairs of texts. A student that another run has
        made stands there with that run's recipe: each seed may have a warm start of its own.
    state: of `Run.status`; "damaged" or "gone" where that cannot be read.
    metric: what a score is, "EX" or, of a text task, "exact match".
    before, teacher: that of the student before training, and of the teacher.
    steps, seconds: of training.
    latency: median of a step's time over that of an ordinary full-logits SFT step on the same batch, in
        the same run; latency_shared: over our own SFT step, whose questions share their prompt.
    step_ms, tokens_per_s: medians over the steps; memory_mb: the most that was seen.
    curve: (step, score of the student), ascending, from 0 = before training.
    errors_before, errors_after: error class -> questions that have it as their first cause.
    num_before, num_after: the questions that these are of.
    divergences: name -> (step, value), ascending, as measured at the evaluations.
    losses: (step, loss), one a step.
    parameters: "teacher", "student" -> number of them.
    data: fingerprint of the questions' data set; answers: question's index -> whether it was right.
    host: the machine.
    problem: a word or a line for a run that is not whole, else "".
    """

    run: Run
    label: str = ""
    method: str = "?"
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: tuple[tuple[str, str], ...] = ()
    state: str = "damaged"
    metric: str = "EX"
    score: Score | None = None
    before: float | None = None
    teacher: float | None = None
    steps: int | None = None
    seconds: float | None = None
    latency: float | None = None
    latency_shared: float | None = None
    step_ms: float | None = None
    tokens_per_s: float | None = None
    memory_mb: float | None = None
    exaccerr: ExAccErr | None = None
    curve: tuple[tuple[int, float], ...] = ()
    errors_before: Mapping[str, int] = field(default_factory=dict)
    errors_after: Mapping[str, int] = field(default_factory=dict)
    num_before: int = 0
    num_after: int = 0
    divergences: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    losses: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    parameters: Mapping[str, int] = field(default_factory=dict)
    data: str = ""
    answers: Mapping[int, bool] = field(default_factory=dict, repr=False)
    host: str = ""
    problem: str = ""


def read(run: Run) -> Standing:
    """The run's standing, without a label yet."""
    problems: list[str] = []
    info = _read(run.info, problems)
    state = _read(run.status, problems).get("state")
    report = _read(lambda: run.report() or {}, problems)
    told = read_events(run, problems)
    settings = _settings(info)
    method = _table(settings, "method")
    is_done = state == "done" and bool(report)
    if not problems and not is_done:
        problems.append(_word(str(state), told))
    warmup = number(method.get("warmup_steps")) or 0
    sft = method.get("name") == "sft"
    timed = [each for each in told.references if sft or each.step > warmup]
    evals = {role: _figures(report, told, role) for role in ROLES}
    before = _value(evals["student_before"].score)
    return Standing(
        run=run,
        method=str(method.get("name") or _table(report, "method").get("name") or "?"),
        seed=_whole(_table(settings, "train").get("seed")),
        settings=settings,
        recipe=_recipe(settings),
        state=str(state or ("damaged" if run.path.is_dir() else "gone")),
        score=evals["student"].score,
        metric=_METRICS.get(str(report.get("metric") or told.metric), "EX"),
        before=before,
        teacher=_value(evals["teacher"].score),
        steps=_whole(report.get("steps")) or told.last_step,
        seconds=number(report.get("train_seconds")),
        latency=_median([each.method_ms / each.plain_ms for each in timed if each.plain_ms]),
        latency_shared=_median([each.method_ms / each.sft_ms for each in timed if each.sft_ms]),
        step_ms=_median([each.ms for each in told.steps.values() if each.ms is not None]),
        tokens_per_s=_median(
            [each.tokens_per_s for each in told.steps.values() if each.tokens_per_s is not None]
        ),
        memory_mb=told.memory_mb,
        exaccerr=exaccerr(run),
        curve=_curve(told, before, evals["student"].score),
        errors_before=evals["student_before"].errors,
        errors_after=evals["student"].errors,
        num_before=evals["student_before"].num,
        num_after=evals["student"].num,
        divergences={name: tuple(sorted(points.items())) for name, points in told.divergences.items()},
        losses=tuple((step, each.loss) for step, each in sorted(told.steps.items()) if each.loss is not None),
        parameters={
            role: size
            for role in ("teacher", "student")
            if (size := _whole(_table(report, "parameters").get(role) or told.parameters.get(role)))
        },
        data=str(_table(_table(report, "data"), "eval").get("fingerprint") or ""),
        answers=_answers(run.path / "predictions.jsonl") if is_done else {},
        host=str(_table(info, "machine").get("host") or ""),
        problem="; ".join(dict.fromkeys(problems)),
    )


def _read(what: Any, problems: list[str]) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = what()
    except RunError as error:
        problems.append(error.message)
        return {}
    return found


def _word(state: str, told: Told) -> str:
    at = f" at step {told.last_step}" if told.last_step else ""
    if state == "done":
        return "done, without a report"
    if state in LIVE_STATES:
        return f"{state}{at}: not finished"
    return f"{state}{at}" + (f": {told.error}" if told.error else "")


def _settings(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The profile with today's defaults for keys that it is too old to have; as it is where it is none."""
    told = _table(info, "profile")
    try:
        return Profile.model_validate(told).model_dump(mode="json")
    except ValidationError:
        return told


def _recipe(settings: Mapping[str, Any], depth: int = 0) -> tuple[tuple[str, str], ...]:
    pairs = {key: value for key, value in flat(settings).items() if key not in ("name", "train.seed")}
    for key in ("student.model", "student.adapter"):
        spec = pairs.get(key, "")
        if spec.startswith("run:") and depth < _DEEPEST:
            name, _, which = spec.removeprefix("run:").partition("/")
            with suppress(RunError):
                made = _recipe(_settings(runs.find(name).info()), depth + 1)
                pairs[key] = f"run: {made} {which}"
    return tuple(pairs.items())


@dataclass(frozen=True, slots=True)
class _Figures:
    score: Score | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    num: int = 0


def _figures(report: Mapping[str, Any], told: Told, role: str) -> _Figures:
    """A role's score and errors from the report, or from the newest evaluation where there is none yet."""
    figures = _table(_table(report, "scores"), role)
    cell = _table(figures, "ex")
    value, num, interval = number(cell.get("value")), _whole(cell.get("num")), cell.get("interval")
    if value is not None and num and isinstance(interval, Sequence) and len(interval) == 2:
        low, high = (number(end) for end in interval)
        errors = {kind: _whole(_table(_table(figures, "errors"), kind).get("first")) or 0
                  for kind in _table(figures, "errors")}  # fmt: skip
        score = Score(value, value if low is None else low, value if high is None else high, num)
        return _Figures(score, errors, num)
    known = [event for event in told.evals.values() if event.get("split") == role]
    if not known:
        return _Figures()
    newest = known[-1]
    value, num = number(newest.get("ex")), _whole(newest.get("num_questions"))
    if value is None or not 0 <= value <= 1 or not num:
        return _Figures()
    low, high = mean_interval([(value, num)])
    step = newest.get("step")
    errors = {str(kind): _whole(count) or 0 for kind, count in _table(newest, "errors").items()}
    return _Figures(Score(value, low, high, num, _whole(step)), errors, num)


def _curve(told: Told, before: float | None, final: Score | None) -> tuple[tuple[int, float], ...]:
    """The evaluations; what the report alone knows, as of a run that took over another's scores, too."""
    points: dict[int, float] = {}
    if before is not None:
        points[0] = before
    if final and final.step is None and told.last_step is not None:
        points[told.last_step] = final.value
    for event in told.evals.values():
        ex, step = number(event.get("ex")), _whole(event.get("step"))
        if ex is None or not 0 <= ex <= 1:
            continue
        if event.get("split") == "student_before":
            points[0] = ex
        elif event.get("split") == "student" and (at := told.last_step if step is None else step) is not None:
            points[at] = ex
    return tuple(sorted(points.items()))


def _answers(path: Path) -> dict[int, bool]:
    """Of the questions whose gold runs; empty where the file is missing or broken."""
    try:
        items = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return {
            int(item["index"]): bool(item["correct"]) for item in items if item.get("error") != GOLD_FAILED
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _value(score: Score | None) -> float | None:
    return score.value if score else None


def _table(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)
