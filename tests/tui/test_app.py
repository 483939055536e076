"""The monitor as a whole: start, settings, what must not be loaded, ends that are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine import paths
from engine.errors import UsageError
from engine.runs import Run
from kidtui import cli, keys
from kidtui.app import KidApp
from kidtui.config import Config, load
from kidtui.cycle import turned
from kidtui.screens.help import HelpScreen
from kidtui.widgets.key_bar import KeyBar
from tests.tui.conftest import drive, make_run, text_of, until


def test_without_a_terminal_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tui"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: kid tui needs a terminal")


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys, kidtui.app;"
        "heavy = ('torch', 'transformers', 'datasets', 'numpy', 'sqlglot', 'plotext', 'pygments');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_config(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    assert load(file) == Config()
    file.write_text('theme = "kid-light"\nbell = false\n[keys]\n"runs.kill" = "ctrl+k"\n')
    assert load(file) == Config(theme="kid-light", bell=False, keys={"runs.kill": "ctrl+k"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('them = "x"', "unknown key 'them'"),
        ("theme = 3", "theme: Input should be a valid string"),
        ("theme =", "not valid TOML"),
    ],
)
def test_wrong_config(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as raised:
        load(file)
    assert str(file) in raised.value.message


@pytest.mark.parametrize(
    ("config", "mend"),
    [
        (Config(theme="kid-dork"), "did you mean 'kid-dark'?"),
        (Config(keys={"runs.kil": "k"}), "did you mean 'runs.kill'?"),
        (Config(keys={"runs.kill": "s"}), "the help of kid tui lists all keys"),
        (Config(keys={"app.quit": "nosuchkey"}), "the help of kid tui lists all keys"),
        (Config(keys={"app.quit": ""}), "the help of kid tui lists all keys"),
    ],
)
def test_config_that_names_what_there_is_not(config: Config, mend: str) -> None:
    with pytest.raises(UsageError) as raised:
        KidApp(config)
    assert str(paths.config_file()) in raised.value.message
    assert raised.value.mend == mend


def test_the_key_table_is_sound() -> None:
    ids = [key.id for key in keys.KEYS]
    assert len(ids) == len(set(ids))
    for key in keys.KEYS:
        assert key.where in keys.PLACES, key.id
        assert key.help.endswith("."), key.id
    for place in keys.PLACES:
        bound = [one for key in (*keys.of(place), *keys.of("app")) for one in key.keys.split(",")]
        if place not in ("app", "dialog", "examples", "chart"):
            assert len(bound) == len(set(bound)), place


def test_an_end_rings_and_says_so(started: Callable[[str], Run]) -> None:
    rung: list[bool] = []
    run = started("--steps 60 --seconds 0.02")

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.bell = lambda: rung.append(True)  # type: ignore[method-assign]
        await until(pilot, lambda: "● 1 running" in text_of(pilot), "a living run")
        await until(pilot, lambda: rung, "the bell")
        assert [f"run {run.id}: done"] == [note.message for note in pilot.app._notifications]

    drive(act)


def test_two_monitors_agree(started: Callable[[str], Run]) -> None:
    started("--steps 3000 --seconds 0.01")

    async def act(pilot: Pilot[None]) -> None:
        other = KidApp(readonly=True)
        async with other.run_test(size=(120, 40)) as second:
            await until(pilot, lambda: "● running" in text_of(pilot), "it runs")
            await pilot.press("p")
            await until(second, lambda: "‖ paused" in text_of(second), "the other sees the pause")
            await until(pilot, lambda: "‖ paused" in text_of(pilot), "the pause")

    drive(act)


def test_palette_has_the_keys() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "✓ done" in text_of(pilot), "a run")
        await pilot.press("ctrl+p")
        await pilot.press(*"mark")
        await until(pilot, lambda: "Mark the run for Compare" in text_of(pilot), "the command")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: pilot.app.marked == ["one"], "a mark")  # type: ignore[attr-defined]

    drive(act)


def test_readonly_writes_nothing(tmp_path: Path) -> None:
    make_run(run_id="one")
    home = paths.runs_dir().parent

    def files() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*"))

    before = files()

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "✓ done" in text_of(pilot), "a run")
        for key, words in (("2", "shipped"), ("3", "Nothing to compare yet"), ("4", "not written yet")):
            await pilot.press(key)
            await until(pilot, lambda words=words: words in text_of(pilot), words)
        await pilot.press("d")
        await until(pilot, lambda: "Esc leaves" in text_of(pilot), "the databases")

    drive(act, readonly=True)
    assert files() == before


def test_a_click_on_a_key_at_the_bottom_is_as_good_as_the_key() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "? Help" in text_of(pilot), "the keys")
        await pilot.click(KeyBar, offset=(text_of(pilot).splitlines()[-1].index("Help"), 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the help")

    drive(act)


def test_what_is_gone_through_begins_again_behind_the_last() -> None:
    assert [turned("abc", one) for one in "abcx"] == ["b", "c", "a", "a"]
    assert [turned("abc", one, -1) for one in "abcx"] == ["c", "a", "b", "c"]
