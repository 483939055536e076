"""The text of a profile, as it stands in the file."""

from __future__ import annotations

import re
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import TextArea

from kidtui.cells import UNSAFE

_COMMENT = re.compile(r"""^(?:[^"'#]|"(?:\\.|[^"\\])*"|'[^']*')*?(#.*)$""")
_HEADING = re.compile(r"^\s*\[.*?\]+")
_KEY = re.compile(r"^\s*[\w.\"'-]+(?=\s*=)")


class TomlEditor(TextArea):
    """A text area that knows TOML's comments, tables and keys.

    `locked`: the text is not the user's to change; the first try to is told as `Refused`.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"toml--comment", "toml--heading", "toml--key", "toml--problem"}
    DEFAULT_CSS = """
    TomlEditor {
        padding: 0;
        & .toml--comment { color: $foreground 60%; text-style: italic; }
        & .toml--heading { color: $accent; text-style: bold; }
        & .toml--key { color: $primary; }
        & .toml--problem { color: $error; text-style: underline; }
    }
    """

    class Refused(Message):
        """The user has begun to change a text that is locked."""

    def __init__(self) -> None:
        super().__init__(
            id="toml",
            classes="pane",
            show_line_numbers=True,
            tab_behavior="focus",
            highlight_cursor_line=False,
        )
        self.locked = False
        self._bad_line: int | None = None

    @property
    def copy_text(self) -> str:
        return self.selected_text or self.text

    def show(self, text: str, *, locked: bool, read_only: bool) -> None:
        """Another file's text; what could be undone is forgotten."""
        self.locked, self.read_only = locked, locked or read_only
        with self.prevent(TextArea.Changed):
            self.load_text(text)

    def change(self, text: str) -> None:
        """The same file's text after an edit elsewhere; it can be undone here."""
        if text == self.text:
            return
        before = self.cursor_location
        with self.prevent(TextArea.Changed):
            self.replace(text, (0, 0), self.document.end, maintain_selection_offset=False)
            self.move_cursor(before)

    def mark(self, line: int | None) -> None:
        """Underline a line (from 0) that is not TOML; None: all is well."""
        if line != self._bad_line:
            self._bad_line = line
            self.notify_style_update()
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        # One sign for one: the cursor's column counts.
        line = Text(
            UNSAFE.sub(lambda sign: "\t" if sign[0] == "\t" else "�", self.document[line_index]), end=""
        )
        if line_index == self._bad_line:
            line.stylize(self._style("problem"))
            return line
        if heading := _HEADING.match(line.plain):
            line.stylize(self._style("heading"), *heading.span())
        elif key := _KEY.match(line.plain):
            line.stylize(self._style("key"), *key.span())
        if comment := _COMMENT.match(line.plain):
            line.stylize(self._style("comment"), *comment.span(1))
        return line

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"toml--{name}", partial=True)
        return Style(color=style.color, bold=style.bold, italic=style.italic, underline=style.underline)

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        if self.locked:
            return character is not None and character.isprintable()
        return super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        if self.locked and (event.is_printable or event.key in ("enter", "backspace", "delete")):
            event.stop()
            event.prevent_default()
            self.post_message(self.Refused())

    async def _on_paste(self, event: events.Paste) -> None:
        if self.locked:
            event.stop()
            event.prevent_default()
            self.post_message(self.Refused())
