"""The Profiles screen, key by key."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

import kidtui
from engine import paths, profile, runs
from engine.profile import Profile
from engine.run_writer import RunWriter
from kidtui import profile_files
from kidtui.app import KidApp
from kidtui.estimate import Estimate
from kidtui.screens import profiles
from kidtui.screens.dialogs import Confirm, Prompt
from kidtui.screens.launch_dialog import LaunchDialog, overrides
from kidtui.screens.profiles import ProfilesScreen
from kidtui.widgets import profile_form
from tests.tui.conftest import drive, press, until

FAST = '# my own\nextends = "demo"\ndescription = "quick"\n\n[train]\nmax_steps = 20  # enough\n'
MEMORY = {"teacher": 512, "student": 1024, "gradients_and_optimizer": 1024, "activations": 512, "total": 3072}


BAD_ENGINES = [
    ((sys.executable, "-c", "import sys; sys.exit(3)"), "could not plan this run (exit code 3)"),
    ((sys.executable, "-c", "print([])"), "is no plan"),
    (("./no-such-engine",), "cannot start the engine"),
]


class App(KidApp):
    """The monitor with this screen first, and without the thread that looks at runs."""

    CSS_PATH = Path(kidtui.__file__).with_name("kid.tcss")

    def on_mount(self, event: events.Mount) -> None:
        event.prevent_default()
        self.switch_mode("profiles")


Screenplay = Callable[["Stage"], Awaitable[None]]


class Stage:
    def __init__(self, pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, App)
        self.app, self.pilot = app, pilot
        self.launched: list[Profile] = []
        app.launch = self.launched.append  # starts nothing
        assert isinstance(app.screen, ProfilesScreen)
        self.screen = app.screen

    async def press(self, *keys: str) -> None:
        await press(self.pilot, *keys)

    async def type(self, text: str) -> None:
        """A text into the Input that has the focus."""
        focused = self.app.focused
        assert isinstance(focused, Input)
        focused.value = text
        await self.pilot.pause(0)

    async def asked(self, kind: type[Screen[Any]]) -> None:
        """Wait for a dialog and the keyboard's place in it."""
        await self.until(lambda: isinstance(self.app.screen, kind) and self.app.focused)

    async def until(self, holds: Callable[[], Any], what: str = "it never came to hold") -> None:
        await until(self.pilot, holds, what)

    async def choose(self, name: str) -> None:
        path = next(path for path, entry in self.screen.listed.entries.items() if entry.name == name)
        self.screen.listed.focus()

        await self.pilot.app.workers.wait_for_complete()  # a profile that was just made is opened first
        self.screen.listed.highlighted = self.screen.listed.get_option_index(path)
        await self.until(lambda: self.app.screen.subject == name)

    async def at(self, key: str) -> None:
        self.screen.form.choose(key)
        await self.pilot.pause()

    @property
    def status(self) -> str:
        return str(self.screen.query_one("#status", Static).content)

    @property
    def text(self) -> str:
        return self.screen.toml.text

    def row(self, key: str) -> str:
        return " ".join(str(self.screen.form.rows.get_option(key).prompt).split())

    def names(self) -> list[str]:
        return [entry.name for entry in self.screen.listed.entries.values()]


def play(*screenplays: Screenplay, size: tuple[int, int] = (120, 20), **options: Any) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.pause()
        stage = Stage(pilot)
        await stage.until(lambda: stage.screen.form.rows.option_count)
        for screenplay in screenplays:
            await screenplay(stage)

    drive(act, size=size, app=App(**options))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is looked at sooner than for a user."""
    monkeypatch.setattr(profile_form, "DEBOUNCE_SECONDS", 0.01)
    monkeypatch.setattr(profiles, "DEBOUNCE_SECONDS", 0.01)


@pytest.fixture
def fast() -> Path:
    return write("fast", FAST)


def write(name: str, text: str) -> Path:
    path = paths.user_profiles() / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_an_edit_in_the_form_changes_the_text_and_is_saved(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        assert "demo" in str(stage.screen.listed.get_option(str(fast)).prompt)
        assert stage.row("train.max_steps") == "max_steps 20 this file"
        assert stage.row("method.name") == "name kid ← demo"
        assert stage.row("eval.probes") == "probes 6 default"
        await stage.at("train.max_steps")
        await stage.press("enter")
        await stage.press("backspace", "backspace", "minus", "3")
        await stage.until(lambda: "must be at least 0" in str(stage.screen.query_one("#key-help").content))
        await stage.press("backspace", "backspace", "3", "1", "enter")
        await stage.pilot.pause()
        assert stage.text == FAST.replace("20", "31")
        assert fast.read_text() == FAST
        assert "not saved" in stage.status
        assert stage.screen.unsaved()
        await stage.press("ctrl+s")
        assert fast.read_text() == FAST.replace("20", "31")
        assert not stage.screen.unsaved()
        await stage.at("method.name")
        await stage.press("space")
        assert 'name = "skl"' in stage.text
        assert stage.row("method.name") == "name skl this file"
        await stage.press("delete")
        assert "skl" not in stage.text
        await stage.press("u")
        await stage.until(lambda: stage.row("method.name") == "name skl this file")
        await stage.press("enter")
        await stage.press(*["backspace"] * 3, "enter")
        assert stage.row("method.name") == "name kid ← demo"
        await stage.press("enter")
        await stage.press("x", "escape")
        assert stage.screen.form.rows.has_focus
        assert "x" not in stage.row("method.name")
        await stage.press("escape")
        assert stage.screen.listed.has_focus

    play(screenplay)


def test_an_edit_of_the_text_changes_the_form_and_faults_stand_at_their_keys(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        await stage.press("e")
        stage.screen.toml.move_cursor(stage.screen.toml.document.end)
        await stage.press(*"seed", "equals_sign", "minus", "1")
        await stage.until(lambda: "✗ train.seed = -1 must be at least 0" in stage.status)
        assert stage.row("train.seed") == "✗ seed -1 must be at least 0"
        await stage.press("ctrl+s")
        assert fast.read_text() == FAST, "what is wrong is not saved"
        await stage.press("backspace", "backspace", "7")
        await stage.until(lambda: stage.row("train.seed") == "seed 7 this file")
        await stage.press("left_square_bracket")
        await stage.until(lambda: "not valid TOML" in stage.status)
        assert stage.screen.form.has_class("-stale")
        assert stage.row("train.seed") == "seed 7 this file"
        before = stage.text
        await stage.press("escape")
        await stage.press("space", "enter")
        assert stage.text == before
        await stage.press("e")
        await stage.press("backspace")
        await stage.until(lambda: "✓ valid" in stage.status)
        await stage.press("enter", *"sed", "equals_sign", "1")
        await stage.until(lambda: "unknown key 'train.sed'" in stage.status)

    play(screenplay)


async def shipped_is_copied(stage: Stage) -> None:
    """A shipped profile is copied before it is changed."""
    await stage.choose("demo")
    shipped = stage.text
    await stage.at("train.seed")
    await stage.press("enter")
    await stage.asked(Prompt)
    assert stage.app.screen.query_one(Input).value == "my-demo"
    await stage.press("enter")
    await stage.until(lambda: stage.screen.form.editing)
    await stage.press("5", "enter")
    await stage.pilot.pause()
    assert "seed = 5" in stage.text
    assert "demo ← demo" in str(stage.screen.listed.highlighted_option.prompt)
    await stage.press("ctrl+s")
    assert profile.load("my-demo").train.seed == 5
    await stage.choose("demo")
    await stage.press("e")
    await stage.press("x")
    await stage.asked(Prompt)
    await stage.press("escape")
    assert stage.text == shipped
    await stage.press("escape")
    await stage.press("X", "R")
    assert stage.app.screen is stage.screen, "shipped ones are neither deleted nor renamed"


async def new_duplicate_rename_delete(stage: Stage) -> None:
    await stage.choose("fast")
    await stage.press("n")
    await stage.asked(Prompt)
    await stage.press("enter")
    await stage.until(lambda: stage.app.screen.subject == "my-fast")
    assert 'extends = "fast"' in stage.text
    await stage.choose("fast")
    await stage.press("d")
    await stage.asked(Prompt)
    prompt = stage.app.screen
    await stage.type("child")
    assert "there is a user profile" in str(prompt.query_one(".problem", Static).content)
    await stage.press("enter")
    assert stage.app.screen is prompt, "the name is taken"
    await stage.type("child2")
    await stage.press("enter")
    await stage.until(lambda: stage.app.screen.subject == "child2")
    assert stage.text == FAST
    await stage.press("X")
    await stage.asked(Confirm)
    await stage.press("n")
    await stage.press("X")
    await stage.asked(Confirm)
    await stage.press("y")
    await stage.until(lambda: "child2" not in stage.names())
    assert "no longer on disk" in stage.status
    await stage.choose("fast")
    await stage.press("R")
    await stage.asked(Prompt)
    await stage.type("slow")
    await stage.press("enter")
    await stage.until(lambda: stage.app.screen.subject == "slow")
    await stage.until(lambda: "fast" not in stage.names())
    assert profile.layers(paths.user_profiles() / "child.toml")[1].path.stem == "slow"


def test_files_are_made_renamed_and_deleted(fast, unpainted):
    write("child", 'extends = "fast"\n')
    play(shipped_is_copied, new_duplicate_rename_delete)


def test_unsaved_changes_are_asked_for(fast, unpainted):
    write("other", 'extends = "demo"\n')

    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        await stage.at("train.shared_prefix")
        await stage.press("space")
        assert "shared_prefix = false" in stage.text
        await stage.press("escape")
        await stage.press("down")
        await stage.asked(Confirm)
        await stage.press("n")
        assert stage.screen.listed.entry.name == "fast"
        assert "shared_prefix = false" in stage.text
        await stage.press("1")
        await stage.press("2")
        assert "shared_prefix = false" in stage.text, "the draft outlives a look at another screen"
        await stage.press("d")
        await stage.asked(Confirm)
        await stage.press("y")
        await stage.asked(Prompt)
        await stage.press("escape")
        assert stage.text == FAST, "what is discarded is gone, copied or not"
        assert not stage.screen.unsaved()
        await stage.at("train.shared_prefix")
        await stage.press("space")
        await stage.press("escape")
        await stage.press("down")
        await stage.asked(Confirm)
        await stage.press("y")
        await stage.until(lambda: stage.app.screen.subject == "other")
        assert fast.read_text() == FAST

    play(screenplay)


def test_files_that_change_behind_the_screen(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        fast.write_text(FAST.replace("20", "44"))
        stage.screen.look()
        await stage.until(lambda: stage.row("train.max_steps") == "max_steps 44 this file")
        await stage.at("train.shared_prefix")
        await stage.press("space")
        fast.write_text("# theirs\n" + FAST)
        stage.screen.look()
        await stage.until(lambda: "changed on disk" in stage.status)
        await stage.press("ctrl+s")
        await stage.asked(Confirm)
        await stage.press("n")
        assert "# theirs" in fast.read_text()
        await stage.press("ctrl+s")
        await stage.asked(Confirm)
        await stage.press("y")
        assert "# theirs" not in fast.read_text()
        assert "shared_prefix = false" in fast.read_text()
        await stage.press("space")
        fast.unlink()
        stage.screen.look()
        await stage.until(lambda: "no longer on disk; ctrl+s" in stage.status)
        await stage.press("ctrl+s")
        await stage.asked(Confirm)
        await stage.press("y")
        assert "shared_prefix = true" in fast.read_text()
        fast.unlink()
        stage.screen.look()
        await stage.until(lambda: "fast.toml is no longer on disk" in stage.status)
        assert stage.app.screen.subject != "fast"

    play(screenplay)


def test_a_look_at_the_files_does_not_undo_a_key(fast, unpainted):
    fast.with_name("other.toml").write_text(FAST)

    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        listed = stage.screen.listed
        listed.highlighted = listed.get_option_index(str(fast.with_name("other.toml")))
        stage.screen._found({}, profile_files.entries(), None, None)  # comes before the key's message
        await stage.until(lambda: stage.app.screen.subject == "other")
        assert listed.entry is not None
        assert listed.entry.name == "other"

    play(screenplay)


def test_saving_amid_a_value_loses_nothing_and_a_name_may_stay(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        await stage.at("train.max_steps")
        stage.screen.form.rows.focus()
        await stage.press("enter")
        await stage.type("77")
        await stage.press("ctrl+s")
        await stage.until(lambda: "not saved yet" in " ".join(n.message for n in stage.app._notifications))
        assert fast.read_text() == FAST
        await stage.press("enter", "ctrl+s")
        await stage.until(lambda: "77" in fast.read_text())
        await stage.press("R")
        await stage.asked(Prompt)
        assert stage.app.screen.query_one(Input).value == "fast"

    play(screenplay)


def test_broken_profiles_are_one_line_each():
    texts = {"a": 'extends = "b"\n', "b": 'extends = "a"\n', "c": "[train\n", "d": 'extends = "nobody"\n'}
    for name, text in texts.items():
        write(name, text)
    write("odd \x1b[31m [red]x", '# \x1b[31m [red]x[/red]\nextends = "demo"\n')
    write("latin", "").write_bytes(b"# \xe9\n")

    async def screenplay(stage: Stage) -> None:
        reasons = {"a": "circle", "b": "circle", "c": "not valid TOML", "d": "no profile 'nobody'"}
        reasons["latin"] = "UTF-8"
        for name, reason in reasons.items():
            await stage.choose(name)
            assert reason in stage.status
            assert "✗" in str(stage.screen.listed.highlighted_option.prompt)
        odd = next(path for path, entry in stage.screen.listed.entries.items() if "odd" in entry.name)
        stage.screen.listed.highlighted = stage.screen.listed.get_option_index(odd)
        await stage.until(lambda: "odd" in stage.app.screen.subject)
        assert "\x1b" not in stage.app.export_screenshot()
        assert "\x1b" not in stage.status + stage.app.screen.subject
        await stage.choose("c")
        await stage.press("L", "f")
        assert stage.app.screen is stage.screen

    play(screenplay)


def test_what_a_run_would_take_and_its_launch(fast, unpainted):
    run = runs.create(profile.load("fast"), ["kid"])
    with RunWriter(run) as writer:
        writer.update(state="running", step=4, step_ms=30_000.0)
        writer.finish("stopped")
    runs.create(profile.load("fast"), ["kid"])  # one that has made no step yet tells nothing
    answer = json.dumps({"memory_mb": MEMORY, "steps": 20})
    command = (sys.executable, "-c", f"print({answer!r})")

    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        await stage.press("f")
        await stage.until(lambda: "3.0 GB of" in stage.status)
        assert "teacher 0.5, student 1.0, optimizer 1.0, activations 0.5" in stage.status
        assert f"20 steps · about 10m 00s of steps, as in {run.id}" in stage.status
        for command, words in BAD_ENGINES:
            stage.app.command = command
            await stage.press("f")
            await stage.until(lambda words=words: words in stage.status)
        await stage.press("enter")
        await stage.asked(LaunchDialog)
        dialog = stage.app.screen
        await stage.type("train.max_steps=-5")
        await stage.until(lambda: "must be at least 0" in str(dialog.query_one("#launch-problem").content))
        await stage.press("enter")
        assert stage.app.screen is dialog
        await stage.type("train.max_steps=7 train.seed=9")
        await stage.press("enter")
        await stage.until(lambda: stage.launched)
        assert [(made.train.max_steps, made.train.seed) for made in stage.launched] == [(7, 9)]
        await stage.press("L")
        await stage.asked(LaunchDialog)
        await stage.press("escape")
        assert stage.app.screen is stage.screen
        assert len(stage.launched) == 1

    play(screenplay, command=command)


def test_overrides_are_taken_apart():
    assert overrides(" a.b=1\n c=[0, 2]  d = x y ") == ["a.b=1", "c=[0, 2]", "d = x y"]
    assert overrides("  ") == []


def test_whether_a_run_fits():
    def words(here_mb: int, free_mb: int) -> str:
        return Estimate(MEMORY, 20, here_mb, free_mb, None, "").words()

    assert words(16384, 8192).startswith("✓ fits: 3.0 GB of 16.0 (8.0 free)")
    assert words(16384, 8192).endswith("20 steps · minutes: after the first run")
    assert words(16384, 2048).startswith("! tight")
    assert words(2048, 2000).startswith("✗ does not fit")


def test_read_only_changes_nothing(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        await stage.choose("fast")
        await stage.press("n", "d", "R", "X", "L", "enter", "ctrl+s")
        assert stage.app.screen is stage.screen
        await stage.at("train.shared_prefix")
        await stage.press("space", "enter", "delete")
        await stage.press("e")
        await stage.press("x", "backspace")
        assert stage.app.screen is stage.screen
        assert stage.text == FAST
        assert "read-only" in stage.status

    play(screenplay, readonly=True)
    assert fast.read_text() == FAST


def test_a_narrow_terminal_shows_form_or_text(fast, unpainted):
    async def screenplay(stage: Stage) -> None:
        assert stage.screen.form.display
        assert not stage.screen.toml.region.area
        await stage.press("e")
        await stage.pilot.pause()
        assert stage.screen.toml.region.height >= 8
        assert not stage.screen.form.region.area
        await stage.press("escape")
        await stage.pilot.pause()
        assert stage.screen.form.region.height >= 8
        assert stage.screen.form.rows.has_focus
        await stage.pilot.click("#to-toml")
        await stage.pilot.pause()
        assert stage.screen.toml.has_focus
        await stage.pilot.click("#profiles", offset=(5, 4))
        await stage.until(lambda: stage.app.screen.subject == "codegen-350m")
        assert stage.app.screen is stage.screen, "one click looks, two launch"
        await stage.pilot.click("#profiles", offset=(5, 4), times=2)
        await stage.asked(LaunchDialog)

    play(screenplay, size=(80, 24))
