"""What a sweep came to: the table on stdout, table and figures in its folder."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec

from engine import files
from engine.study.sweep import Sweep
from kidtui import compared_table, console


def show(sweep: Sweep, *, as_json: bool) -> None:
    """Compare the cells that are done; table.md, table.json and figures/ are written anew.

    Raises:
        KidError: they cannot be written.
    """
    done = {cell.run for cell in sweep.cells if cell.state == "done"}
    finished = [run for run in sweep.runs() if run.id in done]
    compared = None
    if finished:
        from engine.study import comparison

        result = comparison.compare(finished)
        compared = comparison.to_json(result)
        table = comparison.markdown(result)
        files.write_json(sweep.path / "table.json", compared)
        files.write_text(sweep.path / "table.md", table.rstrip() + "\n")
        if find_spec("matplotlib"):
            from engine.study.figures import write

            drawn = write(result, sweep.path / "figures")
            console.note(f"{len(drawn)} figures in {sweep.path / 'figures'}")
        else:
            console.note("no figures: they need matplotlib; pip install 'kid-sql[figures]'")
        if not as_json:
            compared_table.show(result)
    if as_json:
        told = [
            {name: value for name, value in asdict(cell).items() if name != "warm"} for cell in sweep.cells
        ]
        console.data_json({"id": sweep.id, "path": str(sweep.path), "cells": told, "comparison": compared})
