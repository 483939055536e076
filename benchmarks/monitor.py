"""What following runs costs the monitor's background thread: no screen is drawn here.

    python benchmarks/monitor.py [--steps N] [--rate N] [--seconds N] [--day N] [--json FILE]

- cold: a finished run of `--steps` steps lies on disk (its pages in the system's cache); seconds of CPU and
  of clock from `Monitor.start` to the whole loss curve in 200 buckets, numpy's import included. Every
  measurement has a process of its own.
- follow: another process appends `--rate` steps a second for `--seconds`; the CPU seconds of this one while
  it follows them and takes a snapshot and three curves four times a second, as a screen does.
- board: milliseconds of one look at 1 000 ended runs, after the first.
- day: one History reads `--day` step events (a day at 25 a second), with a checkpoint every 100 and an
  evaluation, probes and a rewrite every 1 000. Simulated: they are read as fast as they are written, 20 000
  at a time, each portion as the next generation of the run, and the file before is deleted, so that no disk
  needs room for a day. Resident memory after a tenth and at the end.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from engine import files
from engine.runs import Run, process_mark

_PARTS = ("prefix", "mask", "teacher", "student", "backward", "optimizer", "total")
_CURVES = ("loss", "ms.total", "ms.student")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--day", type=int, default=2_160_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["KID_HOME"] = home
        told = {
            "cold": apart(cold, options.steps),
            "follow": apart(follow, options.rate, options.seconds),
            "board": apart(board, 1000),
            "day": apart(day, options.day),
        }
    for name, figures in told.items():
        print(name)
        for what, value in figures.items():
            print(f"  {what:<28}{value:12,.3f}")
    if options.json:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        options.json.write_text(json.dumps({**told, **machine}, indent=2) + "\n")


def apart(measure: Callable[..., dict[str, float]], *given: Any) -> dict[str, float]:
    """The figures of a measurement in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def cold(steps: int) -> dict[str, float]:
    from kidtui.monitor import Monitor

    run = new_run("cold", "done")
    with run.events_path(1).open("wb") as file:
        for step in range(1, steps + 1):
            file.write(step_line(step))
    megabytes = run.events_path(1).stat().st_size / 1e6
    read = threading.Event()
    first = threading.Event()

    def on_run(run_id: str) -> None:
        history = monitor.history(run_id)
        assert history is not None
        first.set()
        if not history.behind:
            read.set()

    monitor = Monitor(lambda rows: None, on_run)
    cpu, began = time.process_time(), time.perf_counter()
    monitor.follow([run.id])
    monitor.start()
    first.wait()
    seen = time.perf_counter() - began
    read.wait()
    history = monitor.history(run.id)
    assert history is not None
    curve = history.curve("loss", 200)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    monitor.stop()
    assert history.snapshot().num_events == steps
    assert curve.xs[-1] > 0.99 * steps
    return {"megabytes": megabytes, "seconds_to_first_news": seen, "seconds": seconds, "cpu_seconds": used}


def follow(rate: int, seconds: float) -> dict[str, float]:
    from kidtui.monitor import Monitor

    run = new_run("followed", "running")
    process = multiprocessing.get_context("spawn").Process(target=write, args=(run, rate, seconds))
    monitor = Monitor(lambda rows: None, lambda run_id: look(monitor, run_id))
    process.start()
    while not run.events_path(1).exists():
        time.sleep(0.01)
    cpu = time.process_time()
    monitor.follow([run.id])
    monitor.start()
    process.join()
    time.sleep(0.5)
    used = time.process_time() - cpu
    monitor.stop()
    history = monitor.history(run.id)
    assert history is not None
    num_events = history.snapshot().num_events
    assert num_events == int(rate * seconds), num_events
    return {"events": num_events, "cpu_seconds": used, "share_of_a_core": used / (seconds + 0.5)}


def board(num_runs: int) -> dict[str, float]:
    from kidtui.board import Board

    for number in range(num_runs):
        new_run(f"ended-{number}", "done")
    all_runs = Board()
    took = []
    for _ in range(6):
        began = time.perf_counter()
        rows = all_runs.refresh()
        took.append(1000 * (time.perf_counter() - began))
    assert len(rows) >= num_runs
    return {"runs": len(rows), "first_ms": took[0], "next_ms": sorted(took[1:])[2]}


def day(num_events: int) -> dict[str, float]:
    from kidtui.history import History

    run = new_run("day", "running")
    history = History(run)
    sizes: list[float] = []
    block, step, generation = 20_000, 0, 0
    reading = 0.0
    while step < num_events:
        generation += 1
        with run.events_path(generation).open("wb") as file:
            file.writelines(step_line(step + n) + other_lines(step + n) for n in range(1, block + 1))
        step += block
        began = time.process_time()
        while history.poll(256 * 1024) or history.behind:
            pass
        for name in _CURVES:
            history.curve(name, 200)
        history.snapshot()
        reading += time.process_time() - began
        run.events_path(generation - 1).unlink(missing_ok=True)
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / 1e6)
    early = sizes[len(sizes) // 10]
    told = history.snapshot()
    assert told.view.step["step"] == step
    return {
        "events": told.num_events,
        "rss_mb_at_a_tenth": early,
        "rss_mb_at_the_end": sizes[-1],
        "growth_mb": sizes[-1] - early,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "cpu_seconds": reading,
    }


def look(monitor: Any, run_id: str) -> None:
    """What a screen asks for when there is news."""
    history = monitor.history(run_id)
    history.snapshot()
    for name in _CURVES:
        history.curve(name, 200)


def write(run: Run, rate: int, seconds: float) -> None:
    """Appends steps at an even pace, a hundredth of a second's worth at a time."""
    began, step, total = time.monotonic(), 0, int(rate * seconds)
    with run.events_path(1).open("ab", buffering=0) as file:
        while step < total:
            due = min(total, int((time.monotonic() - began) * rate))
            file.write(b"".join(step_line(number) for number in range(step + 1, due + 1)))
            step = due
            time.sleep(0.01)


def new_run(name: str, state: str) -> Run:
    path = Path(os.environ["KID_HOME"]) / "runs" / name
    path.mkdir(parents=True)
    files.write_json(path / "run.json", {"id": name, "created": time.time(), "profile": {"name": "p"}})
    status = {"v": 1, "state": state, "generation": 1, "updated": time.time(), "last_event": time.time()}
    files.write_json(path / "status.json", {**status, **process_mark()})
    return Run(name, path)


def step_line(step: int) -> bytes:
    loss = 3.0 / (1 + step / 1000) + (step * 7919 % 1000) / 5000
    parts = {name: round(100 + 17.7 * (step * (at + 3) % 13), 3) for at, name in enumerate(_PARTS)}
    event = {
        "v": 1, "kind": "step", "time": 1.79e9 + step * 0.04, "step": step, "epoch": 0, "loss": loss,
        "loss_kd": loss * 0.43210987, "loss_mle": loss * 0.56789013, "lr": 0.001 / (1 + step * 1e-5),
        "grad_norm": 4.49534797668457 / (1 + step % 97), "ms": parts, "tokens_per_s": 943.4,
        "num_tokens": 900 + step % 100, "memory_mb": 690, "recovered_rate": None if step % 9 == 0 else 0.1875,
        "token_efficiency": 0.8451, "eta_s": 302.7,
    }  # fmt: skip
    return json.dumps(event).encode() + b"\n"


def other_lines(step: int) -> bytes:
    if step % 100:
        return b""
    lines = [{"kind": "checkpoint", "time": 1.79e9, "step": step, "path": f"checkpoints/step-{step}"}]
    if step % 1000 == 0:
        answers = [{"question": "q" * 80, "gold": "SELECT 1 " * 9, "sql": "SELECT 2 " * 9, "correct": True}]
        lines.append({"kind": "eval", "time": 1.79e9, "step": step, "split": "student", "ex": 0.5})
        lines.append({"kind": "probe", "step": step, "split": "student", "answers": answers * 6})
        lines.append({"kind": "rewrite", "step": step, "gold": ["a"] * 40, "masked": ["b"] * 40})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


if __name__ == "__main__":
    main()
