"""Numbers of a run over its steps, in bounded memory: lowest, mean and highest a bucket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

XS: Final = ("step", "tokens", "seconds")
"""What a curve can run over."""

_CAPACITY: Final = 4096
_MAX_NAMES: Final = 64
_NO_METRICS: Final = frozenset({"v", "kind", "time", "generation", "step", "epoch", "eta_s", "ms"})
_LONGEST_STEP_SECONDS: Final = 60.0
_LARGEST: Final = 2.0**63  # what is beyond it is no measurement


def is_number(value: Any) -> bool:
    """Whether it is a number that can be shown and counted with: finite and not beyond reason."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric, one entry a bucket; every entry is a finite number."""

    name: str
    xs: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Series:
    """The metrics of step events.

    Each bucket holds the same number of points; when there are `capacity` buckets, neighbours are
    merged and a bucket holds twice as many. A step at or before the last one (a run that was taken up
    from a checkpoint) drops what came at or after it, with the whole of the bucket that it falls into.

    Over "tokens" a point stands at the tokens trained on so far, over "seconds" at the time spent in
    steps so far: `ms.total` of each, or, where a step does not say that, the time since the step before
    in the same generation, 60 s at most. Evaluations, pauses and loading are not counted.

    Not to be used from two threads at once.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        assert capacity % 2 == 0, capacity
        self._capacity = capacity
        self._columns: dict[str, int] = {}
        self._length = 0  # buckets in use
        self._width = 1  # points of a full bucket
        self._filled = 1  # points in the last bucket
        self._before: tuple[Any, Any] = (None, None)  # generation and time of the last step
        self._allocate(0)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that have a value, parts of a step as `ms.<part>`."""
        if not self._length:
            return ()
        some = self._num[: self._length].sum(axis=0) > 0
        return tuple(name for name, column in self._columns.items() if some[column])

    def extend(self, steps: Sequence[Mapping[str, Any]]) -> float:
        """Take up step events, oldest first; those without a step number are left out.

        Returns:
            The lowest step number among them, inf where there is none.
        """
        import numpy as np

        number = _floats([event.get("step") for event in steps])
        if np.isnan(number).any():
            steps = [event for event, one in zip(steps, number, strict=True) if one == one]
            number = number[~np.isnan(number)]
        if not steps:
            return math.inf
        parts = [ms if isinstance(ms := event.get("ms"), dict) else {} for event in steps]
        self._add_columns(steps, parts)
        values = self._table(steps, parts)
        tokens = np.nan_to_num(_floats([event.get("num_tokens") for event in steps]))
        advance = np.stack([number, tokens, self._seconds(steps, values)], axis=1)
        # Where the number falls back, what it falls back behind is dropped first.
        falls = np.flatnonzero(np.diff(number) <= 0) + 1
        for start, stop in zip([0, *falls], [*falls, len(steps)], strict=True):
            self._rewind(number[start])
            self._append(advance[start:stop], values[start:stop])
        return float(number.min())

    def curve(
        self, name: str, buckets: int, start: float | None = None, stop: float | None = None, x: str = "step"
    ) -> Curve:
        """A metric in at most so many buckets, between `start` and `stop` of `x` (one of `XS`).

        Buckets without a value are left out; an unknown metric has none.
        """
        import numpy as np

        column, along = self._columns.get(name), XS.index(x)
        first, last = self._first[: self._length, along], self._last[: self._length, along]
        inside = np.ones(self._length, bool)
        if start is not None:
            inside &= last >= start
        if stop is not None:
            inside &= first <= stop
        kept = np.flatnonzero(inside)
        if column is None or not len(kept):
            return Curve(name)
        lo, hi = int(kept[0]), int(kept[-1]) + 1
        groups = _groups(lo, hi, max(1, buckets))
        num = np.add.reduceat(self._num[lo:hi, column], groups)
        some = num > 0
        total = np.add.reduceat(self._sum[lo:hi, column], groups)[some]
        ends = np.append(groups[1:], hi - lo) - 1
        xs = (first[lo:hi][groups] + last[lo:hi][ends]) / 2
        return Curve(
            name,
            tuple(xs[some].tolist()),
            tuple(np.fmin.reduceat(self._low[lo:hi, column], groups)[some].tolist()),
            tuple((total / num[some]).tolist()),
            tuple(np.fmax.reduceat(self._high[lo:hi, column], groups)[some].tolist()),
        )

    def span(self, x: str = "step") -> tuple[float, float] | None:
        """First and last point of one of `XS`; None of an empty series."""
        along = XS.index(x)
        if not self._length:
            return None
        return float(self._first[0, along]), float(self._last[self._length - 1, along])

    def ways(self, x: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Steps, and where each of them stands on another of `XS`."""
        ends = self._last[: self._length]
        return tuple(ends[:, 0].tolist()), tuple(ends[:, XS.index(x)].tolist())

    def _allocate(self, columns: int) -> None:
        """Room for so many metrics; what is there stays."""
        import numpy as np

        def wider(name: str, empty: float, width: int) -> Floats:
            table = np.full((self._capacity, width), empty)
            if (old := getattr(self, name, None)) is not None:
                table[:, : old.shape[1]] = old
            return table

        self._first, self._last = wider("_first", 0.0, len(XS)), wider("_last", 0.0, len(XS))
        self._low, self._high = wider("_low", math.nan, columns), wider("_high", math.nan, columns)
        self._sum, self._num = wider("_sum", 0.0, columns), wider("_num", 0.0, columns)

    def _add_columns(self, steps: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]) -> None:
        own = set(chain.from_iterable(set(map(tuple, steps)))) - _NO_METRICS
        fresh = (
            own.union(*({f"ms.{key}" for key in keys} for keys in set(map(tuple, parts))))
            - self._columns.keys()
        )
        if fresh and len(self._columns) < _MAX_NAMES:
            for name in sorted(fresh)[: _MAX_NAMES - len(self._columns)]:
                self._columns[name] = len(self._columns)
            self._allocate(len(self._columns))

    def _table(self, steps: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]) -> Floats:
        """One row a step, one column a metric; nan where there is none."""
        import numpy as np

        table = np.full((len(steps), len(self._columns)), math.nan)
        timed = [name for name in self._columns if name.startswith("ms.")]
        own = [name for name in self._columns if not name.startswith("ms.")]
        for names, rows in ((own, steps), (timed, parts)):
            if names:
                keys = [name.removeprefix("ms.") for name in names]
                table[:, [self._columns[name] for name in names]] = _block(rows, keys)
        return table

    def _seconds(self, steps: Sequence[Mapping[str, Any]], values: Floats) -> Floats:
        """How long each step took."""
        import numpy as np

        generations = _floats([self._before[0], *[event.get("generation") for event in steps]])
        times = _floats([self._before[1], *[event.get("time") for event in steps]])
        gaps = np.nan_to_num(np.diff(times)).clip(0.0, _LONGEST_STEP_SECONDS)
        gaps[np.diff(generations) != 0] = 0.0  # the first step of all, or of a generation
        self._before = (generations[-1], times[-1])
        if (column := self._columns.get("ms.total")) is None:
            return gaps
        told = values[:, column] / 1000
        return np.where(np.isnan(told), gaps, told.clip(0.0))

    def _rewind(self, step: float) -> None:
        """Drop the points at or after a step."""
        import numpy as np

        if self._length and self._last[self._length - 1, 0] >= step:
            self._length = int(np.searchsorted(self._last[: self._length, 0], step))
            self._filled = self._width

    def _append(self, advance: Floats, values: Floats) -> None:
        """Take up points in rising order of steps: how far each goes along `XS`, and its metrics."""
        import numpy as np

        reached = self._last[self._length - 1] if self._length else np.zeros(len(XS))
        points = np.cumsum(advance, axis=0) + reached
        points[:, 0] = advance[:, 0]  # a step's number is not counted up
        while len(points):
            if self._length == self._capacity and self._filled == self._width:
                self._halve()
            room = self._width - self._filled
            fitting = room + (self._capacity - self._length) * self._width
            self._put(points[:fitting], values[:fitting], room)
            points, values = points[fitting:], values[fitting:]

    def _put(self, points: Floats, values: Floats, room: int) -> None:
        """Take up points that fit: `room` of them into the last bucket, the others into new ones."""
        import numpy as np

        starts = np.arange(room, len(points), self._width)
        if room:
            starts = np.concatenate([[0], starts])
        at = self._length - bool(room)
        to = at + len(starts)
        ends = np.append(starts[1:], len(points)) - 1
        there = ~np.isnan(values)
        self._first[self._length : to] = points[starts[bool(room) :]]
        self._last[at:to] = points[ends]
        new = slice(self._length, to)
        self._low[new] = self._high[new] = math.nan
        self._sum[new] = self._num[new] = 0.0
        self._low[at:to] = np.fmin(self._low[at:to], np.fmin.reduceat(values, starts))
        self._high[at:to] = np.fmax(self._high[at:to], np.fmax.reduceat(values, starts))
        self._sum[at:to] += np.add.reduceat(np.where(there, values, 0.0), starts)
        self._num[at:to] += np.add.reduceat(there.astype(float), starts)
        old = self._filled if len(starts) == 1 and room else 0
        self._length, self._filled = to, old + len(points) - int(starts[-1])

    def _halve(self) -> None:
        import numpy as np

        half = self._capacity // 2
        self._first[:half], self._last[:half] = self._first[::2].copy(), self._last[1::2].copy()
        self._low[:half] = np.fmin(self._low[::2], self._low[1::2])
        self._high[:half] = np.fmax(self._high[::2], self._high[1::2])
        self._sum[:half] = self._sum[::2] + self._sum[1::2]
        self._num[:half] = self._num[::2] + self._num[1::2]
        self._length, self._width = half, 2 * self._width
        self._filled = self._width


def _groups(lo: int, hi: int, most: int) -> NDArray[np.intp]:
    """Where, from `lo` on, at most so many groups of neighbours begin.

    They begin at multiples of their size, so that a growing curve keeps its shape.
    """
    import numpy as np

    size = -(-(hi - lo) // most)
    while (hi - 1) // size - lo // size + 1 > most:
        size += 1
    starts = np.arange(lo // size * size, hi, size) - lo
    starts[0] = 0
    return starts


def _block(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Floats:
    """One row a mapping, one column a key; nan for what is no number."""
    import numpy as np

    try:
        # The first key stands twice, so that a row is a tuple even where there is no other.
        values = list(map(itemgetter(keys[0], *keys), rows))
        return _finite(values, (len(rows), 1 + len(keys)))[:, 1:]
    except (KeyError, TypeError, ValueError, OverflowError):
        return np.stack([_floats([row.get(key) for row in rows]) for key in keys], axis=1)


def _floats(values: Sequence[Any]) -> Floats:
    """Numbers as they are, nan for everything else."""
    try:
        return _finite(values, (len(values),))
    except (TypeError, ValueError, OverflowError):
        kept = [value if isinstance(value, bool) or is_number(value) else None for value in values]
        return _finite(kept, (len(values),))


def _finite(values: Sequence[Any], shape: tuple[int, ...]) -> Floats:
    """Nan for None and for what is beyond reason.

    Raises:
        TypeError, ValueError, OverflowError: something else is no number, or no single one.
    """
    import numpy as np

    found = np.array(values, dtype=float)
    if found.shape != shape:
        raise ValueError(found.shape)
    found[~(np.abs(found) < _LARGEST)] = math.nan
    return found
