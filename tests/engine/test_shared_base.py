"""One base model for teacher and student: the numbers of two models, the memory of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine import profile as profiles
from engine import runs
from engine.data import benchmarks
from engine.distill import checkpoint, job
from engine.distill.plan import plan
from engine.errors import ModelError, ProfileError
from engine.evaluation.predict import predict
from engine.event_reader import EventReader
from engine.models.encode import Encoder
from engine.models.load import load_model, load_tokenizer, merge_adapter
from engine.models.pair import Pair, add_lora, build_pair, load_student
from engine.models.save import save_student
from engine.profile import Profile
from engine.settings import Lora, Student
from tests.engine import tiny
from tests.engine.test_objective import assert_same, objective, run

DEMO = "package:engine/data/demo/teacher"
LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By kind a base model, and beside it (kind-adapter) a teacher's adapter on it."""
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}
    for kind in ("llama", "codegen", "t5"):
        model = tiny.model(kind, vocab_size=len(load_tokenizer(DEMO)), max_position_embeddings=1024)
        model.save_pretrained(root / kind)
        load_tokenizer(DEMO).save_pretrained(root / kind)
        adapted = add_lora(model, Student(model="x", lora=Lora(rank=2, alpha=4.0)))
        fill(adapted, seed=5)
        adapted.save_pretrained(root / f"{kind}-adapter")
        made |= {kind: root / kind, f"{kind}-adapter": root / f"{kind}-adapter"}
    return made


def fill(model: Any, seed: int) -> None:
    """LoRA weights that do something: fresh ones add nothing."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def shared_profile(folders: dict[str, Path], kind: str = "llama", **student: Any) -> Profile:
    teacher = {"model": str(folders[kind]), "adapter": str(folders[f"{kind}-adapter"])}
    learner = {"model": teacher["model"], "lora": LORA, "share_base": True, **student}
    return Profile.model_validate({"name": "x", "teacher": teacher, "student": learner})


def two_models(made: Profile) -> Pair:
    """As the profile says, but of two bases in memory, the teacher's adapter merged in double precision."""
    assert made.teacher
    teacher, base = (load_model(made.teacher.model).double() for _ in range(2))
    if made.teacher.adapter:
        teacher = merge_adapter(teacher, Path(made.teacher.adapter))
    return Pair(teacher.requires_grad_(False).eval(), add_lora(base, made.student), None)


def step(pair: Pair, form: str, **method: Any) -> Any:
    fill(pair.student, seed=9)
    pair.student.train()
    torch.manual_seed(4)  # of dropout
    return run(objective(pair.student, pair.teacher, form=form, **method))


@pytest.mark.parametrize("form", ["cached", "packed", "checkpointed", "naive"])
def test_a_step_is_that_of_two_models(folders: dict[str, Path], form: str) -> None:
    made = shared_profile(folders)
    one, two = build_pair(made), two_models(made)
    one.teacher.double(), one.student.double()
    if form == "checkpointed":
        form = "packed"
        for pair in (one, two):
            pair.student.activation_checkpointing_enable({"use_reentrant": False})
            pair.student.enable_input_require_grads()
    result, gradient = step(one, form)
    expected, expected_gradient = step(two, form)
    assert result.loss == pytest.approx(expected.loss, rel=1e-6)  # sums are in float32
    assert result.loss_kd > 0.01
    assert gradient.keys() == expected_gradient.keys()
    assert all("lora_" in name for name in gradient)
    scale = max(value.abs().max() for value in expected_gradient.values())
    for name, value in expected_gradient.items():
        assert (gradient[name] - value).abs().max() < 1e-7 * scale, name
    assert not one.teacher.training


@pytest.mark.parametrize("kind", ["codegen", "t5"])
def test_other_kinds_of_models(folders: dict[str, Path], kind: str) -> None:
    made = shared_profile(folders, kind)
    one, two = build_pair(made), two_models(made)
    one.teacher.double(), one.student.double()
    assert_same(step(one, "naive"), step(two, "naive"))


def test_logits_equal_those_of_merged_weights(folders: dict[str, Path]) -> None:
    made = shared_profile(folders)
    one, two = build_pair(made), two_models(made)
    one.teacher.double(), one.student.double()
    ids = torch.tensor([tiny.prefix()])
    with torch.no_grad():
        left, right = one.teacher(ids).logits, two.teacher(ids).logits
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(left, one.student(ids).logits, atol=1e-2)


def test_the_memory_is_that_of_one(folders: dict[str, Path]) -> None:
    made = shared_profile(folders)
    one, two = build_pair(made), two_models(made)
    base = {value.data_ptr() for value in load_model(str(folders["llama"])).parameters()}

    def stored(pair: Pair) -> tuple[int, int]:
        """Tensors in memory that are no adapter's, and numbers in all that are."""
        named = [*pair.teacher.named_parameters(), *pair.student.named_parameters()]
        whole = {value.data_ptr() for name, value in named if "lora_" not in name}
        adapters = {value.data_ptr(): value.numel() for name, value in named if "lora_" in name}
        return len(whole), sum(adapters.values())

    assert stored(one)[0] == len(base)
    assert stored(two)[0] == 2 * len(base)
    assert stored(one)[1] > stored(two)[1]  # the teacher's adapter is not merged


def test_a_student_may_leave_layers_out(folders: dict[str, Path]) -> None:
    pair = build_pair(shared_profile(folders, keep_layers=[0, 2]))
    assert (pair.teacher.config.num_hidden_layers, pair.student.config.num_hidden_layers) == (3, 2)
    layers = [pair.teacher.get_base_model().model.layers, pair.student.get_base_model().model.layers]
    ours, theirs = layers[1][1].mlp.up_proj.base_layer, layers[0][2].mlp.up_proj.base_layer
    assert ours.weight is theirs.weight
    assert [layer.self_attn.layer_idx for layer in layers[0]] == [0, 1, 2]


def test_only_the_student_is_trained_and_saved(folders: dict[str, Path], tmp_path: Path) -> None:
    pair = build_pair(shared_profile(folders))
    ids = torch.tensor([tiny.prefix()])
    with torch.no_grad():
        before = pair.teacher(ids).logits
    trained = checkpoint.trained_weights(pair.student)
    optimizer = torch.optim.AdamW(trained.values(), lr=0.1)
    for _ in range(2):
        pair.student(ids, labels=ids).loss.backward()
        optimizer.step()
    save_student(pair, tmp_path / "last", merged=True)
    with torch.no_grad():
        assert torch.equal(pair.teacher(ids).logits, before)
        own = pair.student.eval()(ids).logits
        merged = load_model(str(tmp_path / "last-merged"))(ids).logits
        torch.testing.assert_close(merged, own, rtol=1e-4, atol=1e-4)
    assert not (own - before).abs().max() < 0.1
    saved = load_file(tmp_path / "last" / "adapter_model.safetensors")
    assert len(saved) == len(trained)
    assert not (tmp_path / "last" / "teacher").exists()


@pytest.fixture
def finished(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[runs.Run, dict[str, bool]]:
    """A run on one base, and whether its teacher's weights were the same before and after."""
    seen: dict[str, bool] = {}
    pairs: list[Any] = []

    def build(given: Profile) -> Pair:
        pair = build_pair(given)
        pairs.append((pair, [value.clone() for value in pair.teacher.parameters()]))
        return pair

    monkeypatch.setattr(job, "build_pair", build)
    sets = ["student.keep_layers=none", f"teacher.model={folders['llama']}",
            f"teacher.adapter={folders['llama-adapter']}", f"student.model={folders['llama']}",
            "student.lora={rank=4, alpha=8}", "student.share_base=true", "data.train_limit=12",
            "data.max_answer_tokens=32", "train.max_steps=3", "train.epochs=9", "train.threads=1",
            "train.questions_per_database=2", "train.learning_rate=0.01", "eval.limit=3"]  # fmt: skip
    made = runs.create(profiles.load("demo", sets), ["test"])
    job.train(made)
    (pair, weights), = pairs  # fmt: skip
    seen["unchanged"] = all(map(torch.equal, weights, pair.teacher.parameters()))
    return made, seen


def memory(given: Profile, share: bool) -> dict[str, int]:
    """The estimate, in MiB, for a model whose weights are some."""
    assert given.teacher
    student = given.student.model_copy(update={"share_base": share, "model": DEMO})
    teacher = given.teacher.model_copy(update={"model": DEMO})
    changed = given.model_copy(update={"student": student, "teacher": teacher})
    return plan({"profile": changed.model_dump(mode="json")})["memory_mb"]


def test_a_run_from_start_to_answers(finished: tuple[runs.Run, dict[str, bool]]) -> None:
    made, seen = finished
    assert seen["unchanged"]
    events = EventReader(made).poll()
    assert all(event["loss_kd"] > 0 for event in events if event["kind"] == "step")
    (start,) = (event for event in events if event["kind"] == "run_start")
    sizes = start["parameters"]
    assert 0 < sizes["trainable"] < sizes["student"]
    newest = checkpoint.names(made.path / "checkpoints")[-1]
    assert all("lora_" in name for name in load_file(newest / "student.safetensors"))

    given = made.profile()
    shared, apart = (memory(given, share) for share in (True, False))
    assert shared["student"] == 0 < apart["student"] == apart["teacher"] == shared["teacher"]
    told = [json.loads(line) for line in (made.path / "predictions.jsonl").read_text().splitlines()]
    data = benchmarks.load(given.data.eval)
    encoder = Encoder(load_tokenizer(f"run:{made.id}"), given.data)
    encoder.add(data)
    asked = [data.examples[line["index"]] for line in told]
    student = given.student.model_copy(update={"model": f"run:{made.id}"})
    answers = predict(load_student(given.model_copy(update={"student": student})), encoder, asked,
                      batch_size=3, max_new_tokens=32)  # fmt: skip
    assert [answer.sql for answer in answers] == [line["sql"] for line in told]
    assert any(answer.sql for answer in answers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["student.lora=none"], "add student.lora"),
        (["student.model=other/model"], "student.model = other/model and teacher.model = a/b are not one"),
        (["student.dtype=float32"], "student.dtype = float32 and teacher.dtype = auto are not one"),
        (["teacher.quantize=4bit"], "student.quantize = none and teacher.quantize = 4bit are not one"),
        (["student.adapter=x"], "remove student.adapter"),
    ],
)
def test_what_is_not_one_base(changes: list[str], words: str) -> None:
    sets = ["teacher.model=a/b", "student.model=a/b", "student.keep_layers=none", "student.share_base=true",
            "student.lora={rank=4, alpha=8}", *changes]  # fmt: skip
    with pytest.raises(ProfileError) as raised:
        profiles.load("demo", sets)
    assert words in f"{raised.value.message} {raised.value.mend}"


def test_an_adapter_that_does_not_fit(folders: dict[str, Path]) -> None:
    made = shared_profile(folders)
    assert made.teacher
    wrong = made.teacher.model_copy(update={"adapter": str(folders["t5-adapter"])})
    with pytest.raises(ModelError, match="does not fit the model"):
        build_pair(made.model_copy(update={"teacher": wrong}))
