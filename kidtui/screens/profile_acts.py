"""What a user can do with the chosen profile. What overwrites or deletes asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine import files, paths, profile
from engine.errors import KidError
from engine.profile import Profile
from kidtui import profile_files
from kidtui.cells import shown
from kidtui.estimate import estimate
from kidtui.preflight import measure
from kidtui.profile_files import Entry
from kidtui.screens.dialogs import Confirm, Prompt
from kidtui.screens.launch_dialog import LaunchDialog

if TYPE_CHECKING:
    from kidtui.app import KidApp
    from kidtui.screens.profiles import ProfilesScreen


class _AskedAnew(Exception):
    """What is being measured is no longer asked for."""


class ProfileActs:
    """Each is done to the profile that the screen shows; without one, nothing is."""

    def __init__(self, screen: ProfilesScreen) -> None:
        self._screen = screen
        self._num_asked = 0  # how often whether a run fits

    @property
    def _app(self) -> KidApp:
        return self._screen.app

    # Files

    def save(self) -> None:
        if self._screen.form.editing:
            self._app.say("not saved yet: Enter takes the value that is being typed, then ctrl+s saves")
            return
        entry = self._screen.entry
        self._screen.check()
        if entry is None or self._screen.toml.read_only:
            return
        if self._screen.reading.problems:
            self._app.say(f"not saved: {shown(self._screen.reading.problems[0].message, 200)}")
            return
        name = shown(entry.path.name, 60)
        now = self._screen.read_disk()
        if now == self._screen.on_disk:
            self._write()
        elif now is None:
            self._ask(f"{name} is no longer on disk.", "Saving writes it anew.", "Write", self._write)
        else:
            lost = "What another program has written there since you opened it will be lost."
            self._ask(f"{name} has changed on disk. Overwrite it?", lost, "Overwrite", self._write)

    def _write(self) -> None:
        assert self._screen.entry is not None
        text = self._screen.toml.text
        try:
            # The file behind a link, not the link.
            files.write_text(paths.real_path(self._screen.entry.path), text, sync=True)
        except KidError as error:
            self._app.say_error(error)
            return
        self._app.say(f"saved {self._screen.entry.path}")
        self._screen.saved(text)

    def new(self) -> None:
        if self._screen.entry is not None:
            base = self._screen.entry
            question = f"Name of the new profile, which builds on {shown(base.name, 40)}:"
            self._ask_name(question, f"my-{base.name}", lambda name: profile_files.new(name, base))

    def duplicate(self) -> None:
        if self._screen.entry is not None:
            base, text = self._screen.entry, self._screen.on_disk
            question = f"Name of the copy of {shown(base.name, 40)}:"
            self._ask_name(
                question, f"{base.name}-copy", lambda name: profile_files.duplicate(base, name, text)
            )

    def rename(self) -> None:
        entry = self._screen.entry
        if entry is None or self._is_shipped():
            return
        children = ", ".join(child.name for child in self._children())
        follow = f" ({shown(children, 60)} will extend the new name)" if children else ""
        question = f"New name of {shown(entry.name, 40)}{follow}:"
        among = list(self._screen.listed.entries.values())
        self._ask_name(
            question, entry.name, lambda name: profile_files.rename(entry, name, among), itself=entry
        )

    def delete(self) -> None:
        entry = self._screen.entry
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
            self._app.say_error(error)
            return
        self._screen.forget()

    def _children(self) -> list[Entry]:
        assert self._screen.entry is not None
        return profile_files.extended_by(self._screen.entry.path, self._screen.listed.entries.values())

    def _is_shipped(self) -> bool:
        shipped = self._screen.entry is not None and self._screen.entry.origin == "shipped"
        if shipped:
            self._app.say("shipped profiles stay as they are; d makes a copy of your own")
        return shipped

    def _ask_name(
        self,
        question: str,
        wish: str,
        make: Callable[[str], Path],
        then: Callable[[], object] | None = None,
        itself: Entry | None = None,
    ) -> None:
        """Asks for a name that is free, or that of `itself`; what `make` makes of it is opened."""
        among = [entry for entry in self._screen.listed.entries.values() if entry is not itself]

        def answered(name: str | None) -> None:
            if not name:
                return
            try:
                path = make(name)
            except KidError as error:
                self._app.say_error(error)
                return
            self._screen.look(path, then)

        def ask() -> None:
            value = profile_files.free_name(wish, among)
            self._app.push_screen(
                Prompt(question, value, lambda name: profile_files.name_problem(name, among)), answered
            )

        self._screen.when_saved(ask)

    def offer_copy(self, then: Callable[[], object]) -> None:
        entry = self._screen.entry
        if entry is None or self._app.readonly or entry.origin != "shipped":
            self._app.say("read-only" if self._app.readonly else "this file cannot be changed here")
            return
        question = f"{shown(entry.name, 40)} is shipped and stays as it is. Name of a copy of your own:"
        make = partial(profile_files.duplicate, entry, text="")
        self._ask_name(question, f"my-{entry.name}", make, then)

    def _ask(self, question: str, consequence: str, verb: str, then: Callable[[], None]) -> None:
        self._app.push_screen(Confirm(question, consequence, verb), lambda yes: then() if yes else None)

    # Runs

    def _profile(self) -> Profile | None:
        """The profile as the text now has it; None, and why, where it is none."""
        if self._screen.entry is None:
            return None
        try:
            return profile.from_file(self._screen.entry.path, text=self._screen.toml.text)
        except KidError as error:
            self._app.say_error(error)
            return None

    def fits(self) -> None:
        if chosen := self._profile():
            self._screen.status.fits = "fits? asking the engine …"
            self._screen.show_status()
            self._num_asked += 1
            asked = (chosen, self._screen.toml.text, self._num_asked)
            # Not a worker: these are waited for when the monitor is left, and the engine takes seconds.
            threading.Thread(target=self._estimate, args=asked, name="fits", daemon=True).start()

    def _estimate(self, chosen: Profile, text: str, number: int) -> None:
        """First what can be told at once, then what a few steps take."""

        def tell(words: str) -> None:
            self._app.call_from_thread(self._estimated, words, text, number)

        def go_on(name: str, done: int, total: int) -> None:
            if number != self._num_asked:
                raise _AskedAnew

        with suppress(RuntimeError, _AskedAnew):  # the monitor is left
            try:
                found = estimate(chosen, self._app.data_dir, self._app.command)
            except KidError as error:
                tell(f"✗ fits? {error.message}" + (f"; {error.mend}" if error.mend else ""))
                return
            tell(f"{found.words()} · measuring …")
            try:
                measured = measure(chosen, self._app.data_dir, go_on, self._app.command)
            except KidError as error:
                tell(f"{found.words()} · not measured: {error.message}")
            else:
                tell(found.words(measured))

    def _estimated(self, words: str, text: str, number: int) -> None:
        if (text, number) == (self._screen.toml.text, self._num_asked):
            self._screen.status.fits = words
            self._screen.show_status()

    def launch(self) -> None:
        if self._screen.entry is None or self._profile() is None:
            return
        notes = ["with changes that are not saved"] if self._screen.is_dirty else []
        fits = self._screen.status.fits
        notes += [fits] if fits.startswith(("✓", "!", "✗ does")) else []

        def answered(chosen: Profile | None) -> None:
            if chosen is not None:
                self._app.launch(chosen)

        self._app.push_screen(LaunchDialog(self._screen.entry.path, self._screen.toml.text, notes), answered)
