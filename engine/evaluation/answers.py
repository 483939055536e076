"""Predictions from a file, in the forms that systems write them.

text         one SQL a line; what stands behind a tab is the name of its database
JSON         a list of SQL texts, or of objects such as {"index": 0, "sql": "SELECT …"}
JSON lines   one such object a line
BIRD         one object: {"0": "SELECT …\\t----- bird -----\\tcalifornia_schools", …}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import files
from engine.errors import DataError

SQL_KEYS = ("sql", "SQL", "prediction", "pred", "predicted_sql", "pred_sql", "predicted", "query",
            "completion")  # fmt: skip
_BIRD_MARK = "----- bird -----"


@dataclass(frozen=True, slots=True)
class Answer:
    """One prediction.

    index: of the question that it answers, in the data set's order; None: the place in the file says it.
    db_id: the database that the file names, "" where it names none.
    num_tokens, milliseconds: what the answer cost, where that is known.
    """

    sql: str
    index: int | None = None
    db_id: str = ""
    num_tokens: int | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class AnswerFile:
    path: Path
    sha256: str
    answers: tuple[Answer, ...]


def read_answers(path: Path) -> AnswerFile:
    """Reads a file of predictions.

    Raises:
        DataError: it cannot be read, is empty, or is none of the forms above; with the place.
    """
    text = files.read_text(path, "the predictions")
    if not text.strip():
        raise DataError(f"{path} is empty: no predictions", "give one SQL a line")
    answers = _structured(path, text) if text.lstrip()[0] in "[{" else _lines(text)
    return AnswerFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(answers))


def _lines(text: str) -> list[Answer]:
    # Only \n ends a line: SQL may hold the other characters that str.splitlines cuts at.
    lines = text.removesuffix("\n").split("\n")
    cells = (line.removesuffix("\r").split("\t") for line in lines)
    return [Answer(sql.strip(), db_id=rest[-1].strip() if rest else "") for sql, *rest in cells]


def _structured(path: Path, text: str) -> list[Answer]:
    try:
        value = json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise _not_json(path, error, 0) from error
        return _json_lines(path, text)
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be predictions", "give one SQL a line") from error
    if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
        return [_bird(path, int(key), value[key]) for key in sorted(value, key=int)]
    return _objects(path, value if isinstance(value, list) else [value], "item", start=0)


def _json_lines(path: Path, text: str) -> list[Answer]:
    values = []
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise _not_json(path, error, number) from error
    return _objects(path, values, "line", start=1)


def _not_json(path: Path, error: Exception, lines_before: int) -> DataError:
    line, why = (
        (error.lineno, error.msg) if isinstance(error, json.JSONDecodeError) else (1, "nested too deeply")
    )
    return DataError(
        f"{path}, line {lines_before + line}: not JSON ({why})",
        "a file holds one SQL a line, one JSON list, or one JSON object a line",
    )


def _objects(path: Path, values: Iterable[Any], unit: str, start: int) -> list[Answer]:
    answers = [_answer(f"{path}, {unit} {place}", value) for place, value in enumerate(values, start)]
    seen: set[int] = set()
    for place, answer in enumerate(answers, start):
        if (answer.index is None) != (answers[0].index is None):
            raise DataError(
                f"{path}, {unit} {place}: some predictions have an index and others none",
                "give it to all or to none",
            )
        if answer.index in seen:
            raise DataError(
                f"{path}, {unit} {place}: a second prediction for index {answer.index}", "keep one of them"
            )
        if answer.index is not None:
            seen.add(answer.index)
    return answers


def _answer(place: str, value: Any) -> Answer:
    if isinstance(value, str):
        return Answer(value.strip())
    if not isinstance(value, dict):
        raise DataError(f"{place}: neither SQL nor an object", "correct the file")
    key = next((key for key in SQL_KEYS if key in value), None)
    if key is None:
        has = ", ".join(map(str, value)) or "nothing"
        raise DataError(f"{place}: no SQL in it: it has {has}", f"name the SQL one of {', '.join(SQL_KEYS)}")
    if not isinstance(value[key], str):
        raise DataError(f"{place}: {key} is not a text", "correct the file")
    index = value.get("index")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 0):
        raise DataError(f"{place}: index {index!r} is not a whole number from 0", "correct the file")
    tokens, milliseconds = value.get("num_tokens"), value.get("milliseconds")
    return Answer(
        value[key].strip(),
        index,
        value["db_id"] if isinstance(value.get("db_id"), str) else "",
        tokens if isinstance(tokens, int) else None,
        milliseconds if isinstance(milliseconds, (int, float)) else None,
    )


def _bird(path: Path, index: int, value: Any) -> Answer:
    if not isinstance(value, str):
        raise DataError(f"{path}, item {index}: its SQL is not a text", "correct the file")
    sql, _, db_id = value.partition(_BIRD_MARK)
    return Answer(sql.strip(), index, db_id.strip())


def aligned(answers: Sequence[Answer], indices: Sequence[int]) -> dict[int, Answer]:
    """Position of a question -> its answer, by index where the answers have one, else by place.

    Args:
        indices: of the questions, by position. What answers none of them is left out.
    """
    if answers and answers[0].index is not None:
        positions = {index: position for position, index in enumerate(indices)}
        return {positions[a.index]: a for a in answers if a.index is not None and a.index in positions}
    return dict(enumerate(answers[: len(indices)]))
