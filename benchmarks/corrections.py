"""What corrections from the REPL are worth: a demo student goes on from where it erred, with and without.

    python benchmarks/corrections.py [--steps N] [--corrections N] [--more-steps N] [--json FILE]

A demo student of --steps steps answers all of demo/dev. --corrections of its wrong answers, drawn at random,
are fixed with their golds, as `\\fix` keeps them. The student then goes on for --more-steps steps on 300
examples of demo/train: once with the corrections, once without. Told are how many of the corrected questions
are right afterwards, and the execution accuracy on all others. Runs are made in a temporary home.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.data import benchmarks
from engine.data.corrections import Correction, add

KID = (sys.executable, "-c", "from kidtui.cli import main; main()")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--corrections", type=int, default=20)
    parser.add_argument("--more-steps", type=int, default=80)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["KID_HOME"] = home
        found = measure(Path(home), options.steps, options.corrections, options.more_steps)
    for name, told in found.items():
        print(
            f"{name:<22}{told['corrected']:3} of {options.corrections} right, the others {told['others']:.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(home: Path, steps: int, num_corrections: int, more_steps: int) -> dict[str, dict[str, float]]:
    """Student -> how many of the corrected questions it answers rightly, and EX of the others."""
    first = distil(f"train.max_steps={steps}")
    before = score(first, home)
    chosen = set(
        random.Random(0).sample([index for index, right in before.items() if not right], num_corrections)
    )
    file = home / "fixed.jsonl"
    for example in benchmarks.load("demo/dev").examples:
        if example.index in chosen:
            add(Correction(f"demo/{example.db_id}", example.question, example.query, "fix"), file)
    going_on = (f"student.model=run:{first}", "student.keep_layers=none", "data.train_limit=300",
                f"train.max_steps={more_steps}")  # fmt: skip
    answered = {
        "before": before,
        "went on without": score(distil(*going_on), home),
        "went on with": score(distil(*going_on, f"data.corrections={file}"), home),
    }
    return {
        name: {
            "corrected": sum(right for index, right in found.items() if index in chosen),
            "others": sum(right for index, right in found.items() if index not in chosen)
            / (len(found) - len(chosen)),
        }
        for name, found in answered.items()
    }


def distil(*overrides: str) -> str:
    """The id of a new run of the demo."""
    settings = [
        part
        for override in ("eval.before=false", "eval.limit=20", *overrides)
        for part in ("--set", override)
    ]
    subprocess.run([*KID, "distill", *settings], check=True, capture_output=True)
    listed = subprocess.run([*KID, "runs", "list", "--json"], check=True, capture_output=True, text=True)
    return str(json.loads(listed.stdout)[0]["id"])


def score(run: str, home: Path) -> dict[int, bool]:
    """Question of demo/dev -> whether the run's student answers it rightly."""
    items = home / f"{run}.tsv"
    subprocess.run(
        [*KID, "eval", "--run", run, "--data", "demo/dev", "--items", str(items)],
        check=True,
        capture_output=True,
    )
    with items.open(newline="") as file:
        return {int(row["index"]): row["ex"] == "1" for row in csv.DictReader(file, delimiter="\t")}


if __name__ == "__main__":
    main()
