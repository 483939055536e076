"""What a KID step costs beside plain fine-tuning and beside KID as published.

    python benchmarks/step_time.py [--setting spider|demo|qwen|small] [--device cpu|cuda] [--repeats N]
                                   [--json FILE]

All rows train the same model on the same questions, a whole optimizer step (forward, backward,
AdamW) each, in one process, interleaved; figures are medians. `plain SFT` and `naive KID` are what a
plain trainer does: every row is its whole prompt, padded, with logits at every position. `shared` keeps
the prefix in a cache, `packed` runs prefix and rows as one row (engine/models/prefix.py); to `warm` the
teacher has read the schema in an earlier step. On a GPU all
rows compute in bfloat16 (autocast), and the teacher's weights are in bfloat16, as in training.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

from engine import settings
from engine.distill.divergences import reverse_kl
from engine.distill.objective import Objective
from engine.distill.rewrite import choose_positions
from engine.models.encode import Item
from engine.models.pair import add_lora
from engine.models.prefix import Form

MASK, EOS, PAD = 2, 1, 0
DATABASE = Path("benchmark.sqlite")


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


SMOLLM, SMALLER = Shape(30, 576, 1536, 9, 3), Shape(10, 576, 1536, 9, 3)
QWEN_7B, QWEN_1B5 = Shape(28, 3584, 18944, 28, 4), Shape(28, 1536, 8960, 12, 2)
SETTINGS = {
    "spider": Setting("spider", SMOLLM, SMALLER, 49152, 8, 576, 16, 40),
    "demo": Setting("demo", Shape(6, 192, 512, 6, 6), Shape(4, 192, 512, 6, 6), 1200, 16, 250, 24, 32),
    "qwen": Setting("qwen", QWEN_7B, QWEN_1B5, 151936, 8, 916, 16, 40),
}


def make_model(shape: Shape, vocabulary: int, device: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=2048,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=MASK,
        tie_word_embeddings=True,
    )
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def make_questions(setting: Setting) -> tuple[list[int], list[Item]]:
    generator = np.random.default_rng(0)

    def draw(number: int) -> tuple[int, ...]:
        return tuple(generator.integers(3, setting.vocabulary, number).tolist())

    items = [
        Item(index, DATABASE, draw(setting.question), (*draw(setting.sql - 1), EOS))
        for index in range(setting.questions)
    ]
    return list(draw(setting.prefix)), items


class Plain:
    """A plain trainer's batch: whole rows, labels of -100 at the prompt, full logits."""

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
        length = self.ids.shape[1] - self.start
        masked = torch.zeros_like(self.ids, dtype=torch.bool)
        for row, item in enumerate(self.items):
            chosen = choose_positions(length, 0.2, "random", (0, 0, item.index, 0))
            masked[row, self.start + chosen] = True
        with torch.no_grad():
            logits = self.student(input_ids=self.ids.masked_fill(masked, MASK), use_cache=False).logits
            guesses = logits[:, :-1].argmax(-1)
            imperfect = self.ids.clone()
            imperfect[:, 1:] = torch.where(masked[:, 1:], guesses, self.ids[:, 1:])
            teacher = self.teacher(input_ids=imperfect, use_cache=False).logits[:, self.start - 1 : -1]
        logits = self.student(input_ids=imperfect, use_cache=False).logits[:, self.start - 1 : -1]
        gold = self.ids[:, self.start :]
        divergence = reverse_kl(logits.flatten(0, 1), teacher.flatten(0, 1)).mean()
        (divergence + F.cross_entropy(logits.flatten(0, 1).float(), gold.flatten())).backward()


def autocast(device: torch.device) -> Callable[[], AbstractContextManager]:
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def ours(
    name: str,
    form: Form,
    teacher: Any,
    student: Any,
    prefix: Sequence[int],
    items: Sequence[Item],
    kept: int = 0,
) -> Callable[[], None]:
    objective = Objective(
        student,
        teacher,
        settings.Method.model_validate({"name": name}),
        mask_id=MASK,
        banned=[MASK, EOS, PAD],
        eos_id=EOS,
        pad_id=PAD,
        seed=0,
        student_form=form,
        teacher_form=form,
        teacher_prefix_bytes=kept,
        autocast=autocast(student.device),
    )

    def step() -> None:
        objective.accumulate([items], {DATABASE: prefix}, epoch=0)

    return step


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(setting: Setting, repeats: int, lora: bool, device: str) -> dict[str, float]:
    """Median seconds of an optimizer step, by row."""
    half = torch.bfloat16 if device == "cuda" else torch.float32
    teacher = make_model(setting.teacher, setting.vocabulary, device, half).requires_grad_(False).eval()
    student = make_model(setting.student, setting.vocabulary, device, torch.float32).train()
    if lora:
        student = add_lora(student, settings.Student(model="x", lora=settings.Lora(rank=64, alpha=32)))
    prefix, items = make_questions(setting)
    plain = Plain(teacher, student, prefix, items)
    rows: dict[str, Callable[[], None]] = {
        "plain SFT": plain.sft,
        "naive KID": plain.kid,
        "shared SFT": ours("sft", "cached", None, student, prefix, items),
        "shared RKD": ours("rkd", "cached", teacher, student, prefix, items),
        "shared KID": ours("kid", "cached", teacher, student, prefix, items),
        "warm KID": ours("kid", "cached", teacher, student, prefix, items, kept=2**40),
        "packed SFT": ours("sft", "packed", None, student, prefix, items),
        "packed KID": ours("kid", "packed", teacher, student, prefix, items),
    }
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 1):
        for name, step in rows.items():
            start = now(device)
            with autocast(student.device)():
                step()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if repeat:  # the first round warms up
                times[name].append(now(device) - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=[*SETTINGS, "small"], default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = ("spider", "demo") if arguments.setting == "small" else (arguments.setting,)
    where = f"{torch.get_num_threads()} threads, {platform.machine()}, float32"
    if arguments.device == "cuda":
        where = f"{torch.cuda.get_device_name()}, bfloat16 autocast"
    print(f"torch {torch.__version__}, {where}")
    found = {}
    for setting in map(SETTINGS.__getitem__, names):
        for lora in (False, True):
            name = setting.name + (" LoRA 64" if lora else "")
            seconds = measure(setting, arguments.repeats, lora, arguments.device)
            ratios = {
                "kid_vs_sft": seconds["shared KID"] / seconds["plain SFT"],
                "kid_vs_naive": seconds["shared KID"] / seconds["naive KID"],
            }
            found[name] = {"seconds": seconds, "ratios": ratios, "sizes": asdict(setting)}
            print(
                f"\n{name}: student {setting.student}, teacher {setting.teacher}, "
                f"vocabulary {setting.vocabulary}; {setting.questions} questions, prefix "
                f"{setting.prefix}, question {setting.question}, SQL {setting.sql}"
            )
            for row, value in seconds.items():
                print(f"  {row:<12}{value:8.3f} s   {value / seconds['plain SFT']:5.2f} × plain SFT")
            print(
                f"  KID / plain SFT {ratios['kid_vs_sft']:.3f}   KID / naive KID {ratios['kid_vs_naive']:.3f}"
            )
    if arguments.json:
        result = {"ratios": found[next(iter(found))]["ratios"], "settings": found}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
