"""A trainer without a model: writes a run's events at a chosen speed, and has the accidents it is told to.

Started as the engine is: `fake_trainer.py [options] train --run DIR`. The run directory, the signals
and the requests are the real ones; only the steps are not.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from engine import files, runs
from engine.distill.control import Control, StopRequested
from engine.errors import KidError, ModelError
from engine.run_writer import RunWriter
from engine.runs import Run

ACCIDENTS = ("fail", "killed", "disk-full", "exit", "raise", "garbage", "warning")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.01, help="of a step")
    parser.add_argument("--checkpoint-every", type=int, default=5)
    parser.add_argument("--eval-every", type=int, default=0)
    parser.add_argument("--accident", choices=ACCIDENTS)
    parser.add_argument("--at", type=int, default=0, help="the step after which it happens")
    parser.add_argument("--before-events", type=int, help="end with this exit code before the first event")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("train").add_argument("--run", type=Path, required=True)
    options = parser.parse_args()
    if options.before_events is not None:
        print("error: the engine does not like this machine", file=sys.stderr)
        return options.before_events
    try:
        return train(runs.find(options.run), options)
    except KidError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def train(run: Run, options: argparse.Namespace) -> int:
    with RunWriter(run) as writer:
        control = Control(writer)
        try:
            work(run, writer, control, options)
        except StopRequested:
            writer.finish("stopped")
            return 0
        except KidError as error:
            writer.finish("failed", error)
            return error.exit_code
        writer.finish("done")
    return 0


def work(run: Run, writer: RunWriter, control: Control, options: argparse.Namespace) -> None:
    total = options.steps
    step = newest_checkpoint(run)
    writer.update(state="running", phase="loading", total_steps=total)
    writer.event("phase", name="loading", done=0, total=0)
    writer.event("run_start", profile=run.profile().name, total_steps=total, parameters={"student": 12_345})
    writer.update(phase="training")
    began, first = time.monotonic(), step
    while step < total:
        try:
            control.check()
        except StopRequested:
            save(run, writer, step)
            raise
        step += 1
        time.sleep(max(0.0, began + (step - first) * options.seconds - time.monotonic()))
        loss = 5.0 / step
        writer.event("step", step=step, loss=loss, loss_kd=loss / 2, loss_mle=loss / 2, tokens_per_s=1000.0,
                     num_tokens=100, memory_mb=50, ms=parts(options.seconds),
                     eta_s=(total - step) * options.seconds)  # fmt: skip
        writer.update(step=step, loss=loss, step_ms=1000 * options.seconds)
        if step % 10 == 1:
            writer.event("rewrite", step=step, **REWRITE)
        if options.eval_every and step % options.eval_every == 0:
            evaluate(writer, step, total)
        if step == options.at:
            have(options.accident, writer)
        if step % options.checkpoint_every == 0 or step == total:
            save(run, writer, step)
    for done in range(3):
        writer.event("phase", name="scoring the student", done=done, total=2)
    evaluate(writer, None, total)
    files.write_json(run.path / "report.json", {"v": 1, "ex": {"student": 0.5}, "steps": step})
    files.write_text(
        run.path / "report.md", "# A report\n\n| model | EX |\n| --- | ---: |\n| **student** | 0.5 |\n"
    )


def parts(seconds: float) -> dict[str, float]:
    total = 1000 * seconds
    return {"prefix": 0.1 * total, "mask": 0.2 * total, "teacher": 0.3 * total, "student": 0.2 * total,
            "backward": 0.15 * total, "optimizer": 0.05 * total, "total": total}  # fmt: skip


REWRITE = {
    "gold": ["SELECT", " name", " FROM", " animal"],
    "masked": ["SELECT", "<s>", " FROM", "<s>"],
    "imperfect": ["SELECT", " name", " FROM", " [red]zoo"],
}


def evaluate(writer: RunWriter, step: int | None, total: int) -> None:
    ex = 0.5 if step is None else 0.5 * step / total
    answer = {
        "index": 0, "db_id": "zoo", "question": "Which [bold]animals[/] are there?", "correct": ex >= 0.25,
        "gold": "SELECT name FROM animal", "sql": "SELECT nme FROM animal",
    }  # fmt: skip
    writer.event("eval", step=step, split="student", ex=ex, num_questions=2, errors={"unknown_column": 1},
                 by_hardness={"easy": {"ex": ex, "num": 2}})  # fmt: skip
    writer.event("probe", step=step, split="student", answers=[answer])


def newest_checkpoint(run: Run) -> int:
    return max((int(path.name) for path in (run.path / "checkpoints").glob("*")), default=0)


def save(run: Run, writer: RunWriter, step: int) -> None:
    (run.path / "checkpoints").mkdir(exist_ok=True)
    files.write_text(run.path / "checkpoints" / str(step), "")
    writer.event("checkpoint", step=step, path=f"checkpoints/{step}")


def have(accident: str, writer: RunWriter) -> None:
    if accident == "fail":
        raise ModelError("model ./nowhere: nothing there", "name a hub id or a directory")
    if accident == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if accident == "disk-full":
        os.write = full_disk
    if accident == "exit":
        print("free(): corrupted chunk", file=sys.stderr, flush=True)
        os._exit(3)
    if accident == "raise":
        raise ZeroDivisionError("a fault")
    if accident == "garbage":
        with writer.run.events_path(writer.generation).open("ab") as events:
            events.write(
                b'\x00\xff not json\n{"kind": 3}\n[]\n{"v": 1, "kind": "from the future", "time": 0}\n'
            )
    if accident == "warning":
        writer.event("warning", message="the teacher is poor")


def full_disk(handle: int, content: bytes) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


if __name__ == "__main__":
    sys.exit(main())
