"""Data sets: how one is found and read, its items and their databases.

What `kid` knows by name stands in releases.py.
"""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from engine.data import hub, text_task
from engine.data.items import fields, holds_lines, plain_name, read_items, read_lines
from engine.data.lines import LineExamples, stamp_of
from engine.data.releases import SETS, Source, bases, first_file, inside
from engine.data.schema import check_file
from engine.errors import DatabaseError, DataError, nearest
from engine.paths import typed_path


@dataclass(frozen=True, slots=True)
class Example:
    index: int
    """Position in the data set's own order, before any filtering."""
    db_id: str
    question: str
    """Of a text task: the prompt."""
    query: str
    """Gold SQL, white space collapsed, final `;` removed. Of a text task: the completion as it stands."""
    database: Path
    """The SQLite file. Of a text task: no file, but what names the item's context, as db_id does."""
    evidence: str = ""
    difficulty: str = ""
    """The release's own class of the item: BIRD's simple, moderate or challenging."""


@dataclass(frozen=True)
class DataSet:
    name: str
    """As asked for: `spider/dev`, `demo/train`, `file:/x/y.jsonl`, `hf:OWNER/NAME@dev`."""
    examples: Sequence[Example]
    """Of JSON lines they stay in the file (lines.py)."""
    fingerprint: str
    """sha256 (hex) over the items and the databases' names and sizes."""
    tables: Mapping[str, Any]
    """db_id -> its entry in tables.json; may be empty."""
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Of a text task: db_id -> the context that it stands for."""

    @property
    def kind(self) -> Literal["sql", "text"]:
        """sql: questions on databases, scored by running SQL. text: prompts, scored by exact match."""
        return "text" if self.contexts else "sql"

    @property
    def databases(self) -> Mapping[str, Path]:
        """db_id -> its file, of every database that a question is on; none of a text task."""
        if self.kind == "text":
            return {}
        if isinstance(self.examples, LineExamples):
            return self.examples.databases
        return {example.db_id: example.database for example in self.examples}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of a data set are looked for; only `items` are known to be there."""

    spec: str
    source: Source
    items: tuple[Path, ...] | hub.Reference
    databases: tuple[Path, ...]
    tables: tuple[Path, ...]

    def database(self, db_id: str) -> Path | None:
        """A database's file, None if there is none."""
        return _database_file(self.databases, db_id)


_OWN = Source("", (), questions=("question", "SpiderSynQuestion"))
"""What `file:` and `hf:` read: one's own set, or a release in another form."""
_DATA_DIR_MEND = "name the folder that holds it with --data-dir or KID_DATA_DIR"


def load(spec: str, data_dir: Path | None = None, databases: Path | None = None) -> DataSet:
    """Read a data set and find its databases.

    Args:
        spec: a name in `SETS`; `file:PATH` of JSON lines, a JSON list or CSV, whose items have
            db_id, question, query (or SQL) and perhaps evidence and difficulty; `hf:…` (hub.py);
            or `text:PATH` (text_task.py), which has no databases.
        data_dir: where data sets lie, before KID_DATA_DIR and the user's data folder.
        databases: a folder with DB_ID/DB_ID.sqlite to use in place of the data set's own.

    Raises:
        DataError: unknown or not found; a file that is malformed or empty; a key that is missing.
        DatabaseError: a database that is missing or no SQLite file.
    """
    place = locate(spec, data_dir, databases)
    dataset = read(place)
    if dataset.kind == "text":
        return dataset
    files = dataset.databases
    missing = [db_id for db_id, file in files.items() if not file.is_file()]
    if missing:
        item = next(example.index for example in dataset.examples if example.db_id == missing[0])
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DatabaseError(
            f"{spec}, item {item}: no database '{missing[0]}'{others} in"
            f" {', '.join(map(str, place.databases))}",
            f"put it at {files[missing[0]]}, or name the folder of databases with data.databases",
        )
    for file in files.values():
        check_file(file)
    return dataset


def locate(spec: str, data_dir: Path | None = None, databases: Path | None = None) -> Place:
    """Where a data set's parts are looked for; arguments as those of `load`.

    Raises:
        DataError: unknown or not found.
    """
    if spec.startswith(hub.PREFIX):
        return _locate_hub(hub.parse(spec), data_dir, databases)
    if text_task.is_text(spec):
        return Place(spec, _OWN, (text_task.find_file(spec),), (), ())
    if spec.startswith("file:"):
        file = Path(spec.removeprefix("file:")).expanduser().absolute()
        if not file.is_file():
            mend = "hf:PATH reads a directory" if file.is_dir() else "check the path after file:"
            raise DataError(f"data set not found: no file {file}", mend)
        return _place(spec, _OWN, (file,), [file.parent], databases)
    if spec not in SETS:
        raise DataError(
            f"unknown data set '{spec}'",
            f"{_nearest(spec, list(SETS))} file:PATH, hf:PATH and text:PATH read your own",
        )
    source = SETS[spec]
    first = first_file(source, data_dir)
    if first is None:
        looked = ", ".join(str(base / source.files[0]) for base in bases(source.folder, data_dir))
        raise DataError(
            f"data set {spec} not found: looked for {looked}",
            f"{_DATA_DIR_MEND}; `kid data pull {spec}` says where it can be had",
        )
    items = tuple(inside(first.parent, source.files))
    return _place(spec, source, items, [first.parent], databases)


def read(place: Place) -> DataSet:
    """The items. A database that is missing has the path that it should have.

    Raises:
        DataError: a file that is malformed or empty; a key that is missing.
    """
    if text_task.is_text(place.spec):
        return _read_texts(place)
    found: dict[str, Path] = {}
    expected: dict[str, Path] = {}

    def make(index: int, row: dict[str, str]) -> Example:
        db_id = row["db_id"]
        if db_id not in expected:
            if file := place.database(db_id):
                found[db_id] = file
            expected[db_id] = file or place.databases[0] / db_id / f"{db_id}.sqlite"
        return Example(index, database=expected[db_id], **row)

    def check(item: Any, where: str) -> dict[str, str]:
        return fields(item, where, place.source.questions)

    examples, digest = _examples(place, check, make, expected, "[[")
    if not examples:
        where = f" in {place.items[0]}" if isinstance(place.items, tuple) else ""
        raise DataError(f"{place.spec} is empty: no items{where}", "fetch it again")
    entries = read_tables(place.tables)
    tables = {db_id: entries[db_id] for db_id in found if db_id in entries}
    sizes = {db_id: file.stat().st_size for db_id, file in sorted(found.items())}
    rest = "".join(f", {json.dumps(each, sort_keys=True)}" for each in (sizes, tables))
    digest.update(f"]{rest}]".encode())
    return DataSet(place.spec, examples, digest.hexdigest(), tables)


def _read_texts(place: Place) -> DataSet:
    assert isinstance(place.items, tuple)
    contexts: dict[str, str] = {}

    def make(index: int, row: dict[str, str]) -> Example:
        name = text_task.context_name(row["context"])
        contexts.setdefault(name, row["context"])
        return Example(index, name, row["prompt"], row["completion"], Path(name))

    examples, digest = _examples(place, text_task.fields, make, {}, "[", column="prompt")
    if not examples:
        raise DataError(
            f"{place.spec} is empty: no items in {place.items[0]}", "give one prompt and completion a line"
        )
    digest.update(b"]")
    return DataSet(place.spec, examples, digest.hexdigest(), {}, contexts)


def _examples(
    place: Place,
    check: Callable[[Any, str], dict[str, str]],
    make: Callable[[int, dict[str, str]], Example],
    databases: Mapping[str, Path],
    opening: str,
    column: str = "db_id",
) -> tuple[Sequence[Example], Any]:
    """The examples, and the hash so far of `opening` and their rows as JSON.

    Args:
        check: an item's fields; it is told of the place, for a message.
        make: an example of its index and fields.
        databases: what `make` fills.
        opening: JSON that stands before the first row.
    """
    digest = hashlib.sha256(opening.encode())

    def checked(number: int, item: Any, where: str) -> dict[str, str]:
        row = check(item, where)
        digest.update((", " if number else "").encode() + json.dumps(row, sort_keys=True).encode())
        return row

    if isinstance(place.items, hub.Reference):
        stored: Iterable[tuple[str, Any]] = hub.read(place.items)
    elif len(place.items) == 1 and holds_lines(file := place.items[0]):
        stamp, starts = stamp_of(file), array("q")
        for start, where, item in read_lines(file):
            make(len(starts), checked(len(starts), item, where))
            starts.append(start)

        def again(index: int, item: Any) -> Example:
            return make(index, check(item, f"{file}, item {index}"))

        examples = LineExamples(file, stamp, starts, range(len(starts)), again, databases)
        return examples, digest
    else:
        stored = (pair for file in place.items if file.is_file() for pair in read_items(file, column))
    rows = (checked(number, item, where) for number, (where, item) in enumerate(stored))
    return tuple(make(index, row) for index, row in enumerate(rows)), digest


def limited(data: DataSet, limit: int, seed: int) -> DataSet:
    """A seeded sample of `limit` examples (0: all), in the data set's own order.

    The fingerprint stays that of the whole set.
    """
    if not limit or limit >= len(data.examples):
        return data
    chosen = sorted(random.Random(seed).sample(range(len(data.examples)), limit))
    if isinstance(data.examples, LineExamples):
        return replace(data, examples=data.examples.only(chosen))
    return replace(data, examples=tuple(data.examples[index] for index in chosen))


def find_database(name: str, data_dir: Path | None = None) -> Path:
    """The database file meant by `spider/concert_singer`, `demo/music` or a path.

    Raises:
        DatabaseError: there is none, or it is no database.
    """
    path = typed_path(name)
    folder, _, db_id = name.partition("/")
    sources = [source for source in SETS.values() if source.folder == folder]
    if path.is_file() or not sources or not db_id:
        try:
            check_file(path)
        except DatabaseError as error:
            error.mend = "give a database file, or SET/DB_ID such as spider/concert_singer or demo/music"
            raise
        return path.absolute()
    folders = [f for base in bases(folder, data_dir) for s in sources for f in inside(base, s.databases)]
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
        if entry := read_tables([file]).get(database.stem):
            return entry
    return None


def _locate_hub(reference: hub.Reference, data_dir: Path | None, databases: Path | None) -> Place:
    """A directory has its databases in it; a known release on the hub shares those of its folder here."""
    if reference.directory:
        return _place(reference.spec, _OWN, reference, [reference.directory], databases)
    known = (s for s in SETS.values() if s.hub.partition("@")[0].lower() == reference.repository.lower())
    source = next(known, _OWN)
    if source is _OWN and databases is None:
        raise DataError(
            f"{reference.spec}: where its databases lie is not known",
            "name the folder of databases with --databases or data.databases",
        )
    folders = bases(source.folder, data_dir) if source is not _OWN else []
    return _place(reference.spec, source, reference, folders, databases)


def _place(
    spec: str,
    source: Source,
    items: tuple[Path, ...] | hub.Reference,
    folders: list[Path],
    databases: Path | None,
) -> Place:
    """`folders`: where the release's folder may lie, best first."""
    places = [place for folder in folders for place in inside(folder, source.databases)]
    if databases:
        places = [databases.expanduser().absolute()]
    tables = [file for folder in reversed(folders) for file in inside(folder, source.tables)]
    return Place(spec, source, items, tuple(places), tuple(tables))


def _database_file(folders: Sequence[Path], db_id: str) -> Path | None:
    """FOLDER/DB_ID/DB_ID.sqlite, or .db, or without the folder in between."""
    if not plain_name(db_id):
        return None
    places = (
        folder / inner / f"{db_id}{suffix}"
        for folder in folders
        for inner in (db_id, "")
        for suffix in (".sqlite", ".db")
    )
    return next((place for place in places if place.is_file()), None)


def read_tables(files: Sequence[Path]) -> dict[str, Any]:
    """db_id -> its entry, over those of the files that are there; a later file goes before.

    Raises:
        DataError: one is malformed.
    """
    entries = {}
    for file in files:
        for where, entry in read_items(file) if file.is_file() else ():
            if not isinstance(entry, dict) or "db_id" not in entry:
                raise DataError(f"{where}: not an object with a db_id", "fetch the file again")
            entries[entry["db_id"]] = entry
    return entries


def _nearest(name: str, known: list[str]) -> str:
    """`errors.nearest`, without a list of a hundred names."""
    hint = nearest(name, known)
    return hint if len(hint) < 300 else f"there are {len(known)}, such as {known[0]}"
