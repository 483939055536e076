"""`python -P -m engine`: what the front end starts as a process of its own.

train --run DIR      do a run's work, from its newest checkpoint
answer DIR…          answer what the requests in these folders ask, going on where they were;
                     progress as JSON lines on stdout
serve                answer questions that come as JSON lines on stdin, until it ends (serve.py)
study                a request as JSON on stdin → a student's errors (study/study_errors.py), as JSON lines
export               a request as JSON on stdin → a student as files (models/export.py), as JSON lines
plan                 a resolved profile as JSON on stdin → sizes, steps, memory as JSON on stdout
preflight            the same → what three of its steps take (distill/preflight.py), as JSON lines
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import KidError, describe
from engine.files import write_error
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.profile import Profile
    from engine.protocol import Role
    from engine.runs import Run
    from engine.serve import Model
    from engine.sql.execute import Executor


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -P -m engine")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="do a run's work")
    train.add_argument("--run", type=Path, required=True, metavar="DIR", help="the run's directory")
    answer = commands.add_parser("answer", help="answer the requests in these folders")
    answer.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    commands.add_parser("serve", help="answer questions over pipes")
    commands.add_parser("study", help="a student's errors (JSON on stdin)")
    commands.add_parser("export", help="a student as files for others (JSON on stdin)")
    commands.add_parser("plan", help="sizes, steps and memory of a profile (JSON on stdin)")
    commands.add_parser("preflight", help="three steps of a profile, measured (JSON on stdin)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if arguments.command == "train":
        return _train(arguments.run)
    if arguments.command == "answer":
        return _answer(arguments.folders)
    if arguments.command == "study":
        return _study()
    if arguments.command == "export":
        return _export()
    if arguments.command == "preflight":
        return _preflight()
    return _serve() if arguments.command == "serve" else _plan()


def _train(folder: Path) -> int:
    from engine import runs

    try:
        run = runs.find(folder)
        _set_apart(run)
        from engine.distill.job import train

        train(run)
        return 0
    except KidError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _set_apart(run: Run) -> None:
    """One of several processes, started by a launcher: the words of all but the first get files of their own.

    Must come before torch is imported.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    # Looking for GPUs must not take hold of them: each process is to see its own ones alone.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    if rank := int(os.environ["RANK"]):
        path = run.path / f"err.rank{rank}.log"
        try:
            with path.open("ab") as log:
                os.dup2(log.fileno(), sys.stdout.fileno())
                os.dup2(log.fileno(), sys.stderr.fileno())
        except OSError as error:
            raise write_error(path, error) from error


def _answer(folders: list[Path]) -> int:
    def work(progress: Progress) -> None:
        from engine.evaluation.answering import answer_all
        from engine.evaluation.request import Folder

        answer_all([Folder(path) for path in folders], progress)

    return _told(work)


def _study() -> int:
    def work(progress: Progress) -> object:
        from engine.study.study_errors import Request, study

        return study(Request(**json.load(sys.stdin)), progress)

    return _told(work)


def _export() -> int:
    def work(progress: Progress) -> object:
        from engine.models.export import Request, export

        return export(Request(**json.load(sys.stdin)), progress)

    return _told(work)


def _preflight() -> int:
    def work(progress: Progress) -> object:
        from engine.distill.preflight import preflight

        return preflight(json.load(sys.stdin), progress)

    return _told(work)


def _told(work: Callable[[Progress], object]) -> int:
    """Does the work, which tells how far it is, as JSON lines on stdout: phases, then report or error."""

    def tell(**event: object) -> None:
        print(json.dumps(event), flush=True)

    try:
        report = work(lambda name, done, total: tell(kind="phase", name=name, done=done, total=total))
    except KidError as error:
        tell(kind="error", **describe(error))
        return error.exit_code
    if report is not None:
        tell(kind="report", report=report)
    return 0


def _serve() -> int:
    from engine.serve import serve

    def open_model(profile: Profile, role: Role, executor: Executor) -> Model:
        from engine.writer import open_writer  # seconds of importing: not before a model is wanted

        return open_writer(profile, role, executor)

    # Events have stdout for themselves: what a library prints goes to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as events:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        with suppress(BrokenPipeError):
            serve(sys.stdin.buffer, events, open_model)
    os._exit(0)  # a lane may be amid a pass or an import, which nobody waits for


def _plan() -> int:
    from engine.distill.plan import plan

    try:
        print(json.dumps(plan(json.load(sys.stdin))))
    except KidError as error:
        print(json.dumps({"error": describe(error)}))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
