"""The training items as an Arrow table on disk: made once in a stream, then mapped into memory by `datasets`.

A table is kept in the cache folder under what it depends on, so that runs on the same data share it and a
change of anything makes a new one. It is written under another name and renamed, beside a JSON file of what
was seen on the way, which is written last: without that file the table counts as absent.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from engine import files
from engine.data.benchmarks import DataSet
from engine.data.glance import file_stamp
from engine.files import write_error
from engine.models.encode import Encoder, Item
from engine.paths import cache_dir
from engine.profile import Profile

if TYPE_CHECKING:
    from datasets import Features

_ROWS = 10_000
"""Items that are in memory at a time while they are written."""
_MADE_BY = ("data/*.py", "models/encode.py", "sql/text.py")
_LIBRARIES = ("tokenizers", "rapidfuzz")


class StoredItems(Sequence[Item]):
    """Items on disk; 8 bytes of each are in memory, and the name of each database or context.

    databases: the distinct ones.
    numbers: [num_items] the database of each item, as a position in `databases`.
    lengths: [num_items] `Item.length`.
    mark: `mark` of the items.
    num_unwritable: items whose answer the tokenizer cannot write.
    notes: what was cut, by database or context.

    Args:
        path: where `write` has put them.
    """

    def __init__(self, path: Path) -> None:
        from datasets import Dataset

        told = json.loads(_notes_file(path).read_text())
        self.databases: list[str] = told["databases"]
        self.mark: str = told["mark"]
        self.num_unwritable: int = told["num_unwritable"]
        self.notes: dict[str, str] = told["notes"]
        table = Dataset.from_file(str(path)).data
        index, numbers, suffixes, answers = (table.column(name).chunks for name in _columns())
        self._starts = np.cumsum([0, *map(len, index)]).tolist()
        self._index = [chunk.to_numpy() for chunk in index]
        self._suffixes = [_Lists(chunk) for chunk in suffixes]
        self._answers = [_Lists(chunk) for chunk in answers]
        self.numbers = np.concatenate([np.empty(0, np.int32), *(chunk.to_numpy() for chunk in numbers)])
        self.lengths = array("i")
        for suffix, answer in zip(self._suffixes, self._answers, strict=True):
            self.lengths.frombytes((suffix.lengths() + answer.lengths() - 1).tobytes())

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, position: slice) -> list[Item]: ...
    def __getitem__(self, position: int | slice) -> Item | list[Item]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        position = range(len(self))[position]
        chunk = bisect_right(self._starts, position) - 1
        row = position - self._starts[chunk]
        return Item(
            int(self._index[chunk][row]),
            Path(self.databases[self.numbers[position]]),
            self._suffixes[chunk][row],
            self._answers[chunk][row],
        )


class _Lists:
    """A column of lists of numbers, in place."""

    def __init__(self, chunk: Any) -> None:
        self._values, self._offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()

    def __getitem__(self, row: int) -> tuple[int, ...]:
        return tuple(self._values[self._offsets[row] : self._offsets[row + 1]].tolist())

    def lengths(self) -> np.ndarray:
        return np.diff(self._offsets).astype(np.int32)


def place(encoder: Encoder, data: DataSet, profile: Profile) -> Path:
    """Where a training set's items are kept."""
    about = profile.data
    parts = [
        [_source(), *map(metadata.version, _LIBRARIES)],
        encoder.fingerprint,
        data.fingerprint,
        [about.train_limit, profile.train.seed] if about.train_limit else [],  # which examples are taken
        [[name, str(file), file_stamp(file)] for name, file in data.databases.items()],
        [about.max_prompt_tokens, about.max_suffix_tokens, about.max_answer_tokens, about.evidence],
    ]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return cache_dir() / "items" / f"{key}.arrow"


def write(
    path: Path,
    encoder: Encoder,
    data: DataSet,
    max_answer_tokens: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Puts the items of a training set there, unless they are there. Of several processes one does it.

    Args:
        max_answer_tokens: items with longer answers are left out: cut short, they would teach to leave SQL
            unfinished.
        progress: called with (done, total) now and then; what it raises ends the work.

    Raises:
        DataError, DatabaseError: the examples cannot be read.
        KidError: the disk is full, or the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(path):
                _write(path, encoder, data, max_answer_tokens, progress)
    except OSError as error:
        raise write_error(path, error) from error


def mark(items: Iterable[Item]) -> str:
    """sha256 (hex) of what is trained on."""
    hashed = _Mark()
    for item in items:
        hashed.add(item)
    return hashed.hexdigest()


class _Mark:
    """The hash of the list of (index, suffix, answer) as Python writes it."""

    def __init__(self) -> None:
        self._hash, self._between = hashlib.sha256(b"["), ""

    def add(self, item: Item) -> None:
        self._hash.update(f"{self._between}{(item.index, item.suffix, item.answer)!r}".encode())
        self._between = ", "

    def hexdigest(self) -> str:
        whole = self._hash.copy()
        whole.update(b"]")
        return whole.hexdigest()


def _write(
    path: Path,
    encoder: Encoder,
    data: DataSet,
    max_answer_tokens: int,
    progress: Callable[[int, int], None],
) -> None:
    from datasets.arrow_writer import ArrowWriter

    numbers: dict[str, int] = {}
    hashed, done, num_unwritable = _Mark(), 0, 0
    temporary = path.with_suffix(".part")
    try:
        with ArrowWriter(features=_columns(), path=str(temporary), writer_batch_size=_ROWS) as writer:
            for batch in _batches(encoder.stream(data)):
                kept = [item for item in batch if len(item.answer) <= max_answer_tokens]
                for item in kept:
                    hashed.add(item)
                if kept:
                    writer.write_batch(_rows(kept, numbers))
                num_unwritable += encoder.num_unwritable(kept)
                done += len(batch)
                if len(batch) == _ROWS:
                    progress(done, len(data.examples))
            writer.finalize()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    told = {
        "num_bytes": path.stat().st_size,
        "databases": list(numbers),
        "mark": hashed.hexdigest(),
        "num_unwritable": num_unwritable,
        "notes": {str(name): what for name, what in encoder.prompter.dropped.items()},
    }
    files.write_json(_notes_file(path), told)


def _rows(items: Sequence[Item], numbers: dict[str, int]) -> dict[str, list]:
    """Items by column; databases that are new to `numbers` are added."""
    return {
        "index": [item.index for item in items],
        "database": [numbers.setdefault(str(item.database), len(numbers)) for item in items],
        "suffix": [item.suffix for item in items],
        "answer": [item.answer for item in items],
    }


def _columns() -> Features:
    from datasets import Features, List, Value

    ids = List(Value("int32"))
    return Features({"index": Value("int64"), "database": Value("int32"), "suffix": ids, "answer": ids})


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _ROWS)):
        yield batch


def _notes_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_whole(path: Path) -> bool:
    try:
        return json.loads(_notes_file(path).read_text())["num_bytes"] == path.stat().st_size
    except FileNotFoundError:
        return False


def _source() -> str:
    """sha256 (hex) of the code that makes items: other code may make others."""
    engine = Path(__file__).parents[1]
    code = [file.read_bytes() for pattern in _MADE_BY for file in sorted(engine.glob(pattern))]
    return hashlib.sha256(b"\0".join(code)).hexdigest()
