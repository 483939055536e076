"""The first screen, driven by keys."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from engine import paths, runs
from engine import profile as profiles
from engine.errors import RunError
from engine.runs import Run
from kidtui import launch
from kidtui.app import KidApp
from kidtui.config import Config
from kidtui.screens.dialogs import Confirm
from kidtui.screens.examples import ExamplesScreen
from kidtui.screens.help import HelpScreen
from kidtui.screens.runs import RunsScreen
from kidtui.widgets.chart import Chart
from kidtui.widgets.run_list import RunList
from kidtui.widgets.run_logs import RunLogs
from tests.tui.conftest import drive, make_run, text_of, until


def the_list(pilot: Pilot[None]) -> RunList:
    return pilot.app.screen.query_one(RunList)


async def shown(pilot: Pilot[None], *words: str) -> None:
    try:
        await until(pilot, lambda: all(word in text_of(pilot) for word in words), f"{words} on the screen")
    except AssertionError:
        print(text_of(pilot))
        raise


async def told(pilot: Pilot[None], words: str) -> None:
    def messages() -> str:
        return " ".join(note.message for note in pilot.app._notifications)

    await until(pilot, lambda: words in messages(), f"a note with '{words}'")


def test_empty_home_invites_and_d_launches_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "No runs yet", "Press d")
        await pilot.press("d")
        await until(pilot, runs.all_runs, "a run", 20)
        await until(pilot, lambda: runs.all_runs()[0].status()["state"] == "done", "its end", 20)
        await shown(pilot, "✓ done", "demo-")
        assert the_list(pilot).chosen == runs.all_runs()[0].id

    drive(act)


def test_what_a_run_shows() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "one", "✓ done", "step 30/30", "student 0.500", "events")
        await shown(pilot, "difficulty", "unknown column 1", "p50 200", "done at step")

    drive(act)


def test_tabs_and_turning_back() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done")
        await pilot.press("right_square_bracket")
        await shown(pilot, "2 of 4 tokens masked, 1 rewritten wrongly", "·[red]zoo", "✗")
        await pilot.press("right_square_bracket")
        await shown(pilot, "student: 1 of 1 right", "✗→✓", "Which [bold]animals[/] are there?", "2 of 2")
        await pilot.press("comma")
        await shown(pilot, "student at step 0: 0 of 1 right")
        await pilot.press("full_stop", "right_square_bracket")
        await shown(pilot, "nothing on stdout")
        await pilot.press("left_square_bracket", "left_square_bracket", "left_square_bracket")
        assert pilot.app.screen.query_one(RunLogs).active == "events"

    drive(act)


def test_filter_sort_and_leave() -> None:
    make_run("alpha", "a-1")
    make_run("beta", "b-1", steps=10)

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: the_list(pilot).row_count == 2, "two runs")
        await pilot.press("slash", *"alp", "enter")
        assert the_list(pilot).row_count == 1
        assert the_list(pilot).has_focus
        await pilot.press("escape")
        await until(pilot, lambda: the_list(pilot).row_count == 2, "both again")
        orders = []
        for _ in range(6):
            await pilot.press("o")
            orders.append((the_list(pilot).order, the_list(pilot).get_row_at(0)[1].plain))
        assert orders[0][0] == "state"
        assert dict(orders)["profile"] == "a-1"
        assert dict(orders)["loss"] == "a-1"
        assert orders[-1] == ("newest", "b-1")

    drive(act)


def test_mark_and_compare() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done")
        await pilot.press("space")
        await shown(pilot, "◆✓ done")
        assert pilot.app.marked == ["one"]  # type: ignore[attr-defined]
        await pilot.press("c")
        await until(pilot, lambda: pilot.app.screen.place == "compare", "Compare")  # type: ignore[attr-defined]
        await pilot.press("1")
        await until(pilot, lambda: pilot.app.screen.place == "runs", "Runs")  # type: ignore[attr-defined]
        await pilot.press("space")
        assert pilot.app.marked == []  # type: ignore[attr-defined]

    drive(act)


@pytest.mark.parametrize(
    ("key", "place"),
    [("2", "profiles"), ("3", "compare"), ("4", "ask"), ("n", "profiles"), ("f2", "profiles")],
)
def test_other_screens(key: str, place: str) -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done")
        await pilot.press(key)
        await until(pilot, lambda: pilot.app.screen.place == place, place)  # type: ignore[attr-defined]

    drive(act)


def test_a_key_is_for_the_run_that_the_cursor_is_on() -> None:
    for run_id in ("a", "b", "c"):
        make_run(run_id=run_id)

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: the_list(pilot).row_count == 3, "three runs")
        for key in ("down", "space", "down", "space"):  # at once: no message is heard between them
            pilot.app.simulate_key(key)
        await until(pilot, lambda: pilot.app.marked == ["b", "a"], "two marks")  # type: ignore[attr-defined]

    drive(act)


def test_examples() -> None:
    run = make_run(run_id="one")
    rows = (
        '{"index": 1, "db_id": "zoo", "question": "How [red]many?", "gold": "SELECT 1", "sql": "SELECT 2",'
        ' "correct": false, "error": "value", "message": "1 instead of 2", "hardness": "easy"}\n'
        "garbage\n"
        '{"index": 2, "question": "Who?", "gold": "SELECT 3", "sql": "SELECT 3", "correct": true}\n'
    )
    (run.path / "predictions.jsonl").write_text(rows)

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "Enter: examples")
        await pilot.press("tab", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExamplesScreen), "the examples")
        await shown(pilot, "1 of 2 right", "How [red]many?", "1 instead of 2")
        await pilot.press("y")
        await told(pilot, "copied")
        await pilot.press("f", "f")
        await shown(pilot, "Who?", "SELECT 3")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen), "the runs")

    drive(act)


def test_pause_go_on_stop_resume(started: Callable[[str], Run]) -> None:
    run = started("--steps 2000 --seconds 0.01")

    def state() -> str:
        return str(run.status()["state"])

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "● running")
        await pilot.press("p")
        await until(pilot, lambda: state() == "paused", "a pause")
        await shown(pilot, "‖ paused")
        await pilot.press("p")
        await until(pilot, lambda: state() == "running", "going on")
        await shown(pilot, "● running")
        await pilot.press("s")
        await until(pilot, lambda: state() == "stopped", "a stop")
        await shown(pilot, "■ stopped")
        await pilot.press("r")
        await until(pilot, lambda: state() == "done", "its end")
        await shown(pilot, "✓ done", "generation 2")
        await pilot.press("r")
        await told(pilot, "there is nothing to resume")

    drive(act)


def test_kill_asks_with_run_and_pid(started: Callable[[str], Run]) -> None:
    run = started("--steps 5000 --seconds 0.01")
    with pytest.raises(RunError, match="another process now"):
        launch.kill(run, only=1)

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "● running")
        await pilot.press("x")
        await shown(pilot, f"Kill run {run.id} (pid {run.status()['pid']})?")
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm), "the question gone")
        assert run.status()["state"] == "running"
        await pilot.press("x")
        await shown(pilot, "Kill run")
        await pilot.press("y")
        await until(pilot, lambda: run.status()["state"] == "lost", "a kill")
        await shown(pilot, "? lost")

    drive(act)


def test_remove_asks() -> None:
    run = make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done")
        await pilot.press("D")
        await shown(pilot, "Remove run one?")
        await pilot.press("escape")
        await pilot.press("delete")
        await shown(pilot, "Remove run one?")
        await pilot.press("y")
        await until(pilot, lambda: not run.path.exists(), "no run")
        await shown(pilot, "No runs yet")

    drive(act)


def test_a_failed_run_says_why() -> None:
    make_run(run_id="bad", state="failed")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✗ failed", "no more [bold]room", "free some")

    drive(act)


def test_readonly_has_no_key_that_writes() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done", "read-only")
        assert "Kill" not in text_of(pilot)
        await pilot.press("d", "x", "D", "s")
        await pilot.pause(0.3)
        notes = [note.message for note in pilot.app._notifications]
        assert notes == [f"read-only: {key} needs kid tui without --readonly"
                         for key in ("Demo", "Kill", "Remove", "Stop")]  # fmt: skip
        assert isinstance(pilot.app.screen, RunsScreen)
        assert [run.id for run in runs.all_runs()] == ["one"]

    drive(act, readonly=True)


def test_rebinding_help_and_themes() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done")
        await pilot.press("D")
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, RunsScreen)
        await pilot.press("k")
        await shown(pilot, "Remove run one?")
        await pilot.press("n")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        await shown(pilot, "runs.pause", "Hold the run")
        await pilot.press("escape")
        assert pilot.app.theme == "kid-light"
        await pilot.press("T")
        assert pilot.app.theme == "ansi-dark"

    drive(act, config=Config(theme="kid-light", keys={"runs.remove": "k"}))


def test_maximise_and_copy() -> None:
    make_run(run_id="one")
    copied: list[str] = []

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        await shown(pilot, "✓ done")
        await pilot.press("enter")
        assert isinstance(pilot.app.focused, Chart)
        await pilot.press("z")
        await until(pilot, lambda: pilot.app.screen.maximized is not None, "a whole pane")
        await pilot.press("z")
        await until(pilot, lambda: pilot.app.screen.maximized is None, "all panes")
        pilot.app.screen.query_one("#events Lines").focus()
        await pilot.press("y")
        assert "done at step 30" in copied[0]

    drive(act)


def test_what_happens_to_a_run_while_it_is_shown(started: Callable[[str], Run]) -> None:
    run = started("--steps 5000 --seconds 0.01")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "● running")
        with run.events_path(1).open("ab") as events:
            events.write(b"\xff\x00 garbage\n{\n" * 3)
        await shown(pilot, "6 damaged lines")
        os.killpg(run.status()["pid"], signal.SIGKILL)
        await shown(pilot, "? lost")
        (run.path / "status.json").write_text("{half")
        await shown(pilot, "? damaged", "cannot read")
        shutil.rmtree(run.path)
        await shown(pilot, "No runs yet")
        make_run(run_id="later")
        await shown(pilot, "later", "✓ done")

    drive(act)


@pytest.mark.parametrize("name", ["status.json", "launch.json", "run.json"])
def test_keys_on_a_damaged_run_are_answered(name: str) -> None:
    run = make_run(run_id="one", state="stopped")
    (run.path / name).write_text("{}")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "? damaged")
        for key in ("p", "s", "r", "x"):
            await pilot.press(key)
        await told(pilot, "damaged")
        assert isinstance(pilot.app.screen, RunsScreen)

    drive(act)


def test_odd_events_and_names_end_nothing() -> None:
    run = make_run(run_id="odd", name="plain")
    (run.path / "run.json").write_text(
        (run.path / "run.json").read_text().replace('"plain"', r'"p\u001b]0;x"', 1)
    )
    odd = (
        '{"v": 1, "kind": "eval", "split": "student", "ex": 0.5, "by_hardness": {"easy": {"ex": "high"}}}\n'
        '{"v": 1, "kind": "probe", "split": "student", "answers": [{"index": [1], "sql": 3, "gold": {}}]}\n'
    )
    with run.events_path(1).open("a") as events:
        events.write(odd)
    (run.path / "predictions.jsonl").write_text("[" * 200_000 + "\n")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done", "easy –")
        assert "\x1b" not in text_of(pilot)
        await pilot.press("left_square_bracket", "left_square_bracket", "left_square_bracket")
        await shown(pilot, "0 of 1 right")
        pilot.app.screen.query_one("EvalPane").focus()
        await pilot.press("enter")
        await shown(pilot, "the newest probes")

    drive(act)


def test_a_launch_does_not_take_another_screen_away() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "No runs yet")
        await pilot.press("d", "3")
        await told(pilot, "is started")
        assert pilot.app.screen.place == "compare"  # type: ignore[attr-defined]
        await pilot.press("1")
        await shown(pilot, "✓ done", "demo-", "step 20/20")

    drive(act)


def test_no_match_and_a_hidden_run() -> None:
    make_run("alpha", "a-1")
    make_run("beta", "b-1")

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: the_list(pilot).row_count == 2, "two runs")
        await pilot.press("slash", *"zzz", "enter")
        await shown(pilot, "none fits")
        assert "step 30/30" not in text_of(pilot)
        pilot.app.open_run("b-1")  # type: ignore[attr-defined]
        await until(pilot, lambda: the_list(pilot).chosen == "b-1", "the run that was hidden")
        await shown(pilot, "step 30/30")

    drive(act)


def test_runs_that_cannot_be_listed() -> None:
    paths.runs_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.runs_dir().write_text("a file")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "The runs cannot be listed")

    drive(act)


def test_small_terminal_is_one_column() -> None:
    make_run(run_id="one")

    async def act(pilot: Pilot[None]) -> None:
        await shown(pilot, "✓ done", "step 30/30")
        assert the_list(pilot).region.width >= 78
        await pilot.press("tab", "tab", "tab", "tab", "tab")
        await pilot.pause(0.2)
        focused = pilot.app.focused
        assert focused is not None
        assert focused.region.bottom <= 24

    drive(act, size=(80, 24))


def test_a_launch_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, KidApp)
        app.launch(profiles.from_values({"name": "x", "student": {"model": "m"}, "method": {"name": "sft"},
                                         "data": {"train": "file:nowhere.jsonl"}}))  # fmt: skip
        await told(pilot, "nowhere.jsonl")
        assert runs.all_runs() == []

    drive(act)
