"""`kid sweep`: many runs from one file, one after the other or side by side, compared at the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kidtui.commands.options import DataDir, Json, Set

if TYPE_CHECKING:
    from engine.study.sweep import Sweep
    from engine.study.sweep_file import Cell, Definition
    from kidtui.sweeping import Tuner
    from kidtui.workers import Launcher

_ASK_ABOVE = 200


def sweep(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="A sweep that ships, or a TOML file.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", metavar="NAME", help="Another base than the file's.")
    ] = None,
    overrides: Set = None,
    data_dir: DataDir = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="SWEEP", help="Go on with a sweep that was interrupted.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try the failed cells again, too.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, metavar="N", help="Cells at a time. Default: the file's."),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run the cells on a ray cluster.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells only.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask about more than {_ASK_ABOVE} cells.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the sweeps that can be named, and those begun.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a grid or list of variants of a profile, and compare them: one table, figures.

    Every cell is an ordinary run. A cell that fails is reported, and the rest goes on. Progress is on
    stderr, the table on stdout. The first Ctrl-C stops cleanly: --resume goes on.
    """
    from engine.errors import UsageError

    if list_:
        _list(as_json)
        return
    if (name is None) == (resume is None):
        raise UsageError("name a sweep, or --resume one", "kid sweep --list shows what there is")
    if resume is not None:
        given = {"--profile": profile, "--set": overrides, "--data-dir": data_dir}
        for option in (option for option, value in given.items() if value):
            raise UsageError(
                f"{option} cannot be changed when a sweep is resumed", "leave it out, or start a new sweep"
            )
        _resume(resume, retry_failed, jobs, ray, dry_run, as_json)
        return
    if retry_failed:
        raise UsageError("--retry-failed goes with --resume SWEEP")
    assert name is not None
    _new(name, profile, overrides or [], data_dir, jobs, ray, dry_run, yes, as_json)


def _new(
    name: str, profile: str | None, overrides: list[str], data_dir: Path | None, jobs: int | None,
    ray: bool, dry_run: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    from engine.study import sweep as sweeps
    from engine.study import sweep_file

    definition = sweep_file.define(sweep_file.find(name), profile, overrides, jobs)
    if not dry_run and definition.num_cells > _ASK_ABOVE and not yes:
        _ask(definition)
    cells = sweep_file.checked_cells(definition)
    if dry_run:
        _show_cells(definition, cells, as_json)
        return
    if definition.search is not None:
        from engine.study.search import require_optuna

        require_optuna()
    launcher = _launcher(ray or definition.launch.engine == "ray", definition.launch.num_cpus)
    _share_cores(definition, launcher, jobs or max(definition.jobs, launcher.slots))
    _check_data(definition, cells, data_dir)
    _point_to_unfinished(definition, cells)
    made = sweeps.create(definition, cells, sys.argv, data_dir)
    made.launch["with"] = "ray" if ray else made.launch["with"]  # --resume does as it was begun
    _work(made, launcher, jobs, as_json)


def _ask(definition: Definition) -> None:
    from engine.errors import KidError, UsageError

    many = f"{definition.path} makes {definition.num_cells:,} cells, each a training run"
    if not sys.stdin.isatty():
        raise UsageError(many, "--yes starts them without asking")
    if not typer.confirm(f"{many}; start?", err=True):
        raise KidError("nothing was started")


def _share_cores(definition: Definition, launcher: Launcher, jobs: int) -> None:
    """Engines side by side, each with a thread for every core, would get in each other's way."""
    from engine.study.sweep_file import put

    if jobs > 1 and not definition.base.get("train", {}).get("threads"):
        put(definition.base, "train.threads", launcher.threads(jobs))


def _show_cells(definition: Definition, cells: list[Cell], as_json: bool) -> None:
    from kidtui import console

    if as_json:
        told = [{"label": cell.label, "settings": cell.overrides} for cell in cells]
        counted = {"num_cells": definition.num_cells, "warm_steps": definition.warm_steps}
        console.data_json({"sweep": definition.name, **counted, "base": definition.base, "cells": told})
        return
    if definition.search is not None:
        rows = [(key, _range(values)) for key, values in definition.search.ranges().items()]
        console.table(rows, (f"{definition.num_cells} trials over", ""))
        return
    rows = [
        (cell.label, ", ".join(f"{key} = {value}" for key, value in cell.overrides.items())) for cell in cells
    ]
    console.table(rows, (f"{len(cells)} cells", ""))


def _range(values: Any) -> str:
    if isinstance(values, list):
        return ", ".join(map(str, values))
    return f"{values['low']} to {values['high']}" + (", logarithmic" if values.get("log") else "")


def _check_data(definition: Definition, cells: list[Cell], data_dir: Path | None) -> None:
    """Each data set that the cells read, once, before anything starts."""
    from engine.study.sweep_file import profile_of
    from kidtui import launch

    seen = []
    for overrides in [cell.overrides for cell in cells] or [{}]:
        profile = profile_of(definition.base, overrides, str(definition.path))
        if profile.data not in seen:
            seen.append(profile.data)
            launch.check_data(profile, data_dir)


def _point_to_unfinished(definition: Definition, cells: list[Cell]) -> None:
    from engine.errors import RunError
    from engine.study import sweep as sweeps
    from kidtui import console

    same = sweeps.fingerprint(definition, cells)
    for ref in sweeps.ids():
        try:
            known = sweeps.find(ref)
        except RunError:  # kid sweep --list tells of it
            continue
        if known.fingerprint == same and not known.finished:
            console.note(f"a new sweep; of the same definition is unfinished: kid sweep --resume {known.id}")


def _resume(ref: str, retry_failed: bool, jobs: int | None, ray: bool, dry_run: bool, as_json: bool) -> None:
    from engine.errors import UsageError
    from engine.study import sweep as sweeps

    if dry_run:
        raise UsageError("--dry-run is for a new sweep", "kid sweep --list shows where the others stand")
    found = sweeps.find(ref)
    if Path(found.cwd).is_dir():  # relative paths in its profiles are meant from there
        os.chdir(found.cwd)
    if retry_failed:
        sweeps.retry(found)
    launcher = _launcher(ray or found.launch["with"] == "ray", found.launch["num_cpus"])
    _work(found, launcher, jobs, as_json)


def _work(made: Sweep, launcher: Launcher, jobs: int | None, as_json: bool) -> None:
    from engine.study import sweep as sweeps
    from kidtui import console, sweep_results, sweeping

    with sweeps.locked(made):
        console.note(f"sweep {made.id}  {made.path}")
        code = sweeping.work(
            made, launcher, jobs or max(made.jobs, launcher.slots), _tuner(made), as_json=as_json
        )
        told = ", ".join(f"{count} {state}" for state, count in made.counts().items())
        if not made.finished:
            console.note(f"{told}; kid sweep --resume {made.id} goes on")
        if code == sweeping.INTERRUPTED:
            raise typer.Exit(code)
        sweep_results.show(made, as_json=as_json)
        if "failed" in made.counts():
            console.note(f"{told}; kid sweep --resume {made.id} --retry-failed tries the failed again")
        raise typer.Exit(code)


def _launcher(ray: bool, num_cpus: float) -> Launcher:
    if ray:
        from kidtui.sweep_ray import Cluster

        return Cluster(num_cpus)
    from kidtui.workers import Local

    return Local()


def _tuner(made: Sweep) -> Tuner | None:
    if made.search is None:
        return None
    from engine.study.search import Search

    return Search(made)


def _list(as_json: bool) -> None:
    from engine.errors import KidError
    from engine.study import sweep as sweeps
    from engine.study import sweep_file, sweep_tables
    from kidtui import console

    known = []
    for name, path in sweep_file.available().items():
        try:
            told = sweep_tables.read(path).description
        except KidError as error:
            told = error.message
        known.append({"name": name, "path": str(path), "description": told})
    begun: list[dict[str, Any]] = []
    for ref in sweeps.ids():
        try:
            found = sweeps.find(ref)
        except KidError as error:
            begun.append({"id": ref, "problem": error.message})
            continue
        state = "running" if sweeps.is_locked(found) else "finished" if found.finished else "unfinished"
        begun.append({"id": ref, "created": found.created, "state": state, "cells": found.counts()})
    begun.sort(key=lambda one: one.get("created", 0.0), reverse=True)
    if as_json:
        console.data_json({"known": known, "begun": begun})
        return
    console.table([(one["name"], one["description"]) for one in known], ("sweep", "description"))
    if begun:
        console.data("")
        rows = [
            (one["id"], one.get("state", "damaged"),
             one.get("problem") or ", ".join(f"{count} {state}" for state, count in one["cells"].items()))
            for one in begun
        ]  # fmt: skip
        console.table(rows, ("begun", "state", "cells"))
