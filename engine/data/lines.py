"""Examples that stay in their file of JSON lines: a data set may be larger than the memory."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from engine.data.items import parse
from engine.errors import DataError

if TYPE_CHECKING:
    from engine.data.benchmarks import Example


@dataclass(frozen=True, eq=False)
class LineExamples(Sequence["Example"]):
    """Examples of which each is read when it is asked for; eight or sixteen bytes of each are kept.

    file: JSON lines.
    stamp: the file's, from before it was first read (`stamp_of`).
    starts: [lines] where each line begins, in bytes.
    chosen: [num_examples] their lines, less those of `more`.
    make: an example of its index and what stands in its line.
    databases: db_id -> its file, of all lines; none of a text task.
    more: examples from elsewhere, behind the file's.
    """

    file: Path
    stamp: tuple[int, ...]
    starts: Sequence[int]
    chosen: Sequence[int]
    make: Callable[[int, Any], Example]
    databases: Mapping[str, Path]
    more: tuple[Example, ...] = ()

    def only(self, positions: Sequence[int]) -> LineExamples:
        """Those at these positions."""
        assert not self.more
        return replace(self, chosen=array("q", positions))

    def extended(self, added: Sequence[Example]) -> LineExamples:
        """These, and others behind them."""
        databases = {example.db_id: example.database for example in added}
        return replace(self, more=(*self.more, *added), databases={**self.databases, **databases})

    def __len__(self) -> int:
        return len(self.chosen) + len(self.more)

    @overload
    def __getitem__(self, position: int) -> Example: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, position: int | slice) -> Example | tuple[Example, ...]:
        if isinstance(position, slice):
            return tuple(self._read(range(*position.indices(len(self)))))
        return next(self._read([range(len(self))[position]]))

    def __iter__(self) -> Iterator[Example]:
        return self._read(range(len(self)))

    def _read(self, positions: Sequence[int]) -> Iterator[Example]:
        """
        Raises:
            DataError: the file is not what it was.
        """
        if not positions:
            return
        if not self.file.is_file() or stamp_of(self.file) != self.stamp:
            raise DataError(f"{self.file} has changed while it was in use", "start again")
        with self.file.open("rb") as stream:
            for position in positions:
                if position >= len(self.chosen):
                    yield self.more[position - len(self.chosen)]
                    continue
                index = self.chosen[position]
                stream.seek(self.starts[index])
                text = stream.readline().decode("utf-8-sig")
                yield self.make(index, parse(text, self.file, index + 1))


def stamp_of(file: Path) -> tuple[int, ...]:
    """What tells one state of a file from another, without reading it."""
    state = os.stat(file)
    return state.st_size, state.st_mtime_ns, state.st_ino
