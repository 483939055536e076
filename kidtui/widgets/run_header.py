"""Where a run stands, in three lines: state and step, sizes and speed, what went wrong."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from engine.runs import LIVE_STATES
from kidtui import narrate, states
from kidtui.board import Row
from kidtui.cells import shown
from kidtui.history import Snapshot
from kidtui.watch import View

_WIDE = 300


class RunHeader(Static):
    """The facts of the chosen run."""

    DEFAULT_CSS = """
    RunHeader { height: 3; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", markup=False, id=id)
        self._shown = Text()

    def show(self, row: Row, snapshot: Snapshot | None) -> None:
        notes = self._notes(row, snapshot)
        facts = [] if len(notes) > 1 else [self._facts(row, snapshot)]
        text = Text("\n").join([self._state(row, snapshot), *facts, *notes])
        if text != self._shown:
            self._shown = text
            self.update(text, layout=False)

    def _state(self, row: Row, snapshot: Snapshot | None) -> Text:
        glyph, word = states.GLYPHS.get(row.state, "?"), states.word(row.state, row.quiet_s)
        alive = row.state in LIVE_STATES
        pid = f" (pid {row.pid})" if alive and row.pid else ""
        line = Text.assemble((shown(row.id, 60), "bold"), f"  {glyph} {word}{pid}")
        if row.problem:
            return line
        parts = []
        if row.total_steps:
            parts.append(f"step {narrate.count(row.step or 0)}/{narrate.count(row.total_steps)}")
        if alive:
            if row.phase and row.phase != "training":
                parts.append(self._phase(row, snapshot))
            if row.step and row.eta_s is not None:
                parts.append(f"eta {narrate.duration(row.eta_s)}")
        return line.append("".join(f"  {part}" for part in parts))

    def _facts(self, row: Row, snapshot: Snapshot | None) -> Text:
        view = snapshot.view if snapshot else View()
        parts = []
        if view.step:
            parts.append(f"{narrate.count(view.step.get('tokens_per_s'))} tokens/s")
            parts.append(f"{narrate.count(view.step.get('memory_mb'))} MB")
        if row.generation > 1:
            parts.append(f"generation {row.generation}")
        for role in ("student", "teacher"):
            if size := view.parameters.get(role):
                parts.append(f"{role} {narrate.count(size)}")
        return Text("  ".join(shown(part, 60) for part in parts), style="dim")

    def _phase(self, row: Row, snapshot: Snapshot | None) -> str:
        at = snapshot.view.progress if snapshot else None
        return narrate.progress(snapshot.view) if snapshot and at and at.name == row.phase else row.phase

    def _notes(self, row: Row, snapshot: Snapshot | None) -> list[Text]:
        notes = []
        if row.problem:
            notes.append(Text(f"✗ {shown(row.problem, _WIDE)}", style="bold"))
        if snapshot is None:
            return notes
        if snapshot.problem:
            notes.append(Text(f"✗ {shown(snapshot.problem, _WIDE)}", style="bold"))
        error = (snapshot.view.end or {}).get("error")
        if error:
            notes.append(Text(f"✗ {shown(str(error.get('message')), _WIDE)}", style="bold"))
            if error.get("mend"):
                notes.append(Text(f"  {shown(str(error['mend']), _WIDE)}"))
        elif snapshot.view.warnings:
            notes.append(Text(f"! {shown(snapshot.view.warnings[-1], _WIDE)}"))
        if snapshot.num_skipped:
            notes.append(
                Text(f"! {narrate.count(snapshot.num_skipped)} damaged lines of its events are left out")
            )
        if snapshot.behind:
            notes.append(Text("… still reading its events: of a long run, charts show samples"))
        return notes[:2]
