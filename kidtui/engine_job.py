"""A piece of work that the engine does while we wait: events as JSON lines on its stdout, shown on stderr."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import KidError, described
from kidtui import console, follow, launch
from kidtui.display import open_display
from kidtui.watch import Event, View, fold


def do(
    arguments: Sequence[str],
    log: Path,
    *,
    doing: str,
    when_stopped: str,
    request: Mapping[str, Any] | None = None,
    reports: bool = False,
    command: Sequence[str] | None = None,
) -> Event:
    """Run `python -P -m engine ARGUMENTS` to its end; its `report` event, empty where it makes none.

    Interrupted, it ends the engine.

    Args:
        log: gets what the engine complains of.
        doing: what it does, as in "the engine ended with exit code 1 while it answered".
        when_stopped: told after Ctrl-C.
        request: given to it as JSON on its stdin.
        reports: whether it ends with a report: without one it has failed.
        command: what stands for `python -P -m engine`.

    Raises:
        KidError: as the engine says, with its exit code; it died.
    """
    report: Event = {}
    failure: KidError | None = None
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*(command or launch.ENGINE_COMMAND), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone
        ) as engine,
    ):
        assert engine.stdin is not None
        assert engine.stdout is not None
        try:
            with open_display() as display:
                if request is not None:
                    json.dump(request, engine.stdin)
                engine.stdin.close()
                view = View()
                for event in map(json.loads, engine.stdout):
                    if event["kind"] == "report":
                        report = event
                    elif event["kind"] == "error":
                        failure = described(event)
                    view = fold(view, event)
                    display.show(view)
        except BaseException as error:
            engine.kill()
            if isinstance(error, KeyboardInterrupt):
                console.note(when_stopped)
            raise
    if failure:
        raise failure
    if engine.returncode or (reports and not report):
        tail = "\n".join(log.read_text(errors="replace").rstrip().splitlines()[-15:])
        raise KidError(f"the engine {follow.how(engine.returncode)} while it {doing}", tail)
    return report
