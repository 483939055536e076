"""Every key of a profile: its value, whence that comes, what is wrong with it, and a line to change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from engine import profile, profile_edit
from engine.profile_edit import EXTENDS, Reading, Setting
from kidtui.cells import shown
from kidtui.cycle import turned
from kidtui.widgets.profile_list import CalmOptionList

DEBOUNCE_SECONDS = 0.1
"""After the last key, before what was typed is looked at."""
_TABLE = "in use"
_EXTENDS_HELP = "The profile that this one builds on: a name or a path. It says what is not said here."


class Rows(CalmOptionList):
    """The keys, under the headings of their tables. Ids are dotted keys."""

    @property
    def key(self) -> str:
        option = self.highlighted_option
        return (option.id or "") if option else ""

    @property
    def copy_text(self) -> str:
        form = self.parent
        assert isinstance(form, ProfileForm)
        return form.told(self.key)


class ProfileForm(Vertical):
    """A form over a profile's text. It changes nothing itself: it asks for changes by `Edited`.

    Args:
        judge: what would be wrong if a key had the value that this text means; "" for nothing.
    """

    DEFAULT_CSS = """
    ProfileForm {
        & Rows, & Rows:focus { border: none; height: 1fr; padding: 0; background: transparent; }
        & Rows { scrollbar-size-vertical: 1; }
        & Rows > .option-list--option-disabled { color: $accent; }
        & #key-help { height: 3; padding: 0 1; background: $surface; }
        & #value-line { height: 1; display: none; background: $surface; padding: 0 1; }
        & #value-line Label { width: auto; max-width: 50%; color: $primary; text-style: bold; }
        & #value-line Input { width: 1fr; }
        &.-editing #value-line { display: block; }
        &.-stale Rows { opacity: 60%; }
    }
    """

    class Edited(Message):
        """The user wants a key to have the value that `text` means; "" takes it out."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class Refused(Message):
        """The user wants to change a key of a profile that is locked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, judge: Callable[[str, str], str]) -> None:
        super().__init__(id="form", classes="pane")
        self._judge = judge
        self._path = Path()
        self._settings: Mapping[str, Setting] = {}
        self._problems: dict[str, str] = {}
        self._lines: dict[str, Content] = {}
        self._locked = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Rows(id="keys", markup=False)
        yield Static("", id="key-help", markup=False)
        with Horizontal(id="value-line"):
            yield Label("", markup=False)
            yield Input(compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        self.border_title = Content("Keys")

    @property
    def rows(self) -> Rows:
        return self.query_one(Rows)

    @property
    def editing(self) -> bool:
        return self.has_class("-editing")

    def show(self, path: Path, reading: Reading, *, locked: bool) -> None:
        """Show what a profile's text says; where it is not TOML, what it said before stays, dim."""
        if path != self._path:
            self.stop_editing()
        self.set_class(not reading.settings, "-stale")
        if not reading.settings and path != self._path:
            reading = Reading(profile_edit.read(path, "").settings, reading.problems)
        self._path, self._locked = path, locked
        self._settings = reading.settings or self._settings
        self._problems = {}
        for problem in reading.problems:
            self._problems.setdefault(self._row_of(problem.key), problem.message)
        self._draw()

    def choose(self, key: str) -> None:
        """The cursor to this key, and the keyboard to the form."""
        self.rows.highlighted = self.rows.get_option_index(key)
        self.rows.focus()

    def told(self, key: str) -> str:
        """A key and its value on one line."""
        return f"{key} = {_value(self._settings[key])}" if key in self._settings else ""

    def edit(self) -> None:
        """Open the line in which the value of the chosen key is typed."""
        key = self.rows.key
        if not self._may_edit(key):
            return
        setting = self._settings[key]
        value = _value(setting)
        if key == "recorded" or not value.isprintable():
            self.app.notify("this one is written in the TOML text: press e", markup=False)
            return
        own = setting.source == self._path
        line = self.query_one(Input)
        line.suggester = SuggestFromList(profile_edit.choices(key)) if profile_edit.choices(key) else None
        line.value = value if own and value != _TABLE else ""
        line.placeholder = "" if own else f"{value or 'nothing'} ({self._source(setting)})"
        line.cursor_position = len(line.value)
        self.query_one(Label).update(f"{key} = ")
        self.add_class("-editing")
        line.focus()

    def stop_editing(self) -> None:
        """Close the line; what was typed is dropped."""
        if self.editing:
            self.remove_class("-editing")
            self.rows.focus()
            self._tell()

    def cycle(self) -> None:
        """The next of the chosen key's choices."""
        key = self.rows.key
        words = profile_edit.choices(key) if key else ()
        if words and self._may_edit(key):
            self.post_message(self.Edited(key, turned(words, _value(self._settings[key]))))

    def inherit(self) -> None:
        """Take the chosen key out of the file."""
        key = self.rows.key
        if self._may_edit(key) and self._settings[key].source == self._path:
            self.post_message(self.Edited(key, ""))

    def _may_edit(self, key: str) -> bool:
        if not key or not self._settings:
            return False
        if self._locked:
            self.post_message(self.Refused(key))
        elif self.has_class("-stale"):
            self.app.notify("first mend the TOML text", markup=False, severity="warning")
        else:
            return True
        return False

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.edit()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.stop_editing()
        self._tell()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE_SECONDS, self._tell)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.stop_editing()
        self.post_message(self.Edited(self.rows.key, event.value))

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        """Redraws the rows that differ from what is shown."""
        rows = self.rows
        if not self._settings:
            return
        lines = {key: self._line(key) for keys in _sections().values() for key in keys}
        if not rows.option_count:
            rows.add_options(self._options(lines))
            rows.highlighted = 1
        for key, line in lines.items():
            if key in self._lines and line != self._lines[key]:
                rows.replace_option_prompt(key, line)
        self._lines = lines
        self._tell()

    @staticmethod
    def _options(lines: Mapping[str, Content]) -> Iterator[Option]:
        for section, keys in _sections().items():
            yield Option(Content.styled(section, "bold"), disabled=True)
            yield from (Option(lines[key], id=key) for key in keys)

    def _line(self, key: str) -> Content:
        setting = self._settings[key]
        width = max(36, self.rows.scrollable_content_region.width - 1)
        name_width, source_width = (24, 12) if width > 45 else (20, 10)
        problem = self._problems.get(key)
        label = "all of it" if profile_edit.is_table(key) else key.rpartition(".")[2]
        own = setting.source == self._path
        head = (f"{'✗' if problem else ' '} {shown(label, name_width):<{name_width}} ", "bold" if own else "")
        value = _value(setting) or "–"
        if problem:
            # A problem that names key and value needs neither once more.
            named = problem.removeprefix(f"{key} = ")
            reason = named if named != problem else f"{shown(value, 8)}  {problem.removeprefix(f'{key} ')}"
            line = Content.assemble(head, (shown(reason, width), "$error"))
        else:
            value_style = "bold" if own else "dim" if setting.source is None else ""
            line = Content.assemble(
                head, (shown(value, max(4, width - name_width - source_width - 4)), value_style)
            )
            gap = " " * max(1, width - source_width - line.cell_length)
            line = Content.assemble(line, gap, (shown(self._source(setting), source_width), "dim"))
        return line.truncate(width, ellipsis=True)

    def _source(self, setting: Setting) -> str:
        if setting.source is None:
            return "the file's" if setting.key == "name" else "default"
        return "this file" if setting.source == self._path else f"← {setting.source.stem}"

    def _tell(self) -> None:
        """Says of the chosen key what it is, and what is wrong with it or with what is typed."""
        key = self.rows.key
        if key not in self._settings:
            return
        room = max(20, self.size.width - 4)
        setting = self._settings[key]
        told = (shown(f"{self.told(key)} ({self._source(setting)})", room), "bold")
        problem = self._judge(key, self.query_one(Input).value) if self.editing else self._problems.get(key)
        about = ("✗ " + shown(problem, 2 * room), "$error") if problem else _help(key)
        self.query_one("#key-help", Static).update(Content.assemble(told, "\n", about))

    @staticmethod
    def _row_of(key: str) -> str:
        """The row at which a problem of a key is shown: its own or that of what it stands in."""
        rows = {row for keys in _sections().values() for row in keys}
        while key and key not in rows:
            key = key.rpartition(".")[0]
        return key


@cache
def _sections() -> dict[str, list[str]]:
    """The keys of the form under the names of their tables; a table that can be left out is a key, too."""
    found: dict[str, list[str]] = {"the profile": [EXTENDS]}
    for key, field in profile.keys().items():
        if key.startswith("recorded."):
            continue
        if profile_edit.is_table(key):
            found[key] = [] if field.is_required() or field.default is not None else [key]
        else:
            found[key.rpartition(".")[0] or "the profile"].append(key)
    return found


def _help(key: str) -> str:
    if key == EXTENDS:
        return _EXTENDS_HELP
    words = profile.keys()[key].description or ""
    if profile_edit.is_table(key):
        words += " Type none to do without it."
    if choices := profile_edit.choices(key):
        words += f" One of {', '.join(choices)} (space: the next)."
    return words


def _value(setting: Setting) -> str:
    """A value as it is typed."""
    value: Any = setting.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return _TABLE
    if setting.key == "recorded" and isinstance(value, list):
        return f"{len(value)} earlier results" if value else ""
    return str(value).replace("'", '"') if isinstance(value, list) else str(value)
