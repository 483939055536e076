"""The chart: what is drawn, and what keys and mouse do."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.events import MouseMove, MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from engine.run_writer import RunWriter
from kidtui import keys, theme
from kidtui.cells import num_columns
from kidtui.widgets import plot
from kidtui.widgets.chart import Chart, Line
from kidtui.widgets.curves import smoothed
from kidtui.widgets.plot import Range
from tests.fakes.fake_trainer import parts
from tests.tui.conftest import drive as drive_app
from tests.tui.conftest import make_run, text_of, until

XS = tuple(float(x) for x in range(1, 101))
TOTAL = Line("total", XS, tuple(100 / x for x in XS))
KD = Line("kd", XS, tuple(50 / x for x in XS))


class ChartApp(App[None]):
    CSS = "Chart { border: round $panel; }"

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        for own in theme.OWN:
            self.register_theme(own)
        self.lines = lines
        self.ranged: list[tuple[float | None, float | None]] = []

    def compose(self) -> ComposeResult:
        yield Chart("loss [bold]")

    def on_mount(self) -> None:
        self.chart.show(self.lines)
        self.chart.focus()

    @property
    def chart(self) -> Chart:
        return self.query_one(Chart)

    def on_chart_ranged(self, event: Chart.Ranged) -> None:
        self.ranged.append((event.start, event.end))


def drive(
    act: Callable[[ChartApp, Pilot[None]], Awaitable[None]],
    lines: Sequence[Line] = (TOTAL, KD),
    size: tuple[int, int] = (80, 20),
) -> None:
    async def main() -> None:
        app = ChartApp(lines)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await act(app, pilot)

    asyncio.run(main())


def text(app: ChartApp) -> str:
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips(app.size))


def glimpse(lines: Sequence[Line], size: tuple[int, int] = (80, 20), press: Sequence[str] = "") -> str:
    """The chart of these lines, after these keys."""
    found: list[str] = []

    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press(*press)
        await pilot.pause()
        found.append(text(app))

    drive(act, lines, size)
    return found[0]


def test_lines_have_names_glyphs_last_values_and_axes() -> None:
    seen = glimpse([TOTAL, KD])
    assert "loss [bold]" in seen  # a title is no markup
    assert re.search(r"⠒ total\s+1\s+• kd\s+0.5", seen)
    assert "step" in seen
    assert seen.count("•") > 3  # the second line is told apart without colours
    assert "100" in seen


@pytest.mark.parametrize(("size", "room"), [((20, 4), 4), ((8, 3), 3), ((200, 60), 60)])
def test_any_size_does(size: tuple[int, int], room: int) -> None:
    seen = glimpse([TOTAL, KD], size)
    assert len(seen.splitlines()) == room
    assert max(map(len, seen.splitlines())) <= size[0]


ODD = {
    "one point": Line("a", (3,), (2.5,)),
    "constant": Line("a", XS, (7.0,) * 100),
    "zeros": Line("a", XS, (0.0,) * 100),
    "huge": Line("a", XS, tuple(x * 1e297 for x in XS)),
    "tiny": Line("a", XS, tuple(x * 1e-300 for x in XS)),
    "beyond": Line("a", XS, tuple(math.inf if x % 2 else math.nan for x in XS)),
    "mixed": Line("a", (1, 2, math.nan, 4), (-1e299, 1e299, 3, math.nan)),
    "equal xs": Line("a", (5, 5, 5), (1, 2, 3)),
    "empty band": Line("a", (1, 2), (1, 2), low=(math.nan,) * 2, high=(math.nan,) * 2),
    "markup": Line("[red]\x1b[2J\n", (1, 2), (1, 2), glyph="[b]"),
}


def test_odd_values_are_drawn_or_left_out() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        for what, line in ODD.items():
            app.chart.show([line])
            for log in (False, True):
                app.chart.action_smoothe()
                app.chart.action_cursor(-1)
                app.chart.action_zoom(0.5)
                await pilot.pause()
                seen = text(app)
                says_nothing = "no data" in seen or "only values of 0" in seen
                assert says_nothing == (what == "beyond" or (what == "zeros" and log)), what
                assert not re.search("inf|nan|\x1b", seen), what
                app.chart.action_reset()
                app.chart.action_toggle_log()

    drive(act, size=(50, 12))


def test_wide_names_take_the_room_that_they_have() -> None:
    seen = glimpse([Line("損失 🇨🇭", (1, 2), (1, 2)), Line("kd", (1, 2), (1, 2))])
    assert re.search(r"⠒ 損失 🇨🇭 2  • kd 2", seen)
    assert {num_columns(line) for line in seen.splitlines()} == {80}


def test_lines_that_have_no_room_in_the_legend_are_said_to_be_there() -> None:
    seen = glimpse([Line(f"line-{number}", (1, 2), (1, 2)) for number in range(12)], (40, 12))
    assert "line-2" in seen
    assert "line-11" not in seen
    assert "…" in seen


def test_a_runs_charts_follow_it_and_the_width_while_zoomed() -> None:
    run = make_run(steps=400)

    async def act(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "p50 200" in text_of(pilot), "the run")
        chart = pilot.app.screen.query_one("#loss", Chart)

        def xs() -> Sequence[float]:
            return chart._picture.lines[0].xs

        chart.focus()
        await until(pilot, lambda: len(xs()) < 100, "as many points as have room")
        await pilot.press("left", *["plus"] * 4)
        exact = [float(step) for step in range(376, 401)]
        await until(pilot, lambda: list(xs()) == exact, "the steps on disk")
        with RunWriter(run) as writer:
            for step in range(390, 451):
                writer.event("step", step=step, loss=7.0, ms={**parts(0.3), "sample": 45.0})
            await until(pilot, lambda: chart._picture.whole == Range(1, 450), "the whole grows")
            await until(pilot, lambda: chart._picture.lines[0].ys[-1] == 7.0, "steps that are done again")
            assert list(xs()) == exact
            await until(pilot, lambda: "p95 300" in text_of(pilot), "newer timings")
            assert "sample 45" in text_of(pilot)
        await pilot.press("0")
        await until(pilot, lambda: 9 < len(xs()) < 100, "the whole range")
        num_narrow = len(xs())
        await pilot.resize_terminal(250, 40)
        await until(pilot, lambda: len(xs()) > 1.5 * num_narrow, "points for a wide chart")

    drive_app(act)


def test_all_parts_of_a_step_have_room_in_a_narrow_legend() -> None:
    names = ("total", "prefix", "mask", "teacher", "student", "backward", "optimizer")
    lines = [Line(name, XS, tuple(234.5678 - at for at in XS)) for name in names]
    for size, pressed in (((33, 16), ()), ((33, 16), ("left",)), ((38, 12), ())):
        seen = glimpse(lines, size, pressed)
        assert all(re.search(f"{name} 13[45]", seen) for name in names), seen
    assert "total 134.568  • prefix 134.568" in glimpse(lines, (100, 16), ("left",))


def test_no_lines_say_so() -> None:
    assert "no data yet" in glimpse([])


def test_cursor_goes_by_keys_and_tells_exact_values() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press("left")
        assert app.chart.cursor == 100
        await pilot.press("h", "left")
        assert app.chart.cursor == 98
        await pilot.press("shift+left", "H")
        assert app.chart.cursor == 78
        await pilot.press("right", "l", "shift+right", "L", "shift+right")
        assert app.chart.cursor == 100
        await pilot.press(*["H"] * 6, "l", "l", "l")
        assert "step 43  ⠒ total 2.32558  • kd 1.16279" in text(app)
        assert "│" in text(app).splitlines()[8][20:60]
        await pilot.press("escape")
        assert app.chart.cursor is None
        await pilot.press("left", "0")
        assert app.chart.cursor is None

    drive(act)


def test_cursor_outside_a_line_has_no_value_of_it() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press("left")
        assert "short –" in text(app)

    drive(act, [TOTAL, Line("short", (1, 2), (1, 2))])


def test_zoom_and_reset_tell_the_owner() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press("plus")
        await pilot.pause()
        assert app.ranged == [(25.75, 75.25)]
        assert "zoomed" in text(app)
        assert "100" not in text(app).splitlines()[-2]
        app.chart.show([Line("total", XS[24:76], TOTAL.ys[24:76])], whole=(1, 200))
        await pilot.press("left", "shift+right", "shift+right", "shift+right")
        await pilot.pause()
        assert app.ranged[-1] == (100.0, 149.5)  # what has come since can be gone to
        app.chart.show([Line("total", XS[24:76], TOTAL.ys[24:76])], whole=(1, 100))
        app.chart.action_reset()
        await pilot.press("plus", "equals_sign")
        await pilot.pause()
        assert app.ranged[-1] == (38.125, 62.875)
        await pilot.press("minus", "minus")
        await pilot.pause()
        assert app.ranged[-1] == (None, None)
        assert "zoomed" not in text(app)
        app.chart.show([TOTAL])
        await pilot.press("left", "plus", "0")
        await pilot.pause()
        assert app.ranged[-2:] == [(50.5, 100.0), (None, None)]

    drive(act)


def test_zoom_ends_where_few_points_are_left() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press(*["plus"] * 8)
        await pilot.pause()
        start, end = app.ranged[-1]
        assert start is not None
        assert end is not None
        assert end - start > 2
        assert "no data" not in text(app)

    drive(act)


def test_cursor_takes_a_zoomed_range_along() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.press("plus", "left")
        assert app.chart.cursor == 75
        await pilot.press("right", "right")
        await pilot.pause()
        assert app.chart.cursor == 77
        start, end = app.ranged[-1]
        assert start is not None
        assert end is not None
        assert start < 77 < end

    drive(act)


def test_scale_and_smoothing_cycle() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        async def press(*pressed: str) -> str:
            await pilot.press(*pressed)
            await pilot.pause()
            return text(app)

        linear = text(app)
        logarithmic = await press("g")
        assert " log " in logarithmic
        assert logarithmic.count("⣀") != linear.count("⣀")
        assert "smoothed 0.6" in await press("g", "e")
        assert "smoothed 0.9" in await press("e")
        assert await press("e") == linear

    drive(act)


def test_log_scale_says_what_it_leaves_out() -> None:
    assert "2 values of 0 or less not shown" in glimpse([Line("a", (1, 2, 3, 4), (0, -1, 2, 3))], press="g")


def test_mouse_hovers_clicks_and_zooms() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        await pilot.hover(Chart, offset=(40, 8))
        await pilot.pause()
        hovered = app.chart.cursor
        assert hovered is not None
        assert 40 < hovered < 60
        await pilot.click(Chart, offset=(20, 8))
        await pilot.hover(Chart, offset=(20, 8))
        pinned = app.chart.cursor
        assert pinned is not None
        assert pinned < hovered
        for kind, zoomed in ((MouseScrollUp, True), (MouseScrollDown, False)):
            await pilot._post_mouse_events([MouseMove, kind], Chart, offset=(40, 8))
            await pilot.pause()
            assert ("zoomed" in text(app)) == zoomed

    drive(act)


def test_nothing_is_drawn_for_what_is_shown_already(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        drawings: list[object] = []
        draw = plot.draw

        def counted(*given: Any) -> object:
            drawings.append(given)
            return draw(*given)

        monkeypatch.setattr(plot, "draw", counted)
        app.chart.show([TOTAL, KD])
        await pilot.pause()
        assert drawings == []
        app.chart.show([TOTAL], "fresh")
        await pilot.pause()
        assert len(drawings) == 1
        await pilot.press("left", "left")
        assert len(drawings) == 1  # the cursor lies over what is drawn

    drive(act)


def test_colours_follow_the_theme() -> None:
    async def act(app: ChartApp, pilot: Pilot[None]) -> None:
        expected = {"kid-dark": "#56b4e9", "kid-light": "#0072b2", "ansi-dark": "color(4)"}
        for name in theme.CYCLE:
            app.theme = name
            await pilot.pause()
            colours = {
                str(segment.style.color.name if segment.style and segment.style.color else "")
                for strip in app.screen._compositor.render_strips(app.size)
                for segment in strip
                if "total" in segment.text
            }
            assert colours == {expected[name]}

    drive(act)


def test_low_and_high_are_drawn_around_a_line() -> None:
    plain = Line("a", XS, (5.0,) * 100)
    around = Line("a", XS, (5.0,) * 100, low=(1.0,) * 100, high=(9.0,) * 100)
    assert len(re.findall("[⠁-⣿]", glimpse([around]))) > 3 * len(re.findall("[⠁-⣿]", glimpse([plain])))


def test_every_key_of_a_chart_is_an_action_of_it() -> None:
    for key in keys.of("chart"):
        assert hasattr(Chart, f"action_{key.action.partition('(')[0]}")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (12_000, "12k"), (12_345, "12.3k"), (999.97, "1k"), (1e6, "1M"), (0.25, "0.25"),
     (-3e-7, "-3e-07"), (1e308, "1e+308"), (99_960, "100k"), (5e-324, "5e-324")],
)  # fmt: skip
def test_short_numbers(value: float, words: str) -> None:
    assert plot.short(value) == words


def test_ticks_are_round_and_inside() -> None:
    assert plot.ticks(Range(0, 300), 6) == [0, 50, 100, 150, 200, 250, 300]
    assert plot.ticks(Range(0.001, 1000, log=True), 4) == [0.001, 0.1, 10, 1000]
    for span in (Range(-1e300, 1e300), Range(0.3, 0.3000001), Range(1e-290, 2e-290)):
        found = plot.ticks(span, 5)
        assert 1 <= len(found) <= 6
        assert all(span.low <= tick <= span.high * 1.0001 for tick in found)


def test_smoothing_is_not_pulled_to_zero() -> None:
    assert smoothed([4.0] * 5, 0.9) == pytest.approx([4.0] * 5)
    assert smoothed([0.0, 1.0], 0.6) == pytest.approx([0.0, 0.625])
    assert smoothed([1.0, 5.0], 0.0) == [1.0, 5.0]
