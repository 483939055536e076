"""Scores a model inside a run: answers, execution, events; each result kept for a resumed run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine import files, settings
from engine.data.benchmarks import DataSet
from engine.distill.control import Control
from engine.evaluation.predict import Prediction, predict
from engine.evaluation.sample import stratified
from engine.evaluation.score import Verdict, score, summary
from engine.models.encode import Encoder
from engine.run_writer import RunWriter
from engine.runs import Run

_NAMES = {
    "teacher": "scoring the teacher",
    "student_before": "scoring the student before training",
    "student": "scoring the student",
}


@dataclass(frozen=True)
class Scores:
    """What a model reached on the run's questions: `summary` as engine.evaluation.score gives it."""

    ex: float
    num_questions: int
    summary: dict[str, Any]
    milliseconds_per_answer: float
    tokens_per_answer: float


class Scorer:
    """Answers the run's evaluation questions with a model and runs the SQL in guarded child processes."""

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
        self.examples = stratified(data.examples, eval_settings.limit)
        self.results: dict[str, Scores] = {}

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
        verdicts = score(
            self.examples,
            [prediction.sql for prediction in predictions],
            timeout=self.settings.timeout,
            jobs=min(2, os.cpu_count() or 1),
        )
        scores = _scores(predictions, verdicts)
        self.writer.event(
            "eval",
            step=step,
            split=role,
            ex=scores.ex,
            num_questions=scores.num_questions,
            **{key: scores.summary[key] for key in ("by_hardness", "executable", "errors")},
        )
        self._probe(role, step, predictions, verdicts)
        self.results[role] = scores
        if step is None:
            files.write_json(kept, asdict(scores))
            if role == "student":
                self._write_predictions(predictions, verdicts)
        return scores

    def _progress(self, role: str, done: int, total: int) -> None:
        self.writer.event("phase", name=_NAMES[role], done=done, total=total)
        self.writer.update(phase=_NAMES[role])
        self.control.check()

    def _probe(
        self, role: str, step: int | None, predictions: Sequence[Prediction], verdicts: Sequence[Verdict]
    ) -> None:
        """The answers to a fixed, evenly spread handful of the questions."""
        if not self.settings.probes:
            return
        spacing = max(1, len(self.examples) // self.settings.probes)
        chosen = range(0, len(self.examples), spacing)[: self.settings.probes]
        answers = [
            {
                "index": self.examples[place].index,
                "db_id": self.examples[place].db_id,
                "question": self.examples[place].question,
                "gold": self.examples[place].query,
                "sql": predictions[place].sql,
                "correct": verdicts[place].correct,
            }
            for place in chosen
        ]
        self.writer.event("probe", step=step, split=role, answers=answers)

    def _write_predictions(self, predictions: Sequence[Prediction], verdicts: Sequence[Verdict]) -> None:
        lines = [
            json.dumps(
                {
                    "index": example.index,
                    "db_id": example.db_id,
                    "question": example.question,
                    "gold": example.query,
                    "sql": prediction.sql,
                    "correct": verdict.correct,
                    "error": verdict.error,
                    "message": verdict.message,
                    "hardness": verdict.hardness,
                },
                ensure_ascii=False,
            )
            for example, prediction, verdict in zip(self.examples, predictions, verdicts, strict=True)
        ]
        files.write_text(self.run.path / "predictions.jsonl", "\n".join(lines) + "\n")


def _scores(predictions: Sequence[Prediction], verdicts: Sequence[Verdict]) -> Scores:
    told = summary(verdicts)
    number = len(predictions)
    return Scores(
        ex=told["ex"],
        num_questions=number,
        summary=told,
        milliseconds_per_answer=round(sum(p.milliseconds for p in predictions) / number, 2),
        tokens_per_answer=round(sum(p.num_tokens for p in predictions) / number, 2),
    )
