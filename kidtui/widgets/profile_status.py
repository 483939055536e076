"""The lines under Profiles: what happened, whether the text is a profile, what a run of it would take."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from engine.profile_problems import Problem
from kidtui.cells import shown


class ProfileStatus(Static):
    """Of the chosen profile, or of its absence.

    notice: what happened to it.
    unreadable: why it cannot be read, "" if it can.
    fits: what a run would take, as far as that was asked.
    """

    def __init__(self) -> None:
        super().__init__("", id="status", markup=False)
        self.notice = ""
        self.unreadable = ""
        self.fits = ""

    def show(self, problems: Sequence[Problem], standing: str | None) -> None:
        """standing: what to know of a valid profile; None where no profile is chosen."""
        room = max(20, self.screen.size.width - 4)
        words = f"✗ {self.unreadable}" if self.unreadable else self.notice
        lines = [Content(shown(words, room))] if words else []
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            message = shown(problems[0].message, 2 * room - len(more) - 2)
            lines.append(Content.styled(f"✗ {message}{more}", "$error"))
            if problems[0].mend:
                lines.append(Content.styled(f"  {shown(problems[0].mend, room - 2)}", "dim"))
        elif standing is None:
            lines = lines or [Content("no profiles: n makes one")]
        elif not self.unreadable:
            lines.append(Content.styled(f"✓ valid{standing}", "dim"))
        if self.fits:
            lines.append(Content(shown(self.fits, 2 * room)))
        self.update(Content("\n").join(lines))
