"""Whether a long run stays as it began: its memory, and the cost of its events.

    python benchmarks/endurance.py [--steps N] [--events N] [--batch N] [--threads N] [--json FILE]

- memory: an engine does `--steps` steps of the demo in a process of its own: KID, `--batch` questions on one
  database a step, out of 200, so that the largest steps come early; a checkpoint every 100. Its resident
  memory is read from outside, every 0.2 s, and told for every 100 steps: the mean. The slope is of a straight
  line, by least squares, through the last 80 % of them, KiB a step, with its standard error: where that is as
  large as the slope itself, nothing is seen to grow.
- events: a run's writer appends `--events` events like the first step's: microseconds an event over the first
  and the last tenth (medians of portions of 100), MB on disk, and the seconds in which a reader has them all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine import profile, runs
from engine.event_reader import EventReader
from engine.run_writer import RunWriter
from engine.runs import Run
from kidtui import launch

_EVERY = 100
_EXAMPLES = 200
_POLL_SECONDS = 0.2
_PORTION = 100
_OF_THE_WRITER = ("v", "kind", "time", "generation")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.steps < 10 * _EVERY:
        parser.error(f"--steps: at least {10 * _EVERY}, for a slope")
    with tempfile.TemporaryDirectory() as home:
        os.environ["KID_HOME"] = home
        run = demo_run(options.steps, options.batch, options.threads)
        grown = memory(run)
        step = next(event for event in EventReader(run).poll() if event["kind"] == "step")
        told = {"memory": grown, "events": events(step, options.events)}
    if options.json:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        options.json.write_text(json.dumps({**told, "argv": sys.argv[1:], **machine}, indent=2) + "\n")


def demo_run(steps: int, batch: int, threads: int) -> Run:
    settings = [
        f"train.max_steps={steps}",
        "train.epochs=10000",
        f"data.train_limit={_EXAMPLES}",
        f"train.threads={threads}",
        f"train.questions_per_database={batch}",
        "train.databases_per_step=1",
        "train.checkpoint_every=100",
        "eval.before=false",
        "eval.limit=4",
    ]
    return runs.create(profile.load("demo", settings), ["benchmark"])


def memory(run: Run) -> dict[str, Any]:
    """Resident memory (MiB) of the run's engine by step, and its slope."""
    began = time.monotonic()
    engine = launch.start(run)
    process, reader = psutil.Process(engine.process.pid), EventReader(run)
    steps: list[int] = [0]
    resident: list[list[float]] = [[]]
    print("  step   resident memory, MiB")
    while engine.process.poll() is None:
        done = [event["step"] for event in reader.poll() if event["kind"] == "step"]
        if done and done[-1] >= steps[-1] + _EVERY:
            print(f"{steps[-1]:6d}   {statistics.fmean(resident[-1]):8.1f}", flush=True)
            steps.append(done[-1])
            resident.append([])
        try:
            resident[-1].append(process.memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            break
        time.sleep(_POLL_SECONDS)
    if engine.process.wait() != 0:
        sys.exit(f"the engine failed:\n{engine.last_words()}")
    # What begins at 0 is the loading, and what is read last is the scoring.
    steps, means = steps[1:-1], [statistics.fmean(values) for values in resident[1:-1]]
    late = [at for at, step in enumerate(steps) if step >= steps[0] + 0.2 * (steps[-1] - steps[0])]
    line, covariance = np.polyfit([steps[at] for at in late], [means[at] * 1024 for at in late], 1, cov=True)
    slope, error = float(line[0]), float(covariance[0, 0] ** 0.5)
    seconds = time.monotonic() - began
    print(f"slope over the last 80 %: {slope:+.2f} ± {error:.2f} KiB a step ({seconds:.0f} s)")
    return {
        "steps": steps,
        "resident_mib": [round(value, 2) for value in means],
        "slope_kib_per_step": round(slope, 4),
        "standard_error": round(error, 4),
        "seconds": round(seconds, 1),
    }


def events(step: dict[str, Any], number: int) -> dict[str, float]:
    """What so many events cost to write and to read."""
    fields = {key: value for key, value in step.items() if key not in _OF_THE_WRITER}
    run = runs.create(profile.load("demo"), ["benchmark"])
    portions = []
    with RunWriter(run) as writer:
        for start in range(0, number, _PORTION):
            began = time.perf_counter()
            for at in range(start, min(start + _PORTION, number)):
                writer.event("step", **{**fields, "step": at})
            portions.append((time.perf_counter() - began) / _PORTION * 1e6)
        writer.finish("done")
    tenth = max(1, len(portions) // 10)
    began = time.perf_counter()
    read = sum(event["kind"] == "step" for event in EventReader(run).poll())
    seconds = time.perf_counter() - began
    assert read == number
    told = {
        "number": number,
        "us_first_tenth": round(statistics.median(portions[:tenth]), 2),
        "us_last_tenth": round(statistics.median(portions[-tenth:]), 2),
        "mb": round(run.events_path(1).stat().st_size / 1e6, 2),
        "read_seconds": round(seconds, 3),
    }
    print(
        f"{number} events: {told['us_first_tenth']} µs each in the first tenth, {told['us_last_tenth']} µs in"
        f" the last; {told['mb']} MB, read in {told['read_seconds']} s"
    )
    return told


if __name__ == "__main__":
    main()
