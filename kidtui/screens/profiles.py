"""Profiles: the list, the chosen one as a form and as TOML, what a run of it would take, and its launch."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import OptionList, TextArea

from engine import profile_edit
from engine.errors import KidError, fault
from engine.profile_edit import Reading
from kidtui import keys, profile_files
from kidtui.cells import shown
from kidtui.profile_files import Entry
from kidtui.screens.dialogs import Confirm
from kidtui.screens.profile_acts import ProfileActs
from kidtui.screens.profiles_layout import ProfilesLayout
from kidtui.widgets.profile_form import DEBOUNCE_SECONDS, ProfileForm
from kidtui.widgets.toml_editor import TomlEditor

_LOOK_SECONDS = 2.0
"""Between looks at whether profile files have changed."""


class ProfilesScreen(ProfilesLayout):
    """The text in the TOML pane is the one truth; the form is read from it and asks for changes of it."""

    place = "profiles"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("profiles")]

    def __init__(self) -> None:
        super().__init__()
        self.entry: Entry | None = None
        self.on_disk = ""
        """What the file said when it was opened or saved."""
        self._opened = ""
        """The same as the text pane has it."""
        self.reading = Reading({}, [])
        self._stamps: Mapping[Path, object] = {}
        self._one_look = threading.Lock()
        self._timer: Timer | None = None
        self._acts = ProfileActs(self)

    @property
    def is_dirty(self) -> bool:
        return self.entry is not None and self.toml.text != self._opened

    def unsaved(self) -> str:
        """What would be lost if the monitor were left now, in a sentence; "" for nothing."""
        return (
            f"The changes of profile {self.entry.name} are not saved." if self.is_dirty and self.entry else ""
        )

    def on_mount(self) -> None:
        self.look()
        self.set_interval(_LOOK_SECONDS, self._look_again)

    def on_screen_resume(self) -> None:
        self.look()

    # What is on disk

    def _look_again(self) -> None:
        if self.app.screen is self:
            self.look()

    @work(thread=True, group="look")
    def look(self, chosen: Path | None = None, then: Callable[[], object] | None = None) -> None:
        """Reads all profiles where one has changed; then `chosen` is opened."""
        with self._one_look:  # what an earlier look has seen is never shown after what a later one has
            try:
                stamps = profile_files.stamps()
                if stamps == self._stamps and chosen is None:
                    return
                entries = profile_files.entries()
            except Exception as caught:  # a folder that is gone, a circle of links: the screen lives on
                error = caught if isinstance(caught, KidError) else fault(caught)
                self.app.call_from_thread(self._say, f"cannot list the profiles: {error.message}")
                return
            self.app.call_from_thread(self._found, stamps, entries, chosen, then)

    def _found(
        self,
        stamps: Mapping[Path, object],
        entries: list[Entry],
        chosen: Path | None,
        then: Callable[[], object] | None,
    ) -> None:
        here = {entry.path: entry for entry in entries}
        current = self.entry.path if self.entry else None
        if chosen is None and current is not None and current not in here and current.is_file():
            return  # a look from before it was made: the next one finds it
        pointed = self.listed.entry.path if self.listed.entry else None
        if chosen is None and current in here and pointed in here and pointed != current:
            self.listed.show(entries, str(pointed))
            return  # the user is turning to another profile: the next look does the rest
        self._stamps = stamps
        wanted = chosen or current or profile_files.first(entries)
        self.listed.show(entries, str(wanted) if wanted else None)
        if chosen is None and current is not None and current not in here:
            gone = f"{current.name} is no longer on disk"
            if self.is_dirty:
                self.listed.highlighted = None  # what is shown is none of these
                self._say(f"{gone}; ctrl+s writes it anew")
                return
            self._open(self.listed.entry, notice=gone)
        elif chosen is None and current is not None and self.is_dirty:
            self.entry = here[current]
            if self.read_disk() != self.on_disk:
                self._say(f"{current.name} has changed on disk; ctrl+s asks before it is overwritten")
        elif wanted != current or self.read_disk() != self.on_disk:
            self._open(here.get(wanted, self.listed.entry) if wanted else None)
        else:
            self.entry = here.get(wanted) if wanted else None
            self.check()
        if then is not None:
            then()

    def read_disk(self) -> str | None:
        """What the chosen file says now; None where it cannot be read."""
        try:
            assert self.entry is not None
            return profile_files.text_of(self.entry.path)
        except KidError:
            return None

    def _open(self, entry: Entry | None, notice: str = "") -> None:
        """Show a profile. One that cannot be read is shown empty, with the reason."""
        self.entry, self.status.notice, self.status.unreadable, self.status.fits = entry, notice, "", ""
        text = ""
        if entry is not None:
            try:
                text = profile_files.text_of(entry.path)
            except KidError as error:
                self.status.unreadable = error.message
        self.on_disk = text
        unreadable = entry is None or bool(self.status.unreadable)
        shipped = entry is not None and entry.origin == "shipped"
        self.toml.show(
            text,
            locked=shipped and not unreadable and not self.app.readonly,
            read_only=unreadable or self.app.readonly,
        )
        self._opened = self.toml.text
        self.check()

    @on(OptionList.OptionHighlighted, "#profiles")
    def _highlighted(self) -> None:
        entry = self.listed.entry
        if entry is not None and (self.entry is None or entry.path != self.entry.path):
            self.when_saved(lambda: self._open(entry))

    def when_saved(self, then: Callable[[], None]) -> None:
        """Does it at once where nothing is unsaved, else when the user wants to lose that."""
        if not self.is_dirty or self.entry is None:
            then()
            return
        path = self.entry.path

        def answered(discard: bool | None) -> None:
            if discard:
                self._open(self.entry)
                then()
            else:
                self.listed.choose(str(path))

        question = f"Lose the changes of {shown(path.stem, 40)}?"
        self.app.push_screen(Confirm(question, "They are not saved; ctrl+s saves them.", "Discard"), answered)

    def saved(self, text: str) -> None:
        """The file says this now."""
        self.on_disk, self._opened, self.status.notice = text, text, ""
        self._stamps = {}  # what the last look has seen is past
        self.check()
        self.look()

    def forget(self) -> None:
        """The file is gone, and with it what there was to save."""
        self._opened = self.toml.text
        self.look()

    # The text and what it means

    @on(TextArea.Changed)
    def _text_changed(self) -> None:
        self.status.fits = ""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE_SECONDS, self.check)

    def check(self) -> None:
        """Reads the text anew, and shows in form and status line what it says and what is wrong."""
        entry = self.entry
        if entry is None:
            self.reading = Reading({}, [])
            self.subject = ""
            self.show_status()
            return
        self.reading = profile_edit.read(entry.path, self.toml.text)
        if self.status.unreadable:  # it cannot be read: that is all there is to say
            self.reading = Reading(self.reading.settings, [])
        locked = entry.origin == "shipped" or self.app.readonly or self.toml.read_only
        self.form.show(entry.path, self.reading, locked=locked)
        self.toml.mark(_line_of(self.reading))
        name = shown(entry.name, 40)
        self.form.border_title = Content(f"Keys of {name}{' — not saved' if self.is_dirty else ''}")
        self.toml.border_title = Content(f"{shown(entry.path.name, 40)} (e)")
        self.subject = f"{name}{' *' if self.is_dirty else ''}"
        self.show_status()

    def judge(self, key: str, typed: str) -> str:
        """What would be wrong with a key that had this value; "" for nothing."""
        if self.entry is None:
            return ""
        try:
            text = profile_edit.with_value(self.toml.text, key, profile_edit.typed(key, typed))
        except KidError as error:
            return error.message
        before = {problem.message for problem in self.reading.problems}
        found = profile_edit.read(self.entry.path, text).problems
        mine = [problem.message for problem in found if problem.key == key]
        return next(iter(mine or [problem.message for problem in found if problem.message not in before]), "")

    @on(ProfileForm.Edited)
    def _edited(self, event: ProfileForm.Edited) -> None:
        try:
            value = profile_edit.typed(event.key, event.text)
            self.toml.change(profile_edit.with_value(self.toml.text, event.key, value))
            self.status.fits = ""
        except KidError as error:
            self.app.say_error(error)
        self.check()

    def show_status(self) -> None:
        """Says anew what there is to say of the profile."""
        self.status.show(self.reading.problems, None if self.entry is None else self._standing())

    def _standing(self) -> str:
        if self.app.readonly:
            return " · read-only"
        if self.entry is not None and self.entry.origin == "shipped":
            return " · shipped: the first change makes a copy of your own"
        return " · not saved yet: ctrl+s" if self.is_dirty else ""

    def _say(self, notice: str) -> None:
        self.status.notice = notice
        self.show_status()

    # What is done to it

    def action_new(self) -> None:
        self._acts.new()

    def action_duplicate(self) -> None:
        self._acts.duplicate()

    def action_rename(self) -> None:
        self._acts.rename()

    def action_delete(self) -> None:
        self._acts.delete()

    def action_save(self) -> None:
        self._acts.save()

    def action_fits(self) -> None:
        self._acts.fits()

    def action_launch(self) -> None:
        self._acts.launch()

    @on(ProfileForm.Refused)
    def _key_refused(self, event: ProfileForm.Refused) -> None:
        def edit() -> None:
            self.form.choose(event.key)
            self.form.edit()

        self._acts.offer_copy(edit)

    @on(TomlEditor.Refused)
    def _text_refused(self) -> None:
        self._acts.offer_copy(self.toml.focus)

    @on(OptionList.OptionSelected, "#profiles")
    def action_open(self) -> None:
        if not self.app.readonly:
            self.action_launch()


def _line_of(reading: Reading) -> int | None:
    """The line (from 0) at which a text stops to be TOML."""
    if reading.settings or not reading.problems:
        return None
    found = re.search(r"at line (\d+)", reading.problems[0].message)
    return int(found[1]) - 1 if found else None
