"""`kid distill`: train a student, in the foreground or detached."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kidtui.commands.options import DataDir, Json, Set

if TYPE_CHECKING:
    from engine.profile import Profile
    from engine.runs import Run

_BEGIN_SECONDS = 30.0


def distill(
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", metavar="NAME", help="Name or path. Default: demo.")
    ] = None,
    overrides: Set = None,
    data_dir: DataDir = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped or lost.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", min=1, help="Train in so many processes: launch.processes."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the run, print its id, do not wait.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the resolved profile, sizes, memory, time; try a few steps."),
    ] = False,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="With --dry-run: try no steps, load no models.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a student; without a profile, the embedded demo's.

    Progress is on stderr, the final report on stdout (with --json: the events as they come).
    The first Ctrl-C stops cleanly with a checkpoint, the second at once.
    """
    from engine import profile as profiles
    from engine.errors import UsageError

    if resume is not None:
        given = {"--profile": profile, "--set": overrides, "--data-dir": data_dir}
        for name in (name for name, value in given.items() if value):
            raise UsageError(
                f"{name} cannot be changed when a run is resumed", "leave it out, or start a new run"
            )
        run = _resumable(resume)
        chosen = run.profile()
        recorded = run.info().get("data_dir")
        data_dir = Path(recorded) if recorded else None
    else:
        run = None
        asked = [] if processes is None else [f"launch.processes={processes}"]
        chosen = profiles.load(profile or "demo", [*(overrides or ()), *asked])
    if no_measure and not dry_run:
        raise UsageError("--no-measure goes with --dry-run", "add it, or leave --no-measure out")
    if dry_run:
        _dry_run(chosen, data_dir, as_json, measured=not no_measure)
        return
    from kidtui import launch

    run = run or launch.create(chosen, sys.argv, data_dir)
    if detach:
        _detach(run, processes, as_json)
        return
    from kidtui import follow

    raise typer.Exit(follow.run_to_end(run, as_json=as_json, processes=processes))


def _detach(run: Run, processes: int | None, as_json: bool) -> None:
    from kidtui import console, follow, launch

    engine = launch.start(run, processes=processes)
    follow.wait_until_begun(engine, _BEGIN_SECONDS)
    if as_json:
        console.data_json({"id": run.id, "path": str(run.path), "pid": engine.process.pid})
    else:
        console.data(run.id)
    console.note(f"kid runs logs -f {run.id} follows it; kid runs stop {run.id} ends it")


def _resumable(ref: str) -> Run:
    from engine import runs
    from engine.errors import UsageError

    run = runs.find(ref)
    if run.status()["state"] == "done":
        raise UsageError(f"run {run.id} is done: there is nothing to resume", f"kid runs show {run.id}")
    return run


def _dry_run(chosen: Profile, data_dir: Path | None, as_json: bool, *, measured: bool) -> None:
    from kidtui import console, launch, preflight
    from kidtui.display import progress

    def say(lines: list[str]) -> None:
        for line in lines if not as_json else ():
            console.data(f"# {' '.join(line.splitlines())}")

    plan = launch.plan(chosen, data_dir)
    say(_plan_lines(plan))
    if measured:
        with progress(as_json=as_json) as tell:
            plan["measured"] = preflight.measure(chosen, data_dir, tell)
        say([f"measured, {line}" for line in preflight.words(plan["measured"])])
    if as_json:
        console.data_json({"profile": chosen.model_dump(mode="json"), "plan": plan})
        return
    console.data("")
    console.data(chosen.toml().rstrip())


def _plan_lines(plan: dict[str, Any]) -> list[str]:
    """The plan in words; they are comments, so that the whole output is TOML."""
    from kidtui.narrate import count

    parameters = ", ".join(f"{role} {count(value)}" for role, value in plan["parameters"].items())
    memory = ", ".join(f"{part} {count(value)} MB" for part, value in plan["memory_mb"].items())
    corrections = f", {count(plan['corrections'])} of them corrections" if plan["corrections"] else ""
    return [
        f"parameters: {parameters}",
        f"memory, estimated: {memory}",
        f"steps: {count(plan['steps'])} ({count(plan['steps_per_epoch'])} an epoch,"
        f" {count(plan['examples'])} examples{corrections})",
    ]
