"""What the user asks of a running engine: pause, stop, stop at once."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from engine.run_writer import RunWriter

_POLL_SECONDS = 0.2
_ECHO_SECONDS = 1.0
"""A launcher hands on a signal that its processes may have had too: so soon, it is the same one."""


class StopRequested(Exception):
    """The user wants the run to end here, cleanly."""


class Control:
    """Signals and the run's control folder. The first signal asks, the second ends at once.

    SIGHUP: the terminal closes in which the engine was started by hand. Under nohup it stays ignored.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._signalled_at: float | None = None
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        for name in (signal.SIGTERM, signal.SIGINT, *hang_up):
            signal.signal(name, self._on_signal)

    def check(self) -> None:
        """Waits while the run is paused. Called where the run can stop without losing work.

        Raises:
            StopRequested: by signal or by control file.
        """
        self._stop_if_asked()
        if "pause" in self._writer.requested():
            self._writer.update(state="paused")
            while "pause" in self._writer.requested():
                self._stop_if_asked()
                time.sleep(_POLL_SECONDS)
            self._writer.update(state="running")

    def _stop_if_asked(self) -> None:
        if self._signalled_at is not None or "stop" in self._writer.requested():
            self._writer.update(state="stopping")
            raise StopRequested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
        elif now - self._signalled_at > _ECHO_SECONDS:
            os._exit(130)
