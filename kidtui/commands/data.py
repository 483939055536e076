"""`kid data`: where the data sets are, whether they are whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kidtui.commands.group import group
from kidtui.commands.options import DataDir, Json

app = group("data", "Data sets: where they are, whether they are whole.")


@app.command("list")
def list_(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Every data set that kid knows, and where it was found."""
    from engine import paths
    from engine.data import benchmarks
    from kidtui import console

    found = benchmarks.known_sets(data_dir)
    if as_json:
        console.data_json([asdict(one) for one in found])
        return
    console.table([(one.name, one.path or "not found") for one in found], ("set", "file"))
    if any(one.path is None for one in found):
        looked = ", ".join(str(folder) for folder in paths.data_dirs(data_dir))
        console.note(f"looked in {looked}; --data-dir or KID_DATA_DIR names another folder")


@app.command()
def check(
    spec: Annotated[str, typer.Argument(metavar="SET", help="Such as spider/dev, or file:PATH.")],
    data_dir: DataDir = None,
    databases: Annotated[
        Path | None,
        typer.Option(
            "--databases", metavar="DIR", help="Look for its databases here, as data.databases does."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a data set whole and say what is wrong with it, if anything is."""
    from engine.data import benchmarks
    from kidtui import console

    dataset = benchmarks.load(spec, data_dir, databases)
    problems = benchmarks.check(dataset)
    num_databases = len({example.db_id for example in dataset.examples})
    if as_json:
        console.data_json(
            {
                "name": dataset.name,
                "num_examples": len(dataset.examples),
                "num_databases": num_databases,
                "fingerprint": dataset.fingerprint,
                "problems": [asdict(problem) for problem in problems],
            }
        )
    else:
        console.data(f"{dataset.name}: {len(dataset.examples)} examples, {num_databases} databases")
        for problem in problems:
            console.data(f"{problem.subject}: {problem.message}")
        if not problems:
            console.note("it is whole")
