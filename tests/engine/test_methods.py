"""The rows of the method table: whose answers are learnt from, by which divergence, and what MLE asks for."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from engine import settings
from engine.distill import rollin
from engine.distill.divergences import interpolated_kl, measures
from engine.distill.methods import DIVERGENCES, METHODS, choose_divergence
from engine.distill.objective import Objective
from engine.distill.rollin import RollIn
from tests.engine import tiny

LONGEST = 9
TEXT = {item.index: item.answer for item in tiny.items(6, seed=11)}
STUDENT, TEACHER = tiny.model("llama"), tiny.model("llama", seed=7)


def objective(name: str, *, student=STUDENT, form: str = "cached", seed: int = 3, **given) -> Objective:
    return Objective(
        student,
        TEACHER,
        settings.Method(name=name, **given),
        mask_id=tiny.MASK,
        banned=[tiny.EOS, tiny.PAD, tiny.MASK],
        eos_id=tiny.EOS,
        pad_id=tiny.PAD,
        seed=seed,
        max_new_tokens=LONGEST,
        vocabulary=tiny.VOCABULARY,
        teacher_text=TEXT,
        student_form=form,
        teacher_form=form,
    )


def run(made: Objective, items=None, **options):
    made.student.zero_grad()
    result = made.accumulate([items or tiny.items(6)], {tiny.DATABASE: tiny.prefix()}, epoch=0, **options)
    return result, [parameter.grad.clone() for parameter in made.student.parameters()]


def rows(made: Objective, name: str, items=None, epoch: int = 0):
    return made.roll_in.rows(METHODS[name], items or tiny.items(6), tiny.prefix(), epoch)


def test_every_name_of_a_profile_is_a_row():
    assert set(METHODS) == set(get_args(settings.MethodName))
    assert set(DIVERGENCES) == set(get_args(settings.DivergenceName))
    assert {method.divergence for method in METHODS.values()} <= {*DIVERGENCES, "taid", None}


@pytest.mark.parametrize("name", METHODS)
def test_loss_by_hand(name):
    """What the table says, computed with whole prompts, one answer at a time, in float64."""
    made = objective(name, on_policy=0.5) if name == "gkd" else objective(name)
    if name == "kid":  # its own rewriting is tested elsewhere
        made = objective(name, mask_ratio=0.0)
    result, _ = run(made)
    method = METHODS[name]
    divergence = choose_divergence(method, made.settings, made.taid.t)
    kd = mle = 0.0
    tokens = 0
    for row in rows(made, name):
        ids = torch.tensor([[*tiny.prefix(), *row.item.suffix, *row.answer]])
        places = slice(ids.shape[1] - len(row.answer) - 1, -1)
        with torch.no_grad():
            q, p = (model(input_ids=ids).logits[0, places].double() for model in (STUDENT, TEACHER))
        tokens += len(row.answer)
        if divergence:
            kd += divergence(q, p).sum().item()
        if row.taught:
            mle -= q.log_softmax(-1)[range(len(row.answer)), list(row.answer)].sum().item()
    assert result.num_tokens == tokens
    assert result.loss_kd == pytest.approx(kd / tokens, rel=1e-4, abs=1e-9)
    assert result.loss_mle == pytest.approx(mle / tokens, rel=1e-4, abs=1e-9)
    assert result.loss == pytest.approx((kd + mle) / tokens, rel=1e-4)


@pytest.mark.parametrize("name", ["seqkd", "f-distill", "imitkd", "gkd", "skl", "akl", "taid"])
def test_shared_prefix_equals_naive(name):
    (shared, left), (naive, right) = run(objective(name)), run(objective(name, form="naive"))
    assert shared.loss == pytest.approx(naive.loss, rel=1e-5)
    scale = max(gradient.abs().max() for gradient in left)
    for one, other in zip(left, right, strict=True):
        assert (one - other).abs().max() <= 2e-5 * scale


def test_the_share_of_samples():
    items = tiny.items(200)
    gold = [item.answer for item in items]
    none, all_, half = (
        [row.answer for row in rows(objective("gkd", on_policy=share), "gkd", items)] for share in (0, 1, 0.5)
    )
    assert none == gold
    assert sum(a != b for a, b in zip(all_, gold, strict=True)) > 195
    assert 75 < sum(a != b for a, b in zip(half, gold, strict=True)) < 125
    imitated = rows(objective("imitkd"), "imitkd", items)
    assert 75 < sum(row.taught for row in imitated) < 125
    assert all(row.taught == (row.answer == row.item.answer) for row in imitated)


def test_no_share_never_samples_and_all_always(monkeypatch):
    asked: list[int] = []
    real = RollIn._sample

    def counted(self, items, *rest):
        asked.append(len(items))
        return real(self, items, *rest)

    monkeypatch.setattr(RollIn, "_sample", counted)
    run(objective("gkd", on_policy=0.0))
    run(objective("rkd"))
    assert asked == []
    run(objective("gkd", on_policy=1.0))
    assert asked == [6]


def test_what_is_taught():
    assert not any(row.taught for row in rows(objective("gkd"), "gkd"))
    assert not any(row.taught for row in rows(objective("f-distill"), "f-distill"))
    taught = rows(objective("seqkd"), "seqkd")
    assert all(row.taught for row in taught)
    assert [row.answer for row in taught] == [TEXT[row.item.index] for row in taught]
    mixed = {
        row.answer == TEXT[row.item.index] for row in rows(objective("f-distill"), "f-distill", tiny.items(6))
    }
    assert mixed == {True, False}


def test_samples_depend_on_seed_epoch_and_example_alone():
    made, items = objective("gkd"), tiny.items(6)
    together = {row.item.index: row.answer for row in rows(made, "gkd", items)}
    alone = {row.item.index: row.answer for item in items for row in rows(made, "gkd", [item])}
    assert together == alone
    assert together == {row.item.index: row.answer for row in rows(made, "gkd", items[::-1])}
    assert together != {row.item.index: row.answer for row in rows(made, "gkd", items, epoch=1)}
    assert together != {row.item.index: row.answer for row in rows(objective("gkd", seed=4), "gkd", items)}
    assert all(
        answer.index(tiny.EOS) == len(answer) - 1 for answer in together.values() if tiny.EOS in answer
    )
    assert max(map(len, together.values())) <= LONGEST


def test_sampling_leaves_the_student_in_training_and_draws_nothing_from_the_global_generator():
    made = objective("gkd")
    made.student.train()
    before = torch.get_rng_state()
    rows(made, "gkd")
    assert made.student.training
    assert torch.equal(before, torch.get_rng_state())
    made.student.eval()


def test_running_out_of_memory_while_sampling_leaves_the_student_in_training(monkeypatch):
    def fails(*args, **options):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(rollin, "sample", fails)
    made = objective("gkd")
    made.student.train()
    with pytest.raises(torch.OutOfMemoryError):
        rows(made, "gkd")
    assert made.student.training
    made.student.eval()


def test_copies_are_the_mean_of_different_rewrites():
    one = run(objective("kid", copies=1))
    three = run(objective("kid", copies=3))
    assert three[0].num_tokens == 3 * one[0].num_tokens
    assert three[0].loss != pytest.approx(one[0].loss, rel=1e-3)
    # All tokens masked: three times the same rewrite, so the mean is that of one.
    one, three = (run(objective("kid", copies=copies, mask_ratio=1.0)) for copies in (1, 3))
    assert three[0].loss == pytest.approx(one[0].loss, rel=1e-5)
    for single, triple in zip(one[1], three[1], strict=True):
        torch.testing.assert_close(single, triple, rtol=1e-3, atol=1e-5)


def test_curriculum_goes_from_one_ratio_to_the_other():
    def masked(progress: float, **given) -> int:
        item = tiny.items(3)[2:]
        sample = run(objective("kid", rewrite="mask", **given), item, progress=progress, sample=True)[
            0
        ].sample
        return sum(token == tiny.MASK for token in sample["masked"])

    assert [masked(part, mask_ratio=0.0, mask_ratio_end=1.0) for part in (0.0, 0.5, 1.0)] == [0, 4, 7]
    assert {masked(part, mask_ratio=0.3) for part in (0.0, 0.5, 1.0)} == {masked(0.0, mask_ratio=0.3)}


def test_sampled_rewrites():
    def imperfect(**given) -> list[int]:
        made = objective("kid", mask_ratio=1.0, **given)
        return run(made, tiny.items(3)[2:], sample=True)[0].sample["imperfect"]

    drawn = imperfect(rewrite="sample", temperature=2.0)
    assert drawn == imperfect(rewrite="sample", temperature=2.0)
    assert drawn != imperfect()
    assert not {tiny.MASK, tiny.EOS, tiny.PAD} & set(drawn)
    assert imperfect(rewrite="sample", temperature=1e-4) == imperfect()


def test_who_guesses_nothing_recovers_nothing():
    assert run(objective("kid", mask_ratio=0.0))[0].num_recovered == 6
    assert run(objective("kid", rewrite="mask"))[0].num_recovered is None
    assert run(objective("rkd"))[0].num_recovered is None


def test_another_divergence():
    assert run(objective("kid", divergence="jsd"))[0].loss_kd != run(objective("kid"))[0].loss_kd
    with pytest.raises(ValueError, match="contradicts"):
        settings.Method(name="fkd", divergence="rkl")
    with pytest.raises(ValueError, match="same tokens in every copy"):
        settings.Method(copies=2, mask_strategy="hard")


def test_everything_is_measured_whatever_is_trained():
    for name in ("fkd", "kid", "gkd"):
        result, _ = run(objective(name), measure=True)
        assert result.measures.keys() == measures(torch.zeros(1, 3), torch.zeros(1, 3)).keys()
        assert result.measures["fkl"] > 0
        assert 0 <= result.measures["top1_agreement"] <= 1
    fkd, _ = run(objective("fkd"), measure=True)
    assert fkd.measures["fkl"] == pytest.approx(fkd.loss_kd, rel=1e-5)
    assert run(objective("sft"), measure=True)[0].measures.keys() == {"student_entropy"}
    assert not run(objective("kid"))[0].measures


def test_taid_moves_from_student_to_teacher():
    made = objective("taid", taid_start=0.0)
    result, _ = run(made)
    assert result.loss_kd == pytest.approx(0.0, abs=1e-6)  # at 0 the target is the student itself
    for step in range(1, 11):
        made.settle(result, step / 10)
        assert made.taid.t >= step / 10
    assert made.taid.t == 1.0
    assert run(made)[0].loss_kd == pytest.approx(run(objective("fkd"))[0].loss_kd, rel=1e-5)


def test_taid_goes_faster_where_the_loss_falls():
    falling, rising = (objective("taid").taid for _ in range(2))
    for step in range(100):
        falling.update(1.0 - step / 200, 0.0)
        rising.update(1.0 + step / 20, 0.0)
    assert 0.4 < rising.t < falling.t < 1.0


def test_taid_bears_a_first_loss_next_to_nothing():
    taid = objective("taid", taid_start=1e-5).taid
    for step, loss in enumerate([1e-10, 1e-4, 1e-4]):
        taid.update(loss, step / 100)
    assert taid.t == pytest.approx(1e-5 + (1 - 1e-5) * 0.02)


def test_interpolated_target_has_no_gradient_of_its_own():
    student = torch.randn(4, 7, requires_grad=True)
    teacher = torch.randn(4, 7)
    (gradient,) = torch.autograd.grad(interpolated_kl(student, teacher, 0.3).sum(), student)
    target = (0.7 * student.detach() + 0.3 * teacher).softmax(-1)
    torch.testing.assert_close(gradient, student.detach().softmax(-1) - target)


def test_few_rows_a_pass_draw_the_same_samples():
    made, items = objective("gkd"), tiny.items(5)
    sizes: list[int] = []
    real = RollIn._sample

    def counted(self, items, *rest):
        sizes.append(len(items))
        return real(self, items, *rest)

    whole = rows(made, "gkd", items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RollIn, "_sample", counted)
        assert made.roll_in.rows(METHODS["gkd"], items, tiny.prefix(), 0, max_rows=2) == whole
    assert sizes == [2, 2, 1]


def test_no_guess_is_unknown_to_the_teacher():
    """A student with more ids than its teacher: those above the common ones are padding rows."""
    student = tiny.model("llama", vocab_size=tiny.VOCABULARY + 30)
    with torch.no_grad():
        student.get_output_embeddings().weight[tiny.VOCABULARY :] *= 100  # what it would always guess
    result, _ = run(objective("kid", student=student, mask_ratio=1.0), sample=True)
    assert max(result.sample["imperfect"]) < tiny.VOCABULARY
