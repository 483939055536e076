"""Ask: a question, what the student and its teacher answer, and how these differ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.events import DescendantFocus
from textual.message import Message
from textual.widgets import Input

from engine.errors import KidError
from kidtui import keys
from kidtui.screens.ask_finder import Finder, Found
from kidtui.screens.ask_layout import AskLayout
from kidtui.screens.choose import EditSql
from kidtui.subjects import Subject
from kidtui.widgets.answer_pane import AnswerPane
from kidtui.widgets.ask_facts import AskFacts
from kidtui.widgets.difference import DifferencePane
from kidtui.widgets.question import Question
from kidtui.widgets.schema_tree import SchemaTree

if TYPE_CHECKING:
    from kidtui.asking import Answer, Conversation, Event
    from kidtui.student import Choice

FIRST_DATABASE = "demo/music"
_SECONDS_A_DRAWING = 0.1
_SECONDS_TO_END = 0.3


class AskScreen(AskLayout):
    """The fourth screen. The service starts when a question is about to be written, and ends with the app."""

    place = "ask"
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("ask")

    class Heard(Message):
        """The service tells something of a request."""

        def __init__(self, conversation: int, number: int, event: Event) -> None:
            super().__init__()
            self.conversation, self.number, self.event = conversation, number, event

    def __init__(self) -> None:
        super().__init__()
        self._choice: Choice | None = None
        self._database: Subject | None = None
        self._finder = Finder(self)
        self._conversation: Conversation | None = None
        self._num_conversations = 0
        self._open: dict[int, tuple[str, Answer]] = {}  # of requests under way, with the pane
        self._answers: dict[str, Answer] = {}
        self._undrawn: set[str] = set()
        self._waiting: Callable[[], None] | None = None  # until student and database are found

    def on_mount(self) -> None:
        self._ticker = self.set_interval(_SECONDS_A_DRAWING, self._draw, pause=True)
        self.set_interval(1.0, self._show_facts)
        self._show_facts()
        if not self._finder.has_looked("student"):
            self._finder.student(None)
        self._finder.database(FIRST_DATABASE)

    async def on_unmount(self) -> None:
        if self._conversation:
            await asyncio.to_thread(self._conversation.close, _SECONDS_TO_END)

    def on_screen_resume(self) -> None:
        self.subject = self._about

    @property
    def _about(self) -> str:
        return self._database.name if self._database else FIRST_DATABASE

    def use(self, run_id: str) -> None:
        """Ask this run's student from now on."""
        self._finder.student(run_id)
        self.call_after_refresh(self._show_facts)

    # Who answers, about what

    @on(Found)
    def _found(self, told: Found) -> None:
        if not self._finder.takes(told):
            return
        if isinstance(told.found, KidError):
            self._waiting = None
            self._fail("student", told.found)
        elif isinstance(told.found, Subject):
            self._use_database(told.found)
        else:
            self._use_student(told.found)

    def _use_student(self, choice: Choice) -> None:
        if self._conversation:
            self._conversation.cancel()
            self._conversation.close()
            self._conversation = None
        self._choice = choice
        self._forget()

    def _use_database(self, database: Subject) -> None:
        if self._conversation:
            self._conversation.cancel()
        self._database = database
        self.query_one(SchemaTree).show(database.tables)
        if self.is_current:
            self.subject = self._about
        self._forget()

    def _forget(self) -> None:
        """Takes away the answers, which were another student's or of another database."""
        self._answers.clear()
        self._open.clear()
        self._undrawn |= {"student", "teacher"}
        self.query_one(SchemaTree).mark(())
        self.query_one(DifferencePane).show(None)
        if not self._choice and (error := self._finder.error("student")):
            self._fail("student", error)
        self._draw()
        if self.query_one(Question).has_focus:
            self._prepare()
        if self._choice and self._database and (waiting := self._waiting):
            self._waiting = None
            waiting()

    def _talk(self) -> Conversation | None:
        """The conversation with who is chosen; None while they are looked for."""
        if self._conversation is None and self._choice and self._database:
            from kidtui.asking import Conversation

            self._num_conversations += 1
            tell = partial(self._tell, self._num_conversations)
            self._conversation = Conversation(self._choice, tell, self.app.service_command)
        return self._conversation if self._database else None

    def _prepare(self) -> None:
        """Lets the student be ready when the question is written."""
        if (talk := self._talk()) and self._database and not talk.busy:
            talk.prepare(self._database.path)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if event.widget.id == "question":
            self._prepare()

    # Questions and answers

    @on(Input.Submitted, "#question")
    def _asked(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text:
            self.query_one(Question).remember(text)
            self._ask(text)

    def _ask(self, text: str) -> None:
        if self._choice is None or self._database is None:
            self._look_again(partial(self._ask, text))
            return
        self._answers.pop("teacher", None)
        self._undrawn.add("teacher")
        self.query_one(DifferencePane).show(None)
        self._request("student", text, "ask", {"question": text})

    def _look_again(self, then: Callable[[], None]) -> None:
        """Looks once more for what was not found, and goes on when it is there."""
        self._waiting = then
        if self._choice is None:
            self._finder.student(None)
        if self._database is None:
            self._finder.database(FIRST_DATABASE)

    def _request(self, part: str, question: str, op: str, fields: dict[str, str]) -> None:
        """Asks; the answer appears in a pane."""
        from kidtui.asking import Answer

        if (talk := self._talk()) is None or self._database is None:
            return
        answer = Answer(question)
        if op == "execute":
            answer.begin_own(fields["sql"])
        self._answers[part] = answer
        self._open[talk.request(op, self._database.path, **fields)] = part, answer
        self._undrawn.add(part)
        self.query_one(SchemaTree).mark(())
        self.show_part(part)
        self._ticker.resume()
        self._draw()

    def _tell(self, conversation: int, number: int, event: Event) -> None:
        self.post_message(self.Heard(conversation, number, event))  # from any thread

    @on(Heard)
    def _heard(self, told: Heard) -> None:
        if told.conversation != self._num_conversations or told.number not in self._open:
            return
        part, answer = self._open[told.number]
        event = told.event
        answer.take(event)
        if event["event"] in ("ended", "error", "cancelled"):
            del self._open[told.number]
        if self._answers.get(part) is not answer:  # another was asked in its place
            return
        self._undrawn.add(part)
        if event["event"] == "sql":
            unknown = [problem["message"] for problem in event["problems"]]
            self.query_one(SchemaTree).mark(answer.columns, answer.tables, unknown)
        elif event["event"] == "difference":
            self.query_one(DifferencePane).show(answer.difference)

    def _fail(self, part: str, error: KidError) -> None:
        """Says in a pane why there is no answer."""
        from kidtui.asking import Answer

        self._answers[part] = Answer("", doing="", error=(error.message, error.mend))
        self._undrawn.add(part)
        self.show_part(part)
        self._draw()

    # What is drawn

    def _draw(self) -> None:
        """Draws what has changed, and rests when nothing more is to come."""
        state = self._conversation.state if self._conversation else ""
        loading = state if state.startswith("loading") else ""
        for part in self._undrawn | {part for part, _ in self._open.values()}:
            answer = self._answers.get(part)
            is_first = answer is not None and answer.doing in ("waiting", "loading student")
            self.query_one(f"#{part}", AnswerPane).show(answer, loading if is_first else "")
        self._undrawn.clear()
        if not self._open:
            self._ticker.pause()
        self._show_facts()

    def _show_facts(self) -> None:
        """One line: the database, the student, the service."""
        student = self._finder.sought("student", self._choice.name if self._choice else "")
        state = self._conversation.state if self._conversation else "not started"
        self.query_one(AskFacts).show(self._finder.sought("database", self._about), student, state)

    # Keys

    def action_cancel(self) -> None:
        """Ends what is under way; else leaves the question."""
        if self.maximized:
            self.minimize()
        elif self._conversation and self._conversation.busy:
            self._conversation.cancel()
        else:
            self._waiting = None
            self.focus_part()

    def action_teacher(self) -> None:
        student = self._answers.get("student")
        if student is None or not student.sql or not student.question:
            self.app.say("ask the student a question first; the teacher's answer is compared with its SQL")
        elif self._conversation and self._conversation.busy:
            self.app.say("an answer is under way: Esc ends it")
        elif self._choice and self._choice.profile.teacher is None:
            mend = "name one in the profile that the run is made from"
            self._fail("teacher", KidError("there is no teacher here", mend))
        else:
            fields = {"question": student.question, "sql": student.sql}
            self._request("teacher", student.question, "compare", fields)

    def action_edit_sql(self) -> None:
        answer = self._answers.get("student")
        question = answer.question if answer else ""
        self.app.push_screen(EditSql(answer.sql if answer else ""), partial(self._run_own, question))

    def _run_own(self, question: str, sql: str | None) -> None:
        """Runs the user's own SQL. No model mends it, so the question is not told."""
        if sql is None:
            return
        if self._choice is None or self._database is None:
            self._look_again(partial(self._run_own, question, sql))
            return
        self.query_one(DifferencePane).show(None)
        self._request("student", question, "execute", {"sql": sql})

    def action_copy_sql(self) -> None:
        """The SQL of the focused pane, else the student's."""
        focused = self.focused.ancestors_with_self if self.focused else ()
        part = "teacher" if any(node.id == "teacher" for node in focused) else "student"
        sql = answer.sql if (answer := self._answers.get(part)) else ""
        if sql:
            self.app.copy_to_clipboard(sql)
            self.app.say(f"copied the {part}'s SQL (OSC 52)")
        else:
            self.app.say("there is no SQL yet")

    def action_database(self) -> None:
        self._finder.choose_database()

    def action_student(self) -> None:
        self._finder.choose_student()
