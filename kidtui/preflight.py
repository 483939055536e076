"""Asks the engine to try a few steps of a run, and tells what it found."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import KidError, described
from engine.profile import Profile
from kidtui import launch
from kidtui.narrate import count, duration

_KILLED = "the engine was killed, as the system does when memory runs out"


def measure(
    chosen: Profile,
    data_dir: Path | None,
    tell: Callable[[str, int, int], None],
    command: Sequence[str] = launch.ENGINE_COMMAND,
) -> dict[str, Any]:
    """What a few steps of a run took (engine/distill/preflight.py). To run out of memory is an answer, too.

    Args:
        tell: called with (what is being done, done, total); what it raises ends the engine.

    Raises:
        KidError: as the engine says, or it gives no answer.
    """
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            [*command, "preflight"],
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
            engine.stdin.write(json.dumps(launch.plan_request(chosen, data_dir)))
            engine.stdin.close()
            for event in map(json.loads, engine.stdout):
                if event["kind"] == "phase":
                    tell(event["name"], event["done"], event["total"])
                elif event["kind"] == "report":
                    found = event["report"]
                elif event["kind"] == "error":
                    raise described(event)
        except BrokenPipeError:
            pass  # it has died: how, it tells below
        except (ValueError, KeyError, TypeError) as error:
            engine.kill()
            raise KidError(f"the engine's answer is no measurement ({error!r})") from error
        except BaseException:
            engine.kill()
            raise
        engine.wait()
        if found:
            return found
        if engine.returncode == -signal.SIGKILL:
            return {"fits": False, "reason": _KILLED, "notes": []}
        errors.seek(0)
        tail = "\n".join(errors.read().rstrip().splitlines()[-15:])
        raise KidError(f"the engine could not measure this run (exit code {engine.returncode})", tail)


def words(found: Mapping[str, Any]) -> list[str]:
    """What was measured: whether it fits; where steps were made, their time, and that of answers; notes."""
    notes = [f"note: {note}" for note in found["notes"]]
    if not found["fits"]:
        return [f"does not fit: {found['reason']}", *notes]
    verdict = "tight" if found["memory_mb"] > found["free_mb"] else "fits"
    needed, here, free = (found[name] / 1024 for name in ("memory_mb", "here_mb", "free_mb"))
    text = found["teacher_text_seconds"]
    first = f"the teacher's answers {duration(text)}, " if text else ""
    return [
        f"{verdict}: {needed:.1f} GB of {here:.1f} ({free:.1f} free)",
        f"time: {first}steps {duration(found['train_seconds'])} (each {count(found['step_ms'])} ms),"
        f" evaluations {duration(found['eval_seconds'])} with answers as long as now",
        *notes,
    ]
