"""`kid profiles`: the TOML files that runs are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kidtui.commands.group import group
from kidtui.commands.options import Json, Set

Ref = Annotated[str, typer.Argument(metavar="NAME", help="Name of a profile, or path of its file.")]

app = group("profiles", "The TOML profiles that runs are made from.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every profile: your project's, your own, the shipped ones."""
    from kidtui import console

    found = [_checked(file.path, file.name, file.origin) for file in _available()]
    if as_json:
        console.data_json(found)
        return
    rows = [(one["name"], one["origin"], one["description"] or one["problem"]) for one in found]
    console.table(rows, ("profile", "from", "description"))


@app.command()
def show(ref: Ref, overrides: Set = None, as_json: Json = False) -> None:
    """A profile with everything resolved and every default spelt out."""
    from engine import profile
    from kidtui import console

    chosen = profile.load(ref, overrides or ())
    if as_json:
        console.data_json(chosen.model_dump(mode="json"))
    else:
        console.data(chosen.toml().rstrip())


@app.command()
def validate(
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Names or paths. Default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with profiles, if anything is."""
    from engine import profile
    from kidtui import console

    if refs:
        found = [_checked(profile.find(ref), ref, "") for ref in refs]
    else:
        found = [_checked(file.path, file.name, file.origin) for file in _available()]
    if as_json:
        console.data_json(found)
    for one in found:
        if one["problem"]:
            console.error({"message": one["problem"], "mend": one["mend"]})
        elif not as_json:
            console.data(f"{one['name']}: ok")
    if any(one["problem"] for one in found):
        raise typer.Exit(2)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new profile.")],
    base: Annotated[str, typer.Option("--from", metavar="NAME", help="The profile it builds on.")] = "demo",
    overrides: Set = None,
    folder: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to put it. Default: your profiles folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a profile of your own on top of another one; prints its path."""
    from engine import paths, profile_edit
    from kidtui import console

    path = profile_edit.new(name, base, folder or paths.user_profiles(), overrides or ())
    if as_json:
        console.data_json({"name": name, "path": str(path)})
    else:
        console.data(str(path))


@app.command()
def schema(as_json: Json = True) -> None:
    """JSON Schema of profile files, for editors."""
    from engine import profile
    from kidtui import console

    console.data_json(profile.json_schema())


def _available() -> list[Any]:
    from engine import profile

    return profile.available()


def _checked(path: Path, name: str, origin: str) -> dict[str, Any]:
    """A profile file, with what is wrong with it."""
    from engine import profile
    from engine.errors import KidError

    told = {"name": name, "path": str(path), "origin": origin, "description": "", "problem": "", "mend": ""}
    try:
        return {**told, "description": profile.from_file(path).description}
    except KidError as error:
        return {**told, "problem": error.message, "mend": error.mend}
