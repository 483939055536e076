"""`kid repl`: ask a database questions with a student, see and run the SQL."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kidtui.commands.options import DataDir, Set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kidtui.repl.session import Session


class Mode(StrEnum):
    ask = "ask"
    auto = "auto"


class Format(StrEnum):
    table = "table"
    vertical = "vertical"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    markdown = "markdown"


def repl(
    db: Annotated[
        str,
        typer.Option("--db", "-d", metavar="DB", help="SET/DB_ID such as spider/concert_singer, or a file."),
    ] = "demo/music",
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Ask its student (RUN/best: the best seen).")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", metavar="NAME", help="Ask the student of its newest run.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Ask a model: hub id, directory, .gguf file.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", metavar="M", help="For \\t. Default: the run's own.")
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option("--command", "-c", metavar="TEXT", help="Do this and leave; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Do what a script says and leave.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How rows are shown.")] = Format.table,
    mode: Annotated[
        Mode | None,
        typer.Option("--mode", help="ask before SQL of the student runs (default at a terminal), or auto."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.001, metavar="S", help="Seconds for an answer, and for a query."),
    ] = 30.0,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Rows that are shown.")] = 1000,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write rows to this new file.")
    ] = None,
    vi: Annotated[bool, typer.Option("--vi", help="Edit lines as vi does.")] = False,
    data_dir: DataDir = None,
    overrides: Set = None,
) -> None:
    """Ask a database questions with a student; see and run the SQL.

    A line ending in ; is SQL, \\? lists the commands. Rows are on stdout, all else on stderr. With -c, -f or
    a pipe nothing is asked, and the exit code is that of the worst failure. SQL alone never starts the
    student.
    """
    import sys

    from engine import files
    from engine.errors import UsageError
    from kidtui import student
    from kidtui.repl.narration import Narration
    from kidtui.repl.output import Output
    from kidtui.repl.service import Service
    from kidtui.repl.session import Session
    from kidtui.repl.state import Settings
    from kidtui.repl.texts import read_script

    if not timeout < 1e9:
        raise UsageError(f"--timeout {timeout:g}: not a time in seconds", "leave it out for 30")
    if command and file:
        raise UsageError("-c and -f together", "give one of them")
    at_terminal = not command and not file and sys.stdin is not None and sys.stdin.isatty()
    if mode is Mode.ask and not at_terminal:
        raise UsageError("--mode ask, and there is nobody to ask", "leave it out, or work at a terminal")
    chosen = student.choose(run, profile, model, teacher, overrides or [])
    texts: Iterable[str] = command or ()
    if file is not None:
        texts = read_script(files.read_text(file, "the script").split("\n"))
    elif not command and not at_terminal and sys.stdin is not None:
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # type: ignore[union-attr]
        texts = read_script(sys.stdin)
    rows = Output(paged=at_terminal)
    session = Session(
        db,
        Service(chosen.profile, chosen.folder),
        Settings("ask" if at_terminal and mode is not Mode.auto else "auto", format.value, limit, timeout),
        Narration(live=at_terminal and sys.stderr.isatty()),
        rows,
        student=chosen.name,
        data_dir=data_dir,
    )
    try:
        if output is not None:
            rows.redirect(output)
        if at_terminal:
            _at_terminal(session, vi=vi)
        else:
            from kidtui.repl import batch

            raise typer.Exit(batch.run(session, texts))
    finally:
        session.close()


def _at_terminal(session: Session, *, vi: bool) -> None:
    import shutil
    import sys

    from kidtui.repl.loop import Loop

    if sys.stdout.isatty():
        session.width = lambda: shutil.get_terminal_size().columns
    session.say.note(f"{session.database_name}: {', '.join(session.schema)}")
    session.say.note(f"{session.student}. \\? lists the commands, Ctrl-D leaves.")
    loop = Loop(session, vi=vi)
    session.service.start(session.database)
    loop.run()
