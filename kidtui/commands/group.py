"""A group of commands, such as `kid runs`, that does its first command when none is named."""

from __future__ import annotations

from collections.abc import Callable

import typer


def group(name: str, purpose: str, default: Callable[[], None]) -> typer.Typer:
    """A Typer for `kid NAME …`; `kid NAME` alone calls `default`."""
    app = typer.Typer(
        name=name,
        help=purpose,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def _without_command(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            default()

    return app
