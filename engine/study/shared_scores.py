"""Scores before training that are the same in many cells: taken once, then copied."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from engine import files
from engine.profile import Profile
from engine.runs import Run

_NOT_OF_QUESTIONS = {"train", "train_limit", "corrections"}
_NOT_OF_SCORING = {"every", "before", "probes"}
_ANSWERS = {"student": "predictions.jsonl", "student_before": "predictions-before.jsonl"}


def score_keys(profile: Profile) -> dict[str, str]:
    """For each role that a run of this profile scores before training, what its score depends on, hashed.

    The untrained student's does on the seed, too: of random weights and of a warm start.
    """
    if not profile.eval.before:
        return {}
    student = profile.student.model_dump()
    teacher = profile.teacher.model_dump(exclude={"prefix_cache_mb"}) if profile.teacher else None
    asked = {
        "data": profile.data.model_dump(exclude=_NOT_OF_QUESTIONS),
        "eval": profile.eval.model_dump(exclude=_NOT_OF_SCORING),
        "tokenizer": profile.student.model or (profile.teacher.model if profile.teacher else None),
    }
    keys = {
        "student_before": _hash(
            asked, student, None if profile.student.model else teacher, profile.train.seed
        )
    }
    return keys | ({"teacher": _hash(asked, teacher)} if teacher else {})


@dataclass(frozen=True)
class _Made:
    """Files of a run: a model's scores, and the judged answers behind them where those are kept."""

    run_id: str
    scores: Path
    answers: Path | None


@dataclass
class SharedScores:
    """Which run has scored what, or is about to."""

    _made: dict[str, _Made] = field(default_factory=dict)  # by key

    def offer(self, key: str, run: Run, role: str) -> None:
        """This run has, or will have, the score; an earlier offer stays."""
        answers = run.path / _ANSWERS[role] if role in _ANSWERS else None
        self._made.setdefault(key, _Made(run.id, run.path / f"scores-{role}.json", answers))

    def withdraw(self, run: Run) -> None:
        """This run has ended: what it has not scored, another one may."""
        self._made = {
            key: made for key, made in self._made.items() if made.run_id != run.id or made.scores.is_file()
        }

    def awaited(self, keys: dict[str, str], run_id: str) -> bool:
        """Whether another run is just scoring what this one would."""
        offers = [self._made[key] for key in keys.values() if key in self._made]
        return any(made.run_id != run_id and not made.scores.is_file() for made in offers)

    def hand(self, keys: dict[str, str], run: Run) -> None:
        """Copy what others have scored into a run that has not begun, and offer what it will score.

        Raises:
            KidError: the disk is full.
        """
        for role, key in keys.items():
            target = run.path / f"scores-{role}.json"
            self.offer(key, run, role)
            made = self._made[key]
            if made.run_id == run.id or target.exists():
                continue
            # The scores come last: where they are, nothing is done again.
            if made.answers and made.answers.is_file():
                files.write_text(run.path / _ANSWERS[role], files.read_text(made.answers, "the answers"))
            files.write_text(target, files.read_text(made.scores, "the scores"))


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
