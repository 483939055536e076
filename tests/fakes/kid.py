"""The command `kid` with the fake trainer for its engine: `kid.py 'OPTIONS OF THE FAKE' ARGUMENTS…`."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path

from kidtui import cli, launch

FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")

if __name__ == "__main__":
    options, sys.argv = shlex.split(sys.argv[1]), ["kid", *sys.argv[2:]]
    launch.start = partial(launch.start, command=[sys.executable, "-P", str(FAKE_TRAINER), *options])
    cli.main()
