"""Draws docs/demo.svg, the README's picture: `python scripts/demo_picture.py RUN`."""

from __future__ import annotations

import json
import sys
from io import StringIO

from rich.console import Console
from rich.markdown import Markdown

from engine import runs
from kidtui import narrate

run = runs.find(sys.argv[1])
console = Console(record=True, width=100, file=StringIO())
console.print("$ kid distill", style="bold")
for line in (run.path / "events.1.jsonl").read_text().splitlines():
    event = json.loads(line)
    if event["kind"] in ("run_start", "eval"):
        console.print(narrate.event(event), style="dim", markup=False)
console.print(Markdown((run.path / "report.md").read_text()))
console.save_svg("docs/demo.svg", title="kid distill")
