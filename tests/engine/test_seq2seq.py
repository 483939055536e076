"""Encoder–decoder models (T5) in the places of decoder-only ones: passes, training, answers, files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from engine import profile, runs, settings
from engine.distill import job
from engine.distill.objective import Objective
from engine.distill.plan import plan
from engine.distill.trainer import Trainer
from engine.errors import ModelError, ProfileError
from engine.event_reader import EventReader
from engine.models.beam import beam_search
from engine.models.encode import Encoder, Item
from engine.models.generate import generate
from engine.models.kind import model_class
from engine.models.load import load_model, load_tokenizer
from engine.models.pair import Pair, add_lora, build_pair
from engine.models.prefix import Prefix, open_prefix, shareable
from engine.models.rows import Rows, answer_rows
from engine.models.sample import sample
from engine.models.save import save_student
from engine.models.seq2seq import EncoderDecoderPrefix, plain_inputs
from engine.models.shrink import keep_layers
from engine.models.stream import probabilities, stream
from engine.runs import Run
from engine.settings import Lora, Student
from tests.engine import tiny

FORMS = pytest.mark.parametrize("form", [{}, tiny.V1_1], ids=["t5", "t5-v1.1"])
SUFFIXES = [[5, 9], [7, 3, 4, 8, 21], [30], [11, 12, 13]]
LIMITS = {"max_new_tokens": 10, "eos_id": tiny.EOS, "pad_id": tiny.PAD}
CPU = torch.device("cpu")


def rows_of(items: Sequence[Item]) -> Rows:
    return answer_rows([item.suffix for item in items], [item.answer for item in items], tiny.PAD, CPU)


def prefix_of(model: PreTrainedModel) -> Prefix:
    return open_prefix(model, torch.tensor(tiny.prefix()), "naive")


@torch.no_grad()
def logits_of(model: PreTrainedModel, items: Sequence[Item]) -> torch.Tensor:
    return prefix_of(model).logits(rows_of(items))


def plain_logits(model: PreTrainedModel, item: Item) -> torch.Tensor:
    """[T, V], as any trainer of T5 does it: one row, labels shifted by the model."""
    ids = torch.tensor([[*tiny.prefix(), *item.suffix, tiny.EOS]])
    return model(input_ids=ids, labels=torch.tensor([item.answer])).logits[0]


def prompts_of(items: Sequence[Item]) -> list[list[int]]:
    return [[*tiny.prefix(), *item.suffix] for item in items]


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def loss_of(logits: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, torch.tensor([t for item in items for t in item.answer]))


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-5, msg=name)


def objective(student, teacher, **method) -> Objective:
    return Objective(
        student,
        teacher,
        settings.Method(**method),
        mask_id=tiny.MASK,
        banned=[tiny.EOS, tiny.PAD, tiny.MASK],
        eos_id=tiny.EOS,
        pad_id=tiny.PAD,
        seed=3,
        max_new_tokens=8,
        student_form="naive",
        teacher_form="naive",
    )


@FORMS
def test_logits_and_gradient_are_those_of_a_plain_call_row_by_row(form):
    """Also: questions of different lengths, padded side by side, change nothing."""
    model, items = tiny.model("t5", **form), tiny.items()
    prefix = prefix_of(model)
    found = prefix.logits(rows_of(items))
    loss_of(found, items).backward()
    prefix.backward()
    ours = gradients(model)
    expected = torch.cat([plain_logits(model, item) for item in items])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    loss_of(expected, items).backward()
    theirs = gradients(model)
    assert ours.keys() == dict(model.named_parameters()).keys()
    assert_same(ours, theirs)


def test_an_ordinary_trainers_batch_has_the_same_loss():
    model, items = tiny.model("t5"), tiny.items()
    inputs = plain_inputs(model, prompts_of(items), [item.answer for item in items])
    expected = objective(model, None, name="sft").accumulate([items], {tiny.DATABASE: tiny.prefix()}, epoch=0)
    assert model(**inputs).loss.item() == pytest.approx(expected.loss, rel=1e-5)


def test_passes_over_the_same_questions_share_the_encoder_and_its_gradient():
    """Two losses over some questions; then one over others and one over the first, sent back together."""
    model, items, others = tiny.model("t5"), tiny.items(), tiny.items(3, seed=8)
    ran = []
    model.encoder.register_forward_hook(lambda *_: ran.append(1))
    prefix = prefix_of(model)
    with torch.no_grad():
        prefix.logits(rows_of(items))
    for _ in range(2):
        loss_of(prefix.logits(rows_of(items)), items).backward()
    assert len(ran) == 1
    between = loss_of(prefix.logits(rows_of(others)), others)
    again = loss_of(prefix.logits(rows_of(items)), items)
    assert len(ran) == 3
    (between + again).backward()
    prefix.backward()
    ours = gradients(model)
    (3 * loss_of(torch.cat([plain_logits(model, item) for item in items]), items)).backward()
    loss_of(torch.cat([plain_logits(model, item) for item in others]), others).backward()
    assert_same(ours, gradients(model))


def test_only_wanted_places_are_computed_and_fewer_of_them_are_the_same():
    model, items = tiny.model("t5"), tiny.items()
    rows = rows_of(items)
    prefix = open_prefix(model, torch.tensor(tiny.prefix()), "cached")  # asked for in vain
    assert isinstance(prefix, EncoderDecoderPrefix)
    chosen = torch.tensor([0, 4, 5, 9])
    read: list[tuple[int, ...]] = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: read.append(output.shape))
    some, all_places = prefix.logits(rows.at(chosen)), prefix.logits(rows)
    assert read == [(1, 4, tiny.VOCABULARY), (1, len(rows.rows), tiny.VOCABULARY)]
    torch.testing.assert_close(some, all_places[chosen], rtol=1e-5, atol=1e-5)


def test_the_encoder_sees_nothing_of_the_answers():
    """An answer's first token is told by the question alone, its others by the answer too."""
    model, items = tiny.model("t5"), tiny.items()
    others = [replace(item, answer=(*[42] * (len(item.answer) - 1), tiny.EOS)) for item in items]
    ends = np.cumsum([len(item.answer) for item in items])
    first = [0, *ends[:-1]]
    left, right = logits_of(model, items), logits_of(model, others)
    torch.testing.assert_close(left[first], right[first])
    assert not torch.allclose(left, right)


def fresh(form: dict[str, object], seed: int) -> PreTrainedModel:
    """As T5 is initialised: it learns at once."""
    torch.manual_seed(seed)
    config = tiny.model("t5", **form).config
    torch.manual_seed(seed)
    return model_class(config).from_config(config).eval()


@pytest.mark.parametrize(
    ("method", "form"),
    [
        ({"name": "kid", "mask_ratio": 0.5}, {**tiny.V1_1, "initializer_factor": 0.5}),
        *((method, {}) for method in (
            {"name": "sft"},
            {"name": "fkd"},
            {"name": "rkd"},
            {"name": "kid", "mask_ratio": 0.5},
            {"name": "kid", "mask_strategy": "hard", "mle_context": "gold"},
            {"name": "gkd"},
        )),
    ],
    ids=lambda values: "-".join(map(str, values.values())),
)  # fmt: skip
def test_every_method_lowers_its_loss(method, form):
    student, teacher = fresh(form, 0), fresh(form, 7)
    made = objective(student, None if method["name"] == "sft" else teacher, **method)
    prefixes = {tiny.DATABASE: tiny.prefix()}
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        result = made.accumulate([tiny.items()], prefixes, epoch=0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(result.loss)
    assert losses[-1] < 0.7 * losses[0]


def test_any_split_gives_the_same_gradient():
    student, teacher = tiny.model("t5"), tiny.model("t5", seed=7)
    found = []
    for size in (0, 1, 2):
        made = objective(student, teacher, name="kid", mask_ratio=0.5)
        made.accumulate([tiny.items()], {tiny.DATABASE: tiny.prefix()}, epoch=0, max_rows=size)
        found.append(gradients(student))
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


def test_kid_masks_what_the_decoder_reads():
    """The encoders read the question once each, and no mask."""
    student, teacher = tiny.model("t5"), tiny.model("t5", seed=7)
    asked, read = [], []
    for model in (student, teacher):
        for stack, seen in ((model.encoder, asked), (model.decoder, read)):
            stack.register_forward_pre_hook(
                lambda module, inputs, given, seen=seen: seen.append(given["input_ids"]), with_kwargs=True
            )
    made = objective(student, teacher, name="kid", mask_ratio=0.5)
    items = tiny.items(3)
    made.accumulate([items], {tiny.DATABASE: tiny.prefix()}, epoch=0, sample=True)
    question, also_question = asked
    masked, taught, learnt = read  # by the student that guesses, the teacher, the student that learns
    assert torch.equal(question, also_question)
    assert torch.equal(taught, learnt)
    assert tiny.MASK not in question
    assert tiny.MASK in masked
    assert tiny.MASK not in learnt
    assert (masked[:, 0] == tiny.PAD).all()
    for row, item in enumerate(items):
        read = slice(1, min(masked.shape[1], len(item.answer)))
        gold = torch.tensor(item.answer)[: read.stop - 1]
        changed = masked[row, read] == tiny.MASK
        assert torch.equal(masked[row, read][~changed], gold[~changed])
        assert torch.equal(learnt[row, read][~changed], gold[~changed])


@FORMS
def test_answers_are_those_of_transformers(form):
    model = tiny.model("t5", **form)

    def expected(suffix: list[int], num_beams: int) -> list[int]:
        ids = torch.tensor([[*tiny.prefix(), *suffix, tiny.EOS]])
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), num_beams=num_beams, do_sample=False, max_new_tokens=10
        )[0, 1:].tolist()
        return found[: found.index(tiny.EOS) + 1] if tiny.EOS in found else found

    greedy = [expected(suffix, 1) for suffix in SUFFIXES]
    assert generate(model, tiny.prefix(), SUFFIXES, **LIMITS) == greedy
    beams = beam_search(model, tiny.prefix(), SUFFIXES, num_beams=3, **LIMITS)
    assert beams == [expected(suffix, 3) for suffix in SUFFIXES]


def test_rows_that_end_early_leave_and_the_others_go_on():
    model = tiny.model("t5")
    free = generate(model, tiny.prefix(), SUFFIXES, max_new_tokens=10, eos_id=-1, pad_id=tiny.PAD)
    stop = free[0][1]  # as EOS, this token ends some rows and not others
    found = generate(model, tiny.prefix(), SUFFIXES, max_new_tokens=10, eos_id=stop, pad_id=tiny.PAD)
    assert found == [row[: row.index(stop) + 1] if stop in row else row for row in free]
    assert len(set(map(len, found))) > 1


def test_what_was_learnt_is_answered_also_after_saving_and_loading(tmp_path):
    student, items = fresh({}, 0), tiny.items(3)
    made = objective(student, None, name="sft")
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(200):
        result = made.accumulate([items], {tiny.DATABASE: tiny.prefix()}, epoch=0)
        if result.loss * result.num_tokens < math.log(2):  # no token has less than half the probability
            break
        optimizer.step()
        optimizer.zero_grad()
    save_student(Pair(None, student, load_tokenizer("package:engine/data/demo/teacher")), tmp_path / "last")
    suffixes, answers = [item.suffix for item in items], [list(item.answer) for item in items]
    for model in (student, load_model(str(tmp_path / "last"))):
        assert generate(model, tiny.prefix(), suffixes, **LIMITS) == answers


def test_one_answer_token_by_token_and_its_probabilities():
    model = tiny.model("t5")
    (greedy,) = generate(model, tiny.prefix(), SUFFIXES[1:2], **LIMITS)
    told = list(stream(model, tiny.prefix(), SUFFIXES[1], max_new_tokens=10, eos_id=tiny.EOS, shared=False))
    assert [token.id for token in told] == greedy
    found = probabilities(model, tiny.prefix(), SUFFIXES[1], greedy)
    assert found == pytest.approx([token.probability for token in told], abs=1e-5)


def test_samples_belong_to_their_question():
    model = tiny.model("t5")

    def drawn(suffixes, keys) -> list[list[list[int]]]:
        return sample(model, tiny.prefix(), suffixes, keys=keys, temperatures=[0.0, 1.0, 1.0], **LIMITS)

    together = drawn(SUFFIXES, [(0, index) for index in range(4)])
    assert together == [drawn([suffix], [(0, index)])[0] for index, suffix in enumerate(SUFFIXES)]
    assert [first for first, *_ in together] == generate(model, tiny.prefix(), SUFFIXES, **LIMITS)
    assert together[0][1] != together[0][2]


def test_a_model_without_a_start_token_is_refused():
    model = tiny.model("t5")
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        generate(model, tiny.prefix(), SUFFIXES, **LIMITS)


@FORMS
@pytest.mark.parametrize("kept", [[0, 2], [1, 2]])
def test_a_cut_model_keeps_both_stacks_alike_saves_and_loads(kept, form, tmp_path):
    model = tiny.model("t5", **form)
    whole = logits_of(model, tiny.items())
    biases = [
        stack.block[0].layer[0].SelfAttention.relative_attention_bias
        for stack in (model.encoder, model.decoder)
    ]
    blocks = [[stack.block[index] for index in kept] for stack in (model.encoder, model.decoder)]
    keep_layers(model, kept)
    for stack, bias, remaining in zip((model.encoder, model.decoder), biases, blocks, strict=True):
        assert list(stack.block) == remaining
        assert stack.block[0].layer[0].SelfAttention.relative_attention_bias is bias
    shrunk = logits_of(model, tiny.items())
    assert not torch.allclose(shrunk, whole)
    save_student(Pair(None, model, load_tokenizer("package:engine/data/demo/teacher")), tmp_path / "last")
    loaded = load_model(str(tmp_path / "last"))
    assert (loaded.config.num_layers, loaded.config.num_decoder_layers) == (2, 2)
    torch.testing.assert_close(logits_of(loaded, tiny.items()), shrunk)
    answers = [generate(each, tiny.prefix(), SUFFIXES, **LIMITS) for each in (model, loaded)]
    assert answers[0] == answers[1]


def test_layers_that_are_not_in_both_stacks():
    with pytest.raises(ProfileError, match="layers 0 to 1"):
        keep_layers(tiny.model("t5", num_decoder_layers=2), [0, 2])
    bart = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}  # fmt: skip
    with pytest.raises(ProfileError, match="cannot cut a bart model"):
        keep_layers(tiny.model("bart", vocab_size=tiny.VOCABULARY, **bart), [0])


def test_an_adapter_is_trained_saved_and_merged(tmp_path):
    tiny.model("t5").save_pretrained(tmp_path / "base")
    student = add_lora(load_model(str(tmp_path / "base")), Student(model="x", lora=Lora(rank=4, alpha=8)))
    assert student.peft_config["default"].task_type == "SEQ_2_SEQ_LM"
    made = objective(student, tiny.model("t5", seed=7), name="kid")
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        made.accumulate([tiny.items()], {tiny.DATABASE: tiny.prefix()}, epoch=0)
        optimizer.step()
    save_student(Pair(None, student, load_tokenizer("package:engine/data/demo/teacher")), tmp_path / "last")
    trained = logits_of(student, tiny.items())
    assert not torch.allclose(trained, logits_of(load_model(str(tmp_path / "base")), tiny.items()))
    merged = load_model(str(tmp_path / "base"), adapter=str(tmp_path / "last"))
    torch.testing.assert_close(logits_of(merged, tiny.items()), trained, rtol=1e-4, atol=1e-5)


def test_answers_that_the_tokenizer_cannot_write_are_counted():
    words = ["<pad>", "</s>", "<unk>", "select", "a", "from", "b", "where", "="]
    inside = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inside.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inside, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    encoder = Encoder(tokenizer, settings.Data())
    items = [
        Item(number, tiny.DATABASE, (3,), tuple(encoder.answer(f"select a from b where a {sign} a")))
        for number, sign in enumerate("=<=")
    ]
    assert encoder.num_unwritable(items) == 1
    tokenizer.unk_token = "</s>"  # as GPT-2's family has it
    assert encoder.num_unwritable(items) == 0


def test_why_a_prefix_is_not_shared():
    assert "encoder–decoder" in str(shareable(tiny.model("t5")))


# Whole runs, on the demo.

SETTINGS = ["student.keep_layers=none", "data.train_limit=20", "train.max_steps=4", "train.epochs=9",
            "train.questions_per_database=2", "train.databases_per_step=1", "train.checkpoint_every=2",
            "train.threads=1", "data.max_answer_tokens=32", "data.max_prompt_tokens=200",
            "data.max_suffix_tokens=99", "eval.limit=2"]  # fmt: skip


def t5_with_the_demos_tokenizer(folder: Path, seed: int) -> Path:
    tokenizer = load_tokenizer("package:engine/data/demo/teacher")
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        "t5", vocab_size=1500, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, initializer_factor=0.3,
        decoder_start_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model_class(config).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {
        name: t5_with_the_demos_tokenizer(tmp_path_factory.mktemp(name), seed)
        for seed, name in enumerate(("teacher", "student"))
    }


def create(folders: dict[str, Path], *more: str) -> Run:
    models = [f"teacher.model={folders['teacher']}", f"student.model={folders['student']}"]
    return runs.create(profile.load("demo", [*models, *SETTINGS, *more]), ["test"])


def test_a_run_of_kid_from_start_to_report(folders):
    run = create(folders)
    job.train(run)
    report = json.loads((run.path / "report.json").read_text())
    assert report["steps"] == 4
    assert all(0 <= report["ex"][role] <= 1 for role in ("teacher", "student_before", "student"))
    events = EventReader(run).poll()
    told = [event["message"] for event in events if event["kind"] == "warning"]
    assert sum("encoder–decoder" in message for message in told) == 2  # once each of student and teacher
    assert all(event["loss_kd"] > 0 for event in events if event["kind"] == "step")
    assert any(event["kind"] == "rewrite" for event in events)
    assert load_model(f"run:{run.id}").config.is_encoder_decoder


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(folders, monkeypatch):
    """With dropout: the random numbers go on too."""
    undisturbed, killed = (create(folders, "eval.before=false", "train.max_steps=5") for _ in range(2))
    job.train(undisturbed)
    step = Trainer._step

    def die(trainer: Trainer) -> None:
        if trainer.progress.step == 3:
            raise KeyboardInterrupt
        step(trainer)

    monkeypatch.setattr(Trainer, "_step", die)
    with pytest.raises(KeyboardInterrupt):
        job.train(killed)
    monkeypatch.setattr(Trainer, "_step", step)
    job.train(killed)
    told = [event["step"] for event in EventReader(killed).poll() if event["kind"] == "step"]
    assert told == [1, 2, 3, 3, 4, 5]
    expected, found = (
        load_file(run.path / "student" / "last" / "model.safetensors") for run in (undisturbed, killed)
    )
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_one_kind_for_teacher_and_student(folders):
    made = profile.load("demo", [f"student.model={folders['student']}", "student.keep_layers=none"])
    with pytest.raises(ModelError, match="is a decoder-only model and student"):
        build_pair(made)


@pytest.mark.slow
def test_a_plan_counts_both_stacks(folders):
    models = [f"teacher.model={folders['teacher']}", f"student.model={folders['student']}"]
    made = profile.load("demo", [*models, *SETTINGS, "student.keep_layers=[1]"])
    sizes = plan({"profile": made.model_dump()})["parameters"]
    loaded = keep_layers(load_model(str(folders["student"])), [1])
    assert sizes["student"] == sum(parameter.numel() for parameter in loaded.parameters()) < sizes["teacher"]
