"""How quick the monitor is, as a user at a terminal sees it.

    python benchmarks/tui.py [--steps N] [--repeats N] [--json FILE]

`kid tui` is run in a pseudo-terminal of 120 × 40, in a home of its own:

first frame       from the command to the text of an empty home; median of --repeats
first chart       … until the loss of a run of --steps steps is drawn over its full range, from samples
whole chart       … until the run is read to its end and drawn
key press         from a key to its change on the screen, while an engine writes 1 000 steps a second; with
                  how many of them the engine really wrote
switch            … from a key that turns to another screen to what stands on it, each screen having been
                  shown before; the first time of each beside it
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect

from engine import profile as profiles
from engine import runs
from engine.run_writer import RunWriter
from engine.runs import Run
from kidtui.widgets.run_list import ORDERS

PER_SECOND = 1000
PRESSES = 60
SWITCHES = 20
SCREENS = {"2": "Duplicate", "3": "Nothing to compare yet", "4": "Teacher", "1": "Pause"}
"""Keys, and a text of the screen that they turn to."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write_at_speed(runs.find(options.write))
        return
    figures = {
        "first_frame_s": statistics.median(first_frame() for _ in range(options.repeats)),
        **charts(options.steps, options.repeats),
        **at_speed(),
    }
    print(f"first frame                          {figures['first_frame_s']:6.2f} s")
    print(f"first chart of {options.steps} steps, cold   {figures['first_chart_s']:6.2f} s")
    print(f"whole chart of {options.steps} steps, cold   {figures['whole_chart_s']:6.2f} s")
    print(
        f"key press at {figures['steps_per_s']:4.0f} steps/s              median {figures['key_ms']:.0f} ms,"
        f" highest of {PRESSES} {figures['key_highest_ms']:.0f} ms"
    )
    print(
        f"switch of screens                    median {figures['switch_ms']:.0f} ms,"
        f" highest of {SWITCHES} {figures['switch_highest_ms']:.0f} ms,"
        f" highest of the first ones {figures['first_switch_highest_ms']:.0f} ms"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def first_frame() -> float:
    """Seconds until an empty home is drawn."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        app = start(home)
        wait_for(app, "No runs yet")
        seconds = time.perf_counter() - began
        leave(app)
        return seconds


def charts(num_steps: int, repeats: int) -> dict[str, float]:
    """Seconds until a long run is drawn: over its full range, and with all its steps."""
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["KID_HOME"] = home
        with RunWriter(new_run()) as writer:
            writer.event("run_start", profile="long", total_steps=num_steps, parameters={})
            with writer.run.events_path(writer.generation).open("ab") as events:
                for step in range(1, num_steps + 1):
                    events.write(json.dumps(step_event(step)).encode() + b"\n")
            writer.event("warning", message="this-is-the-end")
            writer.update(step=num_steps, total_steps=num_steps, loss=0.5)
            writer.finish("done")
        tick = f"{num_steps // 2000}k"  # of the middle of the axis
        for _ in range(repeats):
            began = time.perf_counter()
            app = start(home)
            wait_for(app, tick)
            first = time.perf_counter() - began
            wait_for(app, "this-is-the-end")
            times.append((first, time.perf_counter() - began))
            leave(app)
    firsts, wholes = zip(*times, strict=True)
    return {"first_chart_s": statistics.median(firsts), "whole_chart_s": statistics.median(wholes)}


def at_speed() -> dict[str, float]:
    """How keys are answered while steps pour in."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["KID_HOME"] = home
        run = new_run()
        writer = subprocess.Popen([sys.executable, __file__, "--write", str(run.path)])
        try:
            app = start(home)
            wait_for(app, "running")
            time.sleep(3.0)  # it has caught up
            before, began = count_steps(run), time.perf_counter()
            figures = {**key_presses(app), **switches(app)}
            figures["steps_per_s"] = (count_steps(run) - before) / (time.perf_counter() - began)
            leave(app)
        finally:
            writer.kill()
            writer.wait()
        return figures


def key_presses(app: Any) -> dict[str, float]:
    """Milliseconds from a key to what it changes."""
    times = []
    for press in range(PRESSES):
        time.sleep(0.13)  # at no fixed place between two redraws
        times.append(answered(app, "o", f"by {ORDERS[(press + 1) % len(ORDERS)]}"))
    return {"key_ms": statistics.median(times), "key_highest_ms": max(times)}


def switches(app: Any) -> dict[str, float]:
    """Milliseconds from a key to the screen that it turns to."""
    times = []
    for number in range(len(SCREENS) + SWITCHES):
        time.sleep(0.63 if number > len(SCREENS) else 2.0)  # by then what comes after it has come
        drain(app)
        key = list(SCREENS)[number % len(SCREENS)]
        times.append(answered(app, key, SCREENS[key]))
    first, warm = times[: len(SCREENS)], times[len(SCREENS) :]
    return {
        "switch_ms": statistics.median(warm),
        "switch_highest_ms": max(warm),
        "first_switch_highest_ms": max(first),
    }


def answered(app: Any, key: str, text: str) -> float:
    pressed = time.perf_counter()
    app.send(key)
    wait_for(app, text)
    return 1000 * (time.perf_counter() - pressed)


def drain(app: Any) -> None:
    """Read what was drawn before."""
    with suppress(pexpect.TIMEOUT):
        while True:
            app.read_nonblocking(65536, timeout=0)


def start(home: str) -> Any:
    environment = {**os.environ, "KID_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    kid = Path(sys.executable).with_name("kid")
    app = pexpect.spawn(str(kid), ["tui"], env=environment, dimensions=(40, 120))
    app.delaybeforesend = None  # pexpect would wait 50 ms before each key
    return app


def wait_for(app: Any, text: str) -> None:
    """Read what the application draws until a text has come."""
    seen = b""
    while text.encode() not in seen:
        seen = seen[-len(text) :] + app.read_nonblocking(65536, timeout=60)


def leave(app: Any) -> None:
    app.send("q")
    app.expect(pexpect.EOF, timeout=60)
    app.close()


def new_run() -> Run:
    values = {"name": "long", "student": {"model": "./none"}, "method": {"name": "sft"}}
    return runs.create(profiles.from_values(values), ["kid", "distill"])


def step_event(step: int) -> dict[str, Any]:
    """A step as the trainer writes it, in size and kind."""
    parts = ("prefix", "mask", "teacher", "student", "backward", "optimizer", "total")
    return {
        "v": 1, "kind": "step", "time": 1.7e9 + step, "step": step, "epoch": step // 430,
        "loss": 3.139371395111 / step, "loss_kd": 1.343519389629 / step, "loss_mle": 1.795852005481 / step,
        "lr": 0.00011111111111111112, "grad_norm": 4.49534797668457,
        "ms": dict.fromkeys(parts, 100.123 + step % 7), "tokens_per_s": 943.4, "num_tokens": 955,
        "memory_mb": 690, "recovered_rate": 0.1875, "token_efficiency": 0.8451, "eta_s": 302.7,
    }  # fmt: skip


def count_steps(run: Run) -> int:
    return run.events_path(1).read_bytes().count(b'"kind": "step"')


def write_at_speed(run: Run) -> None:
    """An engine that writes 1 000 steps a second until it is killed."""
    with RunWriter(run) as writer:
        writer.event("run_start", profile="fast", total_steps=10**6, parameters={})
        began, step = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * PER_SECOND)
            for _ in range(due - step):
                step += 1
                fields = {
                    key: value for key, value in step_event(step).items() if key not in ("v", "kind", "time")
                }
                writer.event("step", **fields)
            writer.update(state="running", step=step, total_steps=10**6, loss=1.0)
            time.sleep(0.002)


if __name__ == "__main__":
    main()
