"""The optimizer step: shared prefix = naive, any split gives one gradient, prompts get none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine import settings
from engine.distill import by_parts
from engine.distill.objective import Objective
from engine.distill.step_result import StepResult
from engine.models.prefix import EXACT_TYPES, choose_form
from tests.engine import tiny


def objective(
    student,
    teacher,
    *,
    form: str = "cached",
    normalise: str = "token",
    max_new_tokens: int = 128,
    databases_per_pass: int = 1,
    **method,
) -> Objective:
    return Objective(
        student,
        teacher,
        settings.Method(**{"name": "kid", **method}),
        mask_id=tiny.MASK,
        banned=[tiny.EOS, tiny.PAD, tiny.MASK],
        eos_id=tiny.EOS,
        pad_id=tiny.PAD,
        seed=3,
        max_new_tokens=max_new_tokens,
        student_form=form,
        teacher_form=form,
        databases_per_pass=databases_per_pass,
        normalise=normalise,
    )


def run(made: Objective, groups=None, **options) -> tuple[StepResult, dict[str, torch.Tensor]]:
    groups = groups or [tiny.items()]
    prefixes = {tiny.DATABASE: tiny.prefix(), Path("b.sqlite"): tiny.prefix(11, seed=9)}
    made.student.zero_grad()
    result = made.accumulate(groups, prefixes, epoch=0, sample=True, **options)
    return result, {
        name: parameter.grad.clone()
        for name, parameter in made.student.named_parameters()
        if parameter.grad is not None
    }


def assert_same(left, right, tolerance: float = 2e-5) -> None:
    (result, gradient), (other, other_gradient) = left, right
    assert result.loss == pytest.approx(other.loss, rel=1e-5)
    assert result.loss_kd == pytest.approx(other.loss_kd, rel=1e-4, abs=1e-7)
    assert gradient.keys() == other_gradient.keys()
    scale = max(tensor.abs().max() for tensor in gradient.values())
    assert scale > 0
    for name in gradient:
        difference = (gradient[name] - other_gradient[name]).abs().max()
        assert difference <= tolerance * scale, name


@pytest.mark.parametrize("kind", EXACT_TYPES)
@pytest.mark.parametrize(
    "method",
    [
        {"name": "sft"},
        {"name": "rkd"},
        {"name": "kid"},
        {"name": "kid", "mask_strategy": "hard", "mle_context": "gold"},
    ],
    ids=lambda method: "-".join(method.values()),
)
@pytest.mark.parametrize("form", ["cached", "packed"])
def test_shared_prefix_equals_naive(kind, method, form):
    student, teacher = tiny.model(kind), tiny.model(kind, seed=7)
    shared = run(objective(student, teacher, form=form, **method))
    naive = run(objective(student, teacher, form="naive", **method))
    assert_same(shared, naive)


@pytest.mark.parametrize("form", ["cached", "packed", "naive"])
def test_any_split_gives_the_same_gradient(form):
    """Chunks of a group, groups of a step, and their order: the mean is over the step's tokens."""
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    items = tiny.items(6)
    whole = run(objective(student, teacher, form=form), [items])
    for groups, rows in [([items], 1), ([items], 4), ([items[3:], items[:3]], 0), ([items[::-1]], 2)]:
        assert_same(whole, run(objective(student, teacher, form=form), groups, max_rows=rows))


@pytest.mark.parametrize("method", [{}, {"name": "akl"}, {"mle_context": "gold", "mask_ratio": 0.5}])
def test_the_loss_taken_by_parts_is_the_same(method, monkeypatch):
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    whole = run(objective(student, teacher, **method), measure=True)
    monkeypatch.setattr(by_parts, "_budget", lambda device: 3 * 4 * student.config.vocab_size)
    parts = run(objective(student, teacher, **method), measure=True)
    assert_same(whole, parts)
    assert parts[0].measures == pytest.approx(whole[0].measures, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "form"), [*((kind, "packed") for kind in EXACT_TYPES), ("llama", "cached"), ("llama", "naive")]
)
def test_databases_in_one_pass_equal_one_after_the_other(kind, form):
    """Prefixes and groups of different sizes; rows that equal their gold are left out of a pass."""
    student, teacher = tiny.model(kind), tiny.model(kind, seed=7)
    groups = [
        tiny.items(2),
        tiny.items(4, seed=5, database=Path("b.sqlite"), start=10),
        tiny.items(1, seed=8),
    ]
    method = {"mle_context": "gold", "mask_ratio": 0.1}
    alone = run(objective(student, teacher, form=form, **method), groups, measure=True)
    whole = run(objective(student, teacher, form=form, databases_per_pass=0, **method), groups, measure=True)
    assert_same(alone, whole)
    assert whole[0].measures == pytest.approx(alone[0].measures, rel=1e-4)
    assert whole[0].tokens_useful == alone[0].tokens_useful
    assert_same(alone, run(objective(student, teacher, form=form, databases_per_pass=2, **method), groups))
    assert_same(
        alone,
        run(objective(student, teacher, form=form, databases_per_pass=0, **method), groups, max_rows=2),
    )


def test_two_databases_in_a_step_equal_their_weighted_sum():
    student, teacher = tiny.model("qwen2"), tiny.model("qwen2", seed=7)
    here, there = tiny.items(2), tiny.items(4, seed=5, database=Path("b.sqlite"), start=10)
    both, gradient = run(objective(student, teacher), [here, there])
    (one, left), (other, right) = (
        run(objective(student, teacher), [here]),
        run(objective(student, teacher), [there]),
    )
    total = one.num_tokens + other.num_tokens
    assert both.loss == pytest.approx(
        (one.loss * one.num_tokens + other.loss * other.num_tokens) / total, rel=1e-5
    )
    for name in gradient:
        expected = (left[name] * one.num_tokens + right[name] * other.num_tokens) / total
        torch.testing.assert_close(gradient[name], expected, rtol=1e-4, atol=1e-6)


def test_sequence_normalisation_weighs_answers_alike():
    student = tiny.model("llama")
    items = tiny.items(3)
    result, _ = run(objective(student, None, name="sft", normalise="sequence"), [items])
    single = [run(objective(student, None, name="sft"), [[item]])[0].loss for item in items]
    assert result.loss == pytest.approx(sum(single) / 3, rel=1e-5)


def test_labels_are_shifted_and_eos_is_learned():
    """By hand: the loss of one item is the mean of −log q over its answer, EOS included."""
    student = tiny.model("llama")
    (item,) = tiny.items(1)
    result, _ = run(objective(student, None, name="sft"), [[item]])
    row = torch.tensor([[*tiny.prefix(), *item.suffix, *item.answer]])
    with torch.no_grad():
        log_q = student(input_ids=row).logits[0].log_softmax(-1)
    first = len(tiny.prefix()) + len(item.suffix)
    by_hand = [-log_q[first + t - 1, token].item() for t, token in enumerate(item.answer)]
    assert item.answer[-1] == tiny.EOS
    assert result.loss == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    assert result.num_tokens == len(item.answer)


def test_no_masks_is_rkd_and_all_masks_keep_eos():
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    assert_same(
        run(objective(student, teacher, mask_ratio=0.0)), run(objective(student, teacher, name="rkd"))
    )
    made = objective(student, teacher, mask_ratio=1.0, rewrite="mask")
    result, _ = run(made)
    assert set(result.sample["masked"]) == {tiny.MASK}
    assert result.num_recovered is None


def test_rewriting_changes_masked_tokens_only():
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    sample = run(objective(student, teacher, mask_ratio=0.5), [tiny.items(3)[2:]])[0].sample
    changed = [token == tiny.MASK for token in sample["masked"]]
    assert any(changed)
    for masked, gold, kept, guess in zip(
        changed, sample["gold"], sample["masked"], sample["imperfect"], strict=True
    ):
        assert masked or gold == kept == guess
        assert guess not in (tiny.MASK, tiny.EOS, tiny.PAD)


def test_warm_up_is_plain_sft():
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    warm = run(objective(student, teacher), warming_up=True)
    assert_same(warm, run(objective(student, None, name="sft")))


def test_vocabularies_that_differ_in_padding_rows():
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7, vocab_size=tiny.VOCABULARY + 3)
    result, gradient = run(objective(student, teacher))
    assert result.loss_kd > 0
    assert all(value.isfinite().all() for value in gradient.values())


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_lora_and_checkpointing(kind):
    """Cached = packed = naive with LoRA; packed and naive also with activation checkpointing."""
    from engine.models.pair import add_lora
    from engine.settings import Lora, Student

    def made():
        torch.manual_seed(5)
        model = add_lora(tiny.model(kind), Student(model="x", lora=Lora(rank=4, alpha=8)))
        with torch.no_grad():  # LoRA's B starts at zero, where A has no gradient
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.05)
        return model

    teacher = tiny.model(kind, seed=7)
    shared, naive = made(), made()
    left = run(objective(shared, teacher))
    assert_same(left, run(objective(naive, teacher, form="naive")))
    assert choose_form(naive) == ("cached", None)
    naive.enable_input_require_grads()
    naive.activation_checkpointing_enable({"use_reentrant": False})
    naive.train()
    assert choose_form(naive) == ("packed", None)
    assert_same(left, run(objective(naive, teacher, form="packed")))
    assert_same(left, run(objective(naive, teacher, form="naive")))


def test_the_weight_of_mle_belongs_to_distillation():
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    assert_same(
        run(objective(student, None, name="sft")), run(objective(student, None, name="sft", mle_weight=0.0))
    )
    result, _ = run(objective(student, teacher, mle_weight=0.5))
    assert result.loss == pytest.approx(result.loss_kd + 0.5 * result.loss_mle, rel=1e-5)
    assert run(objective(student, None, name="sft"))[0].num_recovered is None


@pytest.mark.parametrize("name", ["sft", "rkd", "kid", "gkd"])
def test_only_places_that_predict_an_answer_token_have_a_gradient(name):
    student, teacher = tiny.model("llama"), tiny.model("llama", seed=7)
    seen: list[torch.Tensor] = []

    def keep(module, inputs, output) -> None:
        if output.requires_grad:
            output.retain_grad()
            seen.append(output)

    student.model.norm.register_forward_hook(keep)  # the last states before the head, of whole prompts
    items = tiny.items(4)
    run(objective(student, teacher, form="naive", name=name, max_new_tokens=6), [items])
    (states,) = seen
    reached = states.grad.abs().amax(-1) > 0
    for row, item in enumerate(items):
        prompt = len(tiny.prefix()) + len(item.suffix)
        assert not reached[row, : prompt - 1].any()  # the last prompt token predicts the first answer token
        if name != "gkd":
            assert reached[row, prompt - 1 : prompt - 1 + len(item.answer)].all()
            assert not reached[row, prompt - 1 + len(item.answer) :].any()
