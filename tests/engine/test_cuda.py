"""Every training path on a GPU in bfloat16: near float32 on the CPU, shared prefix = naive, a whole run."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch

from engine import settings
from engine.distill.methods import METHODS
from engine.distill.objective import Objective
from engine.models.pair import add_lora
from tests.engine import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

TEXT = {item.index: item.answer for item in tiny.items(6, seed=11)}


def objective(student, teacher, device: str, *, form: str = "cached", **method) -> Objective:
    def autocast():
        return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")

    return Objective(
        student.to(device),
        teacher.to(device).requires_grad_(False),
        settings.Method(**method),
        mask_id=tiny.MASK,
        banned=[tiny.EOS, tiny.PAD, tiny.MASK],
        eos_id=tiny.EOS,
        pad_id=tiny.PAD,
        seed=3,
        max_new_tokens=8,
        teacher_text=TEXT,
        student_form=form,
        teacher_form=form,
        autocast=autocast,
    )


def gradient(made: Objective) -> tuple[float, torch.Tensor]:
    made.student.train()
    result = made.accumulate([tiny.items(6)], {tiny.DATABASE: tiny.prefix()}, epoch=0, measure=True)
    parts = [p.grad.flatten().float().cpu() for p in made.student.parameters() if p.grad is not None]
    made.student.zero_grad()
    return result.loss, torch.cat(parts)


def pair(kind: str = "llama"):
    student, teacher = tiny.model(kind), tiny.model(kind, seed=7)
    for model in (student, teacher):  # near enough to uniform that one rounding flips no guess
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
    return student, teacher


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_near_float32_on_the_cpu(name):
    assert set(METHODS) == set(get_args(settings.MethodName))
    student, teacher = pair()
    # Samples flip with a rounding: what is compared is the loss on the same tokens.
    given = {"name": name, "temperature": 1e-3} if name in ("gkd", "imitkd", "f-distill") else {"name": name}
    given |= {"rewrite": "mask"} if name == "kid" else {}
    given |= {"on_policy": 0.0} if name == "gkd" else {}
    expected, on_cpu = gradient(objective(copy.deepcopy(student), copy.deepcopy(teacher), "cpu", **given))
    loss, on_gpu = gradient(objective(student, teacher, "cuda", **given))
    assert on_gpu.isfinite().all()
    assert loss == pytest.approx(expected, rel=0.05)
    assert torch.cosine_similarity(on_cpu, on_gpu, dim=0) > 0.98


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "codegen", "gemma"])
@pytest.mark.parametrize("name", ["sft", "rkd", "kid"])
@pytest.mark.parametrize("form", ["cached", "packed"])
def test_shared_prefix_equals_naive(kind, name, form):
    student, teacher = pair(kind)
    given = {"name": name, **({"rewrite": "mask"} if name == "kid" else {})}
    shared = gradient(objective(student, teacher, "cuda", form=form, **given))
    naive = gradient(objective(student, teacher, "cuda", form="naive", **given))
    assert shared[0] == pytest.approx(naive[0], rel=0.03)
    assert torch.cosine_similarity(shared[1], naive[1], dim=0) > 0.98


@pytest.mark.parametrize("form", ["cached", "packed", "naive"])
def test_a_pass_without_gradient_takes_none_from_the_next(form):
    student, teacher = pair()
    made = objective(student, teacher, "cuda", form=form, name="kid")
    made.accumulate([tiny.items(6)], {tiny.DATABASE: tiny.prefix()}, epoch=0)
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_lora_with_dropout():
    student, teacher = pair()
    lora = settings.Lora(rank=4, alpha=8, dropout=0.1)
    student = add_lora(student, settings.Student(model="x", lora=lora))
    loss, found = gradient(objective(student, teacher, "cuda", name="kid"))
    assert loss > 0
    assert found.isfinite().all()


@pytest.mark.parametrize("given", [{"name": "gkd"}, {"name": "kid", "rewrite": "sample", "copies": 3}])
def test_sampling(given):
    student, teacher = pair()
    made = objective(student, teacher, "cuda", **given)
    first, second = gradient(made), gradient(made)
    assert first[0] == pytest.approx(second[0], rel=1e-3)
    assert first[1].isfinite().all()


@pytest.mark.parametrize("name", ["kid", "gkd"])
def test_a_run(name, tmp_path, monkeypatch):
    """The embedded demo, a few steps, killed by nobody: trained, scored, saved, on the GPU."""
    from engine import profile, runs
    from engine.distill import job

    monkeypatch.setenv("KID_HOME", str(tmp_path))
    changes = [
        f"method.name={name}",
        "train.max_steps=6",
        "train.reference_every=2",
        "eval.every=3",
        "eval.limit=20",
    ]
    run = runs.create(profile.load("demo", changes), ["test"])
    job.train(run)
    assert run.status()["state"] == "done"
    assert (run.path / "report.json").is_file()
    assert (run.path / "student" / "last" / "model.safetensors").is_file()
