"""`kid data`: where the data sets are, whether they are whole, how to get them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kidtui.commands.group import group
from kidtui.commands.options import DataDir, Json

if TYPE_CHECKING:
    from engine.data.check import Report

_LINES, _WIDTH = 20, 140  # of a kind of finding, and characters in one, unless --all

app = group("data", "Data sets: where they are, whether they are whole, how to get them.")


@app.command("list")
def list_(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Every data set that kid knows, and where it was found."""
    from engine import paths
    from engine.data import releases
    from kidtui import console

    found = releases.known_sets(data_dir)
    if as_json:
        console.data_json([asdict(one) for one in found])
        return
    console.table([(one.name, one.path or "not found") for one in found], ("set", "file"))
    if any(one.path is None for one in found):
        looked = ", ".join(str(folder) for folder in paths.data_dirs(data_dir))
        console.note(f"looked in {looked}; --data-dir or KID_DATA_DIR names another folder")
        console.note("kid data pull SET fetches what can be fetched, and says where the rest is")


@app.command()
def check(
    spec: Annotated[
        str, typer.Argument(metavar="SET", help="Such as spider/dev, file:PATH, text:PATH, hf:OWNER/NAME.")
    ],
    data_dir: DataDir = None,
    databases: Annotated[
        Path | None,
        typer.Option(
            "--databases", metavar="DIR", help="Look for its databases here, as data.databases does."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Queries at once; 0: as many as there are cores.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.001, help="Seconds for one gold query.")
    ] = 30.0,
    every: Annotated[
        bool, typer.Option("--all", help=f"All findings, whole, not {_LINES} of a kind.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read a data set whole, run its gold queries (a text task has none), and say what is wrong with it.

    Also which items cannot be scored honestly, and why. The exit code is 1 when something is
    wrong: the number of items, a database that does not open, a gold query that fails though
    the release's own does not.
    """
    from engine.data import check as checks
    from engine.provenance import usable_cores
    from kidtui import console
    from kidtui.display import progress

    with progress(as_json=as_json) as tell:
        report = checks.check(
            spec,
            data_dir,
            databases,
            jobs=jobs or usable_cores(),
            timeout=timeout,
            advance=lambda done, total: tell("running gold queries", done, total),
        )
    if as_json:
        findings = [
            {**asdict(finding), "problem": checks.KINDS[finding.kind].problem} for finding in report.findings
        ]
        console.data_json({**asdict(report), "num_problems": report.num_problems, "findings": findings})
    else:
        _show(report, None if every else _LINES)
        if report.num_problems:
            console.note(f"{report.num_problems} things are wrong (✗)")
        else:
            console.note("it is whole" + ("; – tells what to know of it" if report.findings else ""))
    if report.num_problems:
        raise typer.Exit(1)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="SET", help="Such as spider/dev or bird/mini_dev.")],
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Put it here, else where KID_DATA_DIR says."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds other items.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch a data set's items from the Hugging Face hub; say what must be fetched by hand, and where to."""
    from engine.data import pull as pulling
    from kidtui import console

    pulled = pulling.pull(name, data_dir, force=force)
    if as_json:
        console.data_json(asdict(pulled))
    else:
        if pulled.file:
            origin = f"{pulled.num_items} items from {pulled.repository} ({pulled.split})"
            console.data(f"{pulled.file}: {origin}{'' if pulled.written else ', there already'}")
        else:
            console.note(f"the Hugging Face hub has no copy of {name}")
        if pulled.remark:
            console.note(f"note: {pulled.remark}")
        if pulled.by_hand:
            console.data("to be fetched by hand:")
        for part in pulled.by_hand:
            console.data(f"  {part.path}\n    from {part.page}: {part.inside}")
        console.note(f"kid data check {name} then says whether it is whole")
    if pulled.file is None and pulled.by_hand:
        raise typer.Exit(3)


def _show(report: Report, lines: int | None) -> None:
    """A report as text: figures, then each kind of finding with at most so many lines."""
    from engine.data.check import KINDS
    from kidtui import console

    groups = "contexts" if report.kind == "text" else "databases"
    console.data(f"{report.name}: {report.num_examples} items, {report.num_databases} {groups}")
    if report.difficulties:
        console.data(", ".join(f"{num} {name}" for name, num in report.difficulties.items()))
    if report.release:
        console.data(f"release: {report.release}")
    if report.num_queries:
        console.data(f"gold: {report.num_queries} distinct queries, {report.seconds:.2f} s in SQLite")
        slowest = ", ".join(f"{one.index} {one.db_id} {one.seconds:.3f} s" for one in report.slowest)
        console.data(f"slowest: {slowest}")
    for name, kind in KINDS.items():
        if found := report.of(name):
            console.data(f"{'✗' if kind.problem else '–'} {kind.title}: {len(found)}")
            for finding in found[:lines]:
                item = "" if finding.index is None else f"{finding.index} "
                text = f"{item}{finding.subject}: {finding.message}"
                console.data(f"    {text if len(text) <= _WIDTH or lines is None else text[:_WIDTH] + '…'}")
            if lines is not None and len(found) > lines:
                console.data(f"    … and {len(found) - lines} more (--all)")
