"""A served teacher: the coarse-grained divergences, a server that misbehaves, and runs that outlive it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from engine import profile, runs, settings
from engine.distill import divergences
from engine.distill.batches import Plan
from engine.distill.control import StopRequested
from engine.distill.objective import Objective, StepResult
from engine.distill.shares import merged
from engine.distill.trainer import Trainer
from engine.errors import ModelError, ProfileError
from engine.event_reader import EventReader
from engine.models import endpoint, pair
from engine.models.endpoint import OutageError
from engine.models.load import load_model, load_tokenizer
from engine.models.pair import add_lora
from engine.models.served import Prompt, ServedTeacher
from engine.models.topk import NO_ID, TopK
from engine.run_writer import RunWriter
from engine.runs import Run
from tests.engine import test_run, tiny
from tests.engine.test_objective import assert_same, objective, run
from tests.engine.test_resume import Encoder
from tests.engine.test_run import create, kinds, weights
from tests.engine.test_run import teacher as teacher_folder  # noqa: F401
from tests.fakes.stub_server import StubServer

PLACES, VOCABULARY, K = 6, 40, 5
F_DIVERGENCES = {
    "fkl": divergences.forward_kl,
    "rkl": divergences.reverse_kl,
    "jsd": partial(divergences.jensen_shannon, beta=0.3),
    "tvd": divergences.total_variation,
    "skl": partial(divergences.skewed_kl, skew=0.1),
    "srkl": partial(divergences.skewed_reverse_kl, skew=0.1),
    "taid": partial(divergences.interpolated_kl, t=0.6),
}
METHODS = ["fkd", "rkd", "kid", "gkd", "imitkd", "skl", "srkl", "akl", "taid"]


@pytest.fixture(scope="module")
def server() -> Iterator[StubServer]:
    with StubServer(tiny.model("llama", seed=7)) as stub:
        yield stub


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.02)


@pytest.fixture
def stub(server) -> StubServer:
    server.misbehave.clear()
    server.requests.clear()
    server.authorizations.clear()
    return server


def served(stub: StubServer, **given) -> ServedTeacher:
    return ServedTeacher(settings.Teacher(model="big", url=stub.url, **{"timeout": 5.0, **given}), tiny.EOS)


# What is made of the likeliest tokens


def logits(seed: int, scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(PLACES, VOCABULARY, dtype=torch.float64, generator=generator)


def top(teacher: torch.Tensor, k: int = K) -> TopK:
    found = teacher.log_softmax(-1).topk(k)
    return TopK(found.indices, found.values)


def coarse(whole: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """[N, K + 1] log-probabilities of the known tokens and of all others together."""
    log_probs = whole.log_softmax(-1)
    others = torch.ones_like(log_probs, dtype=torch.bool).scatter(1, known, False)
    tail = log_probs.masked_fill(~others, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([log_probs.gather(1, known), tail], dim=1)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_value_and_gradient_are_those_with_one_bucket_for_the_tail(name):
    student, teacher, divergence = logits(1).requires_grad_(), logits(2), F_DIVERGENCES[name]
    known = top(teacher)
    found = divergence(student, known.against(student))
    (gradient,) = torch.autograd.grad(found.sum(), student)
    expected = divergence(coarse(student, known.ids), coarse(teacher, known.ids))
    (wanted,) = torch.autograd.grad(expected.sum(), student)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(gradient, wanted, atol=1e-6)
    assert gradient.abs().max() > 1e-3
    assert not torch.allclose(found, divergence(student, teacher), atol=1e-3)


def test_the_stated_bounds():
    student, teacher = logits(1), logits(2)
    known = top(teacher)
    filled, p, q = known.against(student), teacher.softmax(-1), student.softmax(-1)
    tail = torch.ones_like(p, dtype=torch.bool).scatter(1, known.ids, False)
    p_tail, q_tail = (p * tail).sum(-1), (q * tail).sum(-1)
    assert torch.allclose(known.tail_mass(), p_tail)

    def gap(name: str) -> torch.Tensor:
        divergence = F_DIVERGENCES[name]
        return divergence(student, teacher) - divergence(student, filled)

    assert all((gap(name) >= -1e-6).all() for name in F_DIVERGENCES if name != "taid")
    least_q = q.masked_fill(~tail, torch.inf).amin(-1)
    assert (
        gap("fkl") <= p_tail * (known.log_probs[:, -1] - p_tail.log() + q_tail.log() - least_q.log())
    ).all()
    assert (gap("tvd") <= torch.minimum(p_tail, q_tail)).all()
    assert (gap("jsd") <= math.log(2) * (0.3 * p_tail + 0.7 * q_tail)).all()
    assert (gap("skl") <= p_tail * ((0.1 * p_tail + 0.9 * q_tail) / (0.1 * p_tail)).log()).all()
    assert (gap("srkl") <= q_tail * ((0.9 * p_tail + 0.1 * q_tail) / (0.1 * q_tail)).log()).all()
    # The gradient of FKL is q − p: what is wrong with it is what is wrong with p.
    assert ((filled.exp() - p).abs().sum(-1) <= 2 * p_tail + 1e-6).all()


@pytest.mark.parametrize("name", F_DIVERGENCES)
@pytest.mark.parametrize(("teachers", "students"), [(300.0, 2.0), (2.0, 300.0), (300.0, 300.0)])
def test_no_mass_in_a_tail_makes_no_nan(name, teachers, students):
    student, teacher = logits(1, students).float().requires_grad_(), logits(2, teachers).float()
    loss = F_DIVERGENCES[name](student, top(teacher).against(student)).sum()
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_all_tokens_known_is_the_teacher_itself():
    teacher = logits(2).float()
    found = top(teacher, VOCABULARY).against(logits(1).float())
    assert torch.allclose(found, teacher.log_softmax(-1), atol=1e-6)


def test_ids_that_the_student_has_not_are_left_out():
    teacher, student = logits(2), logits(1)[:, :30]
    found = top(teacher, VOCABULARY).against(student)
    assert torch.allclose(found.log_softmax(-1), teacher[:, :30].log_softmax(-1), atol=1e-6)
    fewer = TopK(torch.tensor([[3, NO_ID]]), torch.tensor([[math.log(0.75), -math.inf]]))
    assert fewer.tail_mass().item() == pytest.approx(0.25)
    assert fewer.against(student[:1]).exp()[0, 3].item() == pytest.approx(0.75)


# What is learnt


def like(made: Objective, teacher) -> Objective:
    """The same objective with a served teacher."""
    made.teacher, made.teacher_prefixes.model = teacher, teacher
    return made


@pytest.mark.parametrize("name", METHODS)
def test_all_tokens_asked_for_is_the_teacher_in_process(stub, name):
    student, sampled = tiny.model("llama"), {"max_new_tokens": 9}
    groups = [tiny.items(3), tiny.items(2, seed=5, database=OTHER, start=10)]
    here = run(objective(student, stub.model, name=name, **sampled), groups)
    there = objective(student, None, name=name, databases_per_pass=0, **sampled)
    assert_same(here, run(like(there, served(stub, top_k=tiny.VOCABULARY)), groups))
    assert here[0].loss_kd > 0


OTHER = tiny.DATABASE.with_name("b.sqlite")


def test_few_tokens_are_a_lower_bound_and_the_tail_is_told(stub):
    student = tiny.model("llama")
    here, _ = run(objective(student, stub.model, name="rkd"))
    there, gradient = run(like(objective(student, None, name="rkd"), served(stub, top_k=3)), measure=True)
    assert here.teacher_tail_mass is None
    assert 0.01 < there.teacher_tail_mass < 0.9
    assert 0 < there.loss_kd < here.loss_kd
    assert there.measures["rkl"] == pytest.approx(there.loss_kd, rel=1e-5)
    assert max(value.abs().max() for value in gradient.values()) > 0
    (request,) = stub.requests
    assert (request["model"], request["prompt_logprobs"], request["max_tokens"]) == ("big", 3, 1)
    rows = [[*tiny.prefix(), *item.suffix, *item.answer] for item in tiny.items()]
    assert request["prompt"] == rows


def test_the_tail_of_several_processes_is_the_mean_over_their_tokens():
    results = [StepResult(3, 1, teacher_tail_mass=0.1), StepResult(1, 1, teacher_tail_mass=0.5)]
    assert merged(results, "token").teacher_tail_mass == pytest.approx(0.2)
    assert merged([StepResult(3, 1), StepResult(1, 1)], "token").teacher_tail_mass is None


# A server that misbehaves


PROMPTS = [[*tiny.prefix(9, seed=seed), tiny.EOS] for seed in range(10)]
"""More than one request holds."""


@pytest.fixture(scope="module")
def expected(server) -> list:
    server.misbehave.clear()
    return ask(served(server))


def ask(teacher: ServedTeacher) -> list:
    return teacher.ask([Prompt(ids, 1) for ids in PROMPTS])


@pytest.mark.parametrize(
    "fault", ["500", "429", "hang", "drip", "cut", "garbage", "empty", "short", "hole", "infinite"]
)
def test_what_may_pass_is_tried_again(stub, expected, fault):
    slow = fault in ("429", "hang", "drip")
    stub.misbehave.extend([fault] if slow else [fault] * 3)
    started = time.monotonic()
    assert ask(served(stub, timeout=0.6 if slow else 5.0)) == expected
    assert len(stub.requests) >= (3 if slow else 5)
    assert time.monotonic() - started >= {"429": 1.0, "hang": 0.6, "drip": 0.6}.get(fault, 0.0)


def test_an_outage_is_told_once_and_its_end_too(stub):
    stub.misbehave.extend(["500"] * 12)
    teacher, told = served(stub), []
    teacher.endpoint.warn = told.append
    ask(teacher)
    assert len(told) == 2
    assert "HTTP 500 told to" in told[0]
    assert "answers again" in told[1]


def test_a_server_that_stays_away_is_given_up(stub):
    stub.misbehave.extend(["500"] * 1000)
    with pytest.raises(OutageError, match=r"no answer in 0\.3 s: HTTP 500"):
        ask(served(stub, patience=0.3))
    with StubServer(stub.model) as gone:
        pass
    with pytest.raises(OutageError, match="refused"):
        ask(served(gone, patience=0.1))


def test_a_refusal_is_told_at_once_on_one_line_without_the_key(stub, monkeypatch):
    monkeypatch.setenv("A_KEY", "s3cret")
    for status in ("401", "307"):
        stub.misbehave.extend([status] * 3)
        with pytest.raises(ModelError, match=f"HTTP {status} told to: Bearer ") as error:
            ask(served(stub, api_key_env="A_KEY"))
        message = error.value.message
        assert len(message) < 300
        assert message.isprintable()
        assert "s3cret" not in message
        stub.misbehave.clear()
    assert set(stub.authorizations) == {"Bearer s3cret"}
    assert len(stub.requests) <= 6
    with pytest.raises(ModelError, match="no B_KEY"):
        served(stub, api_key_env="B_KEY")


def test_a_server_without_prompt_logprobs_is_told_at_once(stub):
    stub.misbehave.extend(["silent"] * 3)
    with pytest.raises(ModelError, match="no log-probabilities of a prompt"):
        ask(served(stub))


def test_a_stop_ends_the_waiting(stub):
    stub.misbehave.extend(["hang"] * 3)
    teacher, asked = served(stub), []

    def check() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise StopRequested

    teacher.endpoint.check = check
    started = time.monotonic()
    with pytest.raises(StopRequested):
        ask(teacher)
    assert time.monotonic() - started < 2


def test_another_vocabulary_is_refused():
    with StubServer(tiny.model("llama", vocab_size=1200)) as stub:
        stub.tokenizer = tokenizer = load_tokenizer("package:engine/data/demo/teacher")
        served(stub).require_same_tokens(tokenizer)

        class Shifted:
            def decode(self, ids: list[int]) -> str:
                return tokenizer.decode([(ids[0] + 7) % len(tokenizer)])

        stub.tokenizer = Shifted()
        with pytest.raises(ModelError, match="another vocabulary"):
            served(stub).require_same_tokens(tokenizer)


# A run


class Control:
    def check(self) -> None:
        pass


@contextmanager
def trainer(made_run: Run, teacher: ServedTeacher, method: str, steps: int = 5) -> Iterator[Trainer]:
    """As a new process makes it; its dropout draws from the global state."""
    items = tiny.items(6)
    lora = settings.Lora(rank=4, alpha=8, dropout=0.2)
    torch.manual_seed(1)
    student = add_lora(tiny.model("llama"), settings.Student(model="x", lora=lora))
    torch.manual_seed(2)
    plan = Plan(["a"] * 6, [item.length for item in items], 4, 1, "grouped", 0)
    train = settings.Train(max_steps=steps, learning_rate=1e-2, checkpoint_every=100)
    taught = like(objective(student, None, name=method, max_new_tokens=9), teacher)
    with RunWriter(made_run) as writer:
        made = Trainer(taught, items, plan, Encoder(), train, writer, Control())
        made.restore()
        yield made
        writer.finish("stopped")


def finish(made_run: Run, teacher: ServedTeacher, method: str) -> dict[str, torch.Tensor]:
    with trainer(made_run, teacher, method) as made:
        made.train()
        return {name: value.detach().clone() for name, value in made.student.named_parameters()}


@pytest.mark.parametrize(("end", "method"), [("outage", "kid"), ("stop", "gkd")])
def test_a_run_goes_on_after_an_outage_as_if_there_had_been_none(end, method):
    undisturbed, broken = (runs.create(profile.load("demo"), ["test"]) for _ in range(2))
    with StubServer(tiny.model("llama", seed=7)) as stub:
        expected = finish(undisturbed, served(stub), method)
        stub.requests.clear()
        stub.misbehave.extend(["", "", "", "die" if end == "outage" else "hang"])
        teacher = served(stub, patience=0.2 if end == "outage" else 60)

        def check() -> None:
            if end == "stop" and len(stub.requests) > 3:
                raise StopRequested

        teacher.endpoint.check = check
        with trainer(broken, teacher, method) as made, pytest.raises((OutageError, StopRequested)):
            made.train()
        assert made.progress.step == 3
        if end == "outage":
            stub.start()
        found = finish(broken, served(stub), method)
    events = EventReader(broken).poll()
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [3, 5]
    assert all(event["teacher_tail_mass"] > 0 for event in events if event["kind"] == "step")
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.slow
def test_the_engine_outlives_its_server(teacher_folder):  # noqa: F811
    given = [
        f"student.model={teacher_folder}",
        "teacher.patience=1",
        "teacher.top_k=50",
        "train.checkpoint_every=100",
    ]
    with StubServer(load_model(str(teacher_folder)), load_tokenizer(str(teacher_folder))) as stub:
        undisturbed, broken = (create(teacher_folder, f"teacher.url={stub.url}", *given) for _ in range(2))
        assert test_run.finish(undisturbed) == 0
        steps = [event for event in EventReader(undisturbed).poll() if event["kind"] == "step"]
        assert all(0 < event["teacher_tail_mass"] < 1 for event in steps)
        told = [event["message"] for event in EventReader(undisturbed).poll() if event["kind"] == "warning"]
        assert told == ["eval.before: a served teacher is not scored"]
        assert json.loads((undisturbed.path / "report.json").read_text())["ex"]["teacher"] is None

        stub.misbehave.extend(["", "500", "garbage", *[""] * 9, "die"])
        assert test_run.finish(broken) == 1
        assert broken.status()["state"] == "failed"
        assert "no answer in 1 s" in broken.status()["error"]["message"]
        assert test_run.finish(broken) == 1  # it is still away
        stub.start()
        assert test_run.finish(broken) == 0
    expected, found = weights(undisturbed), weights(broken)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert kinds(broken).count("step") == 14


# What a profile may say


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["student.model=none"], "student.model, of the teacher's family"),
        (["method.name=seqkd"], "only asked for probabilities"),
        (["method.name=f-distill"], "only asked for probabilities"),
        (["teacher.adapter=here"], "teacher.adapter contradicts teacher.url"),
        (["teacher.url=http://me:key@host/v1"], "teacher.url"),
        (["teacher.url=host:8000"], "teacher.url"),
        (["student.share_base=true", "student.lora={rank=4, alpha=8}"], "share_base contradicts teacher.url"),
    ],
)
def test_contradictions(more, told):
    base = ["teacher.url=http://host:8000/v1", "student.model=small"]
    assert profile.load("demo", base).local().teacher is None
    with pytest.raises(ProfileError, match=told):
        profile.load("demo", [*base, *more])


def test_an_encoder_decoder_student_is_refused(monkeypatch):
    monkeypatch.setattr(pair, "load_config", lambda *spec: tiny.model("t5").config)
    given = profile.load("demo", ["teacher.url=http://host:8000/v1", "student.model=t5"])
    with pytest.raises(ModelError, match="encoder–decoder"):
        pair._served(given.teacher, given, None)
