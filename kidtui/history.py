"""One run's events, read as they come and kept in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Any

from engine.errors import RunError
from engine.event_reader import EventReader
from engine.runs import Run
from kidtui import narrate
from kidtui.preview import preview
from kidtui.series import Curve, Series, is_number
from kidtui.watch import Event, View, fold

GONE = "the run's directory is gone"

_NUM_STEPS = 200
_NUM_OTHERS = 1000
_NUM_REWRITES = 100
_NUM_PLACES = 4096
_PLACE_BYTES = 256 * 1024
_MOST_AGAIN_BYTES = 32 * 1024 * 1024
_LONGEST_WORDS = 500
_DEEPEST = 6

_TYPES: dict[str, type] = {
    "parameters": dict, "ms": dict, "error": dict, "by_hardness": dict, "errors": dict,
    "answers": list, "gold": list, "masked": list, "imperfect": list,
}  # fmt: skip
_NUMBERS = ("step", "time", "total_steps", "done", "total", "ex", "num_questions", "loss")


@dataclass(frozen=True, slots=True)
class LogLine:
    """An event in words. `time` in seconds since 1970."""

    time: float
    words: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a run at one moment.

    Attributes:
        view: where the run stands.
        rewrites: the last 100 samples of rewritten tokens.
        num_events: how many events were read.
        num_skipped: how many lines were no events, or damaged ones.
        problem: why no more can be read, "" if it can.
        behind: more is on disk than was read yet.
    """

    view: View = field(default_factory=View)
    rewrites: tuple[Event, ...] = ()
    num_events: int = 0
    num_skipped: int = 0
    problem: str = ""
    behind: bool = False


class History:
    """A run's past. One thread polls, any thread reads; readers wait milliseconds at most."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = threading.Lock()
        self._polled = self._failed = False
        self._problem = ""
        self._snapshot: Snapshot | None = Snapshot(behind=True)
        self._begin()

    def poll(self, max_bytes: int | None = None) -> bool:
        """Take up what is new on disk, about so many bytes at most; whether anything changed.

        What is wrong with the files is told by the snapshot's `problem`.
        """
        if self._failed:
            return False
        if not self._polled:
            self._preview = preview(self.run)
        reader, place = self._reader, self._reader.position
        before = (reader.num_restarts, reader.num_skipped, reader.behind)
        events: list[dict[str, Any]] = []
        try:
            events = reader.poll(max_bytes)
            problem = "" if events else self._what_is_gone()
        except RunError as error:
            problem = self._what_is_gone() or error.message
        now = (reader.num_restarts, reader.num_skipped, reader.behind)
        if self._polled and not events and now == before and problem == self._problem:
            return False
        with self._lock:
            self._problem, self._snapshot, self._polled = problem, None, True
            if now[0] == before[0]:
                self._take(events, place)
            else:  # the past that was read is not what the files say now
                self._begin()
        return True

    def fail(self, problem: str) -> None:
        """Give this run up: it is not read any more, and the snapshot says why."""
        with self._lock:
            self._failed, self._problem, self._snapshot = True, problem, None

    @property
    def failed(self) -> bool:
        """Whether the run was given up; another history of it may fare better."""
        return self._failed

    @property
    def behind(self) -> bool:
        """Whether more is on disk than was read yet."""
        return not self._failed and (not self._polled or self._reader.behind)

    def snapshot(self) -> Snapshot:
        """What is known now; the same object as long as nothing changes."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = Snapshot(
                    view=self._view,
                    rewrites=tuple(self._rewrites),
                    num_events=self._num_events,
                    num_skipped=self._num_damaged + self._reader.num_skipped,
                    problem=self._problem,
                    behind=self.behind,
                )
            return self._snapshot

    def lines(self) -> tuple[LogLine, ...]:
        """The last 200 steps and the last 1 000 other events, in their order; of a phase the newest."""
        with self._lock:
            known = self._step_lines
            fresh = {number: known.get(number) or _line(event) for number, event in self._steps}
            known.clear()
            known.update(fresh)
            both = merge(self._others, fresh.items(), key=lambda pair: pair[0])
            return tuple(line for _, line in both)

    def names(self) -> tuple[str, ...]:
        """The metrics seen: loss, loss_kd, ms.total, ms.mask, tokens_per_s, memory_mb, …"""
        with self._lock:
            series = self._shown()
            return series.names if series else ()

    def curve(
        self, name: str, buckets: int, start: float | None = None, stop: float | None = None, x: str = "step"
    ) -> Curve:
        """A metric over "step", "tokens" or "seconds", in at most so many buckets.

        `start` and `stop` are in units of x. See `Series` for what the units mean. As long as a long run is
        `behind`, curves over steps are drawn from samples of it.
        """
        with self._lock:
            series = self._shown(x)
            return series.curve(name, buckets, start, stop, x) if series else Curve(name)

    def span(self, x: str = "step") -> tuple[float, float] | None:
        """Where curves over x begin and end; None where there are none."""
        with self._lock:
            series = self._shown(x)
            return series.span(x) if series else None

    def ways(self, x: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Steps that were read, and where each of them stands over x. Never of samples."""
        with self._lock:
            return self._series.ways(x) if self._series else ((), ())

    def detail(self, names: Sequence[str], buckets: int, start: float, stop: float) -> tuple[Curve, ...]:
        """As `curve` from step `start` to `stop`, but read from disk again: exact up to 4 096 steps.

        Takes up to half a second: not for the screen's thread. The curves are empty where the range is
        longer than 32 MiB of events, or the events are gone.
        """
        with self._lock:
            places, end = list(self._places), self._reader.position
        # Steps that were done again stand twice; the later one is at or behind the last place that fits.
        first = max((at for at, (low, _) in enumerate(places) if low <= start), default=0)
        last = max((at for at, (low, _) in enumerate(places) if low <= stop), default=-1)
        if last >= first:
            series = Series()
            until = places[last + 1][1] if last + 1 < len(places) else end
            is_short = until[0] != places[first][1][0] or until[1] - places[first][1][1] <= _MOST_AGAIN_BYTES
            if is_short and self._read_again(series, places[first][1], until, start, stop):
                return tuple(series.curve(name, buckets) for name in names)
        return tuple(Curve(name) for name in names)

    def recent(self, name: str) -> tuple[float, ...]:
        """A metric's values in the newest steps, 200 at most, oldest first."""
        with self._lock:
            steps = [event for _, event in self._steps]
        if name.startswith("ms."):
            parts = [ms for event in steps if isinstance(ms := event.get("ms"), dict)]
            found: list[Any] = [part.get(name.removeprefix("ms.")) for part in parts]
        else:
            found = [event.get(name) for event in steps]
        return tuple(float(value) for value in found if is_number(value))

    def _shown(self, x: str = "step") -> Series | None:
        """What curves over x are drawn from: samples do not tell what lies between them, tokens say."""
        return self._preview if x == "step" and self._preview and self.behind else self._series

    def _what_is_gone(self) -> str:
        generation, offset = self._reader.position
        if not self.run.path.is_dir():
            return GONE
        return "its events are gone" if offset and not self.run.events_path(generation).exists() else ""

    def _read_again(
        self, series: Series, place: tuple[int, int], until: tuple[int, int], start: float, stop: float
    ) -> bool:
        """Put the steps of a range into a series; whether there was no more than may be read."""
        reader = EventReader(self.run, *place)
        for _ in range(_MOST_AGAIN_BYTES // _PLACE_BYTES):
            try:
                events = reader.poll(_PLACE_BYTES)
            except RunError:
                return False
            steps = [event for event in events if event["kind"] == "step" and is_number(event.get("step"))]
            series.extend([event for event in steps if start <= event["step"] <= stop])
            if reader.position >= until or not reader.behind:
                return True
        return False

    def _begin(self) -> None:
        """Everything as before the first event."""
        self._reader = EventReader(self.run)
        self._polled = False
        self._view = View()
        self._preview = None
        self._series: Series | None = None  # made by the thread that polls: it loads numpy
        # Lowest step and where its piece of the files begins, a piece being 256 KiB or more.
        self._places: list[tuple[float, tuple[int, int]]] = []
        self._steps: deque[tuple[int, Event]] = deque(maxlen=_NUM_STEPS)
        self._step_lines: dict[int, LogLine] = {}
        self._others: deque[tuple[int, LogLine]] = deque(maxlen=_NUM_OTHERS)
        self._phase: tuple[int, object] | None = None  # of the last line
        self._rewrites: deque[Event] = deque(maxlen=_NUM_REWRITES)
        self._num_events = 0
        self._num_damaged = 0

    def _take(self, events: list[dict[str, Any]], place: tuple[int, int]) -> None:
        steps = [event for event in events if event["kind"] == "step"]
        if steps:
            self._series = self._series or Series()
            self._note_place(self._series.extend(steps), place)
        for number, event in enumerate(events, self._num_events):
            if event["kind"] == "step":
                self._steps.append((number, event))
                if event is not steps[-1]:  # the newest step tells where the run is
                    continue
            if not _is_sound(event):
                self._num_damaged += 1
                continue
            self._view = fold(self._view, event)
            if event["kind"] == "rewrite":
                self._rewrites.append(event)
            if event["kind"] != "step":
                if self._goes_on(event):
                    self._others.pop()
                self._others.append((number, _line(event)))
        self._num_events += len(events)

    def _goes_on(self, event: Event) -> bool:
        """Whether it only tells how far the phase of the last line has come."""
        phase = (event["generation"], event.get("name")) if event["kind"] == "phase" else None
        before, self._phase = self._phase, phase
        return phase is not None and phase == before

    def _note_place(self, low: float, place: tuple[int, int]) -> None:
        """Remember where steps stand on disk, to find them again."""
        if self._places:
            last_low, last = self._places[-1]
            if place[0] == last[0] and place[1] - last[1] < _PLACE_BYTES:
                self._places[-1] = (min(low, last_low), last)
                return
        self._places.append((low, place))
        if len(self._places) > _NUM_PLACES:
            lows = [one for one, _ in self._places]
            self._places = [
                (min(lows[at : at + 2]), self._places[at][1]) for at in range(0, len(self._places), 2)
            ]


def _line(event: Event) -> LogLine:
    if not _is_sound(event):
        return LogLine(0.0, f"{event['kind']}: damaged")
    words = narrate.event(event) or _summary(event)
    if len(words) > _LONGEST_WORDS:
        words = words[:_LONGEST_WORDS] + "…"
    return LogLine(float(event.get("time") or 0.0), words)


def _summary(event: Event) -> str:
    """An event for which there are no words of its own."""
    at = f" at step {narrate.count(event['step'])}" if event.get("step") is not None else ""
    if event["kind"] == "rewrite":
        return f"rewrite{at}: example {event.get('example')}"
    if event["kind"] == "probe":
        answers = [answer for answer in event.get("answers") or () if isinstance(answer, Mapping)]
        right = sum(answer.get("correct") is True for answer in answers)
        return f"probes of {str(event.get('split')).replace('_', ' ')}: {right} of {len(answers)} right{at}"
    known = {"v", "kind", "time", "generation", "step"}
    told = ", ".join(f"{key} {value}" for key, value in event.items() if key not in known)
    return f"{event['kind']}{at}" + (f": {told}" if told else "")


def _is_sound(event: Event) -> bool:
    """Whether an event's fields are of the kinds that everything which shows them relies on."""
    return (
        all(event.get(name) is None or is_number(event[name]) for name in _NUMBERS)
        and all(event.get(name) is None or isinstance(event[name], kind) for name, kind in _TYPES.items())
        and _is_tame(event, _DEEPEST)
    )


def _is_tame(value: Any, depth: int) -> bool:
    """Whether it holds no number beyond reason and is not nested too deep."""
    if isinstance(value, dict):
        return depth > 0 and all(_is_tame(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_tame(item, depth - 1) for item in value)
    return not isinstance(value, int | float) or isinstance(value, bool) or is_number(value)
