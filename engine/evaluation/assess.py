"""A whole evaluation: several data sets' answers judged, summed up, and told with all that made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine import provenance
from engine.data.benchmarks import DataSet
from engine.evaluation.answers import Answer, AnswerFile
from engine.evaluation.cases import cases
from engine.evaluation.evaluate import Options, SetScore, evaluate
from engine.evaluation.summary import average, paired, summarise
from engine.sql.execute import Executor


@dataclass(frozen=True)
class Task:
    """One data set and the answers to it.

    source: what messages call the answers.
    origin: where they are from, for the report: file and sha256, or the model's request.
    exposure: ExAccErr of the model that answered, as its folder keeps it.
    against: other answers, to be compared with these item by item.
    folder: where a model's answers are kept, and the report belongs.
    """

    data: DataSet
    answers: Sequence[Answer]
    source: str
    origin: Mapping[str, Any]
    exposure: Mapping[str, Any] | None = None
    against: AnswerFile | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Assessment:
    """report: plain enough for JSON; `ex` is EX, the average where there are several sets."""

    report: dict[str, Any]
    scores: list[SetScore] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where every score is whole; else the gravest of the notes'."""
        return max((note.exit_code for score in self.scores for note in score.notes), default=0)


def assess(
    tasks: Sequence[Task],
    options: Options,
    *,
    timeout: float = 30.0,
    jobs: int = 2,
    num_examples: int = 3,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Assessment:
    """Judges every task's answers.

    Args:
        timeout: seconds for one query, `jobs` of which run at once.
        num_examples: wrong items of each error class that are laid open in the report.
        progress: called with (what is being done, items done, items in all).

    Raises:
        KidError: no process for SQL can be started, or answers that fit no question.
    """
    scores: list[SetScore] = []
    figures: list[dict[str, Any]] = []
    with Executor(jobs, timeout) as executor:
        for task in tasks:

            def judged(answers: Sequence[Answer], source: str, data: DataSet = task.data) -> SetScore:
                name = f"scoring {source} on {data.name}"
                return evaluate(data, answers, options, executor, source=source,
                                progress=lambda done, total: progress(name, done, total))  # fmt: skip

            scored = judged(task.answers, task.source)
            told = summarise(scored) | {"origin": dict(task.origin), "exposure": task.exposure}
            if task.against is not None:
                other = judged(task.against.answers, str(task.against.path))
                told["against"] = paired(scored, other) | {
                    "names": [task.source, str(task.against.path)],
                    "origin": {"file": str(task.against.path), "sha256": task.against.sha256},
                }
            told["cases"] = cases(scored.items, executor, num_examples) if task.data.kind == "sql" else {}
            scores.append(scored)
            figures.append(told)
    mean = average(figures)
    report = {
        "v": 1,
        "title": f"{tasks[0].source} on {', '.join(task.data.name for task in tasks)}",
        "ex": mean["value"] if mean else None,
        "average": mean,
        "sets": figures,
        "settings": {
            **{key: str(value) if key == "test_suite" and value else value
               for key, value in asdict(options).items()},
            "timeout": timeout,
            "jobs": jobs,
        },
        **provenance.record(),
    }  # fmt: skip
    return Assessment(report, scores)
