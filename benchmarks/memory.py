"""How much memory a training step takes at its peak, ours beside what a plain trainer does.

    python benchmarks/memory.py [--setting spider|demo|qwen] [--device cpu|cuda] [--json FILE]

Each row has a process of its own, which makes teacher and student, takes one small step (so that AdamW has
its moments and every library is loaded) and then the one that is measured.

whole  the step's peak, less what the process held before it had models: weights, gradients, moments of
       AdamW and activations
added  the peak, less what the process held just before the step: gradients and activations

On the CPU it is resident memory, its peak as the system counts it (ru_maxrss); the allocator gives freed
blocks back at once, so that what is resident is what is held. On a GPU it is what torch's allocator has
given out. Below the table is what weights, gradients and moments take by their number alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import torch
from steps import (
    SETTINGS,
    Plain,
    Setting,
    make_pair,
    make_questions,
    optimizer_steps,
    ours,
    print_machine,
    print_table,
    report,
)

MB = 2**20
ROWS = ("plain SFT", "naive KID", "shared SFT", "shared KID", "packed KID")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=SETTINGS, default="spider")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    setting = SETTINGS[options.setting]
    if options.row:
        print(json.dumps(measure(setting, options.row, options.device)))
        return
    print_machine(options.device)
    found = {row: in_a_process(setting, row, options.device) for row in ROWS}
    for name in ("whole", "added"):
        megabytes = {row: figures[name] for row, figures in found.items()}
        print_table(f"{setting.name}, {name}: {setting}", megabytes, ["naive KID", "plain SFT"], unit="MB")
    print(
        f"\nby number, MB: {', '.join(f'{name} {value:.0f}' for name, value in by_number(setting).items())}"
    )
    kid, naive, sft = found["shared KID"], found["naive KID"], found["plain SFT"]
    ratios = {
        "memory_vs_naive": kid["whole"] / naive["whole"],
        "added_memory_vs_naive": kid["added"] / naive["added"],
        "memory_vs_sft": kid["whole"] / sft["whole"],
    }
    told = {"sizes": asdict(setting), "megabytes": found, "by_number": by_number(setting)}
    report(options.json, ratios, {setting.name: told}, options.device)


def in_a_process(setting: Setting, row: str, device: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--setting", setting.name, "--device", device, "--row", row]
    # glibc keeps freed blocks below a threshold that it moves, unless it is told one
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(setting: Setting, row: str, device: str) -> dict[str, float]:
    """MB of one row's step, in this process."""
    empty = held(device)
    teacher, student = make_pair(setting, device)

    def gradient(of: Setting) -> Callable[[], None]:
        prefix, items = make_questions(of)
        plain = Plain(teacher, student, prefix, items)
        ways = {
            "plain SFT": plain.sft,
            "naive KID": plain.kid,
            "shared SFT": ours("sft", "cached", None, student, prefix, items),
            "shared KID": ours("kid", "cached", teacher, student, prefix, items),
            "packed KID": ours("kid", "packed", teacher, student, prefix, items),
        }
        return ways[row]

    small = replace(setting, prefix=8, questions=1)
    steps = optimizer_steps({"first": gradient(small), "measured": gradient(setting)}, student)
    steps["first"]()
    gc.collect()
    before, past_peak = held(device), peak(device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps["measured"]()
    highest = peak(device)
    assert device == "cuda" or highest > past_peak, "the peak was before the step: the setting is too small"
    return {"whole": highest - empty, "added": highest - before}


def held(device: str) -> float:
    """MB that are in use."""
    return (torch.cuda.memory_allocated() if device == "cuda" else psutil.Process().memory_info().rss) / MB


def peak(device: str) -> float:
    """MB at the most, since the process began or, on a GPU, since the last reset."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / MB
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def by_number(setting: Setting) -> dict[str, float]:
    """MB in float32, by the numbers of weights."""
    teacher, student = (
        sum(weights.numel() for weights in model.parameters()) * 4 / MB
        for model in make_pair(setting, "meta")
    )
    return {
        "teacher's weights": teacher,
        "student's weights": student,
        "its gradients": student,
        "AdamW's moments": 2 * student,
    }


if __name__ == "__main__":
    main()
