"""Items as they are stored: JSON lists, JSON lines and CSV are read, and what an item lacks is said."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import files
from engine.errors import DataError
from engine.sql.text import normalise

_QUOTING = 'commas separate cells; put a text with a comma in "quotes", and double a quote in it'
_MEND = "JSON, JSON lines and CSV are read, in UTF-8; hf:FOLDER reads parquet files"
_LONGEST_NAME = 200  # characters; with `.sqlite` behind it still a file's name


def read_items(file: Path, column: str = "db_id") -> Iterator[tuple[str, Any]]:
    """(place, item) of a JSON list, JSON lines or CSV; the place names file and line or item.

    Args:
        column: one that a CSV file must have.

    Raises:
        DataError: the file cannot be read, or is malformed.
    """
    if holds_lines(file):
        yield from ((place, item) for _, place, item in read_lines(file))
        return
    text = files.read_text(file, "the items", _MEND)
    if file.suffix.lower() == ".csv":
        yield from _csv_rows(text, file, column)
    else:
        yield from ((f"{file}, item {i}", item) for i, item in enumerate(parse(text, file, 1)))


def holds_lines(file: Path) -> bool:
    """Whether a file holds JSON lines: it is no CSV, and begins with no list. An unreadable one does not."""
    if file.suffix.lower() == ".csv":
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(3).removeprefix(codecs.BOM_UTF8)
            while head.isspace():
                head = stream.read(4096)
    except OSError:
        return False
    return not head.lstrip().startswith(b"[")


def read_lines(file: Path) -> Iterator[tuple[int, str, Any]]:
    """(where its line begins, in bytes; place; item) of JSON lines, with one of them in memory at a time.

    Raises:
        DataError: the file cannot be read, or is malformed.
    """
    start = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                text = line.decode("utf-8" if start else "utf-8-sig").strip()
                if text:
                    yield start, f"{file}, line {number}", parse(text, file, number)
                start += len(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {start + error.start})", _MEND) from error
    except OSError as error:
        raise DataError(
            f"cannot read the items {file}: {error.strerror}", "check the path and its permissions"
        ) from error


def fields(item: Any, place: str, questions: Sequence[str] = ("question",)) -> dict[str, str]:
    """An item's db_id, question, query, evidence and, where it has one, difficulty, checked.

    Args:
        place: names the item in a message.
        questions: the keys under which its question may stand, best first.

    Raises:
        DataError: a key is missing, or its value is of no use.
    """
    if not isinstance(item, dict):
        raise DataError(f"{place}: not an object with db_id, question and query", "correct the file")
    row = {}
    for field, keys in (("db_id", ("db_id",)), ("question", questions), ("query", ("query", "SQL"))):
        key = next((key for key in keys if key in item), None)
        if key is None:
            has = ", ".join(map(str, item)) or "nothing"
            mend = "correct the file" if "prompt" not in item else "text:PATH reads prompts and completions"
            raise DataError(f"{place}: no {' or '.join(keys)}", f"it has {has}; {mend}")
        if not isinstance(item[key], str) or not item[key].strip():
            raise DataError(f"{place}: {key} is not a text, or empty", "correct the file")
        row[field] = item[key]
    if not plain_name(row["db_id"]):
        raise DataError(
            f"{place}: db_id {row['db_id'][:_LONGEST_NAME]!r} is no database's name",
            "a db_id names a file in the folder of databases: no path, at most"
            f" {_LONGEST_NAME} characters; correct the file",
        )
    row |= {"query": normalise(row["query"]), "evidence": str(item.get("evidence") or "")}
    if item.get("difficulty"):
        row["difficulty"] = str(item["difficulty"])
    if not row["query"]:
        raise DataError(f"{place}: query has no SQL but comments or semicolons", "correct the file")
    require_unicode(row, place)
    return row


def require_unicode(row: Mapping[str, str], place: str) -> None:
    """Raises DataError where a text is not valid Unicode."""
    try:
        "".join(row.values()).encode()
    except UnicodeEncodeError as error:
        # JSON can spell half a surrogate pair; SQLite and tokenizers fail on it.
        raise DataError(
            f"{place}: a text is not valid Unicode ({error.reason})", "correct the file"
        ) from error


def plain_name(db_id: str) -> bool:
    """Whether a db_id can only name something inside a folder: `../x` and `/x` lead out of it."""
    return db_id not in (".", "..") and len(db_id) <= _LONGEST_NAME and not set(db_id) & set("/\\\0")


def _csv_rows(text: str, file: Path, column: str) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        header = reader.fieldnames or ()
        if header and column not in header:
            raise DataError(
                f"{file}: no column {column}",
                "the first line names the columns, commas between them;"
                f" it is {','.join(header)[:_LONGEST_NAME]}",
            )
        for row in reader:
            place = f"{file}, line {reader.line_num}"
            # csv puts cells past the header under None, and None where a line ends early. Either
            # way a comma or a quote stands in the wrong place, and the cells are not what they seem.
            if None in row or None in row.values():
                more = "more" if None in row else "fewer"
                raise DataError(f"{place}: {more} cells than the header has columns", _QUOTING)
            yield place, row
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.reader.line_num}: not CSV ({error})", _QUOTING) from error


def parse(text: str, file: Path, first_line: int) -> Any:
    """What JSON says.

    Raises:
        DataError: it is none; file and line are named.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, why = first_line + error.lineno - 1, f"{error.msg}, column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number or a nesting past Python's limits
        line, why = first_line, str(error)
    raise DataError(
        f"{file}, line {line}: not JSON ({why})", "a file holds one JSON list, or one JSON object a line"
    )
