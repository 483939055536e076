"""Let the engine study a student's errors, with progress on stderr."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import KidError, described
from kidtui import console, follow, launch
from kidtui.display import open_display
from kidtui.watch import View, fold


def study(
    request: Mapping[str, Any], log: Path, command: Sequence[str] = launch.ENGINE_COMMAND
) -> dict[str, Any]:
    """The engine's report on a request (engine/study/study_errors.py).

    Interrupted, it ends the engine. Nothing is written but `log`, what the engine complains of.

    Raises:
        KidError: as the engine says, with its exit code; it died.
    """
    report: dict[str, Any] | None = None
    failure: KidError | None = None
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, "study"],
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
                json.dump(request, engine.stdin)
                engine.stdin.close()
                view = View()
                for line in engine.stdout:
                    event = json.loads(line)
                    if event["kind"] == "report":
                        report = event["report"]
                    elif event["kind"] == "error":
                        failure = described(event)
                    else:
                        view = fold(view, event)
                        display.show(view)
        except BaseException as error:
            engine.kill()
            if isinstance(error, KeyboardInterrupt):
                console.note("stopped; the same command begins with the answers that there are")
            raise
    if failure:
        raise failure
    if report is None:
        tail = "\n".join(log.read_text(errors="replace").rstrip().splitlines()[-15:])
        raise KidError(f"the engine {follow.how(engine.returncode)} while it studied the errors", tail)
    return report
