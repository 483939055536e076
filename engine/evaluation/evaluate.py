"""One data set's predictions judged by every metric: an item each, with the reasons.

    scored = evaluate(data, answers, options, executor)
    scored.items[7].ex, scored.items[7].error_class

Spider's rules: EX (with `test_suite` TS beside it) and exact set match. BIRD's: EX, soft-F1 and, timed,
VES and R-VES. A text task: exact match, as `ex`. Figures over the items are made in
`engine.evaluation.summary`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.data.benchmarks import DataSet, Example
from engine.data.glance import readable
from engine.data.releases import BIRD_LEVELS
from engine.data.text_task import same_text
from engine.errors import KidError, UsageError
from engine.evaluation.answers import Answer, aligned
from engine.evaluation.bird import BirdVerdict, score_bird
from engine.evaluation.exact import exact_matches
from engine.evaluation.items import GOLD_FAILED, Item
from engine.evaluation.notes import Note, counting_notes, gold_notes, naming_notes
from engine.evaluation.score import Verdict, score
from engine.evaluation.vacuity import Vacuity
from engine.sql.diagnose import diagnose
from engine.sql.execute import Executor
from engine.sql.hardness import hardness
from engine.sql.names import name_hint

Rules = Literal["spider", "bird", "text"]
_NAME_ERRORS = ("unknown_table", "unknown_column", "ambiguous")


@dataclass(frozen=True)
class Options:
    """How predictions are judged. A text task has nothing to choose.

    rules: None = BIRD's for bird/* sets and those with BIRD's levels of difficulty, Spider's for all others.
    timed: BIRD's rules: runs of each correct query for VES and R-VES; 0 = not timed.
    test_suite: Spider's rules: a folder with several databases per db_id, for TS.
    """

    rules: Rules | None = None
    keep_distinct: bool = False
    plug_value: bool = False
    official: bool = False
    timed: int = 0
    test_suite: Path | None = None

    def rules_for(self, data: DataSet) -> Rules:
        """Raises UsageError where rules of SQL are asked for, and there is none."""
        if data.kind == "text":
            if self != Options():
                raise UsageError(
                    f"{data.name} is a text task, scored by exact match: rules of SQL do not apply",
                    "leave out --rules, --timed, --test-suite, --official, --plug-value, --keep-distinct",
                )
            return "text"
        if self.rules:
            return self.rules
        levels = {example.difficulty for example in data.examples}
        return "bird" if data.name.startswith("bird/") or levels & set(BIRD_LEVELS) else "spider"


@dataclass(frozen=True)
class SetScore:
    data: DataSet
    rules: Rules
    options: Options
    items: tuple[Item, ...]
    notes: tuple[Note, ...]


def evaluate(
    data: DataSet,
    answers: Sequence[Answer],
    options: Options,
    executor: Executor,
    *,
    source: str = "the predictions",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SetScore:
    """Judges the answers to a data set's questions.

    Answers with indices are those of a part of the set; without, a question that has none counts as wrong.

    Args:
        source: what the notes call the answers.
        progress: called with (done, total), in items.

    Raises:
        KidError: no process for SQL can be started, or not one prediction fits a question.
        UsageError: options of SQL for a text task.
    """
    by_position = aligned(answers, [example.index for example in data.examples])
    if not by_position:
        raise KidError(
            f"no prediction of {source} answers a question of {data.name}", "is it for another data set?"
        )
    notes = counting_notes(data, answers, by_position, source)
    if answers[0].index is not None:
        examples = [data.examples[position] for position in sorted(by_position)]
        given = [by_position[position] for position in sorted(by_position)]
    else:
        examples = list(data.examples)
        given = [by_position.get(position, Answer("")) for position in range(len(examples))]
    rules = options.rules_for(data)
    predictions = [answer.sql for answer in given]
    if rules == "text":
        items = [_by_text(*pair) for pair in zip(examples, predictions, strict=True)]
    else:
        judge = _by_bird if rules == "bird" else _by_spider
        vacuous = Vacuity(executor)
        items = [
            replace(_explained(item), vacuous=vacuous(example))
            for item, example in zip(
                judge(data, examples, predictions, options, executor, progress), examples, strict=True
            )
        ]
    items = [
        replace(item, num_tokens=answer.num_tokens, milliseconds=answer.milliseconds)
        for item, answer in zip(items, given, strict=True)
    ]
    notes += naming_notes(data, items, given, source) + gold_notes(items)
    return SetScore(data, rules, options, tuple(items), tuple(notes))


def _by_spider(
    data: DataSet,
    examples: Sequence[Example],
    predictions: Sequence[str],
    options: Options,
    executor: Executor,
    progress: Callable[[int, int], None],
) -> list[Item]:
    def judged(them: Sequence[Example]) -> list:
        return score(
            them,
            predictions,
            keep_distinct=options.keep_distinct,
            plug_value=options.plug_value,
            official=options.official,
            executor=executor,
            progress=progress,
        )

    verdicts = judged(examples)
    suites: Sequence[bool | None] = [None] * len(examples)
    if options.test_suite is not None:
        suites = [verdict.correct for verdict in judged(_moved(examples, options.test_suite))]
    exact = _exact(data, examples, predictions, [not verdict.gold_failed for verdict in verdicts])
    return [
        _item(example, prediction, verdict, exact_match=same, test_suite=suite)
        for example, prediction, verdict, same, suite in zip(
            examples, predictions, verdicts, exact, suites, strict=True
        )
    ]


def _by_bird(
    data: DataSet,
    examples: Sequence[Example],
    predictions: Sequence[str],
    options: Options,
    executor: Executor,
    progress: Callable[[int, int], None],
) -> list[Item]:
    verdicts = score_bird(examples, predictions, executor=executor, timed=options.timed, progress=progress)
    return [
        _item(example, prediction, verdict, soft_f1=verdict.soft_f1, time_ratio=verdict.ratio)
        for example, prediction, verdict in zip(examples, predictions, verdicts, strict=True)
    ]


def _by_text(example: Example, prediction: str) -> Item:
    """A text task's item: right or not, with no difficulty and no classes of errors."""
    return Item(
        example.index,
        example.db_id,
        "",
        example.question,
        example.query,
        prediction,
        example.database,
        ex=same_text(prediction, example.query),
    )


def _item(example: Example, prediction: str, verdict: Verdict | BirdVerdict, **metrics: Any) -> Item:
    """What the verdicts of both rules have in common, with the metrics that only one of them has."""
    return Item(
        example.index,
        example.db_id,
        example.difficulty or hardness(example.query),
        example.question,
        example.query,
        prediction,
        example.database,
        ex=verdict.correct,
        error_class=GOLD_FAILED if verdict.gold_failed else verdict.error or "",
        message=verdict.message,
        executable=verdict.error is None,
        **metrics,
    )


def _exact(
    data: DataSet, examples: Sequence[Example], predictions: Sequence[str], runs: Sequence[bool]
) -> list[bool | None]:
    """Exact set match of the items whose gold runs: the others' database may not even be there."""
    found = iter(
        exact_matches(
            [example for example, ran in zip(examples, runs, strict=True) if ran],
            [prediction for prediction, ran in zip(predictions, runs, strict=True) if ran],
            data.tables,
        )
    )
    return [next(found) if ran else None for ran in runs]


def _moved(examples: Sequence[Example], folder: Path) -> list[Example]:
    """The examples on the databases of another folder."""
    return [
        replace(example, database=folder / example.db_id / f"{example.db_id}.sqlite") for example in examples
    ]


def _explained(item: Item) -> Item:
    """The item with its error classes: from the database's message, else from both queries' trees."""
    if item.ex or item.gold_failed:
        return item
    if item.error_class in _NAME_ERRORS:
        hint = name_hint(item.message, readable(item.database), item.prediction)
        return replace(
            item,
            classes=(item.error_class,),
            message=f"{item.message}; {hint}" if hint else item.message,
        )
    if item.error_class:
        return replace(item, classes=(item.error_class,))
    found = diagnose(item.gold, item.prediction)
    return replace(
        item,
        error_class=found.classes[0],
        classes=found.classes,
        message=found.message,
        difference=found.lines,
    )
