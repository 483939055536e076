"""A group of commands, such as `kid runs`, that does its first command when none is named."""

from __future__ import annotations

import typer

from engine.errors import UsageError
from kidtui.commands.options import Json


def group(name: str, purpose: str) -> typer.Typer:
    """A Typer for `kid NAME …`; `kid NAME [--json]` alone does the command that is added first."""
    app = typer.Typer(
        name=name,
        help=purpose,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def _without_command(context: typer.Context, as_json: Json = False) -> None:
        if context.invoked_subcommand is None:
            first = app.registered_commands[0].callback
            assert first is not None
            first(as_json=as_json)
        elif as_json:
            told = f"kid {name} {context.invoked_subcommand} --json"
            raise UsageError("--json comes after the command", told)

    return app
