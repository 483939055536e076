"""The list of profiles: whose they are, what they build on, which are broken."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from textual import events
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from kidtui.cells import shown
from kidtui.profile_files import Entry

_TITLES = {"user": "yours", "project": "this project's", "shipped": "shipped"}


class CalmOptionList(OptionList):
    """An OptionList in which one click moves the cursor, and two do what enter does."""

    async def _on_click(self, event: events.Click) -> None:
        event.prevent_default()
        at = event.style.meta.get("option")
        if at is not None and not self.get_option_at_index(at).disabled:
            self.highlighted = at
            if event.chain > 1:
                self.action_select()


class ProfileList(CalmOptionList):
    """Profiles under the heading of their origin. Posts OptionList's own messages; ids are paths."""

    DEFAULT_CSS = """
    ProfileList > .option-list--option-disabled { color: $accent; }
    """

    def __init__(self) -> None:
        super().__init__(id="profiles", classes="pane", markup=False)
        self.border_title = "Profiles"
        self.entries: dict[str, Entry] = {}
        self._width = 0

    @property
    def entry(self) -> Entry | None:
        """The profile that the cursor is on."""
        option = self.highlighted_option
        return self.entries.get(option.id or "") if option else None

    @property
    def copy_text(self) -> str:
        return str(self.entry.path) if self.entry else ""

    def show(self, entries: Sequence[Entry], chosen: str | None) -> None:
        """Put these profiles in the list, the cursor on `chosen` (a path) or where it was.

        Moves the cursor without a message.
        """
        self.entries = {str(entry.path): entry for entry in entries}
        self._fill(chosen)

    def choose(self, path: str) -> None:
        """Put the cursor on this path, without a message."""
        with self.prevent(OptionList.OptionHighlighted):
            if path in self.entries:
                self.highlighted = self.get_option_index(path)

    def on_resize(self, event: events.Resize) -> None:
        if self.content_size.width != self._width:
            self._fill(self.highlighted_option.id if self.highlighted_option else None)

    def _fill(self, chosen: str | None) -> None:
        self._width = self.content_size.width
        before, scroll = self.highlighted, self.scroll_offset
        options: list[Option] = []
        groups = groupby(sorted(self.entries.values(), key=_order), key=lambda entry: entry.origin)
        for origin, members in groups:
            options.append(Option(Content.styled(_TITLES[origin], "bold"), disabled=True))
            options += [Option(self._line(entry), id=str(entry.path)) for entry in members]
        with self.prevent(OptionList.OptionHighlighted):
            self.set_options(options)
            if chosen in self.entries:
                self.highlighted = self.get_option_index(chosen or "")
            elif options:
                self.highlighted = min(max(before or 1, 1), len(options) - 1)
        self.scroll_to(y=scroll.y, animate=False, immediate=True)
        self.call_after_refresh(self.scroll_to_highlight)

    def _line(self, entry: Entry) -> Content:
        room = max(8, (self.content_size.width or 30) - 5)
        mark = "✗ " if entry.problem else "  "
        line = Content.assemble((mark, "bold"), shown(entry.name, room))
        chain = "".join(f" ← {base.stem}" for base in entry.bases)
        if chain and (left := room + 2 - line.cell_length) > 6:
            line += Content.styled(shown(chain, left), "dim")
        if entry.problem:
            return line + Content.styled("\n  " + shown(entry.problem, room), "$error")
        if entry.description and (left := room - line.cell_length) > 20:
            line += Content.styled("  " + shown(entry.description, left), "dim")
        return line


def _order(entry: Entry) -> int:
    return list(_TITLES).index(entry.origin)
