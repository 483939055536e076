"""The command `kid`. Nothing heavy is imported here: `kid --help` answers at once."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated

import typer

from engine.errors import KidError
from kidtui import console
from kidtui.commands import (
    compare,
    data,
    distill,
    doctor,
    evaluate,
    export,
    profiles,
    repl,
    runs,
    study,
    sweep,
    tui,
)

app = typer.Typer(
    name="kid",
    help="Distil small text-to-SQL language models from large ones.",
    epilog="Start with `kid distill`: an embedded demo, minutes on a laptop."
    " Exit codes: 0 ok, 1 the work failed, 2 usage or profile, 3 a model, database or data set could not be"
    " opened, 4 time limit, 5 refused by the SQL guard, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("distill")(distill.distill)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("tui")(tui.tui)
app.command("repl")(repl.repl)
app.command("eval")(evaluate.evaluate)
app.command("export")(export.export)
app.add_typer(runs.app)
app.add_typer(profiles.app)
app.add_typer(study.app)
app.add_typer(data.app)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _kid(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; works anywhere in a command.")
    ] = False,
) -> None:
    if version:
        from importlib import metadata

        console.data(metadata.version("kid-sql"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.data(context.get_help())


def main() -> None:
    """Run the command line; every failure is one message and an exit code."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="replace")  # a terminal without – or ✓
    sys.exit(run([argument for argument in arguments if argument != "--debug"], debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """As `main`, with the exit code returned."""
    try:
        return int(app(arguments, prog_name="kid", standalone_mode=False) or 0)
    except KidError as error:
        _trace(debug)
        console.error(error)
        return error.exit_code
    except typer.TyperException as error:  # the command line itself
        _trace(debug)
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "kid"
        console.error({"message": error.format_message(), "mend": f"{where} --help shows how"})
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        _trace(debug)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            console.error({"message": "cannot write the output: the disk is full", "mend": "free some space"})
            return 1
        text = f"{type(error).__name__}: {error}"
        console.error({"message": f"{text} (a fault in kid)", "mend": "--debug shows where it happened"})
        return 1


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()
