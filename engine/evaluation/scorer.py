"""Scores a model inside a run: answers, their judgement, events; each result kept for a resumed run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine import files, settings
from engine.data.benchmarks import DataSet, Example
from engine.data.text_task import same_text
from engine.distill.control import Control
from engine.evaluation.answers import Answer
from engine.evaluation.evaluate import Options, SetScore, evaluate
from engine.evaluation.items import Item
from engine.evaluation.predict import Prediction, predict
from engine.evaluation.sample import stratified
from engine.evaluation.summary import metric, summarise
from engine.models.encode import Encoder
from engine.provenance import usable_cores
from engine.run_writer import RunWriter
from engine.runs import Run
from engine.sql.execute import Executor

_NAMES = {
    "teacher": "scoring the teacher",
    "student_before": "scoring the student before training",
    "student": "scoring the student",
}
_PREDICTIONS = {"student": "predictions.jsonl", "student_before": "predictions-before.jsonl"}
"""The roles whose answers are kept, and where."""


@dataclass(frozen=True)
class Scores:
    """What a model reached on the run's questions: `figures` as engine.evaluation.summary gives them."""

    ex: float
    num_questions: int
    figures: dict[str, Any]


class Scorer:
    """Answers the run's evaluation questions with a model and judges the answers.

    SQL is run in guarded child processes; the texts of a text task are compared.
    """

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        control: Control,
        encoder: Encoder,
        data: DataSet,
        eval_settings: settings.Eval,
        max_new_tokens: int,
    ) -> None:
        self.run, self.writer, self.control, self.encoder = run, writer, control, encoder
        self.settings, self.max_new_tokens = eval_settings, max_new_tokens
        self.data = data
        self.examples = stratified(data.examples, eval_settings.limit)
        self.results: dict[str, Scores] = {}
        if data.kind == "text":
            self._warn_of_lost()

    def _warn_of_lost(self) -> None:
        """Says how many of a text task's completions no answer can match, whatever the model learns."""
        lost = [example for example in self.examples if not self._can_be_written(example)]
        if lost:
            self.writer.event(
                "warning",
                message=f"{len(lost)} of {len(self.examples)} completions of {self.data.name} cannot be"
                f" matched (first item {lost[0].index}): they have more than data.max_answer_tokens ="
                f" {self.max_new_tokens} tokens, or characters that the tokenizer cannot write",
            )

    def _can_be_written(self, example: Example) -> bool:
        ids = self.encoder.answer(example.query, example.database)
        written = self.encoder.decode(ids[: self.max_new_tokens], example.database)
        return same_text(written, example.query)

    def score(self, model: Any, role: str, step: int | None = None) -> Scores:
        """Scores a model as `teacher`, `student_before` or `student`.

        A result that a former generation of this run has written is taken as it is, except for
        scores at a step (`step`), which belong to the training between two checkpoints.

        Raises:
            StopRequested: between two batches.
        """
        kept = self.run.path / f"scores-{role}.json"
        if step is None and kept.is_file():
            self.results[role] = Scores(**json.loads(kept.read_text()))
            if self.writer.generation == 1:  # another run's, given to this one
                self._tell(role, step, self.results[role])
            return self.results[role]
        model.eval()
        predictions = predict(
            model,
            self.encoder,
            self.examples,
            batch_size=self.settings.batch_size,
            max_new_tokens=self.max_new_tokens,
            progress=lambda done, total: self._progress(role, done, total),
        )
        scored = self._judge(predictions)
        scores = _scores(scored)
        self._tell(role, step, scores)
        self._probe(role, step, scored.items)
        self.results[role] = scores
        if step is None:
            if role in _PREDICTIONS:  # first: where the scores are kept, nothing is done again
                self._write_predictions(scored.items, _PREDICTIONS[role])
            files.write_json(kept, asdict(scores))
        return scores

    def _tell(self, role: str, step: int | None, scores: Scores) -> None:
        self.writer.event(
            "eval",
            step=step,
            split=role,
            metric=metric(self.data.kind),
            ex=scores.ex,
            num_questions=scores.num_questions,
            by_hardness={
                level: {"ex": _value(part["ex"]), "num": part["num"]}
                for level, part in scores.figures["by_difficulty"].items()
            },
            executable=_value(scores.figures["executable"]),
            errors={kind: part["first"] for kind, part in scores.figures["errors"].items()},
        )

    def _judge(self, predictions: Sequence[Prediction]) -> SetScore:
        asked = replace(self.data, examples=tuple(self.examples))
        answers = [Answer(p.sql, p.index, num_tokens=p.num_tokens, milliseconds=p.milliseconds)
                   for p in predictions]  # fmt: skip
        with Executor(usable_cores(), self.settings.timeout) as executor:
            return evaluate(asked, answers, Options(), executor, source="the model")

    def _progress(self, role: str, done: int, total: int) -> None:
        self.writer.event("phase", name=_NAMES[role], done=done, total=total)
        self.writer.update(phase=_NAMES[role])
        self.control.check()

    def _probe(self, role: str, step: int | None, items: Sequence[Item]) -> None:
        """The answers to a fixed, evenly spread handful of the questions."""
        if not self.settings.probes:
            return
        spacing = max(1, len(items) // self.settings.probes)
        answers = [
            {
                "index": item.index,
                "db_id": item.db_id,
                "question": item.question,
                "gold": item.gold,
                "sql": item.prediction,
                "correct": item.ex,
            }
            for item in items[::spacing][: self.settings.probes]
        ]
        self.writer.event("probe", step=step, split=role, answers=answers)

    def _write_predictions(self, items: Sequence[Item], name: str) -> None:
        lines = [
            json.dumps(
                {
                    "index": item.index,
                    "db_id": item.db_id,
                    "question": item.question,
                    "gold": item.gold,
                    "sql": item.prediction,
                    "correct": item.ex,
                    "error": item.error_class or None,
                    "message": item.message,
                    "hardness": item.difficulty,
                },
                ensure_ascii=False,
            )
            for item in items
        ]
        files.write_text(self.run.path / name, "\n".join(lines) + "\n")


def _scores(scored: SetScore) -> Scores:
    figures = summarise(scored)
    return Scores(_value(figures["ex"]) or 0.0, figures["num_questions"], figures)


def _value(cell: dict[str, Any] | None) -> float | None:
    return cell["value"] if cell else None
