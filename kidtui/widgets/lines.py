"""Many lines of text, of which only the visible ones are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kidtui import cells

_WIDEST = 4000  # columns


class Lines(ScrollView, can_focus=True):
    """Shows lines, and stays at the end while new ones come, unless the user has scrolled away."""

    DEFAULT_CSS = """
    Lines { height: 1fr; }
    """

    def __init__(self, empty: str = "", *, follow: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self._empty, self._follow = empty, follow
        self._lines: Sequence[str | Text] = ()

    @property
    def copy_text(self) -> str:
        """What is shown, whole."""
        return "\n".join(line.plain if isinstance(line, Text) else line for line in self._lines)

    def show(self, lines: Sequence[str | Text]) -> None:
        """Plain text is made safe; a Text is taken to be safe already."""
        if lines == self._lines:
            return
        at_end = self.scroll_offset.y >= self.max_scroll_y
        self._lines = lines
        widest = max((_room(line) for line in lines), default=0)
        self.virtual_size = Size(min(widest, _WIDEST) + 1, len(lines))
        if self._follow and at_end:
            self.call_after_refresh(self.scroll_end, animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        at = scroll_y + y
        line = self._lines[at] if at < len(self._lines) else self._empty if not self._lines and y == 0 else ""
        text = line if isinstance(line, Text) else Text(cells.shown(line, _WIDEST) if line else "")
        text.no_wrap = True
        strip = Strip(text.render(self.app.console), text.cell_len)
        return strip.crop_extend(scroll_x, scroll_x + self.size.width, self.rich_style).apply_style(
            self.rich_style
        )


def _room(line: str | Text) -> int:
    """Columns that are enough for a line; measuring each would take too long."""
    if isinstance(line, Text):
        return line.cell_len
    if line.isascii():
        return len(line) if line.isprintable() else 4 * len(line)  # \x1b
    return 2 * len(line) if line.isprintable() else 10 * len(line)  # \U000e0001
