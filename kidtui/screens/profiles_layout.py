"""How Profiles is laid out, and the keyboard's way through the panes."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button

from kidtui.screens.base import KidScreen
from kidtui.widgets.profile_form import ProfileForm
from kidtui.widgets.profile_list import ProfileList
from kidtui.widgets.profile_status import ProfileStatus
from kidtui.widgets.toml_editor import TomlEditor


class ProfilesLayout(KidScreen):
    """List, form and TOML side by side; where it is narrow, form or TOML under the list."""

    DEFAULT_CSS = """
    ProfilesLayout {
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

    def body(self) -> Iterator[Widget]:
        switch = Horizontal(
            Button("Keys", id="to-form", compact=True),
            Button("TOML (e)", id="to-toml", compact=True),
            id="switch",
        )
        sides = Horizontal(ProfileForm(self.judge), TomlEditor(), id="sides")
        yield Horizontal(ProfileList(), Vertical(switch, sides), id="panes")
        yield ProfileStatus()

    def judge(self, key: str, typed: str) -> str:
        """What would be wrong with a key that had this value; "" for nothing."""
        raise NotImplementedError

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
    def status(self) -> ProfileStatus:
        return self.query_one(ProfileStatus)

    def on_mount(self) -> None:
        for button in self.query("#switch Button"):
            button.can_focus = False
        self.listed.focus()

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
