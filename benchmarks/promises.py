"""What `make bench` runs: the short form of every benchmark of cost, and which promises they keep.

    python benchmarks/promises.py [--json FILE]

One script after the other, each in a process of its own. At the end every promise stands with what was
measured. A missed one is told and is no error; the exit code is 1 where a script failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DEMO_TEACHER = "package:engine/data/demo/teacher"
SHORT_FORMS = (
    ("step_time.py", "--setting spider --parts full copies --repeats 2"),
    ("step_time.py", "--setting demo --parts lora --repeats 3"),
    ("against_trl.py", "--short"),
    ("schema_length.py", "--repeats 1"),
    ("memory.py", "--setting spider"),
    ("processes.py", "--steps 40"),
    ("answer_latency.py", f"--model {DEMO_TEACHER} --profile demo --data demo/dev --questions 40"),
    ("eval_throughput.py", "--setting wide --repeats 1 --cap 1"),
)


@dataclass(frozen=True)
class Promise:
    """That a ratio is at most `bound`; without one it is only told."""

    figure: str
    reference: str
    ratio: str
    bound: float | None
    told: str

    def verdict(self, measured: float | None) -> str:
        if measured is None:
            return "not measured"
        if self.bound is None:
            return "told"
        return "kept" if measured <= self.bound else "MISSED"


PROMISES = (
    Promise("KID step, time", "plain SFT step", "kid_vs_sft", 0.35, "0.35"),
    Promise("KID step, time", "naive KID step", "kid_vs_naive", 1 / 6, "1/6"),
    Promise("RKD step, time", "TRL's GKDTrainer, λ = 0", "rkd_vs_trl", 1 / 4, "1/4"),
    Promise("GKD step, λ = 1, time", "the faster of TRL's trainers", "gkd_vs_trl", 1 / 3, "1/3"),
    Promise("KID, 4 rewrites, prefix 576", "KID, 1 rewrite", "kid4_vs_kid", 2.8, "2.8"),
    Promise("KID, 4 rewrites, prefix 2 000", "KID, 1 rewrite", "kid4_vs_kid_2000", 1.9, "1.9"),
    Promise("KID step, peak memory", "naive KID step", "memory_vs_naive", 1 / 2, "1/2"),
    Promise("first token, later question", "generate, full prompt", "first_token_vs_generate", 1 / 3, "1/3"),
    Promise("2 processes, loss, difference", "1 process", "processes_loss_difference", 1e-4, "1e-4"),
    Promise("2 processes, time of a step", "1 process", "processes_vs_one", None, "told"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    ratios: dict[str, float] = {}
    runs: list[dict[str, Any]] = []
    failed: list[str] = []
    for script, arguments in SHORT_FORMS:
        command = f"python benchmarks/{script} {arguments}"
        print(f"\n$ {command}", flush=True)
        if reason := missing(script):
            print(f"left out: {reason}")
            continue
        started = time.monotonic()
        told = run(script, arguments.split())
        seconds = time.monotonic() - started
        print(f"({seconds:.0f} s)")
        if told is None:
            failed.append(command)
        else:
            ratios |= told["ratios"]
            runs.append({"command": command, "seconds": seconds, **told})
    print(f"\nAll of it took {time.monotonic() - began:.0f} s.\n")
    for line in table(ratios):
        print(line)
    for command in failed:
        print(f"failed: {command}")
    if options.json:
        options.json.write_text(
            json.dumps({"ratios": ratios, "runs": runs}, indent=2, ensure_ascii=False) + "\n"
        )
    sys.exit(1 if failed else 0)


def missing(script: str) -> str | None:
    """Why a script cannot run here."""
    if script == "against_trl.py" and find_spec("trl") is None:
        return "TRL is not installed (pip install 'kid-sql[bench]')"
    return None


def run(script: str, arguments: list[str]) -> dict[str, Any] | None:
    """What the script wrote as JSON; None where it failed, after its own words."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "told.json"
        command = [sys.executable, str(Path(__file__).with_name(script)), *arguments, "--json", str(file)]
        done = subprocess.run(command, check=False)
        return json.loads(file.read_text()) if done.returncode == 0 else None


def table(ratios: Mapping[str, float]) -> list[str]:
    """A line for each promise."""
    rows = [("figure", "beside", "at most", "measured", "")]
    for promise in PROMISES:
        measured = ratios.get(promise.ratio)
        shown = "–" if measured is None else f"{measured:.3g}"
        rows.append((promise.figure, promise.reference, promise.told, shown, promise.verdict(measured)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Numbers, the third and fourth, at the right of their columns."""
    return [
        cell.rjust(width) if column in (2, 3) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


if __name__ == "__main__":
    main()
