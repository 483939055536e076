"""The commands of the REPL: one table, which is also `\\?` and the completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.data import corrections
from engine.data.corrections import Correction
from engine.errors import KidError, UsageError, nearest
from engine.paths import typed_path
from engine.protocol import Decoding
from kidtui.repl import databases, formats, output
from kidtui.repl.session import WIDTH, LeaveError, Session
from kidtui.repl.state import Asked, script
from kidtui.repl.texts import closed

Complete = Callable[[Session], Sequence[str]]


@dataclass(frozen=True)
class Command:
    """A row of the table. `argument` is shown after the name; `values` completes it."""

    names: tuple[str, ...]
    argument: str
    purpose: str
    run: Callable[[Session, str], None]
    values: Complete = lambda session: ()


def run_command(session: Session, text: str) -> None:
    """Does what stands behind the backslash.

    Raises:
        UsageError: there is no such command, or its argument does not fit.
        KidError: it failed.
        LeaveError: it was `\\q`.
    """
    name, argument = (*text.split(maxsplit=1), "", "")[:2]
    command = find(name)
    if argument.strip() and not command.argument:
        raise UsageError(f"\\{name} takes no argument")
    command.run(session, argument.strip())


def find(name: str) -> Command:
    known = {name: command for command in COMMANDS for name in command.names}
    if name not in known:
        words = [word for word in known if len(word) > 2]  # any letter is near to one
        raise UsageError(f"there is no command \\{name}", f"{nearest(name, words)}; \\? lists them")
    return known[name]


def _help(session: Session, argument: str) -> None:
    rows = [find(argument.removeprefix("\\"))] if argument else COMMANDS
    calls = [", ".join(f"\\{name}" for name in row.names) + f" {row.argument}" for row in rows]
    width = max(map(len, calls))
    for call, row in zip(calls, rows, strict=True):
        session.say.note(f"{call.ljust(width)}  {row.purpose}")
    if not argument:
        session.say.note("")
        session.say.note(
            "A line ending in ; is SQL, anything else is a question. Alt-Enter begins a new line."
        )
        session.say.note("Ctrl-C stops an answer or a query, Ctrl-D or exit leaves.")


def _list(session: Session, argument: str) -> None:
    for line in databases.listed(session.database, session.data_dir):
        session.say.note(line)


def _use(session: Session, argument: str) -> None:
    session.use(_needed(argument, "\\u demo/music, \\u PATH; \\l lists the databases"))
    session.say.note(f"{session.database_name}: {', '.join(session.schema)}")


def _schema(session: Session, argument: str) -> None:
    for line in databases.described(session.database, argument):
        session.say.note(line)


def _prompt(session: Session, argument: str) -> None:
    session.show_prompt(argument or (session.asked.question if session.asked else ""))


def _teacher(session: Session, argument: str) -> None:
    asked = _answered(session)
    session.say.note("student's:")
    session.say.code(asked.sql, session.width() or WIDTH)
    session.say.note("teacher's:")
    session.ask_teacher()


def _gold(session: Session, argument: str) -> None:
    for name, query in _golds(session, session.last_question()):
        session.say.note(f"{name}:")
        session.say.code(query, session.width() or WIDTH)


def _diff(session: Session, argument: str) -> None:
    asked = _answered(session)
    if argument not in ("", "gold", "teacher"):
        raise UsageError(f"\\diff {argument}: neither gold nor teacher")
    against = argument or ("teacher" if asked.teacher else "gold")
    if against == "teacher" and not asked.teacher:
        raise UsageError("the teacher has not answered the last question", "\\t asks it")
    other = asked.teacher if against == "teacher" else _golds(session, asked)[0][1]
    session.say.difference(session.contrast(asked.sql, other), "student", against)


def _golds(session: Session, asked: Asked) -> list[tuple[str, str]]:
    """(data set, gold SQL) of a question, at least one."""
    found = databases.golds(session.database, asked.question, session.data_dir)
    if not found:
        raise KidError("this question is in no data set that is here", "\\t asks the teacher")
    return found


def _edit(session: Session, argument: str) -> None:
    asked = session.last_question()
    session.draft = closed(asked.own or asked.sql)


def _fix(session: Session, argument: str) -> None:
    asked = session.last_question()
    query = argument.rstrip("; ") or asked.own
    if not query:
        raise UsageError(
            "\\fix: with which SQL?", "\\fix SELECT …, or run the right SQL first and then \\fix"
        )
    session.require_runs(query)
    _keep(session, asked, "fix", query)


def _good(session: Session, argument: str) -> None:
    asked = _answered(session)
    _keep(session, asked, "good", asked.sql)


def _bad(session: Session, argument: str) -> None:
    asked = _answered(session)
    _keep(session, asked, "bad", asked.sql)


def _keep(session: Session, asked: Asked, kind: corrections.Kind, query: str) -> None:
    file = corrections.add(
        Correction(
            database=session.lasting_name,
            question=asked.question,
            query=query,
            kind=kind,
            was=asked.sql,
            model=session.student,
        )
    )
    session.say.note(f'kept in {file}; data.corrections = "{file}" in a profile trains on it')


def _explain(session: Session, argument: str) -> None:
    query = argument.rstrip("; ") or session.last_query()
    if not query:
        raise UsageError("there is no query yet", "\\explain SELECT …")
    session.explain(query)


def _format(session: Session, argument: str) -> None:
    if argument:
        session.settings.format = _one_of(argument, formats.FORMATS, "\\format")
    session.say.note(f"format: {session.settings.format}")


def _output(session: Session, argument: str) -> None:
    session.output.redirect(typed_path(argument) if argument else None)


def _limit(session: Session, argument: str) -> None:
    if argument:
        session.settings.limit = int(_number(argument, "\\limit", whole=True))
    session.say.note(f"limit: {session.settings.limit} rows")


def _timeout(session: Session, argument: str) -> None:
    if argument:
        session.settings.timeout = _number(argument, "\\timeout")
    session.say.note(f"time limit: {session.settings.timeout:g} s for an answer, and for a query")


def _mode(session: Session, argument: str) -> None:
    if argument:
        mode = _one_of(argument, ("ask", "auto"), "\\mode")
        if mode == "ask" and session.decide is None:
            raise UsageError("\\mode ask, and there is nobody to ask", "work at a terminal")
        session.settings.mode = "ask" if mode == "ask" else "auto"
    session.say.note(f"mode: {session.settings.mode}")


def _beam(session: Session, argument: str) -> None:
    width = int(_number(argument or "4", "\\beam", whole=True, most=64))
    _decode(session, Decoding(name="beam", num_beams=width) if width > 1 else Decoding())


def _vote(session: Session, argument: str) -> None:
    number = int(_number(argument or "8", "\\vote", whole=True, most=256))
    _decode(session, Decoding(name="vote", num_samples=number))


def _greedy(session: Session, argument: str) -> None:
    constrained = argument and _one_of(argument, ("constrained", "free"), "\\greedy") == "constrained"
    _decode(session, Decoding(constrained=bool(constrained)))


def _decode(session: Session, decoding: Decoding) -> None:
    session.settings.decoding = decoding
    session.say.note(f"answers: {session.settings.how}")


def _history(session: Session, argument: str) -> None:
    number = int(_number(argument or "20", "\\history", whole=True))
    for done in session.done[-number:]:
        if done.question:
            session.say.note(f"-- {done.question}")
        session.say.code(closed(done.sql), session.width() or WIDTH)


def _save(session: Session, argument: str) -> None:
    path = typed_path(_needed(argument, "\\save FILE"))
    output.write_new(path, script(session.done))
    session.say.note(f"{len(session.done)} queries are in {path}; kid repl -f {path} runs them again")


def _quit(session: Session, argument: str) -> None:
    raise LeaveError


def _needed(argument: str, example: str) -> str:
    if not argument:
        raise UsageError("something is missing", f"for example {example}")
    return argument


def _answered(session: Session) -> Asked:
    asked = session.last_question()
    if not asked.sql:
        raise UsageError("the last question has no answer", "ask it again")
    return asked


def _one_of(argument: str, known: Sequence[str], command: str) -> str:
    if argument not in known:
        raise UsageError(
            f"{command} {argument}: not one of {', '.join(known)}", nearest(argument, list(known))
        )
    return argument


def _number(argument: str, command: str, *, whole: bool = False, most: float = 1e9) -> float:
    try:
        number = int(argument) if whole else float(argument)
    except ValueError:
        number = 0
    if not 0 < number <= most:
        kind = "a whole number" if whole else "a number"
        raise UsageError(
            f"{command} {argument}: not {kind} above 0" + (f" and up to {most:g}" if most < 1e9 else "")
        )
    return number


COMMANDS = (
    Command(("?", "help"), "[COMMAND]", "this list", _help, lambda session: names()),
    Command(("l", "databases"), "", "the databases that are at hand", _list),
    Command(("u", "use"), "DB", "turn to a database: SET/DB_ID or a file", _use,
            lambda session: databases.names(session.data_dir)),
    Command(("d", "schema"), "[TABLE]", "tables, columns, keys", _schema,
            lambda session: list(session.schema)),
    Command(("prompt",), "[QUESTION]", "what the student reads", _prompt),
    Command(("t", "teacher", "vs", "compare"), "", "the teacher's answer beside the student's", _teacher),
    Command(("gold",), "", "the gold SQL, where the question is in a data set", _gold),
    Command(("diff",), "[gold|teacher]", "how trees and rows differ", _diff,
            lambda session: ("gold", "teacher")),
    Command(("e", "edit"), "", "edit the last SQL", _edit),
    Command(("fix",), "[SQL]", "keep the right SQL for the last question, to train on", _fix),
    Command(("good",), "", "keep the student's SQL as right", _good),
    Command(("bad",), "", "keep the student's SQL as wrong", _bad),
    Command(("explain",), "[SQL]", "the query plan", _explain),
    Command(("format",), "[FORMAT]", f"how rows are shown: {', '.join(formats.FORMATS)}", _format,
            lambda session: formats.FORMATS),
    Command(("o", "output"), "[FILE]", "rows go to a new file; without one, to the screen again", _output),
    Command(("limit",), "[N]", "rows that are shown", _limit),
    Command(("timeout",), "[SECONDS]", "for an answer, and for a query", _timeout),
    Command(("mode",), "[ask|auto]", "ask before SQL of the student runs, or not", _mode,
            lambda session: ("ask", "auto")),
    Command(("greedy",), "[constrained|free]", "the likeliest tokens; constrained: only names that exist",
            _greedy, lambda session: ("constrained", "free")),
    Command(("beam",), "[N]", "the best of N beams (4); 1 is greedy", _beam),
    Command(("vote",), "[N]", "of N candidates (8), what most results agree on", _vote),
    Command(("history",), "[N]", "the last queries of this session", _history),
    Command(("save",), "FILE", "the queries of this session as a script", _save),
    Command(("q", "quit"), "", "leave; so do exit and Ctrl-D", _quit),
)  # fmt: skip


def names() -> list[str]:
    return [name for command in COMMANDS for name in command.names]
