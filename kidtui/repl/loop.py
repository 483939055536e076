"""The interactive loop: a line is edited, done, and the next one is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.styles import Style

from engine import paths
from engine.errors import KidError, fault
from kidtui import cells
from kidtui.repl.commands import COMMANDS
from kidtui.repl.completion import LineLexer, SqlCompleter
from kidtui.repl.session import Decision, LeaveError, Session
from kidtui.repl.texts import begins_sql

_REDRAWS_PER_SECOND = 2
_STYLE = Style.from_dict(
    {
        "prompt": "ansicyan bold",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.text": "noreverse ansibrightblack",
        "command": "ansimagenta",
        "name": "ansigreen",
        "pygments.keyword": "ansiblue",
        "pygments.literal.string": "ansiyellow",
        "pygments.literal.number": "ansicyan",
        "pygments.comment": "ansibrightblack",
    }
)


class Loop:
    """Reads texts from a terminal and hands them to a session.

    Args:
        vi: edit lines as vi does, else as Emacs.
        input, output: of prompt_toolkit, for tests; None: the terminal.
    """

    def __init__(
        self, session: Session, *, vi: bool = False, input: Input | None = None, output: Output | None = None
    ) -> None:
        self._session = session
        session.decide = self._decide
        output = output or create_output(sys.stdout if sys.stdout.isatty() else sys.stderr)
        self._prompt: PromptSession[str] = PromptSession(
            history=_history(),
            completer=SqlCompleter(
                {name: partial(row.values, session) for row in COMMANDS for name in row.names},
                self._schema,
            ),
            lexer=LineLexer(self._schema),
            auto_suggest=AutoSuggestFromHistory(),
            multiline=Condition(_wants_more),
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            key_bindings=_keys(),
            prompt_continuation="   … ",
            bottom_toolbar=self._toolbar,
            refresh_interval=1 / _REDRAWS_PER_SECOND,
            complete_while_typing=True,
            complete_in_thread=True,
            style=_STYLE,
            input=input,
            output=output,
        )
        self._choice: PromptSession[str] = PromptSession(
            key_bindings=_choices(), erase_when_done=True, input=input, output=output
        )

    def run(self) -> None:
        """Until the user leaves. What fails is told; the session goes on."""
        session = self._session
        while True:
            draft, session.draft = session.draft, ""
            try:
                text = self._prompt.prompt([("class:prompt", "kid> ")], default=draft)
            except KeyboardInterrupt:  # the line is given up
                continue
            except EOFError:
                return
            try:
                session.handle(text)
            except KeyboardInterrupt:
                session.say.note("stopped")
            except KidError as error:
                session.say.error(error)
            except LeaveError:
                return
            except Exception as error:  # ours; the session is the user's
                session.say.error(fault(error))

    def _decide(self) -> Decision:
        return cast(Decision, self._choice.prompt("Enter run  e edit  t teacher  n no "))

    def _schema(self) -> Mapping[str, Sequence[str]]:
        try:
            return self._session.schema
        except KidError:  # the file has gone; that is told when it is asked something
            return {}

    def _toolbar(self) -> StyleAndTextTuples:
        session, settings = self._session, self._session.settings
        parts = [
            session.database_name,
            f"{session.student}: {session.service.state}",
            f"mode {settings.mode}",
            settings.how,
            f"{settings.limit} rows, {settings.timeout:g} s",
        ]
        if session.latency:
            parts.append(f"last {session.latency}")
        return [("", " " + " │ ".join(cells.shown(part, 60) for part in parts))]


def _wants_more() -> bool:
    return begins_sql(get_app().current_buffer.text)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter", filter=~Condition(_wants_more))
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _choices() -> KeyBindings:
    """One key decides; no other does anything."""
    keys = KeyBindings()
    for key, decision in (
        ("enter", "run"),
        ("e", "edit"),
        ("t", "teacher"),
        ("n", "no"),
        ("escape", "no"),
        ("c-d", "no"),
    ):

        @keys.add(key, eager=True)
        def _decided(event: KeyPressEvent, decision: str = decision) -> None:
            event.app.exit(result=decision)

    @keys.add(Keys.Any)
    @keys.add(Keys.BracketedPaste)
    def _ignored(event: KeyPressEvent) -> None:
        pass

    return keys


def _history() -> History:
    """The user's, in a file that nobody else can read; for this session alone where there can be none."""
    file = paths.history_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        file.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)
