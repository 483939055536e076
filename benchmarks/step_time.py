"""What a KID step costs beside plain fine-tuning and beside KID as published.

    python benchmarks/step_time.py [--setting spider|demo|qwen|small] [--device cpu|cuda] [--repeats N]
                                   [--parts full lora copies] [--json FILE]

All rows train the same model on the same questions, a whole optimizer step (forward, backward,
AdamW) each, in one process, interleaved; figures are medians. `plain SFT` and `naive KID` are what a
plain trainer does (steps.py). `shared` keeps the prefix in a cache, `packed` runs prefix and rows as one row
(engine/models/prefix.py); to `warm` the teacher has read the schema in an earlier step, to all others it is
new. On a GPU all rows compute in bfloat16 (autocast), and the teacher's weights are in bfloat16, as in
training.

full    all weights are trained
lora    an adapter of rank 64 is
copies  four rewrites of each answer in a step (method.copies = 4) beside one, at the setting's prefix and at
        one of 2 000 tokens
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steps import (
    SETTINGS,
    Plain,
    Setting,
    make_pair,
    make_questions,
    medians,
    optimizer_steps,
    ours,
    print_machine,
    print_table,
    report,
)

from engine import settings
from engine.models.pair import add_lora

PARTS = ("full", "lora", "copies")
LONG = 2000
ALL_MEMORY = 2**40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=[*SETTINGS, "small"], default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print_machine(options.device)
    names = ("spider", "demo") if options.setting == "small" else (options.setting,)
    found = {}
    for setting in map(SETTINGS.__getitem__, names):
        for part in options.parts:
            work = {"full": full, "lora": lora, "copies": copies}[part]
            found[f"{setting.name} {part}"] = work(setting, options.repeats, options.device)
    ratios: dict[str, float] = {}
    for part in options.parts:  # of the first setting
        ratios |= found[f"{names[0]} {part}"]["ratios"]
    report(options.json, ratios, found, options.device)


def full(setting: Setting, repeats: int, device: str) -> dict[str, Any]:
    teacher, student = make_pair(setting, device)
    seconds = measure(setting, teacher, student, repeats, device)
    print_table(f"{setting.name}: {setting}", seconds, ["plain SFT"])
    return {"sizes": asdict(setting), "seconds": seconds, "ratios": compared(seconds)}


def lora(setting: Setting, repeats: int, device: str) -> dict[str, Any]:
    teacher, student = make_pair(setting, device)
    student = add_lora(student, settings.Student(model="x", lora=settings.Lora(rank=64, alpha=32)))
    seconds = measure(setting, teacher, student, repeats, device)
    print_table(f"{setting.name}, LoRA of rank 64: {setting}", seconds, ["plain SFT"])
    ratios = {f"lora_{name}": ratio for name, ratio in compared(seconds).items()}
    return {"sizes": asdict(setting), "seconds": seconds, "ratios": ratios}


def measure(setting: Setting, teacher: Any, student: Any, repeats: int, device: str) -> dict[str, float]:
    """Median seconds of an optimizer step, by row."""
    prefix, items = make_questions(setting)
    plain = Plain(teacher, student, prefix, items)
    rows: dict[str, Callable[[], None]] = {
        "plain SFT": plain.sft,
        "naive KID": plain.kid,
        "shared SFT": ours("sft", "cached", None, student, prefix, items),
        "shared RKD": ours("rkd", "cached", teacher, student, prefix, items),
        "shared KID": ours("kid", "cached", teacher, student, prefix, items),
        "warm KID": ours("kid", "cached", teacher, student, prefix, items, kept=ALL_MEMORY),
        "packed SFT": ours("sft", "packed", None, student, prefix, items),
        "packed KID": ours("kid", "packed", teacher, student, prefix, items),
    }
    return medians(optimizer_steps(rows, student), repeats, device)


def compared(seconds: dict[str, float]) -> dict[str, float]:
    kid, warm = seconds["shared KID"], seconds["warm KID"]
    return {
        "kid_vs_sft": kid / seconds["plain SFT"],
        "kid_vs_naive": kid / seconds["naive KID"],
        "kid_vs_shared_sft": kid / seconds["shared SFT"],
        "warm_kid_vs_sft": warm / seconds["plain SFT"],
    }


def copies(setting: Setting, repeats: int, device: str) -> dict[str, Any]:
    teacher, student = make_pair(setting, device)
    rows: dict[str, Callable[[], None]] = {}
    for length in (setting.prefix, LONG):
        prefix, items = make_questions(replace(setting, prefix=length))
        for number in (1, 4):
            name = f"{number} rewrite{'s' if number > 1 else ''}, prefix {length}"
            rows[name] = ours("kid", "cached", teacher, student, prefix, items, copies=number)
    seconds = medians(optimizer_steps(rows, student), repeats, device)
    print_table(f"{setting.name}, rewrites of an answer in a step: {setting}", seconds)
    one, four, one_long, four_long = seconds.values()
    ratios = {"kid4_vs_kid": four / one, "kid4_vs_kid_2000": four_long / one_long}
    return {"sizes": asdict(setting), "seconds": seconds, "ratios": ratios}


if __name__ == "__main__":
    main()
