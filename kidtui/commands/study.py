"""`kid study`: the checks that a reader of the paper asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kidtui.commands.options import DataDir, Json

if TYPE_CHECKING:
    from engine.runs import Run

Which = Annotated[
    list[str], typer.Argument(metavar="SWEEP|RUN…", help="Sweeps, and runs: ids or starts of ids.")
]
Figures = Annotated[
    Path | None, typer.Option("--figures", metavar="DIR", help="Write report and figures here.")
]

app = typer.Typer(
    name="study",
    help="What lies behind a run's score: its errors, and what changes them.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from kidtui import console

        console.data(context.get_help())


@app.command()
def errors(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, start of an id, or directory.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SET", help="Held-out questions. Default: what the run was scored on."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, help="So many of them, 0 = all. Default: as many as the run took."),
    ] = None,
    mask_ratio: Annotated[
        float | None,
        typer.Option("--mask-ratio", min=0.001, max=1.0, help="Share that is masked. Default: the run's."),
    ] = None,
    databases: Annotated[
        Path | None, typer.Option("--databases", metavar="DIR", help="Look for the databases here.")
    ] = None,
    data_dir: DataDir = None,
    figures: Figures = None,
    as_json: Json = False,
) -> None:
    """KID's artificial errors beside the student's real ones.

    By token class, position and error of the SQL, with distances, for each mask strategy. Without
    --figures, report and figures go into the run's folder, study/errors.
    """
    from engine.study.error_report import markdown
    from kidtui import cells, console, error_study

    report = error_study.study_errors(
        run,
        data=data,
        limit=limit,
        mask_ratio=mask_ratio,
        databases=databases,
        data_dir=data_dir,
        folder=figures,
    )
    if as_json:
        console.data_json(report)
    else:
        console.markdown(cells.told(markdown(report)))


@app.command()
def sensitivity(which: Which, figures: Figures = None, as_json: Json = False) -> None:
    """EX by mask_ratio (α) and mask_strategy, over seeds."""
    from engine.study import sensitivity as study
    from engine.study import study_figures

    report, groups = study.sensitivity(_runs(which))
    _tell(report, study.markdown(report), figures, as_json,
          lambda folder: study_figures.write_sensitivity(groups, folder))  # fmt: skip


@app.command()
def repairs(which: Which, figures: Figures = None, as_json: Json = False) -> None:
    """Which error classes each method repairs.

    For every question what its answer was before training, and what after.
    """
    from engine.study import repairs as study
    from engine.study import study_figures

    report = study.repairs(_runs(which))
    _tell(report, study.markdown(report), figures, as_json,
          lambda folder: study_figures.write_repairs(report, folder))  # fmt: skip


@app.command()
def grouping(which: Which, figures: Figures = None, as_json: Json = False) -> None:
    """Batches grouped by database against mixed ones.

    At equal steps and at equal time. The sweeps `grouping` and `grouping-time` make the runs: name both.
    """
    from engine.study import grouping as study
    from engine.study import study_figures

    report = study.grouping(_runs(which))
    _tell(report, study.markdown(report), figures, as_json,
          lambda folder: study_figures.write_grouping(report, folder))  # fmt: skip


def _tell(
    report: Mapping[str, Any],
    text: str,
    folder: Path | None,
    as_json: bool,
    draw: Callable[[Path], object],
) -> None:
    """The report on stdout, and with its figures in the folder."""
    from engine.study import saved
    from kidtui import cells, console

    if folder is not None:
        saved.can_draw(asked=True)
    if as_json:
        console.data_json(report)
    else:
        console.markdown(cells.told(text))
    if folder is not None:
        folder = folder.expanduser()
        saved.save_report(folder, report, text)
        draw(folder)
        console.note(f"report and figures are in {folder}")


def _runs(which: Sequence[str]) -> list[Run]:
    """The runs that are named, and those of the sweeps.

    Raises:
        RunError: a name is neither a run's nor a sweep's; a sweep has no runs yet.
    """
    from engine import runs
    from engine.errors import RunError
    from engine.study import sweep as sweeps

    found = []
    for name in which:
        known = sweeps.ids()
        if name in known or (sum(one.startswith(name) for one in known) == 1 and not _is_run(name)):
            sweep = sweeps.find(name)
            if not sweep.runs():
                raise RunError(f"sweep {sweep.id} has no runs yet", f"kid sweep --resume {sweep.id} goes on")
            found += sweep.runs()
        else:
            found.append(runs.find(name))
    return found


def _is_run(name: str) -> bool:
    from engine import runs
    from engine.errors import RunError

    try:
        runs.find(name)
    except RunError:
        return False
    return True
