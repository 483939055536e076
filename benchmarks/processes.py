"""Whether several processes train what one does, and how fast.

    python benchmarks/processes.py [--processes N] [--steps N] [--profile P] [--repeats N] [--json FILE]

Runs of `kid distill` in a home of their own, with one process and with several on this machine in turn (on
CPUs they speak through gloo and share the cores), each step over the same questions. Compared are the loss of
every step, which must agree to the tolerance that is printed, and the medians of the steps' milliseconds over
all repeats; the first three steps of a run warm up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from steps import print_machine, report

TOLERANCE = 1e-4
"""Of a loss, relative: sums are taken in another order, and every step of AdamW passes that on."""
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    assert options.steps > WARM_UP, f"--steps must be above {WARM_UP}: these warm up"
    print_machine()
    runs: dict[int, list[list[dict[str, Any]]]] = defaultdict(list)
    for _ in range(options.repeats):
        for number in (1, options.processes):
            runs[number].append(train(options.profile, number, options.steps))
    losses = {number: [step["loss"] for step in those[0]] for number, those in runs.items()}
    one, several = losses[1], losses[options.processes]
    difference = max(abs(there / here - 1) for here, there in zip(one, several, strict=True))
    seconds = {
        number: statistics.median(step["ms"]["total"] / 1000 for run in those for step in run[WARM_UP:])
        for number, those in runs.items()
    }
    reduce = statistics.median(step["ms"]["reduce"] for step in runs[options.processes][0][WARM_UP:])
    print(f"\n{options.profile}, {options.steps} steps")
    for number, value in seconds.items():
        print(f"  {number} process{'es' if number > 1 else '':<4}{value:8.3f} s a step")
    print(f"  of which the gradients' sum over the processes takes {reduce:.1f} ms")
    print(
        f"  losses: first {one[0]:.4f}, last {one[-1]:.4f} and {several[-1]:.4f}; largest difference"
        f" {difference:.1e} of the loss: {'the same' if difference <= TOLERANCE else 'NOT the same'} curve"
        f" (tolerance {TOLERANCE:.0e})"
    )
    ratios = {
        "processes_vs_one": seconds[options.processes] / seconds[1],
        "processes_loss_difference": difference,
    }
    found = {"processes": options.processes, "seconds": seconds, "losses": losses, "reduce_ms": reduce}
    report(options.json, ratios, {options.profile: found})


def train(profile: str, processes: int, steps: int) -> list[dict[str, Any]]:
    """The step events of a run.

    Raises:
        SystemExit: the run failed, with its last words.
    """
    command = [str(Path(sys.executable).with_name("kid")), "distill", "-p", profile, "--json"]
    command += ["--processes", str(processes)]
    for value in (f"train.max_steps={steps}", "eval.before=false", "eval.limit=10", "eval.probes=0"):
        command += ["--set", value]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            command, env={**os.environ, "KID_HOME": home}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr[-2000:]}")
    events = map(json.loads, done.stdout.splitlines())
    found = [event for event in events if event.get("kind") == "step"]
    assert [step["step"] for step in found] == list(range(1, steps + 1))
    return found


if __name__ == "__main__":
    main()
