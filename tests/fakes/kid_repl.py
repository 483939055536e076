"""The command `kid` with the service that has a mock model for its engine: `kid_repl.py ARGUMENTS…`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from kidtui import cli
from kidtui.repl import service

FAKE_ENGINE = (sys.executable, str(Path(__file__).with_name("fake_service.py")))

if __name__ == "__main__":
    service.Service = partial(service.Service, command=FAKE_ENGINE)  # type: ignore[assignment, misc]
    sys.argv[0] = "kid"
    cli.main()
