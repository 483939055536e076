"""The third screen: marked runs side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence

import pytest
from textual.pilot import Pilot

from engine import runs
from engine.run_writer import RunWriter
from engine.runs import Run
from engine.study.differing import differing
from kidtui import comparison, keys
from kidtui.app import KidApp
from kidtui.comparison import DOMINATED, FRONT, NO_SCORE, NO_TIMING, Standing
from kidtui.screens.compare import CompareScreen
from kidtui.watch import View
from kidtui.widgets.chart import Chart
from kidtui.widgets.diff_table import DiffTable
from kidtui.widgets.pareto import Pareto
from kidtui.widgets.plot import Range
from kidtui.widgets.standings import Standings
from tests.tui.conftest import drive, make_run, text_of, until


def app_of(pilot: Pilot[None]) -> KidApp:
    assert isinstance(pilot.app, KidApp)
    return pilot.app


async def shown(pilot: Pilot[None], *words: str) -> None:
    await until(pilot, lambda: all(word in text_of(pilot) for word in words), f"{words} on the screen")


async def compare(pilot: Pilot[None], *run_ids: str) -> None:
    app = app_of(pilot)
    await until(pilot, lambda: len(app.monitor.rows) == len(runs.all_runs()), "the rows")
    app.marked[:] = run_ids
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen), "the screen")


def change(run: Run, seed: int, name: str) -> None:
    """Give a run other settings, and one that no other run has not."""
    info = json.loads((run.path / "run.json").read_text())
    info["profile"]["train"]["seed"] = seed
    info["profile"]["name"] = name
    del info["profile"]["eval"]["limit"]
    (run.path / "run.json").write_text(json.dumps(info))


def test_nothing_marked_invites_and_n_marks_the_newest_two() -> None:
    async def act(pilot: Pilot[None]) -> None:
        app = app_of(pilot)
        await compare(pilot)
        await shown(pilot, "Nothing to compare yet", "space marks", "n Newest two")
        assert "Unmark" not in text_of(pilot)
        await pilot.press("n", "enter", "a", "u")  # keys that are for a run are for none
        await until(
            pilot, lambda: "no run has ended yet" in [note.message for note in app._notifications], "a note"
        )
        for run_id in ("one", "two", "three"):
            make_run(run_id=run_id)
        await until(pilot, lambda: [row.state for row in app.monitor.rows] == ["done"] * 3, "the rows")
        await pilot.press("n")
        await shown(pilot, "● three", "× two", "✓ done", "u Unmark")
        assert app.marked == ["three", "two"]

    drive(act)


def test_m_and_x_change_what_the_curves_show() -> None:
    make_run(run_id="one")
    make_run(run_id="two", steps=60)

    async def act(pilot: Pilot[None]) -> None:
        def ranged() -> tuple[float | None, float | None]:
            assert isinstance(pilot.app.screen, CompareScreen)
            return pilot.app.screen._range

        await compare(pilot, "one", "two")
        await shown(pilot, "loss by step", "● one 0.1667", "× two 0.08333")
        for metric in ("loss_kd", "loss_mle", "ms.total", "tokens_per_s", "EX"):
            await pilot.press("m")
            await shown(pilot, f"{metric} by step")
        await shown(pilot, "● one 0.5", "× two 0.5")
        chart = pilot.app.screen.query_one(Chart)
        chart.focus()
        await pilot.press("left")
        assert chart.cursor == 60
        await pilot.press("x")
        await shown(pilot, "EX by tokens")
        assert chart.cursor is None
        await pilot.press("left")
        assert chart.cursor == 6000
        await pilot.press("x", "m")
        await shown(pilot, "loss by seconds")
        await pilot.press("x", "left", "plus")
        await shown(pilot, "loss by step", "zoomed")
        assert ranged() == (30.5, 60)
        await pilot.press("0")
        await until(pilot, lambda: ranged() == (None, None), "the whole range")

    drive(act)


def test_enter_opens_the_run_from_every_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(run_id="one")
    change(make_run(run_id="two"), 5, "[red]other")
    opened: list[str] = []

    async def act(pilot: Pilot[None]) -> None:
        monkeypatch.setattr(pilot.app, "open_run", opened.append)
        await compare(pilot, "one", "two")
        await shown(pilot, "× two", "train.seed", "[red]other", "absent")
        assert "student.model" not in text_of(pilot)
        await pilot.press("down")
        for number, pane in enumerate(("standings", "curves", "pareto"), 1):
            pilot.app.screen.query_one(f"#{pane}").focus()
            await pilot.press("enter")
            await until(pilot, lambda wanted=number: len(opened) == wanted, f"opened from {pane}")  # type: ignore[misc]
        settings = pilot.app.screen.query_one(DiffTable)
        settings.focus()
        await pilot.press("right", "enter")  # the column of the other run
        await until(pilot, lambda: len(opened) == 4, "opened from the settings")
        assert opened == ["two", "two", "two", "one"]
        assert "train.seed\t0\t5" in settings.copy_text
        await pilot.press("u")
        assert app_of(pilot).marked == ["two"]
        await shown(pilot, "one run")

    drive(act)


def test_a_asks_and_u_or_delete_unmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id in ("one", "two", "three"):
        make_run(run_id=run_id)
    asked: list[str] = []

    async def act(pilot: Pilot[None]) -> None:
        monkeypatch.setattr(pilot.app, "ask_with", asked.append)
        await compare(pilot, "one", "two", "three")
        await shown(pilot, "+ three")
        await pilot.press("down", "a")
        assert asked == ["two"]
        await pilot.press("u")
        assert app_of(pilot).marked == ["one", "three"]
        await shown(pilot, "× three")
        await pilot.press("delete")
        assert app_of(pilot).marked == ["one"]
        await pilot.press("u")
        await shown(pilot, "Nothing to compare yet")

    drive(act)


def test_runs_that_vanish_or_break_have_a_row_that_says_so() -> None:
    one = make_run(run_id="one")
    broken = make_run(run_id="broken")
    (broken.path / "run.json").write_text("{")
    make_run(run_id="other")

    async def act(pilot: Pilot[None]) -> None:
        await compare(pilot, "one", "broken", "nowhere", "other")
        await shown(pilot, "● one", "× broken", "+ nowhere", "cannot read", "the run is gone")
        shutil.rmtree(one.path)
        await until(pilot, lambda: text_of(pilot).count("? gone") == 2, "it is gone")
        await pilot.press("m", "x", "u")
        assert app_of(pilot).marked == ["broken", "nowhere", "other"]

    drive(act, size=(200, 50))


def test_what_is_new_is_shown() -> None:
    run = runs.create(make_run(run_id="mould").profile(), ["kid"], "live")

    async def act(pilot: Pilot[None]) -> None:
        await compare(pilot, "live", "mould")
        with RunWriter(run) as writer:
            writer.event("step", step=1, loss=4.25, ms={"total": 100.0})
            await shown(pilot, "● live 4.25", NO_SCORE, "× mould", FRONT, "up and left is better")
            writer.event("step", step=2, loss=2.125, ms={"total": 100.0})
            writer.event("eval", step=2, split="student", ex=0.375, num_questions=8)
            await shown(pilot, "● live 2.125", "0.375", "0.500")
            assert "live\tstarting\t0.375\t100.0\t" in pilot.app.screen.query_one(Standings).copy_text
            assert "live\t100.0\t0.375\t" in pilot.app.screen.query_one(Pareto).copy_text
            chart = pilot.app.screen.query_one(Chart)
            chart.focus()
            await pilot.press("plus")
            for step in range(3, 251):
                writer.event("step", step=step, loss=1.0)
            await until(pilot, lambda: chart._picture.whole == Range(1, 250), "it grows while zoomed")
            await pilot.press("0")
            await until(pilot, lambda: 9 < len(chart._picture.lines[0].xs) < 250, "the whole, coarsely")
            await pilot.resize_terminal(250, 40)
            await until(pilot, lambda: len(chart._picture.lines[0].xs) == 250, "as many as have room")

    drive(act)


def test_a_small_terminal_and_many_runs() -> None:
    ids = [f"run-{number}" for number in range(10)]
    for run_id in ids:
        make_run(run_id=run_id, steps=3)

    async def act(pilot: Pilot[None]) -> None:
        await compare(pilot, *ids)
        await shown(pilot, "● run-0", "loss by step")
        await until(pilot, lambda: isinstance(pilot.app.focused, Chart), "the first pane has the focus")
        pilot.app.screen.query_one(Standings).focus()
        await pilot.press("ctrl+end")
        await shown(pilot, "# run-7")
        assert "run-8" not in text_of(pilot)
        assert isinstance(pilot.app.screen, CompareScreen)
        assert pilot.app.screen.subject == "8 runs (2 more marked)"

    drive(act, size=(40, 14))


def test_every_key_is_an_action() -> None:
    for key in keys.of("compare"):
        assert hasattr(CompareScreen, f"action_{key.action}")


@pytest.mark.parametrize(
    ("standings", "words"),
    [
        ([(0.8, 600), (0.7, 400), (0.6, 500), (0.8, 700)], [FRONT, FRONT, DOMINATED, DOMINATED]),
        ([(0.8, 600), (0.8, 600)], [FRONT, FRONT]),
        ([(None, 600), (0.8, None), (None, None), (0.1, 900)], [NO_SCORE, NO_TIMING, NO_SCORE, FRONT]),
        ([], []),
    ],
)
def test_pareto_front(standings: Sequence[tuple[float | None, float | None]], words: list[str]) -> None:
    assert comparison.places([Standing(*each) for each in standings]) == words


def test_differing_settings() -> None:
    one = {"name": "a", "description": "x", "train": {"seed": 0, "steps": [1, 2]}, "lora": None, "new": True}
    two = {"name": "a", "description": "y", "train": {"seed": 1, "steps": [1, 2]}, "lora": {"rank": 4}}
    assert differing([one, two]) == [
        ("train.seed", ("0", "1")),
        ("lora", ("–", "absent")),
        ("new", ("true", "absent")),
        ("lora.rank", ("absent", "4")),
    ]
    assert differing([one]) == []
    assert differing([]) == []


def test_median_and_scores() -> None:
    assert comparison.percentile([], 50) is None
    assert comparison.percentile([3, 1, 100], 50) == 3
    assert comparison.percentile([3, 1], 50) == 2
    assert comparison.percentile(range(101), 95) == 95
    assert comparison.percentile([7], 95) == 7
    evals = (
        {"split": "teacher", "ex": 0.9, "step": None},
        {"split": "student_before", "ex": 0.1, "step": None},
        {"split": "student", "ex": 0.4, "step": 50},
        {"split": "student", "ex": "high", "step": 60},
        {"split": "student", "ex": 0.6, "step": None},
    )
    view = View(evals=evals, step={"step": 80})
    assert comparison.ex_of(view) == 0.6
    assert comparison.ex_of(View()) is None
    assert comparison.ex_over_steps(view) == ([0.0, 50.0, 80.0], [0.1, 0.4, 0.6])


def test_a_point_on_another_axis() -> None:
    assert comparison.along([0, 5, 10, 15, 30], [10, 20], [1000, 3000]) == [0, 500, 1000, 2000, 3000]
    assert comparison.along([3], [], []) == []
