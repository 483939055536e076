"""Whether a run fits, and how long it takes: three of its optimizer steps, measured.

The models, the data, the objective and the optimizer step are the run's own (job.py, trainer.py); a fourth
step before the three warms up. Nothing is written.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.data.benchmarks import Example
from engine.distill.forecast import Timed, load_of, mean_ms
from engine.distill.job import Prepared, load_data
from engine.distill.kept import Kept
from engine.distill.memory import is_out_of_memory
from engine.distill.methods import METHODS
from engine.distill.rehearsal import Listener, Peak, rehearse
from engine.distill.trainer import Trainer
from engine.errors import KidError
from engine.evaluation.predict import predict
from engine.evaluation.scorer import Scorer
from engine.profile import Profile
from engine.progress import Progress

_MIB = 2**20
_DOING = "measuring steps"


def preflight(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """What a run would need, from three of its steps: a light one, a middling one and the heaviest.

    Running out of memory is a result, no error.

    Args:
        request: as plan.plan takes it.

    Returns:
        fits, reason (of not fitting, else ""), here_mb and free_mb (memory of the student's device, in all
        and now), and notes. Unless memory ran out also memory_mb, the most that training holds;
        after_step_mb, the most that a `step` event will tell; step_ms, the mean; train_seconds;
        eval_seconds, of all answers that are scored if they stay as long as now; teacher_text_seconds, of
        the answers that the teacher writes first; and steps, those that were measured: each with
        num_tokens, ms, memory_mb.

    Raises:
        KidError: the run could not start.
    """
    profile = Profile.model_validate(request["profile"])
    if profile.train.reference_every:  # those timings are no part of training
        plain = profile.train.model_copy(update={"reference_every": 0})
        profile = profile.model_copy(update={"train": plain})
    listener = Listener()
    memory = psutil.virtual_memory()
    here, free = memory.total, memory.available + psutil.Process().memory_info().rss
    try:
        progress("loading", 0, 0)
        data = load_data(profile, request.get("data_dir"))
        made = rehearse(profile, data, listener)
        device = made.trainer.objective.device
        if device.type == "cuda":
            free, here = torch.cuda.mem_get_info(device)
            free += torch.cuda.memory_reserved(device)
        found = _by_processes(_measure(made, profile, listener, progress), profile, device)
    except (KidError, RuntimeError, MemoryError) as error:
        if not _is_short_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return _verdict({"reason": reason, "notes": listener.warnings}, here, free)
    return _verdict({"reason": "", **found}, here, free)


def _verdict(found: dict[str, Any], here: int, free: int) -> dict[str, Any]:
    """What was found, with whether it fits into so many bytes."""
    here_mb, free_mb = here // _MIB, free // _MIB
    if not found["reason"] and found["memory_mb"] > here_mb:
        found["reason"] = f"{found['memory_mb']} MB are needed, and there are {here_mb} MB"
    return {"fits": not found["reason"], **found, "here_mb": here_mb, "free_mb": free_mb}


def _by_processes(found: dict[str, Any], profile: Profile, device: torch.device) -> dict[str, Any]:
    """One process was measured: what it means for those of [launch]."""
    number, more = profile.launch.processes, []
    if profile.launch.config and number is None:
        more = ["of one process: launch.config says how many there are"]
    elif number and number > 1 and device.type == "cuda":
        for name in ("step_ms", "train_seconds"):
            found[name] = round(found[name] / number, 1)
        more = [f"of one process, its time divided by {number}: an estimate; memory is of one GPU"]
    elif number and number > 1:
        found["memory_mb"] *= number
        more = [f"of one process, its memory times {number}: an estimate; they share the machine's cores"]
    return {**found, "notes": [*found["notes"], *more]}


def _measure(made: Prepared, profile: Profile, listener: Listener, progress: Progress) -> dict[str, Any]:
    trainer = made.trainer
    objective = trainer.objective
    load = load_of(
        trainer.plan,
        trainer.items,
        trainer.prefixes,
        total_steps=trainer.total_steps,
        copies=profile.method.copies if profile.method.name == "kid" else 1,
        naive=objective.student_form == "naive",
    )
    light, middling, heaviest = load.samples()
    kept = Kept(trainer, profile)
    # Steps of plain SFT, with which a method may warm up, are measured by one more on the middling batch.
    warm = min(profile.method.warmup_steps, trainer.total_steps)
    mixed = 0 < warm < trainer.total_steps
    first = warm if mixed else 0
    todo = [(light, first), (light, first), (middling, first), (heaviest, first)]
    todo += [(middling, 0)] * mixed
    peak = Peak()
    trainer.student.train()
    with peak.watched():
        for done, (index, step) in enumerate(todo):
            progress(_DOING, done, len(todo))
            kept.read(load.databases[index])
            _run_step(trainer, index, step)
    progress(_DOING, len(todo), len(todo))
    timed = [
        Timed(load.tokens[index], told["ms"]["total"], told["ms"]["optimizer"])
        for (index, _), told in zip(todo, listener.steps, strict=True)
    ]
    usual = mean_ms(timed[1:4], load.mean)
    num_read, num_kept = load.first_readings(trainer.prefixes, kept.room)
    seconds = [
        (trainer.total_steps - warm) * usual,
        warm * usual * (timed[4].ms / timed[2].ms if mixed else 1),
        max(0.0, timed[0].ms - timed[1].ms),  # the first step, which warms up, is one of the run's too
        kept.ms_a_token * num_read,
    ]
    train_seconds = sum(seconds) / 1000
    train_seconds = min(train_seconds, profile.train.max_seconds or train_seconds)
    after_step = max(step["memory_mb"] for step in listener.steps)
    memory = after_step if objective.device.type == "cuda" else max(after_step, peak.most // _MIB)
    to_come = max(0, round(num_kept * kept.bytes_a_token) - kept.num_bytes) // _MIB
    progress("measuring answers", 0, 0)
    text_seconds, eval_seconds = _answer_seconds(made, profile)
    return {
        "memory_mb": memory + to_come,
        "after_step_mb": after_step + to_come,
        "step_ms": round(train_seconds * 1000 / trainer.total_steps, 1),
        "train_seconds": round(train_seconds, 1),
        "eval_seconds": round(eval_seconds, 1),
        "teacher_text_seconds": round(text_seconds, 1),
        "steps": [
            {"num_tokens": step.num_tokens, "ms": step.ms, "memory_mb": told["memory_mb"]}
            for step, told in zip(timed, listener.steps, strict=True)
        ],
        "notes": listener.warnings,
    }


def _run_step(trainer: Trainer, index: int, step: int) -> None:
    """The optimizer step on the batch at this place of the first epoch, as if so many came before."""
    trainer.progress.step, trainer.progress.epoch, trainer.progress.index = step, 0, index
    trainer._step()


def _answer_seconds(made: Prepared, profile: Profile) -> tuple[float, float]:
    """Seconds that answers take: those that the teacher writes to be learnt from, and all that are scored."""
    trainer, scorer, teacher = made.trainer, made.scorer, made.pair.local_teacher
    size = profile.eval.batch_size
    written = 0
    if "teacher" in METHODS[profile.method.name].sources:
        reached = [trainer.items[index].database for index in trainer.plan.reached(trainer.total_steps)]
        written = _num_batches(reached, size)
    scored = _num_batches([example.database for example in scorer.examples], size)
    every = profile.eval.every
    times = 1 + profile.eval.before + ((trainer.total_steps - 1) // every if every else 0)
    of_teacher = 0.0
    if teacher is not None and (written or profile.eval.before):
        of_teacher = _batch_seconds(teacher, scorer)
    of_student = _batch_seconds(made.pair.student, scorer)
    return written * of_teacher, scored * (times * of_student + profile.eval.before * of_teacher)


def _num_batches(databases: Sequence[Path], size: int) -> int:
    """Of answers: each batch is on one database."""
    return sum(math.ceil(number / size) for number in Counter(databases).values())


def _batch_seconds(model: Any, scorer: Scorer) -> float:
    """Seconds of the answers to one batch of the evaluation's questions, of middling size."""
    by_database: dict[Path, list[Example]] = defaultdict(list)
    for example in scorer.examples:
        by_database[example.database].append(example)
    members = sorted(by_database.values(), key=len)[len(by_database) // 2]
    batch = members[: scorer.settings.batch_size]
    model.eval()
    started = time.perf_counter()
    predict(model, scorer.encoder, batch, batch_size=len(batch), max_new_tokens=scorer.max_new_tokens)
    return time.perf_counter() - started


def _is_short_of_memory(error: BaseException) -> bool:
    """Out of memory in a step, or refused before a model is loaded (memory.require_memory)."""
    return is_out_of_memory(error) or "GiB are free" in str(error)
