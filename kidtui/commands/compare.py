"""`kid compare`: several runs side by side, as a table, as plots and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kidtui.commands.options import Json

if TYPE_CHECKING:
    from engine.runs import Run
    from engine.study.comparison import Comparison


def compare(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Ids, starts of ids, or directories.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="SWEEP", help="The runs of a sweep, too.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write the figures here, as PNG and SVG.")
    ] = None,
    plots: Annotated[
        bool, typer.Option("--plots", help="Draw the scores against latency and steps.")
    ] = False,
    single: Annotated[
        bool, typer.Option("--runs", help="Show each run under its recipe, where seeds differ.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare runs: scores with intervals, cost, the settings that differ, a test between the best two.

    Runs that differ in train.seed alone are one row. Only the runs' files are read: they may lie anywhere,
    be unfinished, or be damaged.
    """
    from engine.errors import UsageError
    from engine.study import comparison
    from kidtui import compared_table, console

    if plots and as_json:
        raise UsageError("--plots draws for people, --json is for programs", "leave one of them out")
    compared = comparison.compare(_runs(which or [], sweep))
    if as_json:
        console.data_json(comparison.to_json(compared))
    else:
        compared_table.show(compared, single=single)
    if plots:
        _plot(compared)
    if figures is not None:
        from engine.study.figures import write

        written = write(compared, figures.expanduser())
        names = ", ".join(sorted({path.stem for path in written}))
        console.note(
            f"figures in {figures}, as .png and .svg: {names}" if written else "these runs allow no figure"
        )


def _runs(which: list[str], sweep: str | None) -> list[Run]:
    from engine import runs
    from engine.errors import RunError, UsageError

    found = [runs.find(one) for one in which]
    if sweep is not None:
        from engine.study import sweep as sweeps

        chosen = sweeps.find(sweep)
        made = chosen.runs()
        if not made and not found:
            raise RunError(f"sweep {chosen.id} has no runs yet", f"kid sweep --resume {chosen.id} goes on")
        found += made
    if not found:
        raise UsageError("nothing to compare", "name runs (kid runs list shows them), or --sweep SWEEP")
    return found


def _plot(compared: Comparison) -> None:
    from rich.console import Console

    from kidtui import console
    from kidtui.terminal_plots import plots

    drawn = list(plots(compared))
    for text in drawn:
        console.data("")
        Console(highlight=False).print(text, soft_wrap=True)
    if not drawn:
        console.note("nothing to plot: no run has told of its steps")
