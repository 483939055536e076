"""Whole runs of the engine as a process: to the end, killed and resumed, stopped, refused."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from engine import paths, profile, runs
from engine.event_reader import EventReader
from engine.models.load import load_model, load_tokenizer
from engine.models.shrink import keep_layers
from engine.runs import Run

SETTINGS = [
    "student.keep_layers=[0, 1]",
    "data.train_limit=60",
    "train.max_steps=14",
    "train.epochs=9",
    "train.questions_per_database=4",
    "train.checkpoint_every=3",
    "train.rewrite_every=5",
    "train.threads=1",
    "data.max_answer_tokens=48",
    "eval.limit=6",
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """A random three-layer teacher with the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("teacher")
    config = AutoConfig.from_pretrained(paths.demo_source() / "teacher")
    config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                   "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16})  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load_tokenizer("package:engine/data/demo/teacher").save_pretrained(folder)
    return folder


def create(teacher: Path, *more: str) -> Run:
    made = profile.load("demo", [*SETTINGS, f"teacher.model={teacher}", *more])
    return runs.create(made, ["test"])


def start(run: Run) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "engine", "train", "--run", str(run.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(run: Run) -> int:
    process = start(run)
    process.communicate(timeout=120)
    return process.returncode


def kinds(run: Run) -> list[str]:
    return [event["kind"] for event in EventReader(run).poll()]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "student" / "last" / "model.safetensors")


def test_a_run_from_start_to_report(teacher):
    run = create(teacher, "eval.every=5", "method.warmup_steps=2")
    assert finish(run) == 0
    assert run.status()["state"] == "done"
    report = json.loads((run.path / "report.json").read_text())
    assert report["steps"] == 14
    assert report["num_questions"] == 6
    assert all(0 <= report["ex"][role] <= 1 for role in ("teacher", "student_before", "student"))
    assert report["train_seconds"] > 0
    events = EventReader(run).poll()
    steps = [event for event in events if event["kind"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 15))
    assert all(event["loss_kd"] == 0 for event in steps[:2])  # warm-up is plain SFT
    assert all(event["loss_kd"] > 0 for event in steps[2:])
    assert {"run_start", "phase", "step", "rewrite", "eval", "probe", "checkpoint", "run_end"} <= set(
        kinds(run)
    )
    assert [e["step"] for e in events if e["kind"] == "eval" and e["step"]] == [5, 10]
    assert "| **student after** |" in (run.path / "report.md").read_text()
    assert "little to teach" in (run.path / "report.md").read_text()  # a random teacher
    assert len((run.path / "predictions.jsonl").read_text().splitlines()) == 6
    assert len((run.path / "predictions-before.jsonl").read_text().splitlines()) == 6
    assert len(list((run.path / "checkpoints").iterdir())) == 2
    assert load_model(f"run:{run.id}").config.num_hidden_layers == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_and_resumed_ends_with_the_same_weights(teacher, seed):
    undisturbed = create(teacher, "eval.before=false", "student.lora={rank=4, alpha=8, dropout=0.1}"
                         if seed == 2 else "train.seed=0")  # fmt: skip
    run = runs.create(undisturbed.profile(), ["test"])
    assert finish(undisturbed) == 0
    chance = random.Random(seed)
    for _ in range(2):
        process = start(run)
        wanted = chance.randrange(1, 13)
        reader, seen = EventReader(run, generation=run.next_generation()), 0
        deadline = time.monotonic() + 60
        while seen < wanted and process.poll() is None and time.monotonic() < deadline:
            seen += sum(event["kind"] == "step" for event in reader.poll())
            time.sleep(0.002)
        process.kill()
        process.communicate()
    assert run.status()["state"] in ("lost", "done")
    if run.status()["state"] == "lost":
        assert finish(run) == 0
    name = "adapter_model.safetensors" if seed == 2 else "model.safetensors"
    expected, found = (load_file(r.path / "student" / "last" / name) for r in (undisturbed, run))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_lora_run_is_loaded_by_its_name_with_checkpointing(teacher):
    run = create(teacher, "student.lora={rank=4, alpha=8}", "train.activation_checkpointing=true",
                 "eval.before=false", "train.max_steps=4", "student.save_merged=true")  # fmt: skip
    assert finish(run) == 0
    told = [event for event in EventReader(run).poll() if event["kind"] == "warning"]
    assert not told, "packed rows share the prefix in spite of checkpointing"
    by_name = load_model(f"run:{run.id}").state_dict()
    merged = load_model(str(run.path / "student" / "last-merged")).state_dict()
    cut = keep_layers(load_model(str(teacher)), [0, 1]).state_dict()
    assert all(torch.allclose(by_name[key], value, atol=1e-6) for key, value in merged.items())
    assert not all(torch.equal(by_name[key], value) for key, value in cut.items())


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(teacher):
    run = create(teacher, "eval.before=false")
    assert finish(run) == 0
    before = weights(run)
    newest = sorted((run.path / "checkpoints").iterdir())[-1]
    (newest / "optimizer.pt").write_bytes(b"half")
    assert finish(run) == 0
    assert "cannot be read" in " ".join(e.get("message", "") for e in EventReader(run).poll())
    assert all(torch.equal(before[key], value) for key, value in weights(run).items())


def test_a_signal_stops_cleanly_and_resumes(teacher):
    run = create(teacher, "train.max_steps=4000", "eval.before=false", "train.checkpoint_every=1000")
    process = start(run)
    while "step" not in kinds(run) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert run.status()["state"] == "stopped"
    assert kinds(run)[-2:] == ["checkpoint", "run_end"]


def test_pause_holds_and_a_second_engine_is_refused(teacher):
    run = create(teacher, "train.max_steps=4000", "eval.before=false")
    process = start(run)
    while "step" not in kinds(run) and process.poll() is None:
        time.sleep(0.05)
    runs.request(run, "pause")
    while run.status()["state"] != "paused":
        time.sleep(0.05)
    held = len(kinds(run))
    second = start(run)
    _, words = second.communicate(timeout=60)
    assert second.returncode == 3
    assert "already being written" in words
    assert len(kinds(run)) == held
    runs.request(run, "resume")
    while len(kinds(run)) == held:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_failures_carry_their_exit_code(teacher):
    run = create(teacher, "data.train=file:/nowhere/x.jsonl")
    assert finish(run) == 3
    end = EventReader(run).poll()[-1]
    assert end["state"] == "failed"
    assert end["error"]["exit_code"] == 3
    assert "/nowhere/x.jsonl" in end["error"]["message"]
