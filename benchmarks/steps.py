"""What the benchmarks of training steps share: models and questions of a stated size, the steps that are
compared, how they are timed, and one way to tell it.

The references are what a plain trainer does: every row is its whole prompt, with logits at every place.
`Plain.kid` is KID as published: three full passes, of the student over the masked rows, and of teacher and
student over the rewritten ones. It has the loss of ours, and reads it at the answers' places alone.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig

from engine import settings
from engine.distill.divergences import reverse_kl
from engine.distill.objective import Objective
from engine.distill.rewrite import choose_positions
from engine.models.encode import Item
from engine.models.prefix import Form
from engine.provenance import usable_cores

MASK, EOS, PAD = 2, 1, 0
BANNED = [PAD, EOS, MASK]
DATABASE = Path("benchmark.sqlite")

Ways = Mapping[str, Callable[[], object]]
"""What is compared, by name."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int

    def __str__(self) -> str:
        return f"{self.layers} × {self.width}"


@dataclass(frozen=True)
class Setting:
    """Sizes of a step: the models, and tokens of prefix, question and SQL."""

    name: str
    teacher: Shape
    student: Shape
    vocabulary: int
    questions: int
    prefix: int
    question: int
    sql: int

    def __str__(self) -> str:
        return (
            f"student {self.student}, teacher {self.teacher}, vocabulary {self.vocabulary}; {self.questions}"
            f" questions, prefix {self.prefix}, question {self.question}, SQL {self.sql}"
        )


SMOLLM, SMALLER = Shape(30, 576, 1536, 9, 3), Shape(10, 576, 1536, 9, 3)
QWEN_7B, QWEN_1B5 = Shape(28, 3584, 18944, 28, 4), Shape(28, 1536, 8960, 12, 2)
SETTINGS = {
    "spider": Setting("spider", SMOLLM, SMALLER, 49152, 8, 576, 16, 40),
    "demo": Setting("demo", Shape(6, 192, 512, 6, 6), Shape(4, 192, 512, 6, 6), 1200, 16, 250, 24, 32),
    "qwen": Setting("qwen", QWEN_7B, QWEN_1B5, 151936, 8, 916, 16, 40),
}


def make_model(shape: Shape, vocabulary: int, device: str, dtype: torch.dtype) -> Any:
    """A Llama of that shape with random weights, the same ones every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=MASK,
        tie_word_embeddings=True,
    )
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def make_pair(setting: Setting, device: str) -> tuple[Any, Any]:
    """Teacher and student; on a GPU the teacher's weights are in bfloat16, as in training."""
    half = torch.bfloat16 if device == "cuda" else torch.float32
    teacher = make_model(setting.teacher, setting.vocabulary, device, half).requires_grad_(False).eval()
    return teacher, make_model(setting.student, setting.vocabulary, device, torch.float32).train()


def make_questions(setting: Setting) -> tuple[list[int], list[Item]]:
    """A prefix and questions on it, of random tokens."""
    generator = np.random.default_rng(0)

    def draw(number: int) -> tuple[int, ...]:
        return tuple(generator.integers(3, setting.vocabulary, number).tolist())

    items = [
        Item(index, DATABASE, draw(setting.question), (*draw(setting.sql - 1), EOS))
        for index in range(setting.questions)
    ]
    return list(draw(setting.prefix)), items


class Plain:
    """A plain trainer's batch: whole rows of one length, labels of -100 at the prompt, full logits."""

    def __init__(self, teacher: Any, student: Any, prefix: Sequence[int], items: Sequence[Item]) -> None:
        self.teacher, self.student, self.items = teacher, student, items
        rows = [[*prefix, *item.suffix, *item.answer] for item in items]
        self.ids = torch.tensor(rows, device=student.device)
        self.start = len(prefix) + len(items[0].suffix)
        self.labels = self.ids.clone()
        self.labels[:, : self.start] = -100

    def sft(self) -> None:
        self.student(input_ids=self.ids, labels=self.labels, use_cache=False).loss.backward()

    def kid(self) -> None:
        """Three full passes: mask, teacher, student."""
        with torch.no_grad():
            imperfect = self._rewrite()
            teacher = self.teacher(input_ids=imperfect, use_cache=False).logits[:, self.start - 1 : -1]
        logits = self.student(input_ids=imperfect, use_cache=False).logits[:, self.start - 1 : -1]
        gold = self.ids[:, self.start :]
        divergence = reverse_kl(logits.flatten(0, 1), teacher.flatten(0, 1)).mean()
        (divergence + F.cross_entropy(logits.flatten(0, 1).float(), gold.flatten())).backward()

    def _rewrite(self) -> torch.Tensor:
        length = self.ids.shape[1] - self.start
        masked = torch.zeros_like(self.ids, dtype=torch.bool)
        for row, item in enumerate(self.items):
            chosen = choose_positions(length, 0.2, "random", (0, 0, item.index, 0))
            masked[row, self.start + chosen] = True
        logits = self.student(input_ids=self.ids.masked_fill(masked, MASK), use_cache=False).logits
        logits[..., BANNED] = -torch.inf
        imperfect = self.ids.clone()
        imperfect[:, 1:] = torch.where(masked[:, 1:], logits[:, :-1].argmax(-1), self.ids[:, 1:])
        return imperfect


def ours(
    name: str,
    form: Form,
    teacher: Any,
    student: Any,
    prefix: Sequence[int],
    items: Sequence[Item],
    *,
    kept: int = 0,
    max_new_tokens: int = 128,
    **method: Any,
) -> Callable[[], None]:
    """Forward and backward of our own step.

    Args:
        kept: bytes for what the teacher has read, from step to step (0: it reads the prefix in each).
        method: more keys of the profile's [method].
    """
    objective = Objective(
        student,
        teacher,
        settings.Method.model_validate({"name": name, **method}),
        mask_id=MASK,
        banned=BANNED,
        eos_id=EOS,
        pad_id=PAD,
        seed=0,
        max_new_tokens=max_new_tokens,
        student_form=form,
        teacher_form=form,
        teacher_prefix_bytes=kept,
        autocast=autocast(student.device),
    )

    def step() -> None:
        objective.accumulate([items], {DATABASE: prefix}, epoch=0)

    return step


def autocast(device: torch.device) -> Callable[[], AbstractContextManager]:
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def optimizer_steps(ways: Ways, student: Any) -> dict[str, Callable[[], None]]:
    """Each way of finding the gradient, as a whole step with AdamW."""
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)

    def whole(find_gradient: Callable[[], object]) -> Callable[[], None]:
        def step() -> None:
            with autocast(student.device)():
                find_gradient()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    return {name: whole(way) for name, way in ways.items()}


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def medians(ways: Ways, repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each way. One round of all after the other; the first warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = now(device)
            way()
            if repeat:
                times[name].append(now(device) - start)
    return {name: statistics.median(values) for name, values in times.items()}


def machine(device: str = "cpu") -> dict[str, Any]:
    """What figures depend on beside the code."""
    told = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "numbers": "bfloat16 autocast" if device == "cuda" else "float32",
    }
    return told | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {platform.machine()}" if names else platform.machine()


def print_machine(device: str = "cpu") -> None:
    told = machine(device)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"torch {told['torch']}, transformers {told['transformers']}, "
        + (told["gpu"] if device == "cuda" else f"{told['threads']} threads, {told['cpu']}{load}")
        + f", {told['numbers']}"
    )


def print_table(
    title: str, figures: Mapping[str, float], references: Sequence[str] = (), unit: str = "s"
) -> None:
    """A line for each figure, with its ratio to each of the references."""
    print(f"\n{title}")
    width = max(map(len, figures)) + 2
    for name, figure in figures.items():
        ratios = "".join(f"{figure / figures[reference]:9.3f} × {reference}" for reference in references)
        print(f"  {name:<{width}}{figure:10.3f} {unit}{ratios}")


def report(
    file: Path | None,
    ratios: Mapping[str, float],
    found: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Prints the ratios and writes all of it as JSON, where a file is given.

    Args:
        ratios: what performance promises are about, by name; below 1 ours is the smaller.
        found: every setting with its figures.
    """
    print()
    for name, ratio in ratios.items():
        print(f"  {name:<28}{ratio:10.3g}")
    if file:
        told = {"ratios": ratios, "settings": found, "machine": machine(device)}
        file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
