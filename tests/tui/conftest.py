"""Runs on disk for the monitor to show, and an app that is driven by keys."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen

from engine import profile as profiles
from engine import runs
from engine.errors import KidError
from engine.run_writer import RunWriter
from engine.runs import Run
from kidtui import launch, monitor
from kidtui.app import KidApp
from kidtui.config import Config
from tests.fakes.fake_trainer import REWRITE, evaluate, parts

FAKE_TRAINER = Path(__file__).parents[1] / "fakes" / "fake_trainer.py"
SIGNS = {"space": " ", "slash": "/", "minus": "-", "equals_sign": "=", "left_square_bracket": "["}
Drive = Callable[[Pilot[None]], Awaitable[None]]


def make_run(name: str = "tiny", run_id: str | None = None, steps: int = 30, state: str = "done") -> Run:
    """A run as an engine leaves it: steps, rewrites, two evaluations, an end."""
    values = {"name": name, "student": {"model": "./none"}, "method": {"name": "sft"}}
    run = runs.create(profiles.from_values(values), ["kid", "distill"], run_id)
    with RunWriter(run) as writer:
        writer.event("phase", name="loading", done=0, total=0)
        writer.event("run_start", profile=name, total_steps=steps, parameters={"student": 12_345})
        evaluate(writer, 0, steps)
        for step in range(1, steps + 1):
            loss = 5.0 / step
            writer.event("step", step=step, loss=loss, loss_kd=loss / 2, loss_mle=loss / 2, num_tokens=100,
                         tokens_per_s=1000.0, memory_mb=50, ms=parts(0.2), eta_s=0.0)  # fmt: skip
        writer.event("rewrite", step=1, **REWRITE)
        evaluate(writer, None, steps)
        writer.update(
            state="running", step=steps, total_steps=steps, loss=5.0 / steps, step_ms=200.0, eta_s=0.0
        )
        writer.finish(state, KidError("no more [bold]room", "free some") if state == "failed" else None)
    return run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor looks more often than it does for a user, so that tests wait less."""
    monkeypatch.setattr(monitor, "_BOARD_SECONDS", 0.1)
    monkeypatch.setattr(monitor, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(monitor, "_CALL_SECONDS", 0.15)


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Widgets are laid out but not painted: most of the time that a key takes."""
    monkeypatch.setattr(Screen, "_compositor_refresh", lambda screen: screen._dirty_widgets.clear())


@pytest.fixture
def started() -> Iterator[Callable[[str], Run]]:
    """Start the fake trainer on a new run: started("--steps 100 --seconds 0.01")."""
    made: list[Run] = []

    def start(options: str = "") -> Run:
        values = {"name": "live", "student": {"model": "./none"}, "method": {"name": "sft"}}
        run = runs.create(profiles.from_values(values), ["kid", "distill"])
        made.append(run)
        launch.start(run, fake(options))
        return run

    yield start
    for run in made:
        with suppress(KidError):
            launch.kill(run)


def fake(options: str = "") -> list[str]:
    """What starts the fake trainer."""
    return [sys.executable, "-P", str(FAKE_TRAINER), *options.split()]


def drive(
    act: Drive,
    *,
    size: tuple[int, int] = (120, 40),
    config: Config | None = None,
    readonly: bool = False,
    options: str = "--steps 20",
    app: KidApp | None = None,
) -> None:
    """Run the app without a terminal, and `act` on it. `app`: in place of one with the fake trainer."""

    async def main() -> None:
        driven = app or KidApp(config, readonly=readonly, command=fake(options))
        async with driven.run_test(size=size) as pilot:
            await act(pilot)

    asyncio.run(main())


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Keys in quick succession; what they do has happened afterwards. Quicker than the pilot's own."""
    for key in keys:
        event = events.Key(key, SIGNS.get(key, key if len(key) == 1 else None))
        event.set_sender(pilot.app)
        pilot.app.post_message(event)
        await settled(pilot)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until no widget has a message left; what threads are at goes on."""
    while True:
        screen = pilot.app.screen
        for _ in range(2):  # a message's way up, and what comes of it
            await pilot._wait_for_screen()
        nodes = [pilot.app, *screen.walk_children(with_self=True)]
        if screen is pilot.app.screen and all(node._message_queue.empty() for node in nodes):
            break
    screen._on_timer_update()


async def until(pilot: Pilot[None], true: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait until something holds on the screen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        await pilot.pause(0.02)


def text_of(pilot: Pilot[None]) -> str:
    """What is on the screen, as text."""
    screen = pilot.app.screen
    return "\n".join(strip.text.rstrip() for strip in screen._compositor.render_strips(screen.size))
