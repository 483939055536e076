"""How a step's cost grows with the schema, and with the questions on it.

    python benchmarks/schema_length.py [--setting demo|spider|qwen] [--prefixes N …] [--questions N …]
                                       [--device cpu|cuda] [--repeats N] [--json FILE] [--figure FOLDER]

Whole optimizer steps of plain SFT, naive KID (both as steps.py has them) and our KID, in one process,
interleaved; figures are medians. First one group of the most questions behind prefixes of growing length,
then more and more questions behind one prefix, the middle one. A plain trainer runs over prefix × questions
tokens; ours over the prefix once, and over question and SQL of each row: what a further question costs is
the slope of the second part, by least squares.

`--figure` writes schema_length.png and .svg into the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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
    report,
)

from engine.study.looks import finish, legend_below, look
from engine.study.saved import can_draw, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = ("plain SFT", "naive KID", "our KID")
PREFIXES, QUESTIONS = (128, 256, 512, 1024, 2048), (1, 2, 4, 8)
Curves = dict[str, list[float]]
"""Seconds of a step by row, one for each length or number of questions."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=SETTINGS, default="demo")
    parser.add_argument("--prefixes", type=int, nargs="+", default=PREFIXES)
    parser.add_argument("--questions", type=int, nargs="+", default=QUESTIONS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.figure:
        can_draw(asked=True)
    print_machine(options.device)
    lengths, numbers = sorted(options.prefixes), sorted(options.questions)
    setting = SETTINGS[options.setting]
    middle = lengths[len(lengths) // 2]
    longer = [replace(setting, prefix=length, questions=numbers[-1]) for length in lengths]
    more = [replace(setting, prefix=middle, questions=number) for number in numbers]
    by_length, by_number = measure(longer, more, options.repeats, options.device)
    print_curves(f"{setting.name}: {longer[0]}\nprefix", lengths, by_length)
    print_curves(f"prefix {middle}\nquestions", numbers, by_number)
    slopes = {row: float(np.polyfit(numbers, seconds, 1)[0]) for row, seconds in by_number.items()}
    print("\na further question:")
    for row, slope in slopes.items():
        print(f"  {row:<10}{slope * 1000:9.1f} ms")
    ratios = {
        f"kid_vs_naive_{length}": ours / naive
        for length, naive, ours in zip(lengths, by_length["naive KID"], by_length["our KID"], strict=True)
    }
    ratios["question_vs_naive"] = slopes["our KID"] / slopes["naive KID"]
    found = {
        "sizes": asdict(longer[0]),
        "by_prefix": {"prefixes": lengths, "seconds": by_length},
        "by_questions": {"prefix": middle, "questions": numbers, "seconds": by_number, "slopes": slopes},
    }
    report(options.json, ratios, {setting.name: found}, options.device)
    if options.figure:
        draw(options.figure, longer, by_length, more, by_number)


def measure(
    longer: Sequence[Setting], more: Sequence[Setting], repeats: int, device: str
) -> tuple[Curves, Curves]:
    """Median seconds of every step, over the lengths and over the numbers of questions."""
    teacher, student = make_pair(longer[0], device)
    steps: dict[str, Callable[[], None]] = {}
    for setting in dict.fromkeys([*longer, *more]):
        prefix, items = make_questions(setting)
        plain = Plain(teacher, student, prefix, items)
        kid = ours("kid", "cached", teacher, student, prefix, items)
        steps |= {
            _name(row, setting): step for row, step in zip(ROWS, (plain.sft, plain.kid, kid), strict=True)
        }
    seconds = medians(optimizer_steps(steps, student), repeats, device)

    def curves(settings: Sequence[Setting]) -> Curves:
        return {row: [seconds[_name(row, setting)] for setting in settings] for row in ROWS}

    return curves(longer), curves(more)


def _name(row: str, setting: Setting) -> str:
    return f"{row}, {setting.questions} questions, prefix {setting.prefix}"


def print_curves(title: str, places: Sequence[int], curves: Curves) -> None:
    print(f"\n{title:<12}" + "".join(f"{row:>14}" for row in curves) + "   our KID / naive KID")
    for place, *seconds in zip(places, *curves.values(), strict=True):
        told = "".join(f"{value:12.3f} s" for value in seconds)
        print(f"  {place:<10}{told}{seconds[-1] / seconds[1]:15.3f}")


def draw(
    folder: Path, longer: Sequence[Setting], by_length: Curves, more: Sequence[Setting], by_number: Curves
) -> None:
    """Two panels side by side: over the schema's length, and over the questions on one schema."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure((9.0, 4.2))
    left, right = figure.subplots(1, 2)
    _panel(left, [setting.prefix for setting in longer], by_length)
    left.set_xlabel("tokens of the schema")
    left.set_ylabel("seconds a step")
    left.set_title(f"{longer[0].questions} questions on one schema", loc="left")
    _panel(right, [setting.questions for setting in more], by_number)
    right.set_xlabel("questions on one schema")
    right.set_title(f"a schema of {more[0].prefix} tokens", loc="left")
    legend_below(figure, left)
    save_figure(figure, folder, "schema_length")


def _panel(axes: Axes, places: Sequence[int], curves: Curves) -> None:
    for number, (row, seconds) in enumerate(curves.items()):
        kind: dict[str, Any] = look(number).of_line
        axes.plot(places, seconds, linewidth=1.6, label=row, **kind)
    axes.set_xlim(0)
    axes.set_ylim(0)
    finish(axes)


if __name__ == "__main__":
    main()
