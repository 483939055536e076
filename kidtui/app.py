"""The monitor: `kid tui`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input, TextArea

from engine import paths, runs
from engine import profile as profiles
from engine.errors import KidError, UsageError, fault, nearest
from engine.profile import Profile
from kidtui import keys, launch, theme
from kidtui.board import Row
from kidtui.cells import shown, told
from kidtui.config import Config
from kidtui.cycle import turned
from kidtui.monitor import Monitor
from kidtui.palette import KeyCommands
from kidtui.screens.base import KidScreen
from kidtui.screens.dialogs import Confirm
from kidtui.screens.help import HelpScreen
from kidtui.screens.runs import RunsScreen


def _profiles() -> KidScreen:
    from kidtui.screens.profiles import ProfilesScreen

    return ProfilesScreen()


def _compare() -> KidScreen:
    from kidtui.screens.compare import CompareScreen

    return CompareScreen()


def _ask() -> KidScreen:
    from kidtui.screens.ask import AskScreen

    return AskScreen()


class KidApp(App[None]):
    """Four screens over what is on disk.

    Args:
        readonly: no process is started, no run or profile is stopped or changed.
        data_dir: where data sets are looked for first.
        command: what starts an engine.
        service_command: what starts the service that answers questions.

    Raises:
        UsageError: the config names a theme or a key that there is not.
    """

    TITLE = "kid"
    CSS_PATH = "kid.tcss"
    MODES: ClassVar = {"runs": RunsScreen, "profiles": _profiles, "compare": _compare, "ask": _ask}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("app")
    COMMANDS = App.COMMANDS | {lambda: KeyCommands}

    def __init__(
        self,
        config: Config | None = None,
        *,
        readonly: bool = False,
        data_dir: Path | None = None,
        command: Sequence[str] = launch.ENGINE_COMMAND,
        service_command: Sequence[str] = launch.ENGINE_COMMAND,
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # over ssh each frame of one is sent
        self.config = config or Config()
        self.readonly = readonly
        self.data_dir = data_dir
        self.command = command
        self.service_command = service_command
        self.marked: list[str] = []
        """Ids of the runs that Compare shows, in the order in which they were marked."""
        self.monitor = Monitor(
            partial(self._from_thread, self._board_changed), partial(self._from_thread, self._run_changed)
        )
        self._states: dict[str, str] = {}
        self._is_launching = False
        for own in theme.OWN:
            self.register_theme(own)
        self.theme = self._known(self.config.theme, self.available_themes, "theme") or theme.DARK.name
        for name in self.config.keys:
            self._known(name, [key.id for key in keys.KEYS], "keys")
        if wrong := keys.clash(self.config.keys):
            raise UsageError(f"{paths.config_file()}: keys: {wrong}", "the help of kid tui lists all keys")
        self.set_keymap(self.config.keys)

    def _known(self, name: str, names: Iterable[str], what: str) -> str:
        if name and name not in names:
            raise UsageError(f"{paths.config_file()}: {what}: unknown '{name}'", nearest(name, list(names)))
        return name

    def on_mount(self) -> None:
        sys.setswitchinterval(0.001)  # so that a key waits less for the monitor's thread
        self.switch_mode("runs")
        self.monitor.start()

    def on_unmount(self) -> None:
        self.monitor.stop()

    # What the screens ask for

    def say(self, text: str) -> None:
        """A passing note in the corner; never markup."""
        self.notify(told(text), markup=False)

    def say_error(self, error: KidError) -> None:
        """What failed and how to mend it, in the corner."""
        text = f"{error.message}\n{error.mend}" if error.mend else error.message
        self.notify(told(text), severity="error", markup=False, timeout=10)

    def in_thread(self, work: Callable[[], None]) -> None:
        """Does something that takes its time; whatever goes wrong is said in the corner."""

        def guarded() -> None:
            try:
                work()
            except Exception as caught:
                error = caught if isinstance(caught, KidError) else fault(caught)
                if self.is_running:
                    self.call_from_thread(self.say_error, error)

        self.run_worker(guarded, thread=True)

    def launch(self, profile: Profile) -> None:
        """Start a run of a profile, and show it unless the user has turned to something else meanwhile."""
        if self._is_launching:
            self.say("a run is just being started")
            return
        self._is_launching = True
        asked_on = self.screen

        def work() -> None:
            try:
                run = launch.create(profile, sys.argv, self.data_dir)
                launch.start(run, self.command)
            finally:
                self._is_launching = False
            self.monitor.wake()
            self.call_from_thread(started, run.id)

        def started(run_id: str) -> None:
            self.say(f"run {run_id} is started; it goes on when you leave")
            if self.screen is asked_on and not isinstance(self.focused, Input | TextArea):
                self.open_run(run_id)

        self.in_thread(work)

    def launch_named(self, name: str) -> None:
        """As `launch`, of the profile of that name."""
        try:
            self.launch(profiles.load(name))
        except KidError as error:
            self.say_error(error)

    def open_run(self, run_id: str) -> None:
        """Turn to Runs with this run selected."""
        self.switch_mode("runs")
        self._when_there("runs", lambda screen: screen.choose(run_id))

    def ask_with(self, run_id: str) -> None:
        """Turn to Ask with this run's student."""
        self.switch_mode("ask")
        self._when_there("ask", lambda screen: screen.use(run_id))

    def toggle_mark(self, run_id: str) -> None:
        """Mark a run for Compare, or take the mark away."""
        if run_id in self.marked:
            self.marked.remove(run_id)
        else:
            self.marked.append(run_id)

    def _when_there(self, place: str, act: Callable[[Any], None]) -> None:
        """Does something with a screen once it is there."""

        def when_there() -> None:
            if getattr(self.screen, "place", "") == place:
                act(self.screen)

        self.call_later(self.call_after_refresh, when_there)

    # Keys

    def action_show_runs(self) -> None:
        self.switch_mode("runs")

    def action_show_profiles(self) -> None:
        self.switch_mode("profiles")

    def action_show_compare(self) -> None:
        self.switch_mode("compare")

    def action_show_ask(self) -> None:
        self.switch_mode("ask")

    def action_help(self) -> None:
        self.push_screen(HelpScreen(getattr(self.screen, "place", "app")))

    async def action_quit(self) -> None:
        """Leave; asks where something would be lost."""
        screens = [screen for stack in self._screen_stacks.values() for screen in stack]
        lost = [words for screen in screens if isinstance(screen, KidScreen) and (words := screen.unsaved())]
        if lost:
            self.push_screen(
                Confirm("Leave without saving?", lost[0], "Leave"), lambda yes: self.exit() if yes else None
            )
        else:
            self.exit()

    def action_maximise(self) -> None:
        if self.screen.maximized:
            self.screen.minimize()
        elif pane := self._pane():
            self.screen.maximize(pane, container=False)

    def action_next_theme(self) -> None:
        self.theme = turned(theme.CYCLE, self.theme)
        self.say(f'theme {self.theme}; theme = "{self.theme}" in the config file keeps it')

    def action_copy_focused(self) -> None:
        """The selected text, else what the focused pane says it shows."""
        text = self.screen.get_selected_text() or getattr(self.focused, "copy_text", "")
        if text:
            self.copy_to_clipboard(text)
            self.say(f"copied {len(text)} characters (OSC 52)")
        else:
            self.say("nothing to copy here: focus a pane with text, or select some with the mouse")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Textual's own, but for what we have."""
        ours = {"Quit", "Keys", "Maximize", "Minimize"}  # the table of keys has them
        return (command for command in super().get_system_commands(screen) if command.title not in ours)

    # What the monitor's thread reports

    def alive_words(self) -> str:
        """How many runs are alive; or why that cannot be told."""
        if self.monitor.problem:
            return f"✗ {shown(self.monitor.problem, 60)}"
        alive = [row.state for row in self.monitor.rows if row.state in runs.LIVE_STATES]
        paused = alive.count("paused")
        words = [f"● {len(alive) - paused} running"] if len(alive) > paused else []
        words += [f"‖ {paused} paused"] if paused else []
        return " ".join(words) or "no run alive"

    def hardware_words(self) -> str:
        """What the machine is at."""
        return self.monitor.hardware

    def _from_thread(self, act: Callable[[Any], None], what: Any) -> None:
        if self.is_running:
            self.call_later(act, what)

    def _board_changed(self, rows: tuple[Row, ...]) -> None:
        self._tell_ends(rows)
        for screen in self.screen_stack:
            if hasattr(screen, "board_changed"):
                screen.board_changed(rows)

    def _run_changed(self, run_id: str) -> None:
        for screen in self.screen_stack:
            if hasattr(screen, "run_changed"):
                screen.run_changed(run_id)

    def _tell_ends(self, rows: tuple[Row, ...]) -> None:
        """Ring when a run that was alive has ended."""
        for row in rows:
            before = self._states.get(row.id)
            if before in runs.LIVE_STATES and row.state not in runs.LIVE_STATES:
                went_well = row.state in ("done", "stopped")
                self.notify(
                    told(f"run {row.id}: {row.state}"),
                    severity="information" if went_well else "error",
                    markup=False,
                    timeout=10,
                )
                if self.config.bell:
                    self.bell()
                    self._desktop_note(f"kid: run {row.id} {row.state}")
        self._states = {row.id: row.state for row in rows}

    def _desktop_note(self, text: str) -> None:
        """OSC 9: terminals that know it show a notification."""
        if self._driver and not self.is_headless:
            self._driver.write(f"\x1b]9;{''.join(filter(str.isprintable, text))}\x07")

    def _pane(self) -> Any:
        """The pane around what is focused."""
        node: DOMNode | None = self.focused
        while node is not None and not node.has_class("pane"):
            node = node.parent
        return node
