"""How a run computes, chosen by a short measurement: what is fastest depends on the machine.

Form of the prefix, databases in one pass and threads change loss and gradient by rounding alone. bfloat16
changes more: on a CPU it is tried only where `train.precision = "fastest"` asks for it.
Why: docs/decisions/0015-measured-ways.md.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from engine import files, settings
from engine.distill.memory import is_out_of_memory
from engine.distill.objective import Objective
from engine.distill.reference import time_step, unseen
from engine.models.encode import Item
from engine.models.prefix import Form

log = logging.getLogger(__name__)

_LONG_STEPS = 200
_LONG_MS = 300_000.0
"""A run of fewer steps, or of a shorter time, is not worth a measurement."""
_WORTH = 0.85
"""Of the usual way's time: another one is taken from there on, so that noise alone changes nothing."""


@dataclass(frozen=True)
class Way:
    """How training computes.

    student_form, teacher_form: of their prefixes (models/prefix.py).
    databases_per_pass: groups that run in one pass; 0 = all of a step.
    bfloat16: whether passes compute in bfloat16 (autocast).
    threads: of the CPU.
    """

    student_form: Form
    teacher_form: Form
    databases_per_pass: int
    bfloat16: bool
    threads: int

    def take(self, objective: Objective) -> None:
        """From here on the objective, and torch, compute this way."""
        objective.compute(self.student_form, self.teacher_form, self.databases_per_pass, self.bfloat16)
        torch.set_num_threads(self.threads)


def usual_way(student_form: Form, teacher_form: Form, device: torch.device, train: settings.Train) -> Way:
    """The way of a run that measures nothing.

    Args:
        student_form, teacher_form: the forms that are exact for the models, as they are set.
    """
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    bfloat16 = train.precision == "bfloat16" or (on_gpu and train.precision != "float32")
    return Way(student_form, teacher_form, 1, bfloat16, torch.get_num_threads())


def other_ways(usual: Way, device: torch.device, train: settings.Train) -> list[Way]:
    """What may be faster on this device."""
    if device.type == "cuda":
        forms: list[Form] = ["packed", "naive"] if usual.student_form != "naive" else []
        ways = [
            replace(usual, student_form=form, teacher_form=teacher, databases_per_pass=0)
            for form in forms
            for teacher in dict.fromkeys((usual.teacher_form, form))
        ]
        return [way for way in ways if usual.teacher_form != "naive" or way.teacher_form == "naive"]
    ways = []
    cores = psutil.cpu_count(logical=False) or usual.threads
    if not train.threads and cores < usual.threads:
        ways.append(replace(usual, threads=cores))
    if train.precision == "fastest":
        ways += [replace(way, bfloat16=True) for way in (usual, *ways)]
    return ways


@dataclass(frozen=True)
class Choice:
    """The way that a run computes. measured: every way that was timed, with `ms`; none where none was."""

    way: Way
    measured: Sequence[Mapping[str, Any]] = ()


def kept_choice(folder: Path, choose: Callable[[], Choice]) -> Choice:
    """What a run's directory says that it computes by; chosen and written there the first time.

    Raises:
        KidError: it cannot be written.
    """
    path = folder / "way.json"
    if path.is_file():
        try:
            return Choice(Way(**json.loads(path.read_text())["way"]))
        except (ValueError, KeyError, TypeError):
            log.warning("%s is damaged: chosen anew", path)
    choice = choose()
    files.write_json(path, asdict(choice))
    return choice


def choose(
    objective: Objective,
    usual: Way,
    others: Sequence[Way],
    groups: Sequence[Sequence[Item]],
    prefixes: Mapping[Path, Sequence[int]],
    total_steps: int,
) -> Choice:
    """Times each way on a step's groups, of which no trace is left; the usual one wins ties.

    Args:
        total_steps: of the run, whose length decides whether measuring pays.
    """
    if not others or total_steps < _LONG_STEPS:
        return Choice(usual)
    ms = {usual: _time(objective, usual, groups, prefixes)}
    if ms[usual] * total_steps >= _LONG_MS:
        ms |= {way: _time(objective, way, groups, prefixes) for way in others}
    best = min(ms, key=lambda way: ms[way])
    chosen = best if ms[best] <= _WORTH * ms[usual] else usual
    return Choice(chosen, [{**asdict(way), "ms": value} for way, value in ms.items()])


def _time(
    objective: Objective,
    way: Way,
    groups: Sequence[Sequence[Item]],
    prefixes: Mapping[Path, Sequence[int]],
) -> float:
    """Milliseconds of forward and backward, the better of two after one that warms up; inf: no memory."""

    def step() -> None:
        objective.accumulate(groups, prefixes, epoch=0)

    way.take(objective)
    with unseen(objective):
        try:
            times = [time_step(objective, step) for _ in range(3)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return float("inf")
    return min(times[1:])
