"""Teachers and QLoRA students in 8 and 4 bits; without bitsandbytes, settings and errors alone."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine import profile as profiles
from engine import runs
from engine.data import benchmarks
from engine.distill import checkpoint, job
from engine.errors import ModelError, ProfileError
from engine.evaluation.predict import predict
from engine.models import export, quantize
from engine.models.encode import Encoder
from engine.models.load import load_config, load_model, load_tokenizer
from engine.models.memory import count_bytes
from engine.models.pair import Pair, add_lora, build_pair, load_student
from engine.models.prefix import choose_form
from engine.models.quantize import Quantization, num_parameters
from engine.profile import Profile
from engine.settings import Lora, Student
from tests.engine import tiny
from tests.engine.test_objective import assert_same, objective, run

DEMO = "package:engine/data/demo/teacher"
CPU = torch.device("cpu")
needs_bitsandbytes = pytest.mark.skipif(
    not importlib.util.find_spec("bitsandbytes"), reason="needs the extra quant (bitsandbytes)"
)
BITS = pytest.mark.parametrize("bits", ["4bit", "8bit"])


def test_four_bits_are_those_of_qlora() -> None:
    made = Quantization("4bit", CPU, torch.bfloat16)._config()
    assert (made.load_in_4bit, made.load_in_8bit) == (True, False)
    assert (made.bnb_4bit_quant_type, made.bnb_4bit_use_double_quant) == ("nf4", True)
    assert made.bnb_4bit_compute_dtype == torch.bfloat16
    assert Quantization("8bit", CPU, torch.float32)._config().load_in_8bit


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(ModelError) as raised:
        load_model(DEMO, quantize=Quantization("4bit", CPU, torch.float32))
    assert raised.value.mend == "pip install 'kid-sql[quant]'"


def test_a_device_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SimpleNamespace(supported_torch_devices={"cuda"}, __version__="0.1")
    monkeypatch.setattr(quantize, "is_bitsandbytes_available", lambda: True)
    monkeypatch.setitem(sys.modules, "bitsandbytes", known)
    with pytest.raises(ModelError, match="no 8bit weights on cpu"):
        load_model(DEMO, quantize=Quantization("8bit", CPU, torch.float32))


def test_what_is_stored_quantised_is_not_quantised_again(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "gptq"}})
    )
    with pytest.raises(ModelError, match="stored quantised"):
        load_model(str(tmp_path), quantize=Quantization("4bit", CPU, torch.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["student.quantize=4bit", "student.lora=none"], "add student.lora"),
        (["student.quantize=4bit", "student.save_merged=true"], "kid export merges"),
        (["student.quantize=8bit", "student.model=a/b", "student.adapter=x"], "kid export makes one"),
        (["student.quantize=8bit", "teacher.adapter=x"], "set student.model"),
        (["teacher.quantize=2bit"], "must be one of '8bit' or '4bit'"),
    ],
)
def test_what_does_not_go_together(changes: list[str], words: str) -> None:
    with pytest.raises(ProfileError) as raised:
        profiles.load("demo", ["student.lora={rank=4, alpha=8}", *changes])
    assert words in f"{raised.value.message} {raised.value.mend}"


def test_the_estimate_of_bytes() -> None:
    config = load_config(DEMO)
    whole = count_bytes(config, torch.float32)
    linear = 6 * (4 * 192 * 192 + 3 * 192 * 512)
    assert whole - count_bytes(config, torch.float32, "8bit") == 3 * linear
    assert count_bytes(config, torch.bfloat16) * 2 == whole


# What follows quantises.


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with layers that bitsandbytes can pack, and the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = load_tokenizer(DEMO)
    tiny.model("llama", hidden_size=64, intermediate_size=128, head_dim=16, vocab_size=len(tokenizer),
               max_position_embeddings=1024).save_pretrained(folder)  # fmt: skip
    tokenizer.save_pretrained(folder)
    return folder


def pair_of(base: Path, teacher: dict[str, Any], **student: Any) -> Pair:
    learner = {"model": str(base), "lora": {"rank": 4, "alpha": 8.0}, **student}
    given = {"name": "x", "teacher": {"model": str(base), **teacher}, "student": learner}
    torch.manual_seed(0)
    return build_pair(Profile.model_validate(given))


def rows_of(tensors: Any) -> int:
    """Bytes in memory, with the scales of quantised weights."""
    total = 0
    for parameter in tensors:
        total += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            total += state.absmax.nbytes + state.state2.absmax.nbytes
    return total


@needs_bitsandbytes
@BITS
def test_a_quantised_teacher_teaches_nearly_the_same(bits: str) -> None:
    losses = {}
    for how in (None, bits):
        teacher = {"model": DEMO, **({"quantize": how} if how else {})}
        given = {"name": "x", "teacher": teacher, "student": {"keep_layers": [0, 2, 5]}}
        pair = build_pair(Profile.model_validate(given))
        assert not any(value.requires_grad for value in pair.teacher.parameters())
        assert pair.student.dtype == torch.float32  # cut from the teacher as it was
        result, gradient = run(objective(pair.student, pair.teacher, name="rkd"))
        losses[how] = result.loss_kd
        assert gradient
    assert losses[bits] == pytest.approx(losses[None], rel=0.1 if bits == "4bit" else 0.02)
    assert losses[bits] != losses[None]


@needs_bitsandbytes
@BITS
def test_sizes(base: Path, bits: str) -> None:
    whole = load_model(str(base))
    made: Any = load_model(str(base), quantize=Quantization(bits, CPU, torch.float32))  # type: ignore[arg-type]
    assert num_parameters(made) == num_parameters(whole)
    told = count_bytes(load_config(str(base)), torch.float32, bits)  # type: ignore[arg-type]
    assert rows_of(made.parameters()) == pytest.approx(told, rel=0.01)
    assert told < rows_of(whole.parameters())


@needs_bitsandbytes
@BITS
def test_an_adapter_on_quantised_weights_learns(base: Path, bits: str) -> None:
    """Also after an answer was asked for: bitsandbytes may then pack weights so that no gradient passes."""
    pair = pair_of(base, {"quantize": bits}, quantize=bits)
    ids = torch.tensor([tiny.prefix()])
    trained = checkpoint.trained_weights(pair.student)
    assert all("lora_" in name for name in trained)

    def gradient() -> dict[str, torch.Tensor]:
        pair.student.train()
        pair.student.zero_grad()
        pair.student(ids, labels=ids).loss.backward()
        return {name: value.grad.clone() for name, value in trained.items() if value.grad is not None}

    before = gradient()
    with torch.no_grad():
        pair.student.eval()(ids)
    after = gradient()
    assert before.keys() == after.keys() == trained.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before["base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight"].abs().max() > 0

    optimizer = torch.optim.AdamW(trained.values(), lr=5e-3)
    losses = []
    for _ in range(10):
        losses.append(run(objective(pair.student.train(), pair.teacher, name="sft"))[0].loss)
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@needs_bitsandbytes
@pytest.mark.parametrize("form", ["cached", "packed"])
def test_a_prefix_is_shared_exactly_in_four_bits(base: Path, form: str) -> None:
    pair = pair_of(base, {"quantize": "4bit"}, quantize="4bit", keep_layers=[0, 2])
    assert choose_form(pair.student) == choose_form(pair.teacher) == ("cached", None)
    shared = run(objective(pair.student, pair.teacher, form=form))
    assert_same(shared, run(objective(pair.student, pair.teacher, form="naive")))


@needs_bitsandbytes
@BITS
def test_one_quantised_base_for_both(base: Path, tmp_path: Path, bits: str) -> None:
    adapted = add_lora(load_model(str(base)), Student(model="x", lora=Lora(rank=2, alpha=4.0)))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    teacher = {"quantize": bits, "adapter": str(tmp_path / "adapter")}
    one = pair_of(base, teacher, quantize=bits, share_base=True)
    two = pair_of(base, teacher, quantize=bits)
    assert own(one.student) == own(one.teacher)
    assert not own(two.student) & own(two.teacher)
    made = [objective(pair.student, pair.teacher) for pair in (one, two)]
    for pair in (one, two):
        fill(pair.student)
    assert_same(run(made[0]), run(made[1]))
    assert run(made[0])[0].loss_kd > 0.01


def own(model: Any) -> set[int]:
    """Where a model's tensors are that are no adapter's, an 8-bit layer's weights among them."""
    places = {value.data_ptr() for name, value in model.named_parameters() if "lora_" not in name}
    states = [module.state for module in model.modules() if hasattr(module, "init_8bit_state")]
    return places | {state.CB.data_ptr() for state in states if state.CB is not None}


def fill(model: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


@pytest.mark.slow
@needs_bitsandbytes
@BITS
def test_a_run_answers_again_and_is_exported_whole(base: Path, tmp_path: Path, bits: str) -> None:
    sets = ["student.keep_layers=none", f"teacher.model={base}", f"teacher.quantize={bits}",
            f"student.model={base}", "student.lora={rank=4, alpha=8}", f"student.quantize={bits}",
            "data.train_limit=12", "data.max_answer_tokens=24", "train.max_steps=3", "train.epochs=9",
            "train.threads=1", "train.questions_per_database=2", "train.learning_rate=0.02",
            "eval.limit=3"]  # fmt: skip
    made = runs.create(profiles.load("demo", sets), ["test"])
    job.train(made)
    report = made.report()
    assert report
    sizes = report["parameters"]
    assert sizes["student"] - sizes["trainable"] == sizes["teacher"]
    assert "quantization_config" not in json.loads((made.path / "student/last/config.json").read_text())

    given = made.profile()
    told = [json.loads(line) for line in (made.path / "predictions.jsonl").read_text().splitlines()]
    data = benchmarks.load(given.data.eval)
    encoder = Encoder(load_tokenizer(f"run:{made.id}"), given.data)
    encoder.add(data)
    student = given.student.model_copy(update={"model": f"run:{made.id}", "quantize": None})
    again = load_student(given.model_copy(update={"student": student}))
    assert again.is_quantized
    asked = [data.examples[line["index"]] for line in told]
    answers = predict(again, encoder, asked, batch_size=3, max_new_tokens=24)
    assert [answer.sql for answer in answers] == [line["sql"] for line in told]

    (tmp_path / "out").mkdir()
    export.export(export.Request(made.id, str(tmp_path / "out")), lambda name, done, total: None)
    name = "model.layers.1.mlp.up_proj.weight"
    lora = load_file(made.path / "student" / "last" / "adapter_model.safetensors")
    layer = f"base_model.model.{name.removesuffix('.weight')}"
    down, up = lora[f"{layer}.lora_A.weight"], lora[f"{layer}.lora_B.weight"]
    whole, written = (load_file(folder / "model.safetensors")[name] for folder in (base, tmp_path / "out"))
    torch.testing.assert_close(written, whole + up @ down * 2)
    assert (up @ down).abs().max() > 1e-3
