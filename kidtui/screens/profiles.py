"""Profiles: the list, the chosen one as a form and as TOML, what a run of it would take, and its launch."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, OptionList, Static, TextArea

from engine import files, profile, profile_edit
from engine.errors import KidError
from engine.profile import Profile
from engine.profile_edit import Reading
from kidtui import keys, profile_files
from kidtui.cells import shown
from kidtui.profile_files import Entry
from kidtui.screens import launch_dialog
from kidtui.screens.base import KidScreen
from kidtui.screens.dialogs import Confirm, Prompt
from kidtui.screens.launch_dialog import LaunchDialog
from kidtui.widgets.profile_form import DEBOUNCE_SECONDS, ProfileForm
from kidtui.widgets.profile_list import ProfileList
from kidtui.widgets.toml_editor import TomlEditor

_LOOK_SECONDS = 2.0
"""Between looks at whether profile files have changed."""


class ProfilesScreen(KidScreen):
    """The text in the TOML pane is the one truth; the form is read from it and asks for changes of it."""

    place = "profiles"
    title_ = "Profiles"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("profiles")]
    DEFAULT_CSS = """
    ProfilesScreen {
        & #panes { height: 1fr; }
        & #profiles { width: 24%; min-width: 24; max-width: 44; height: 1fr; padding: 0; }
        & #profiles { background: transparent; }
        & #sides { width: 1fr; height: 1fr; }
        & #form { width: 5fr; height: 1fr; }
        & #toml { width: 3fr; height: 1fr; background: transparent; }
        & #switch { display: none; height: 1; }
        & #switch Button { min-width: 8; }
        & #status { height: auto; max-height: 4; padding: 0 1; }
        &.-narrow #panes { layout: vertical; }
        &.-narrow #profiles { width: 1fr; max-width: 100%; height: 7; }
        &.-narrow #key-help { height: 2; }
        &.-narrow #switch { display: block; }
        &.-narrow #toml { display: none; }
        &.-narrow #form { width: 1fr; }
        &.-narrow.-text #form { display: none; }
        &.-narrow.-text #toml { display: block; width: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entry: Entry | None = None
        self._on_disk = ""
        """What the file said when it was opened or saved."""
        self._opened = ""
        """The same as the text pane has it."""
        self._reading = Reading({}, [])
        self._stamps: Mapping[Path, object] = {}
        self._notice = ""
        self._fits = ""
        self._timer: Timer | None = None

    def body(self) -> Iterator[Widget]:
        switch = Horizontal(
            Button("Keys", id="to-form", compact=True),
            Button("TOML (e)", id="to-toml", compact=True),
            id="switch",
        )
        sides = Horizontal(ProfileForm(self._judge), TomlEditor(), id="sides")
        yield Horizontal(ProfileList(), Vertical(switch, sides), id="panes")
        yield Static("", id="status", markup=False)

    @property
    def listed(self) -> ProfileList:
        return self.query_one(ProfileList)

    @property
    def form(self) -> ProfileForm:
        return self.query_one(ProfileForm)

    @property
    def toml(self) -> TomlEditor:
        return self.query_one(TomlEditor)

    @property
    def is_dirty(self) -> bool:
        return self._entry is not None and self.toml.text != self._opened

    def unsaved(self) -> str:
        """What would be lost if the monitor were left now, in a sentence; "" for nothing."""
        return (
            f"The changes of profile {self._entry.name} are not saved."
            if self.is_dirty and self._entry
            else ""
        )

    def on_mount(self) -> None:
        for button in self.query("#switch Button"):
            button.can_focus = False
        self.listed.focus()
        self._look()
        self.set_interval(_LOOK_SECONDS, self._look_again)

    def on_screen_resume(self) -> None:
        self._look()

    # What is on disk

    def _look_again(self) -> None:
        if self.app.screen is self:
            self._look()

    @work(thread=True, group="look")
    def _look(self, chosen: Path | None = None, then: Callable[[], object] | None = None) -> None:
        """Reads all profiles where one has changed; then `chosen` is opened."""
        stamps = profile_files.stamps()
        if stamps == self._stamps and chosen is None:
            return
        entries = profile_files.entries()
        self.app.call_from_thread(self._found, stamps, entries, chosen, then)

    def _found(
        self,
        stamps: Mapping[Path, object],
        entries: list[Entry],
        chosen: Path | None,
        then: Callable[[], object] | None,
    ) -> None:
        here = {entry.path: entry for entry in entries}
        current = self._entry.path if self._entry else None
        if chosen is None and current is not None and current not in here and current.is_file():
            return  # a look from before it was made: the next one finds it
        self._stamps = stamps
        wanted = chosen or current or profile_files.first(entries)
        self.listed.show(entries, str(wanted) if wanted else None)
        if chosen is None and current is not None and current not in here:
            gone = f"{current.name} is no longer on disk"
            if self.is_dirty:
                self._say(f"{gone}; ctrl+s writes it anew")
                return
            self._open(self.listed.entry, notice=gone)
        elif chosen is None and current is not None and self.is_dirty:
            self._entry = here[current]
            if self._read_disk() != self._on_disk:
                self._say(f"{current.name} has changed on disk; ctrl+s asks before it is overwritten")
        elif wanted != current or self._read_disk() != self._on_disk:
            self._open(here.get(wanted, self.listed.entry) if wanted else None)
        else:
            self._entry = here.get(wanted) if wanted else None
            self._check()
        if then is not None:
            then()

    def _read_disk(self) -> str | None:
        """What the chosen file says now; None where it cannot be read."""
        try:
            assert self._entry is not None
            return profile_files.text_of(self._entry.path)
        except KidError:
            return None

    def _open(self, entry: Entry | None, notice: str = "") -> None:
        """Show a profile. One that cannot be read is shown empty, with the reason."""
        self._entry, self._notice, self._fits = entry, notice, ""
        text = ""
        unreadable = entry is None
        if entry is not None:
            try:
                text = profile_files.text_of(entry.path)
            except KidError as error:
                self._notice, unreadable = f"✗ {error.message}", True
        self._on_disk = text
        shipped = entry is not None and entry.origin == "shipped"
        self.toml.show(
            text,
            locked=shipped and not unreadable and not self.app.readonly,
            read_only=unreadable or self.app.readonly,
        )
        self._opened = self.toml.text
        self._check()

    @on(OptionList.OptionHighlighted, "#profiles")
    def _highlighted(self) -> None:
        entry = self.listed.entry
        if entry is not None and (self._entry is None or entry.path != self._entry.path):
            self._when_saved(lambda: self._open(entry))

    def _when_saved(self, then: Callable[[], None]) -> None:
        """Does it at once where nothing is unsaved, else when the user wants to lose that."""
        if not self.is_dirty or self._entry is None:
            then()
            return
        path = self._entry.path

        def answered(discard: bool | None) -> None:
            if discard:
                self._open(self._entry)
                then()
            else:
                self.listed.choose(str(path))

        question = f"Lose the changes of {shown(path.stem, 40)}?"
        self.app.push_screen(Confirm(question, "They are not saved; ctrl+s saves them.", "Discard"), answered)

    # The text and what it means

    @on(TextArea.Changed)
    def _text_changed(self) -> None:
        self._fits = ""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE_SECONDS, self._check)

    def _check(self) -> None:
        """Reads the text anew, and shows in form and status line what it says and what is wrong."""
        entry = self._entry
        if entry is None:
            self._reading = Reading({}, [])
            self.app.subject = ""
            self._status()
            return
        self._reading = profile_edit.read(entry.path, self.toml.text)
        if self._notice.startswith("✗"):  # it cannot be read: that is all there is to say
            self._reading = Reading(self._reading.settings, [])
        locked = entry.origin == "shipped" or self.app.readonly or self.toml.read_only
        self.form.show(entry.path, self._reading, locked=locked)
        self.toml.mark(_line_of(self._reading))
        name = shown(entry.name, 40)
        self.form.border_title = Content(f"Keys of {name}{' — not saved' if self.is_dirty else ''}")
        self.toml.border_title = Content(f"{shown(entry.path.name, 40)} (e)")
        self.app.subject = f"{name}{' *' if self.is_dirty else ''}"
        self._status()

    def _judge(self, key: str, typed: str) -> str:
        """What would be wrong with a key that had this value; "" for nothing."""
        if self._entry is None:
            return ""
        try:
            text = profile_edit.with_value(self.toml.text, key, profile_edit.typed(key, typed))
        except KidError as error:
            return error.message
        before = {problem.message for problem in self._reading.problems}
        found = profile_edit.read(self._entry.path, text).problems
        mine = [problem.message for problem in found if problem.key == key]
        return next(iter(mine or [problem.message for problem in found if problem.message not in before]), "")

    @on(ProfileForm.Edited)
    def _edited(self, event: ProfileForm.Edited) -> None:
        try:
            value = profile_edit.typed(event.key, event.text)
            self.toml.change(profile_edit.with_value(self.toml.text, event.key, value))
            self._fits = ""
        except KidError as error:
            self.app.say_error(error)
        self._check()

    def _status(self) -> None:
        room = max(20, self.size.width - 4)
        lines = [Content(shown(self._notice, room))] if self._notice else []
        found = self._reading.problems
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            message = shown(found[0].message, 2 * room - len(more) - 2)
            lines.append(Content.styled(f"✗ {message}{more}", "$error"))
            if found[0].mend:
                lines.append(Content.styled(f"  {shown(found[0].mend, room - 2)}", "dim"))
        elif self._entry is None:
            lines = lines or [Content("no profiles: n makes one")]
        elif not self._notice.startswith("✗"):
            lines.append(Content.styled(f"✓ valid{self._standing()}", "dim"))
        if self._fits:
            lines.append(Content(shown(self._fits, 2 * room)))
        self.query_one("#status", Static).update(Content("\n").join(lines))

    def _standing(self) -> str:
        if self.app.readonly:
            return " · read-only"
        if self._entry is not None and self._entry.origin == "shipped":
            return " · shipped: the first change makes a copy of your own"
        return " · not saved yet: ctrl+s" if self.is_dirty else ""

    def _say(self, notice: str) -> None:
        self._notice = notice
        self._status()

    # Files

    def action_save(self) -> None:
        entry = self._entry
        self._check()
        if entry is None or self.toml.read_only:
            return
        if self._reading.problems:
            self.app.say(f"not saved: {shown(self._reading.problems[0].message, 200)}")
            return
        name = shown(entry.path.name, 60)
        now = self._read_disk()
        if now == self._on_disk:
            self._write()
        elif now is None:
            self._ask(f"{name} is no longer on disk.", "Saving writes it anew.", "Write", self._write)
        else:
            lost = "What another program has written there since you opened it will be lost."
            self._ask(f"{name} has changed on disk. Overwrite it?", lost, "Overwrite", self._write)

    def _write(self) -> None:
        assert self._entry is not None
        text = self.toml.text
        try:
            # The file behind a link, not the link.
            files.write_text(self._entry.path.resolve(), text, sync=True)
        except KidError as error:
            self.app.say_error(error)
            return
        self._on_disk, self._opened, self._notice = text, text, ""
        self.app.say(f"saved {self._entry.path}")
        self._check()
        self._look()

    def action_new(self) -> None:
        if self._entry is not None:
            base = self._entry
            question = f"Name of the new profile, which builds on {shown(base.name, 40)}:"
            self._ask_name(question, f"my-{base.name}", lambda name: profile_files.new(name, base))

    def action_duplicate(self) -> None:
        if self._entry is not None:
            base, text = self._entry, self._on_disk
            question = f"Name of the copy of {shown(base.name, 40)}:"
            self._ask_name(
                question, f"{base.name}-copy", lambda name: profile_files.duplicate(base, name, text)
            )

    def action_rename(self) -> None:
        entry = self._entry
        if entry is None or self._is_shipped():
            return
        children = ", ".join(child.name for child in self._children())
        follow = f" ({shown(children, 60)} will extend the new name)" if children else ""
        question = f"New name of {shown(entry.name, 40)}{follow}:"
        among = list(self.listed.entries.values())
        self._ask_name(question, entry.name, lambda name: profile_files.rename(entry, name, among))

    def action_delete(self) -> None:
        entry = self._entry
        if entry is None or self._is_shipped():
            return
        children = ", ".join(child.name for child in self._children())
        lost = f"{shown(str(entry.path), 200)} will be gone."
        if children:
            lost += f" What extends it will no longer load: {shown(children, 200)}."
        self._ask(f"Delete profile {shown(entry.name, 40)}?", lost, "Delete", lambda: self._delete(entry))

    def _delete(self, entry: Entry) -> None:
        try:
            profile_files.delete(entry)
        except KidError as error:
            self.app.say_error(error)
            return
        self._opened = self.toml.text  # nothing is left to be saved
        self._look()

    def _children(self) -> list[Entry]:
        assert self._entry is not None
        return profile_files.extended_by(self._entry.path, self.listed.entries.values())

    def _is_shipped(self) -> bool:
        shipped = self._entry is not None and self._entry.origin == "shipped"
        if shipped:
            self.app.say("shipped profiles stay as they are; d makes a copy of your own")
        return shipped

    def _ask_name(
        self, question: str, wish: str, make: Callable[[str], Path], then: Callable[[], object] | None = None
    ) -> None:
        """Asks for a name that is free; what `make` makes of it is opened."""
        among = list(self.listed.entries.values())

        def answered(name: str | None) -> None:
            if not name:
                return
            try:
                path = make(name)
            except KidError as error:
                self.app.say_error(error)
                return
            self._look(path, then)

        def ask() -> None:
            value = profile_files.free_name(wish, among)
            self.app.push_screen(
                Prompt(question, value, lambda name: profile_files.name_problem(name, among)), answered
            )

        self._when_saved(ask)

    @on(ProfileForm.Refused)
    def _key_refused(self, event: ProfileForm.Refused) -> None:
        def edit() -> None:
            self.form.choose(event.key)
            self.form.edit()

        self._offer_copy(edit)

    @on(TomlEditor.Refused)
    def _text_refused(self) -> None:
        self._offer_copy(self.toml.focus)

    def _offer_copy(self, then: Callable[[], object]) -> None:
        entry = self._entry
        if entry is None or self.app.readonly or entry.origin != "shipped":
            self.app.say("read-only" if self.app.readonly else "this file cannot be changed here")
            return
        question = f"{shown(entry.name, 40)} is shipped and stays as it is. Name of a copy of your own:"
        make = partial(profile_files.duplicate, entry, text="")
        self._ask_name(question, f"my-{entry.name}", make, then)

    def _ask(self, question: str, consequence: str, verb: str, then: Callable[[], None]) -> None:
        self.app.push_screen(Confirm(question, consequence, verb), lambda yes: then() if yes else None)

    # Runs

    def _profile(self) -> Profile | None:
        """The profile as the text now has it; None, and why, where it is none."""
        if self._entry is None:
            return None
        try:
            return profile.from_file(self._entry.path, text=self.toml.text)
        except KidError as error:
            self.app.say_error(error)
            return None

    def action_fits(self) -> None:
        if chosen := self._profile():
            self._fits = "fits? asking the engine …"
            self._status()
            asked = (chosen, self.toml.text)
            # Not a worker: these are waited for when the monitor is left, and the engine takes seconds.
            threading.Thread(target=self._estimate, args=asked, name="fits", daemon=True).start()

    def _estimate(self, chosen: Profile, text: str) -> None:
        try:
            words = launch_dialog.estimate(chosen, self.app.data_dir, self.app.command).words()
        except KidError as error:
            words = f"✗ fits? {error.message}" + (f"; {error.mend}" if error.mend else "")
        with suppress(RuntimeError):  # the monitor is left
            self.app.call_from_thread(self._estimated, words, text)

    def _estimated(self, words: str, text: str) -> None:
        if text == self.toml.text:
            self._fits = words
            self._status()

    def action_launch(self) -> None:
        if self._entry is None or self._profile() is None:
            return
        notes = ["with changes that are not saved"] if self.is_dirty else []
        notes += [self._fits] if self._fits.startswith(("✓", "!", "✗ does")) else []

        def answered(chosen: Profile | None) -> None:
            if chosen is not None:
                self.app.launch(chosen)

        self.app.push_screen(LaunchDialog(self._entry.path, self.toml.text, notes), answered)

    # The keyboard's way through the panes

    @on(OptionList.OptionSelected, "#profiles")
    def action_open(self) -> None:
        if not self.app.readonly:
            self.action_launch()

    def action_edit_text(self) -> None:
        self.add_class("-text")
        self.toml.focus()

    def action_leave(self) -> None:
        if self.form.editing:
            self.form.stop_editing()
        elif self.toml.has_focus:
            self._to_form()
        else:
            self.listed.focus()

    def action_cycle(self) -> None:
        if self.form.rows.has_focus:
            self.form.cycle()

    def action_inherit(self) -> None:
        if self.form.rows.has_focus:
            self.form.inherit()

    def action_undo(self) -> None:
        self.toml.undo()

    @on(Button.Pressed, "#to-form")
    def _to_form(self) -> None:
        self.remove_class("-text")
        self.form.rows.focus()

    @on(Button.Pressed, "#to-toml")
    def _to_toml(self) -> None:
        self.action_edit_text()


def _line_of(reading: Reading) -> int | None:
    """The line (from 0) at which a text stops to be TOML."""
    if reading.settings or not reading.problems:
        return None
    found = re.search(r"at line (\d+)", reading.problems[0].message)
    return int(found[1]) - 1 if found else None
