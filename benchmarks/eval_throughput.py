"""How fast execution accuracy is found, beside the official way of finding it.

    python benchmarks/eval_throughput.py [--setting spider|wide|all] [--data-dir DIR] [--repeats N]
                                         [--cap SECONDS] [--json FILE]

`spider`: the predictions of real systems for Spider dev, from the folder `predictions` beside the data
directory (--data-dir, else KID_DATA_DIR, else ../shared/data): each verdict must be the official one.
`wide`: results of 6 to 16 columns that hold few different values, where the official search through the
orders of the columns blows up; it is stopped after --cap seconds an item, so that its time, and the
ratio, are at least what is printed.

`plain` is benchmarks/official_rules.py, in one process; `kid` is engine.evaluation.score.score with two
processes for SQL that are warm. Interleaved; figures are medians. Both are given what the other has
(the page cache is warm), and both are asserted to give the same verdicts.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from official_rules import correct
from steps import report

from engine.data.benchmarks import Example
from engine.evaluation.score import score
from engine.sql.compare import prepare
from engine.sql.execute import Executor
from engine.sql.text import normalise

WIDTHS, NUM_ROWS, NUM_VALUES = (6, 8, 12, 14, 16), 200, 2
Verdicts = list[bool | None]


@dataclass(frozen=True)
class Work:
    """Questions with their predictions, and what is known of the verdicts (None: nothing)."""

    name: str
    examples: list[Example]
    predictions: list[str]
    expected: Verdicts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=["spider", "wide", "all"], default="all")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("KID_DATA_DIR", "../shared/data"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cap", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    print(f"{platform.machine()}, {os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}")
    ratios, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder, Executor(jobs=2) as executor:
        settings: dict[str, Callable[[], list[Work]]] = {
            "spider": lambda: real_predictions(Path(arguments.data_dir)),
            "wide": lambda: wide_results(Path(folder)),
        }
        for name, make in settings.items():
            if arguments.setting in (name, "all"):
                seconds[name] = measure(make(), executor, arguments.repeats, arguments.cap)
                ratios[f"{name}_vs_plain"] = print_seconds(name, seconds[name], arguments.cap)
    report(arguments.json, ratios, seconds)


def real_predictions(data_dir: Path) -> list[Work]:
    """One for each system, scored with its own golds."""
    systems = sorted(file.parent for file in data_dir.parent.glob("predictions/*/official_per_item.tsv"))
    if not systems:
        raise SystemExit(f"no predictions beside {data_dir}: give another folder with --data-dir")
    work = []
    for system in systems:
        examples = []
        for index, line in enumerate(_lines(system / "gold.sql")):
            gold, db_id = line.split("\t")
            database = data_dir.absolute() / "spider" / "database" / db_id / f"{db_id}.sqlite"
            examples.append(Example(index, db_id, "", normalise(gold), database))
        with (system / "official_per_item.tsv").open(newline="") as file:
            official = [
                row["exec"] == "1" for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            ]
        work.append(Work(system.name, examples, _lines(system / "pred.sql"), official))
    return work


def _lines(file: Path) -> list[str]:
    return file.read_text().removesuffix("\n").split("\n")


def wide_results(folder: Path) -> list[Work]:
    """Two questions a width: the gold's rows and columns shuffled, and these with one row changed.

    In that row two cells change places, which the official quick check does not see.
    """
    chance = random.Random(0)
    work = []
    for width in WIDTHS:
        database = folder / f"wide{width}" / f"wide{width}.sqlite"
        database.parent.mkdir()
        rows = [tuple(chance.randrange(NUM_VALUES) for _ in range(width)) for _ in range(NUM_ROWS)]
        order = chance.sample(range(width), width)
        shuffled = [[row[column] for column in order] for row in chance.sample(rows, NUM_ROWS)]
        changed = [list(row) for row in shuffled]
        swapped = next(row for row in changed if row[0] != row[1])
        swapped[:2] = swapped[1::-1]
        with closing(sqlite3.connect(database)) as connection:
            for name, content in (("gold", rows), ("shuffled", shuffled), ("changed", changed)):
                connection.execute(f"CREATE TABLE {name} ({', '.join(f'c{n} INT' for n in range(width))})")
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * width)})", content)
            connection.commit()
        for index, (name, matches) in enumerate((("shuffled", True), ("changed", False))):
            example = Example(index, database.stem, "", "SELECT * FROM gold", database)
            work.append(Work(f"{width} columns {name}", [example], [f"SELECT * FROM {name}"], [matches]))
    return work


def measure(
    work: Sequence[Work], executor: Executor, repeats: int, cap: float
) -> dict[str, dict[str, float]]:
    """Median seconds of both ways, by piece of work; what was capped counts with the cap."""
    times: dict[str, dict[str, list[float]]] = {piece.name: {"plain": [], "kid": []} for piece in work}
    for repeat in range(repeats + 1):
        for piece in work:
            start = time.perf_counter()
            plain = _plain(piece, cap)
            middle = time.perf_counter()
            ours = [
                verdict.correct for verdict in score(piece.examples, piece.predictions, executor=executor)
            ]
            end = time.perf_counter()
            assert ours == piece.expected, f"{piece.name}: not the known verdicts"
            assert all(one in (None, other) for one, other in zip(plain, ours, strict=True)), piece.name
            if repeat:  # the first round warms up
                times[piece.name]["plain"].append(middle - start)
                times[piece.name]["kid"].append(end - middle)
    return {
        name: {way: statistics.median(values) for way, values in ways.items()} for name, ways in times.items()
    }


def _plain(work: Work, cap: float) -> Verdicts:
    verdicts = []
    for example, prediction in zip(work.examples, work.predictions, strict=True):
        gold, pred, ordered = prepare(example.query, prediction)
        files = sorted(example.database.parent.glob("*.sqlite"))
        verdicts.append(correct(files, gold, pred, ordered, cap))
    return verdicts


def print_seconds(name: str, found: dict[str, dict[str, float]], cap: float) -> float:
    """Prints a table; returns the share of the plain way's time that ours takes, over all."""
    print(f"\n{name:<28}{'plain':>10}{'kid':>10}{'plain / kid':>14}")
    for piece, seconds in found.items():
        least = "≥" if seconds["plain"] >= cap and name == "wide" else ""
        ratio = f"{least}{seconds['plain'] / seconds['kid']:.1f}"
        print(f"  {piece:<26}{seconds['plain']:8.3f} s{seconds['kid']:8.3f} s{ratio:>14}")
    plain, ours = (sum(seconds[way] for seconds in found.values()) for way in ("plain", "kid"))
    print(f"  {'all':<26}{plain:8.3f} s{ours:8.3f} s{plain / ours:14.1f}")
    return ours / plain


if __name__ == "__main__":
    main()
