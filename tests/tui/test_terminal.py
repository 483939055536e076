"""The monitor in a pseudo-terminal: what only the bytes show."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect

from engine import profile as profiles
from engine import runs
from engine.errors import KidError
from kidtui import launch
from tests.tui.conftest import fake


def wait_for(app: Any, *texts: bytes) -> None:
    """Read what the application writes until all of these have come."""
    seen, deadline = b"", time.monotonic() + 30
    while not all(text in seen for text in texts):
        assert time.monotonic() < deadline, texts
        seen += app.read_nonblocking(65536, timeout=15)


def test_mouse_copy_and_the_end_of_a_run(tmp_path: Path) -> None:
    values = {"name": "live", "student": {"model": "./none"}, "method": {"name": "sft"}}
    both = [runs.create(profiles.from_values(values), ["kid"]) for _ in range(2)]
    for run in both:
        launch.start(run, fake("--steps 100000 --seconds 0.01"))
    kid = Path(sys.executable).with_name("kid")
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    app = pexpect.spawn(str(kid), ["tui"], env=environment, dimensions=(40, 120))
    try:
        wait_for(app, b"2 running")
        app.send("\x1b[<0;20;5M\x1b[<0;20;5m")  # a click on the second run, then y: its id goes out as OSC 52
        app.send("y")
        wait_for(app, b"\x1b]52;c;")
        runs.request(run, "stop")
        wait_for(app, b"\x1b]9;kid: run " + run.id.encode() + b" stopped\x07", b"\x07")
        app.send("q")
        app.expect(pexpect.EOF, timeout=15)
        app.close()
        assert app.exitstatus == 0
        assert b"\x1b[?1049l" in app.before  # the terminal has its own screen again
    finally:
        app.close(force=True)
        for run in both:
            with suppress(KidError):
                launch.kill(run)
