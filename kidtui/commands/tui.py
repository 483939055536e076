"""`kid tui`: the monitor."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kidtui.commands.options import DataDir


def tui(
    readonly: Annotated[
        bool, typer.Option("--readonly", help="Look only: no run or profile is started, stopped or changed.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Watch and steer runs, edit profiles, compare, ask: a full-screen application.

    Engines go on running when it is closed. ? shows all keys.
    """
    from engine.errors import UsageError

    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "kid tui needs a terminal on stdin, stdout and stderr",
            "kid runs list and kid runs logs -f show the same in pipes",
        )
    from kidtui import config
    from kidtui.app import KidApp

    KidApp(config.load(), readonly=readonly, data_dir=data_dir).run()
