"""How screens look. After a wanted change: `pytest tests/tui --snapshot-update`, and look at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine import paths
from kidtui.app import KidApp
from kidtui.config import Config
from kidtui.widgets.top_bar import TopBar
from tests.tui.conftest import make_run, text_of, until

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time, load and the test's own paths."""
    monkeypatch.setattr(TopBar, "_facts", lambda self: ["● 1 running", "12:00"])
    monkeypatch.setattr(paths, "config_file", lambda: Path("/home/kid/.config/kid/config.toml"))


async def settled(pilot: Pilot[None]) -> None:
    """Everything is read and drawn."""
    latency = pilot.app.screen.query_one("#latency")
    read = lambda: "No runs" in text_of(pilot) or "p50 200" in str(latency.border_subtitle)  # noqa: E731
    await until(pilot, read, "what there is")
    await pilot.pause(0.5)


def test_empty_home(snap_compare: Compare) -> None:
    assert snap_compare(KidApp(), terminal_size=(120, 40), run_before=settled)


@pytest.mark.parametrize(("size", "theme"), [((120, 40), "kid-dark"), ((80, 24), "kid-light")])
def test_runs(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    for name, state in (("three", "done"), ("two", "failed"), ("one", "stopped")):
        make_run(run_id=name, state=state)

    async def act(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("down", "space", "right_square_bracket")
        await until(pilot, lambda: "tokens masked" in text_of(pilot) or size[1] < 30, "the tape")

    assert snap_compare(KidApp(Config(theme=theme)), terminal_size=size, run_before=act)


def test_help(snap_compare: Compare) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("question_mark")

    assert snap_compare(KidApp(), terminal_size=(100, 60), run_before=act)
