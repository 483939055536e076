"""`engine serve` with a model that knows a few answers: `fake_service.py serve`.

Questions: a key of ANSWERS; "slow …" takes ten seconds, "stuck …" never looks whether it is cancelled,
"write SQL" gets that SQL, "die" ends the process while it answers, "die once FILE" only if FILE is not
there yet; else "SELECT 1".
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.answer import Check
from engine.errors import ModelError
from engine.profile import Profile
from engine.protocol import Decoding, Role
from engine.question import Question, Written
from engine.serve import serve
from engine.sql.execute import Executor

ANSWERS = {
    "How many animals are there?": "SELECT count(*) FROM animal",
    "Which animals are there?": "SELECT name FROM animal",
    "wrong name": "SELECT nme FROM animal",
    "no way": "SELECT legs FROM nowhere",
    "drop it": "DROP TABLE animal",
    "two": "SELECT 1; DROP TABLE animal",
    "escape": "SELECT '\x1b[2J' FROM animal",
    "endless": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
}
ALTERNATIVES = {
    "wrong name": ["SELECT nme FROM animal", "SELECT legs FROM animal", "SELECT name FROM animal"]
}


class FakeModel:
    def __init__(self, role: Role) -> None:
        self.name = f"fake {role}"
        self.num_parameters = 7
        self._role = role

    def read(self, database: Path, check: Check) -> None:
        check()

    def prompt(self, question: Question) -> dict[str, object]:
        return {
            "prefix": f"schema of {question.database.stem}\n",
            "suffix": f"{question.text}\n",
            "num_tokens": [3, 4],
            "dropped": "",
        }

    def write(
        self, question: Question, decoding: Decoding, on_token: Callable[[str, float], None], check: Check
    ) -> Written:
        text = question.text
        once = Path(text.removeprefix("die once ")) if text.startswith("die once ") else None
        if text == "die" or (once and not once.exists()):
            if once:
                once.touch()
            os._exit(9)
        for _ in range(200 if text.startswith("slow") else 0):
            check()
            on_token("SELECT ", 0.9)
            time.sleep(0.05)
        if text.startswith("stuck"):
            time.sleep(3)
        sql = text.removeprefix("write ") if text.startswith("write ") else ANSWERS.get(text, "SELECT 1")
        if self._role == "teacher":
            sql = "SELECT name FROM animal WHERE name = 'okapi'"
        if question.evidence:  # asked again after a failure
            sql = "SELECT 2"
        tokens = tuple((f" {word}" if place else word, 0.5) for place, word in enumerate(sql.split()))
        for piece, probability in tokens:
            check()
            on_token(piece, probability)
        return Written(sql, tokens, (2, 3) if decoding.name == "vote" else None)

    def alternatives(self, question: Question, num_beams: int, check: Check) -> Iterator[Written]:
        check()
        for sql in ALTERNATIVES.get(question.text, []):
            yield Written(sql, ())


def open_fake(profile: Profile, role: Role, executor: Executor) -> FakeModel:
    if profile.student.model == "./missing":
        raise ModelError("model ./missing: nothing at missing", "name a directory")
    if role == "teacher" and profile.teacher is None:
        raise ModelError("there is no teacher here", "name one with --teacher")
    return FakeModel(role)


if __name__ == "__main__":
    assert sys.argv[1:] == ["serve"]
    serve(sys.stdin.buffer, sys.stdout.buffer, open_fake)
    os._exit(0)
