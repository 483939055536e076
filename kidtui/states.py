"""A run's state as it is shown: a glyph and a word, never a colour alone."""

from __future__ import annotations

from kidtui.narrate import duration

GLYPHS = {
    "starting": "○", "running": "●", "paused": "‖", "stopping": "◐",
    "done": "✓", "stopped": "■", "failed": "✗", "lost": "?",
}  # fmt: skip
QUIET_SECONDS = 60.0
"""After so long without an event a living run is called quiet."""


def word(state: str, quiet_s: float) -> str:
    """The state; a living run that has said nothing for a while is quiet."""
    if state == "running" and quiet_s > QUIET_SECONDS:
        return f"running, quiet {duration(quiet_s)}"
    return state
