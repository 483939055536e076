"""The background thread that reads what is on disk, for every screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from engine import paths
from engine.runs import Run
from kidtui.board import Board, Row
from kidtui.hardware import Hardware
from kidtui.history import History

_BOARD_SECONDS = 1.0
_POLL_SECONDS = 0.2
_CALL_SECONDS = 0.25
_CALL_BEHIND_SECONDS = 1.0  # a redraw takes from the reading, and shows little that is new
_BYTES_A_TURN = 256 * 1024
_WORK_SECONDS = 0.01
_YIELD_SECONDS = 0.001
_NUM_KEPT = 8


class Monitor:
    """Keeps the list of runs and the followed runs' events up to date.

    Args:
        on_board: gets the rows, at first and whenever they change.
        on_run: gets the id of a followed run of which there is news, four times a second each, and at
            once when all that is on disk has been read.

    Both are called from the monitor's thread.
    """

    def __init__(self, on_board: Callable[[tuple[Row, ...]], None], on_run: Callable[[str], None]) -> None:
        self.rows: tuple[Row, ...] = ()
        self.has_looked = False
        """Whether `rows` is what there is: at first nobody has looked yet."""
        self.problem = ""
        """Why the runs cannot be listed, "" if they can."""
        self.hardware = ""
        """What the machine is at, in words."""
        self._on_board = on_board
        self._on_run = on_run
        self._lock = threading.Lock()
        self._histories: dict[str, History] = {}  # in the order in which they were last asked for
        self._followed: tuple[str, ...] = ()
        self._told: dict[str, float] = {}
        self._news: set[str] = set()
        self._wake = threading.Event()
        self._board_due = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="kid-monitor", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing is called any more when this returns, unless a disk does not answer."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def wake(self) -> None:
        """Look at once: something was just changed."""
        self._board_due = 0.0
        self._wake.set()

    def follow(self, run_ids: Iterable[str]) -> None:
        """Read the events of these runs; one that could not be read is tried again.

        The last few that were followed before are kept as they are.
        """
        root = paths.runs_dir()
        with self._lock:
            self._followed = tuple(dict.fromkeys(run_ids))
            for run_id in self._followed:
                history = self._histories.pop(run_id, None)
                if history is None or history.failed:
                    history = History(Run(run_id, root / run_id))
                self._histories[run_id] = history
            idle = [run_id for run_id in self._histories if run_id not in self._followed]
            for run_id in idle[: len(idle) - _NUM_KEPT] if len(idle) > _NUM_KEPT else ():
                del self._histories[run_id]
            self._told = {run_id: at for run_id, at in self._told.items() if run_id in self._histories}
        self._wake.set()

    def row(self, run_id: str | None) -> Row | None:
        """A run at a glance, if it is there."""
        return next((row for row in self.rows if row.id == run_id), None)

    def history(self, run_id: str) -> History | None:
        """The events of a run that is followed, or was not long ago."""
        with self._lock:
            return self._histories.get(run_id)

    def _work(self) -> None:
        board, hardware = Board(), Hardware()
        rested = time.monotonic()
        while not self._stopping:
            self._wake.clear()
            self._try(self._look, board)
            self._try(self._measure, hardware)
            if not self._try(self._turn):
                self._wake.wait(_POLL_SECONDS)
                rested = time.monotonic()
            elif time.monotonic() - rested > _WORK_SECONDS:
                time.sleep(_YIELD_SECONDS)  # the screen's thread has its turn
                rested = time.monotonic()
        hardware.close()

    def _try(self, part: Callable[..., bool], *given: object) -> bool:
        """Does a part of the work; whatever goes wrong in it, the others go on."""
        try:
            return part(*given)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            return False

    def _measure(self, hardware: Hardware) -> bool:
        self.hardware = hardware.refresh()
        return False

    def _look(self, board: Board) -> bool:
        if time.monotonic() < self._board_due:
            return False
        self._board_due = time.monotonic() + _BOARD_SECONDS
        rows = board.refresh()
        self.problem = board.problem
        if rows != self.rows or not self.has_looked:
            self.rows, self.has_looked = rows, True
            self._on_board(rows)
        return False

    def _turn(self) -> bool:
        """Each followed run a piece; whether one of them has more."""
        behind = False
        for run_id in self._followed:
            history = self.history(run_id)
            if history is None:
                continue
            was_behind = history.behind
            try:
                if history.poll(_BYTES_A_TURN):
                    self._news.add(run_id)
                if was_behind and not history.behind:
                    self._told.pop(run_id, None)  # the whole of it is there: said at once
                behind |= history.behind
            except Exception as error:  # a run that cannot be followed leaves the others alone
                history.fail(f"cannot be followed: {type(error).__name__}: {error}")
                self._news.add(run_id)
        for run_id in list(self._news):
            history = self.history(run_id)
            rest = _CALL_BEHIND_SECONDS if history and history.behind else _CALL_SECONDS
            if time.monotonic() - self._told.get(run_id, 0.0) >= rest:
                self._told[run_id] = time.monotonic()
                self._news.discard(run_id)
                self._on_run(run_id)
        return behind
