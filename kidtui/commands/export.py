"""`kid export`: a run's student as files that others can use."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kidtui.commands.options import DataDir, Json

if TYPE_CHECKING:
    from engine.runs import Run


class Which(StrEnum):
    last = "last"
    best = "best"


class Format(StrEnum):
    hf = "hf"
    gguf = "gguf"


class Type(StrEnum):
    auto = "auto"
    f32 = "f32"
    bf16 = "bf16"
    f16 = "f16"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, start of an id, or directory.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    which: Annotated[
        Which, typer.Option("--which", help="The student at the end, or the best seen.")
    ] = Which.last,
    format_: Annotated[
        Format, typer.Option("--format", help="For transformers, or for llama.cpp and Ollama.")
    ] = Format.hf,
    type_: Annotated[
        Type, typer.Option("--type", help="Of the weights. auto: as trained; of gguf f16.")
    ] = Type.auto,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is in DIR.")] = False,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="OWNER/NAME", help="Also to this repository on the hub, private."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: for all to see.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write a run's student for others: an ordinary Hugging Face directory, or a GGUF file.

    Adapters are merged in. With it come a model card and a prompt of the run's evaluation set; what was
    written is loaded again and asked some questions. Prints the path.
    """
    from engine.errors import UsageError
    from engine.models.export_folder import new_folder
    from engine.models.push import push as push_to_hub
    from engine.models.push import require_pushable
    from engine.paths import typed_path
    from kidtui import console

    if public and push is None:
        raise UsageError("--public without --push", "name the repository: --push OWNER/NAME")
    if format_ is Format.gguf and type_ is Type.bf16:
        raise UsageError("--type bf16 with --format gguf", "choose f16 or f32")
    found = _finished(run, which.value)
    if push is not None:
        require_pushable(push)
    target = typed_path(str(folder)).absolute()
    with new_folder(target, replace=force) as building:
        report = _engine(
            {
                "run": found.id,
                "folder": str(building),
                "which": which.value,
                "format": format_.value,
                "type": type_.value,
                "data_dir": str(data_dir.expanduser().absolute()) if data_dir else None,
            }
        )
    told = {"path": str(target), **report, "pushed": None}
    _say(told)
    if push is not None:
        told["pushed"] = push_to_hub(target, push, public=public)
        console.note(f"pushed to {told['pushed']}" + ("" if public else " (private)"))
    if as_json:
        console.data_json(told)
    else:
        console.data(str(target))


def _finished(which: str, student: str) -> Run:
    """Raises RunError: no such run, or it has not ended. ModelError: it has no such student."""
    from engine import runs
    from engine.errors import RunError
    from engine.models.locate import run_student
    from engine.paths import runs_dir, typed_path

    is_folder = typed_path(which).is_dir()
    run = runs.find(typed_path(which) if is_folder else which)
    if run.path.parent != runs_dir().resolve() and run.path.parent != runs_dir():
        raise RunError(f"{run.path} is not in the runs folder {runs_dir()}", "set KID_HOME to where it lies")
    if run.report() is None:
        state = run.status()["state"]
        mend = "wait for its end" if state in runs.LIVE_STATES else f"kid distill --resume {run.id} goes on"
        raise RunError(f"run {run.id} is {state}: it has no finished student", mend)
    run_student(f"run:{run.id}/{student}")
    return run


def _engine(request: dict[str, Any]) -> dict[str, Any]:
    from kidtui import engine_job

    with tempfile.TemporaryDirectory(prefix="kid-export-") as logs:
        told = engine_job.do(
            ["export"],
            Path(logs) / "err.log",
            doing="exported the student",
            when_stopped="stopped; nothing was written",
            request=request,
            reports=True,
        )
    report: dict[str, Any] = told["report"]
    return report


def _say(told: dict[str, Any]) -> None:
    from kidtui import console

    console.note(
        f"{told['run']}/{told['which']}: {told['parameters']:,} parameters, {told['type']},"
        f" {told['bytes'] / 1e6:.1f} MB"
    )
    console.note(
        f"loaded again, it answers {told['same']} of {told['checked']} questions as the run's student does"
    )
    if told["same"] < told["checked"] and told["format"] == "hf":
        console.note("note: rounding in another number format changes answers; --type auto keeps the run's")
    if not told["cuts_alike"]:
        console.note(
            "note: llama.cpp does not know how this tokenizer cuts text into words: it makes other tokens of"
            " a prompt, and its answers will be worse; --format hf is exact"
        )
