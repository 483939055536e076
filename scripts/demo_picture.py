"""Draws docs/demo.svg, the README's picture: `python scripts/demo_picture.py RUN`."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from engine import runs
from engine.event_reader import EventReader
from kidtui import narrate, report

run = runs.find(sys.argv[1])
console = Console(record=True, width=84, file=StringIO(), highlight=False)
console.print("$ kid distill", style="bold")
for event in EventReader(run).poll():
    if event["kind"] in ("run_start", "eval"):
        console.print(narrate.event(event), style="dim", markup=False)
console.print()
console.print(report.layout((run.path / "report.md").read_text()))
# The export names a font on somebody's server; the reader's own monospace does.
drawn = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="kid distill"), flags=re.DOTALL)
Path("docs/demo.svg").write_text(drawn.replace("Fira Code, ", ""))
