"""Who is asked about what: looked for in threads, or chosen in a dialog."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message

from engine.errors import KidError, fault
from kidtui import subjects
from kidtui.screens.base import KidScreen
from kidtui.screens.choose import Choose
from kidtui.subjects import Subject
from kidtui.widgets.ask_facts import Sought

if TYPE_CHECKING:
    from kidtui.student import Choice


class Found(Message):
    """A student or a database was looked for; `wish`: only the newest of each kind counts."""

    def __init__(self, what: str, wish: int, found: Choice | Subject | KidError) -> None:
        super().__init__()
        self.what, self.wish, self.found = what, wish, found


class Finder:
    """Tells the screen by `Found` what it has found, or why it has not."""

    def __init__(self, screen: KidScreen) -> None:
        self._screen = screen
        self._wishes = {"student": 0, "database": 0}
        self._errors: dict[str, KidError] = {}
        self._looking: set[str] = set()

    def student(self, run: str | None) -> None:
        """Look for the student of a run, or for what there is; in read-only mode nobody is asked."""
        if not self._screen.app.readonly:
            self._find("student", partial(subjects.find_student, run))

    def database(self, name: str) -> None:
        app = self._screen.app
        self._find("database", partial(subjects.find_database, name, app.data_dir, app.readonly))

    def choose_student(self) -> None:
        self._screen.app.push_screen(
            Choose("Which student?", subjects.students), lambda run: self.student(run) if run else None
        )

    def choose_database(self) -> None:
        app = self._screen.app
        choices = partial(subjects.databases, app.data_dir, app.readonly)
        app.push_screen(
            Choose("Which database?", choices, "a database file"),
            lambda name: self.database(name) if name else None,
        )

    def has_looked(self, what: str) -> bool:
        return self._wishes[what] > 0

    def sought(self, what: str, name: str) -> Sought:
        """How the search for a student or a database stands. `name`: of what was found last."""
        error = self._errors.get(what)
        return Sought(name, what in self._looking, error.message if error else "")

    def error(self, what: str) -> KidError | None:
        """Why what was wished for last was not found."""
        return self._errors.get(what)

    def takes(self, told: Found) -> bool:
        """Notes what came of a wish; False when something else of the kind was wished for since."""
        if told.wish != self._wishes[told.what]:
            return False
        self._looking.discard(told.what)
        if isinstance(told.found, KidError):
            self._errors[told.what] = told.found
        return True

    def _find(self, what: str, find: Callable[[], Choice | Subject]) -> None:
        self._wishes[what] += 1
        wish = self._wishes[what]
        self._looking.add(what)
        self._errors.pop(what, None)

        def work() -> None:
            try:
                found: Choice | Subject | KidError = find()
            except Exception as error:  # the screen lives on, and says what happened
                found = error if isinstance(error, KidError) else fault(error)
            self._screen.post_message(Found(what, wish, found))

        self._screen.run_worker(work, thread=True, group=what)
