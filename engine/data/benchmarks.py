"""Data sets by name: where each lies, how its release is laid out, what is wrong with it.

A new benchmark in the layout of Spider or BIRD is a row of `SETS`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.data import demo
from engine.data.schema import check_file, list_tables, open_database, quote
from engine.errors import DatabaseError, DataError, nearest
from engine.paths import data_dirs
from engine.sql.text import normalise


@dataclass(frozen=True, slots=True)
class Example:
    index: int
    """Position in the data set's own order, before any filtering."""
    db_id: str
    question: str
    query: str
    """Gold SQL, white space collapsed, final `;` removed."""
    database: Path
    """The SQLite file."""
    evidence: str = ""


@dataclass(frozen=True)
class DataSet:
    name: str
    """As asked for: `spider/dev`, `demo/train`, `file:/x/y.jsonl`."""
    examples: tuple[Example, ...]
    fingerprint: str
    """sha256 (hex) over the items and the databases' names and sizes."""
    tables: Mapping[str, Any]
    """db_id -> its entry in tables.json; may be empty."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a release is laid out. Paths are relative to `folder`, which lies in a data folder."""

    folder: str
    files: tuple[str, ...]
    """The first must be there; the others are read where they are there."""
    databases: tuple[str, ...] = ("database",)
    tables: tuple[str, ...] = ("tables.json",)
    question: str = "question"
    sizes: tuple[int, ...] = ()
    """Numbers of items in the releases."""


_SPIDER_DATABASES, _SPIDER_TABLES = ("../spider/database",), ("../spider/tables.json",)

SETS: Mapping[str, Source] = {
    "demo/train": Source("demo", ("train.json",)),
    "demo/dev": Source("demo", ("dev.json",)),
    "spider/train": Source("spider", ("train_spider.json", "train_others.json"), sizes=(7000, 8659)),
    "spider/train_spider": Source("spider", ("train_spider.json",), sizes=(7000,)),
    "spider/dev": Source("spider", ("dev.json",), sizes=(1034,)),
    "spider_syn/dev": Source(
        "spider_syn", ("dev.json",), _SPIDER_DATABASES, _SPIDER_TABLES, "SpiderSynQuestion", (1034,)
    ),
    "spider_realistic/dev": Source(
        "spider_realistic", ("spider-realistic.json",), _SPIDER_DATABASES, _SPIDER_TABLES, sizes=(508,)
    ),
    "spider_dk/dev": Source(
        "spider_dk",
        ("Spider-DK.json",),
        ("database", *_SPIDER_DATABASES),
        (*_SPIDER_TABLES, "tables.json"),
        sizes=(535,),
    ),
    "bird/train": Source(
        "bird", ("train.json",), ("train_databases",), ("train_tables.json",), sizes=(9428,)
    ),
    "bird/dev": Source("bird", ("dev.json",), ("dev_databases",), ("dev_tables.json",), sizes=(1534,)),
    "bird/mini_dev": Source(
        "bird", ("mini_dev_sqlite.json",), ("dev_databases",), ("dev_tables.json",), sizes=(500,)
    ),
}
_DATA_DIR_MEND = "name the folder that holds it with --data-dir or KID_DATA_DIR"


def load(spec: str, data_dir: Path | None = None, databases: Path | None = None) -> DataSet:
    """Read a data set and find its databases.

    Args:
        spec: a name in `SETS`, or `file:PATH` of JSON lines, a JSON list or CSV, whose items have
            db_id, question, query (or SQL) and perhaps evidence.
        data_dir: where data sets lie, before KID_DATA_DIR and the user's data folder.
        databases: a folder with DB_ID/DB_ID.sqlite to use in place of the data set's own.

    Raises:
        DataError: unknown or not found; a file that is malformed or empty; a key that is missing.
        DatabaseError: a database that is missing or no SQLite file.
    """
    source, base = _locate(spec, data_dir)
    folders = [databases.expanduser().absolute()] if databases else _inside(base, source.databases)
    rows: list[dict[str, str]] = []
    for file in _inside(base, source.files):
        if file.is_file():
            rows += [_fields(item, place, source) for place, item in _read_items(file)]
    if not rows:
        raise DataError(f"{spec} is empty: no items in {base / source.files[0]}", "fetch the file again")
    found = _find_databases(spec, folders, rows)
    tables = _read_tables(base, source, found)
    examples = tuple(Example(index, database=found[row["db_id"]], **row) for index, row in enumerate(rows))
    sizes = {db_id: file.stat().st_size for db_id, file in sorted(found.items())}
    contents = json.dumps([rows, sizes, tables], sort_keys=True)
    return DataSet(spec, examples, hashlib.sha256(contents.encode()).hexdigest(), tables)


def limited(data: DataSet, limit: int, seed: int) -> DataSet:
    """A seeded sample of `limit` examples (0: all), in the data set's own order.

    The fingerprint stays that of the whole set.
    """
    if not limit or limit >= len(data.examples):
        return data
    chosen = sorted(random.Random(seed).sample(range(len(data.examples)), limit))
    return replace(data, examples=tuple(data.examples[index] for index in chosen))


def find_database(name: str, data_dir: Path | None = None) -> Path:
    """The SQLite file meant by `spider/concert_singer`, `demo/music` or a path.

    Raises:
        DatabaseError: there is none, or it is no SQLite file.
    """
    path = Path(name).expanduser()
    folder, _, db_id = name.partition("/")
    sources = [source for source in SETS.values() if source.folder == folder]
    if path.is_file() or not sources or not db_id:
        try:
            check_file(path)
        except DatabaseError as error:
            error.mend = "give an SQLite file, or SET/DB_ID such as spider/concert_singer or demo/music"
            raise
        return path.absolute()
    folders = [f for base in _bases(folder, data_dir) for s in sources for f in _inside(base, s.databases)]
    file = _database_file(folders, db_id)
    if file is None:
        known = sorted({f.name for place in folders if place.is_dir() for f in place.iterdir() if f.is_dir()})
        if not known:
            looked = ", ".join(dict.fromkeys(map(str, folders)))
            raise DatabaseError(f"no databases of {folder} found: looked in {looked}", _DATA_DIR_MEND)
        raise DatabaseError(f"{folder} has no database '{db_id}'", _nearest(db_id, known))
    check_file(file)
    return file


def tables_entry(database: Path) -> Mapping[str, Any] | None:
    """The entry in tables.json of a database that lies in a release's layout, else None.

    With it, a question about a single database gets the prompt that training and evaluation use.

    Raises:
        DataError: that tables.json is malformed.
    """
    for name in ("tables.json", "dev_tables.json", "train_tables.json"):
        file = database.absolute().parent.parent.parent / name
        if file.is_file() and (entry := _read_table_entries(file).get(database.stem)):
            return entry
    return None


@dataclass(frozen=True, slots=True)
class KnownSet:
    name: str
    path: Path | None
    """Its first file, None if it was not found."""


def known_sets(data_dir: Path | None = None) -> list[KnownSet]:
    """Every named data set, and where it lies."""
    found = {name: _first_file(source, data_dir) for name, source in SETS.items()}
    return [KnownSet(name, path) for name, path in found.items()]


@dataclass(frozen=True, slots=True)
class Problem:
    subject: str
    """The database or data set that it is about."""
    message: str


def check(dataset: DataSet) -> list[Problem]:
    """What is not as it should be: the number of items, databases that do not open, empty tables."""
    problems = []
    sizes = SETS[dataset.name].sizes if dataset.name in SETS else ()
    if sizes and len(dataset.examples) not in sizes:
        expected = " or ".join(map(str, sizes))
        problems.append(Problem(dataset.name, f"{len(dataset.examples)} items; the release has {expected}"))
    for db_id, file in sorted({example.db_id: example.database for example in dataset.examples}.items()):
        try:
            with open_database(file) as connection:
                tables = list(list_tables(connection))
                empty = [
                    table
                    for table in tables
                    if not connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quote(table)})").fetchone()[0]
                ]
        except DatabaseError as error:
            problems.append(Problem(db_id, error.message))
            continue
        if empty or not tables:
            problems.append(Problem(db_id, f"empty tables: {', '.join(empty)}" if tables else "no tables"))
    return problems


def _locate(spec: str, data_dir: Path | None) -> tuple[Source, Path]:
    """A data set's layout and its folder."""
    if spec.startswith("file:"):
        file = Path(spec.removeprefix("file:")).expanduser().absolute()
        if not file.is_file():
            raise DataError(f"data set not found: no file {file}", "check the path after file:")
        return Source("", (file.name,)), file.parent
    if spec not in SETS:
        raise DataError(
            f"unknown data set '{spec}'", f"{_nearest(spec, list(SETS))} file:PATH reads your own"
        )
    source = SETS[spec]
    file_found = _first_file(source, data_dir)
    if file_found is None:
        looked = ", ".join(str(base / source.files[0]) for base in _bases(source.folder, data_dir))
        raise DataError(f"data set {spec} not found: looked for {looked}", _DATA_DIR_MEND)
    return source, file_found.parent


def _first_file(source: Source, data_dir: Path | None) -> Path | None:
    files = (base / source.files[0] for base in _bases(source.folder, data_dir))
    return next((file for file in files if file.is_file()), None)


def _bases(folder: str, data_dir: Path | None) -> list[Path]:
    """Where a release's folder may lie."""
    return [demo.build()] if folder == "demo" else [base / folder for base in data_dirs(data_dir)]


def _inside(base: Path, paths: tuple[str, ...]) -> list[Path]:
    return [Path(os.path.normpath(base / path)) for path in paths]


def _read_items(file: Path) -> Iterator[tuple[str, Any]]:
    """(place, item) of a JSON list, JSON lines or CSV; the place names file and line or item."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    if file.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            yield from ((f"{file}, line {reader.line_num}", row) for row in reader)
        except csv.Error as error:
            raise DataError(
                f"{file}, line {reader.line_num}: not CSV ({error})", "correct the file"
            ) from error
    elif text.lstrip().startswith("["):
        yield from ((f"{file}, item {i}", item) for i, item in enumerate(_parse(text, file, 1)))
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{file}, line {number}", _parse(line, file, number)


def _parse(text: str, file: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, why = first_line + error.lineno - 1, f"{error.msg}, column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number or a nesting past Python's limits
        line, why = first_line, str(error)
    raise DataError(
        f"{file}, line {line}: not JSON ({why})", "a file holds one JSON list, or one JSON object a line"
    )


def _fields(item: Any, place: str, source: Source) -> dict[str, str]:
    """An item's db_id, question, query and evidence, checked."""
    if not isinstance(item, dict):
        raise DataError(f"{place}: not an object with db_id, question and query", "correct the file")
    row = {}
    for field, keys in (("db_id", ("db_id",)), ("question", (source.question,)), ("query", ("query", "SQL"))):
        key = next((key for key in keys if key in item), None)
        if key is None:
            has = ", ".join(map(str, item)) or "nothing"
            raise DataError(f"{place}: no {' or '.join(keys)}", f"it has {has}; correct the file")
        if not isinstance(item[key], str) or not item[key].strip():
            raise DataError(f"{place}: {key} is not a text, or empty", "correct the file")
        row[field] = item[key]
    row |= {"query": normalise(row["query"]), "evidence": str(item.get("evidence") or "")}
    if not row["query"]:
        raise DataError(f"{place}: query has no SQL but comments or semicolons", "correct the file")
    try:
        "".join(row.values()).encode()
    except (
        UnicodeEncodeError
    ) as error:  # JSON can spell half a surrogate pair; SQLite and tokenizers fail on it
        raise DataError(
            f"{place}: a text is not valid Unicode ({error.reason})", "correct the file"
        ) from error
    return row


def _find_databases(spec: str, folders: list[Path], rows: list[dict[str, str]]) -> dict[str, Path]:
    """db_id -> its SQLite file; each is looked for once."""
    files = {db_id: _database_file(folders, db_id) for db_id in dict.fromkeys(row["db_id"] for row in rows)}
    missing = [db_id for db_id, file in files.items() if file is None]
    if missing:
        item = next(index for index, row in enumerate(rows) if row["db_id"] == missing[0])
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DatabaseError(
            f"{spec}, item {item}: no database '{missing[0]}'{others} in {', '.join(map(str, folders))}",
            f"put it at {folders[0] / missing[0] / missing[0]}.sqlite,"
            " or name the folder of databases with data.databases",
        )
    found = {db_id: file for db_id, file in files.items() if file is not None}
    for file in found.values():
        check_file(file)
    return found


def _database_file(folders: list[Path], db_id: str) -> Path | None:
    """FOLDER/DB_ID/DB_ID.sqlite, or .db, or without the folder in between."""
    places = (
        folder / inner / f"{db_id}{suffix}"
        for folder in folders
        for inner in (db_id, "")
        for suffix in (".sqlite", ".db")
    )
    return next((place for place in places if place.is_file()), None)


def _read_tables(base: Path, source: Source, found: Mapping[str, Path]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for file in _inside(base, source.tables):
        if file.is_file():
            entries |= _read_table_entries(file)
    return {db_id: entries[db_id] for db_id in found if db_id in entries}


def _read_table_entries(file: Path) -> dict[str, Any]:
    entries = {}
    for place, entry in _read_items(file):
        if not isinstance(entry, dict) or "db_id" not in entry:
            raise DataError(f"{place}: not an object with a db_id", "fetch the file again")
        entries[entry["db_id"]] = entry
    return entries


def _nearest(name: str, known: list[str]) -> str:
    """`errors.nearest`, without a list of a hundred names."""
    hint = nearest(name, known)
    return hint if len(hint) < 300 else f"there are {len(known)}, such as {known[0]}"
