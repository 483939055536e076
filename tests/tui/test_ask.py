"""Ask: every key, what a question brings, and what goes wrong."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static, TextArea

from engine import profile
from engine.errors import ModelError
from kidtui import keys, student, subjects
from kidtui.app import KidApp
from kidtui.screens import ask
from kidtui.screens.ask import AskScreen
from kidtui.screens.choose import Choose, EditSql
from kidtui.student import Choice
from kidtui.widgets.answer_pane import AnswerPane
from kidtui.widgets.question import Question
from kidtui.widgets.schema_tree import SchemaTree
from tests.tui.conftest import drive, press, until

REPOSITORY = Path(__file__).parents[2]
FAKE_ENGINE = (sys.executable, str(REPOSITORY / "tests" / "fakes" / "fake_service.py"))
WIDE, NARROW = (100, 24), (80, 24)
SETTINGS = {"name": "t", "student": {"model": "./s"}, "method": {"name": "sft"}}
WITH_TEACHER = profile.from_values({**SETTINGS, "teacher": {"model": "./t"}})


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database with which Ask begins; a fake student answers."""
    path = tmp_path / "zoo.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE animal (name TEXT, born INTEGER)")
        connection.execute("CREATE TABLE keeper (id INTEGER)")
        connection.execute("INSERT INTO animal VALUES ('okapi', 2001), ('[red]x', NULL)")
    connection.close()
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(ask, "FIRST_DATABASE", str(path))
    monkeypatch.setattr(student, "choose", lambda run=None: Choice(WITH_TEACHER, f"a fake {run or ''}"))
    return path


class Driver:
    """Presses keys on Ask and reads what it shows."""

    def __init__(self, pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, KidApp)
        self.app, self.pilot = pilot.app, pilot

    @property
    def screen(self) -> AskScreen:
        found = self.app.screen_stack[0]
        assert isinstance(found, AskScreen)
        return found

    async def until(self, holds: Callable[[], object]) -> None:
        await until(self.pilot, holds, "what is waited for")

    async def press(self, *keys: str) -> None:
        await press(self.pilot, *keys)

    async def ask(self, text: str) -> None:
        """Asks, without waiting for an answer."""
        await self.press("slash")
        self.screen.query_one(Question).value = text
        await self.press("enter")

    async def ended(self, part: str = "student") -> None:
        pane = self.screen.query_one(f"#{part}", AnswerPane)
        await self.until(lambda: str(pane.border_subtitle)[:1] in "✓✗■" and pane.border_subtitle)

    def words(self, part: str) -> str:
        """What a pane says."""
        return str(self.screen.query_one(f"#{part}").query(Static).first().content)

    def rows(self, part: str = "student") -> list[list[str]]:
        table = self.screen.query_one(f"#{part} DataTable", DataTable)
        return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]

    def schema(self) -> list[str]:
        """The lines of the schema as they are drawn, without their guides."""
        tree = self.screen.query_one(SchemaTree)
        strips = tree.render_lines(tree.outer_size.region)[1:-1]  # between the borders
        return [strip.text.strip(" │├└─▾▸") for strip in strips]

    def facts(self) -> str:
        return str(self.screen.query_one("#facts", Static).content)


def on_ask(
    *steps: Callable[[Driver], Awaitable[None]], size: tuple[int, int] = WIDE, readonly: bool = False
) -> None:
    """Runs the app on Ask and takes the steps, with one service as long as that lives."""

    async def act(pilot: Pilot[None]) -> None:
        driver = Driver(pilot)
        await driver.press("4")
        await driver.until(lambda: isinstance(driver.app.screen_stack[0], AskScreen))
        await driver.until(
            lambda: (
                any(word in driver.facts() for word in ("a fake", "✗", "read-only"))
                and driver.screen.query_one(SchemaTree).copy_text
            )
        )
        for step in steps:
            await step(driver)

    app = KidApp(service_command=FAKE_ENGINE, readonly=readonly)
    app.animation_level = "none"
    drive(act, size=size, app=app)


async def own_sql(driver: Driver) -> None:
    """SQL is edited and run without a model."""
    await driver.press("t")
    assert not driver.screen._answers, "nothing to compare with"
    await driver.press("e")
    await driver.until(lambda: isinstance(driver.app.screen, EditSql))
    await driver.press("escape")
    assert driver.app.screen is driver.screen
    assert not driver.screen._answers
    await driver.press("e")
    driver.app.screen.query_one(TextArea).text = "SELECT born\nFROM animal -- [b]"
    await driver.press("ctrl+r")
    await driver.ended()
    assert "── your SQL, run as it is ──\nSELECT born\nFROM animal -- [b]" in driver.words("student")
    assert driver.rows() == [["2001"], ["NULL"]]

    await driver.press("e")
    assert driver.app.screen.query_one(TextArea).text == "SELECT born\nFROM animal -- [b]"
    driver.app.screen.query_one(TextArea).text = "SELECT nme FROM animal"
    await driver.pilot.click("#run")
    await driver.until(lambda: "✗ failed  no such column: nme" in driver.words("student"))
    assert "second attempt" not in driver.words("student")


async def question_and_teacher(driver: Driver) -> None:
    """A question is answered, and compared with the teacher; t again, c, y, history."""
    await driver.ask("Which animals are there?")
    await driver.ended()
    words = driver.words("student")
    assert "SELECT name FROM animal" in words
    assert "uses  animal.name" in words
    assert "✓ check" in words
    assert "0.50 (not calibrated)" in words
    assert "✓ rows  2 rows" in words
    assert driver.rows() == [["okapi"], ["[red]x"]], "names are no markup"
    assert driver.schema()[:4] == ["● animal", "● name", "· born", "· keeper"]
    assert "● ready" in driver.facts()

    await driver.press("ctrl+t")  # the question has the focus
    await driver.ended("teacher")
    assert "WHERE name = 'okapi'" in driver.words("teacher")
    assert "✗ rows are not the same" in driver.words("difference")
    assert "only student: 1 of 2 rows\n    [red]x" in driver.words("difference")

    before = driver.screen._answers["teacher"]
    await driver.press("escape", "t")  # leaves the question, then asks the teacher again
    await driver.until(lambda: driver.screen._answers["teacher"] is not before)
    await driver.ended("teacher")

    await driver.press("c")
    assert driver.app.clipboard == "SELECT name FROM animal"
    driver.screen.query_one("#teacher DataTable").focus()
    await driver.press("c")
    assert driver.app.clipboard == "SELECT name FROM animal WHERE name = 'okapi'"
    await driver.press("y")
    assert driver.app.clipboard == "okapi", "the row at the cursor"

    await driver.press("i", "up")
    assert driver.screen.query_one(Question).value == "Which animals are there?"


async def failures(driver: Driver) -> None:
    """A failure brings a second attempt, SQL that is refused a line."""
    await driver.ask("wrong name")
    await driver.ended()
    first, second = driver.words("student").split("── second attempt ──")
    assert "✗ failed  no such column: nme; did you mean animal.name?" in first
    assert "SELECT name FROM animal" in second
    assert len(driver.rows()) == 2

    await driver.ask("drop it")
    await driver.ended()
    await driver.until(lambda: "DROP is not run" in driver.words("student"))
    assert driver.rows() == []
    assert "✓ check" not in driver.words("student")
    assert driver.schema()[0].startswith("✗ ")

    await driver.ask("no way")
    await driver.until(lambda: "SELECT 2" in driver.words("student"))
    await driver.ask("write SELECT nme FROM animal")
    await driver.until(lambda: "second attempt" in driver.words("student"))

    await driver.ask("escape")
    await driver.until(lambda: driver.rows() == [["\\x1b[2J"], ["\\x1b[2J"]])
    assert "\x1b" not in driver.words("student")

    columns = ", ".join(f"n AS c{number}" for number in range(41))
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 300)"
    await driver.ask(f"write {numbers} SELECT {columns} FROM r")
    cut = "✓ rows  first 200 rows; there are more; 40 of 41 columns"
    await driver.until(lambda: cut in driver.words("student"))
    assert [len(driver.rows()), len(driver.rows()[0])] == [200, 40]


def test_one_service_answers_whatever_is_asked(database: Path, unpainted: None) -> None:
    async def not_started(driver: Driver) -> None:
        assert "○ not started" in driver.facts(), "nothing starts before it is wanted"

    on_ask(not_started, own_sql, question_and_teacher, failures)


def test_escape_cancels_and_a_dead_service_is_started_again(
    database: Path, unpainted: None, tmp_path: Path
) -> None:
    async def steps(driver: Driver) -> None:
        await driver.ask("slow one")
        await driver.until(lambda: driver.words("student").count("SELECT") > 2)
        assert driver.words("student").endswith("▏")
        await driver.press("ctrl+t")
        assert driver.words("teacher") == "t asks the teacher the same", "one thing at a time"
        await driver.press("escape")
        await driver.until(lambda: "■ cancelled" in driver.words("student"))
        assert driver.screen.query_one(Question).has_focus
        await driver.press("escape")
        assert not driver.screen.query_one(Question).has_focus

        await driver.ask(f"die once {tmp_path / 'mark'}")
        await driver.until(lambda: "it is started again" in driver.words("student"))
        await driver.ended()
        assert driver.rows() == [["1"]]

        await driver.ask("die")
        await driver.until(lambda: "✗ the engine ended with exit code 9" in driver.words("student"))
        await driver.ask("How many animals are there?")
        await driver.until(lambda: driver.rows() == [["2"]])

        await driver.ask("slow two")  # one that is asked in place of another
        await driver.until(lambda: driver.words("student").count("SELECT") > 2)
        await driver.ask("How many animals are there?")
        await driver.until(lambda: driver.rows() == [["2"]])
        assert "cancelled" not in driver.words("student")

        await driver.ask("stuck")  # looks at nothing for three seconds
        talk = driver.screen._conversation
        assert talk is not None
        await driver.until(lambda: driver.screen._answers["student"].question == "stuck")
        await driver.pilot.pause(0.2)  # the service has taken it up
        assert talk._service.pid is not None
        left.append((talk._service.pid, time.monotonic()))

    left: list[tuple[int, float]] = []
    on_ask(steps)
    (pid, since), *_ = left
    assert time.monotonic() - since < 2, "leaving waits for no answer"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_readonly_starts_nothing(database: Path, unpainted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "choose", lambda run=None: pytest.fail("nobody is to be asked"))

    async def steps(driver: Driver) -> None:
        assert "■ read-only: asking starts a process" in driver.facts()
        assert "animal" in driver.screen.query_one(SchemaTree).copy_text
        driver.app.ask_with("run-a")
        await driver.press("slash", "t", "e", "s", *["tab"] * 6)
        await driver.pilot.click("#question")
        assert driver.app.screen is driver.screen
        assert not driver.screen.query_one(Question).has_focus
        assert driver.screen._conversation is None
        assert "read-only" in driver.words("student")
        await driver.press("d")
        assert isinstance(driver.app.screen, Choose)

    on_ask(steps, readonly=True)


def test_the_database_is_chosen(database: Path, unpainted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    other = database.with_name("other.sqlite")
    other.write_bytes(database.read_bytes())
    names = [*(f"set/n{number}" for number in range(5)), str(other)]
    monkeypatch.setattr(subjects, "databases", lambda *given: [(name, name) for name in names])

    async def steps(driver: Driver) -> None:
        await driver.press("d")
        assert isinstance(driver.app.screen, Choose)
        options = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: options.option_count == 6)
        await driver.press(*"set n3")
        assert [str(option.prompt) for option in options.options] == ["set/n3"]
        await driver.press("x")
        assert [str(option.prompt) for option in options.options] == ["set n3x  (a database file)"]
        await driver.press("escape", "ctrl+o")
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 6)
        await driver.press("up", "enter")  # from the first to the last
        await driver.until(lambda: str(other) in driver.facts())
        assert driver.screen.subject == str(other)

        await driver.press("d")
        driver.app.screen.query_one(Input).value = "/nowhere/[b].sqlite"
        await driver.press("enter")
        await driver.until(lambda: "✗" in driver.words("student"))
        assert "/nowhere/[b].sqlite" in driver.words("student")
        assert str(other) in driver.facts(), "the one before stays"

        database.write_bytes(b"no database at all" * 100)
        await driver.press("d")
        driver.app.screen.query_one(Input).value = str(database)
        await driver.press("enter")
        await driver.until(lambda: "zoo.sqlite" in driver.words("student"))

    on_ask(steps)


async def one_pane_at_a_time(driver: Driver) -> None:
    """Where it is narrow; all of them where it is not."""

    def seen() -> list[str | None]:
        return [part.id for part in driver.screen.query(".part") if part.region.area]

    await driver.until(lambda: seen() == ["answers", "student"])
    await driver.press("left_square_bracket")
    await driver.until(lambda: seen() == ["schema"])
    await driver.until(lambda: driver.screen.query_one(SchemaTree).has_focus)
    await driver.press("left_square_bracket")
    await driver.until(lambda: seen() == ["difference"])
    await driver.press("right_square_bracket", "right_square_bracket")
    await driver.until(lambda: seen() == ["answers", "student"])
    await driver.ask("How many animals are there?")
    await driver.press("escape")
    await driver.pilot.resize_terminal(*WIDE)
    await driver.until(lambda: len(seen()) == 5)


def test_one_pane_at_a_time_and_another_student(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = iter([None, [("run-a", "run-a  demo"), ("run-b", "run-b  demo")]])
    monkeypatch.setattr(subjects, "students", lambda: list(next(lists)))  # type: ignore[arg-type]
    first = iter([ModelError("no student [b]here", "train one")])

    def choose(run: str | None = None) -> Choice:
        if error := next(first, None):
            raise error
        if run == "run-a":
            raise ModelError("run run-a has no student yet", "wait")
        return Choice(profile.from_values(SETTINGS), f"a fake {run or 'first'}")

    monkeypatch.setattr(student, "choose", choose)

    async def steps(driver: Driver) -> None:
        await driver.ask("Which animals are there?")
        await driver.ended()
        await driver.press("escape", "t")
        assert "✗ there is no teacher here\n  name one in" in driver.words("teacher")

        await driver.press("s")
        await driver.until(lambda: "✗" in str(driver.app.screen.query(Static).last().content))
        await driver.press("escape", "s")
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 2)
        await driver.press("down", "enter")
        await driver.until(lambda: "a fake run-b" in driver.facts())
        assert "○ not started" in driver.facts()
        assert driver.words("student") == "/ writes a question, Enter asks it"

        driver.app.ask_with("run-a")
        await driver.until(lambda: "✗ run run-a has no student yet" in driver.words("student"))
        assert "✗ run run-a has no student yet  still a fake run-b" in driver.facts()

    async def none_at_first(driver: Driver) -> None:
        await driver.until(lambda: "✗ no student [b]here" in driver.facts())
        assert "train one" in driver.words("student")

    on_ask(none_at_first, one_pane_at_a_time, steps, size=NARROW)


def test_every_key_has_an_action() -> None:
    places = {"ask": AskScreen, "question": Question, "choose": Choose, "sql": EditSql}
    for place, kind in places.items():
        actions = [key.action.partition("(")[0] for key in keys.of(place)]
        assert actions
        assert [action for action in actions if not hasattr(kind, f"action_{action}")] == []
