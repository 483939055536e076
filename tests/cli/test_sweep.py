"""`kid sweep`: cells that succeed, fail, are interrupted and resumed. Most cells have no process at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine import files, paths, runs
from engine.errors import ModelError
from engine.provenance import usable_cores
from engine.run_writer import RunWriter
from engine.runs import Run
from engine.study import sweep as sweeps
from kidtui import sweep_results, workers
from tests.cli.conftest import Answer, finish, wait_for_run, wait_until

Kid = Callable[..., Answer]

SWEEP = """
description = "two methods, two seeds"
profile = "tiny"
budget.max_steps = 3
[[cell]]
label = "first"
method.mle_weight = 1.0
[[cell]]
label = "second"
method.mle_weight = 0.5
[grid]
train.seed = [0, 1]
"""


@dataclass
class Fakes:
    """Engines without a process: a cell is done when it has been looked at so many times.

    failing: words in the labels of cells that fail.
    ex: label -> EX.
    """

    failing: tuple[str, ...] = ()
    looks: int = 1
    ex: Callable[[Run], float] = lambda run: 0.5
    started: list[str] = field(default_factory=list)
    working: int = 0
    most_at_once: int = 0
    scored: list[tuple[str, str]] = field(default_factory=list)

    def start(self, run: Run) -> Fake:
        self.started.append(run.info()["sweep"]["label"] if "sweep" in run.info() else run.id)
        self.working += 1
        self.most_at_once = max(self.most_at_once, self.working)
        return Fake(self, run, self.looks)


@dataclass
class Fake:
    fakes: Fakes
    run: Run
    looks: int

    def ended(self) -> bool:
        self.looks -= 1
        if self.looks:
            return False
        self.fakes.working -= 1
        label = self.run.info()["sweep"]["label"]
        with RunWriter(self.run) as writer:
            if any(word in label for word in self.fakes.failing):
                writer.finish("failed", ModelError("model ./nowhere: nothing there"))
                return True
            for role in ("teacher", "student_before", "student"):
                kept = self.run.path / f"scores-{role}.json"
                if not kept.exists():
                    self.fakes.scored.append((label, role))
                    files.write_json(kept, {"by": label})
            files.write_json(self.run.path / "report.json", {"ex": {"student": self.fakes.ex(self.run)}})
            writer.finish("done")
        return True

    def kill(self) -> None:
        raise AssertionError("nobody asked")

    def end_in_words(self) -> str:
        return "without a word"


@pytest.fixture
def fakes(project: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """`kid sweep` starts these; ./sweeps/s.toml has four cells."""
    (project / "sweeps").mkdir()
    (project / "sweeps" / "s.toml").write_text(SWEEP)
    made = Fakes()
    monkeypatch.setattr(workers.Local, "start", lambda self, run: made.start(run))
    monkeypatch.setattr("kidtui.sweeping._POLL_SECONDS", 0.0)
    made_on = {"git": None, "versions": {}, "machine": {"host": "here"}}  # asking git takes its time
    monkeypatch.setattr("engine.provenance.record", lambda: made_on)
    monkeypatch.setattr(sweep_results, "find_spec", lambda name: None)  # figures take seconds
    return made


def the_sweep() -> sweeps.Sweep:
    (only,) = sweeps.ids()
    return sweeps.find(only)


def states() -> list[str]:
    return [cell.state for cell in the_sweep().cells]


def test_every_cell_is_an_ordinary_run_and_all_are_compared(kid: Kid, fakes: Fakes) -> None:
    answer = kid("sweep", "s")
    made = the_sweep()
    assert answer.code == 0, answer.err
    assert fakes.started == ["first seed=0", "first seed=1", "second seed=0", "second seed=1"]
    assert states() == ["done"] * 4
    assert "2/4 first seed=1  EX 0.500" in answer.err
    for run, cell in zip(made.runs(), made.cells, strict=True):
        info = run.info()
        assert info["sweep"] == {"id": made.id, "label": cell.label}
        assert info["profile"]["train"]["max_steps"] == 3
        assert info["argv"][0]
    assert made.path.joinpath("table.md").read_text().startswith("#")
    assert {run.id for run in made.runs()} <= set(made.path.joinpath("table.json").read_text().split('"'))
    assert "mle_weight" in answer.out
    assert made.finished


def test_json(kid: Kid, fakes: Fakes) -> None:
    answer = kid("sweep", "s", "--json", "--set", "eval.limit=3", "--profile", "./profiles/tiny.toml")
    told = json.loads(answer.out)
    assert [cell["state"] for cell in told["cells"]] == ["done"] * 4
    assert told["comparison"]
    assert runs.find(told["cells"][0]["run"]).profile().eval.limit == 3


def test_a_failed_cell_is_reported_and_the_rest_goes_on(kid: Kid, fakes: Fakes) -> None:
    fakes.failing = ("first seed=1",)
    answer = kid("sweep", "s")
    ref = the_sweep().id
    assert answer.code == 1
    assert states() == ["done", "failed", "done", "done"]
    assert "2/4 first seed=1  failed" in answer.err
    assert "model ./nowhere: nothing there" in answer.err
    assert "3 done, 1 failed" in answer.err
    assert (the_sweep().path / "table.md").exists()

    fakes.failing, fakes.started = (), []
    assert kid("sweep", "--resume", ref).code == 1
    assert fakes.started == [], "what failed is not tried again unasked"
    assert kid("sweep", "--resume", ref, "--retry-failed").code == 0
    assert fakes.started == ["first seed=1"]
    assert the_sweep().runs()[1].generations() == [1, 2], "it is the same run"


def test_scores_before_are_taken_once(kid: Kid, fakes: Fakes) -> None:
    with Path("profiles/tiny.toml").open("a") as file:
        file.write('[teacher]\nmodel = "./t"\n')
    assert kid("sweep", "s", "--jobs", "3").code == 0
    before = [(label, role) for label, role in fakes.scored if role != "student"]
    assert before == [
        ("first seed=0", "teacher"), ("first seed=0", "student_before"), ("first seed=1", "student_before"),
    ]  # fmt: skip
    copied = the_sweep().runs()[3].path / "scores-teacher.json"
    assert json.loads(copied.read_text()) == {"by": "first seed=0"}


def test_nobody_waits_for_the_scores_of_a_cell_that_cannot_begin(
    kid: Kid, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: workers.Local, run: Run) -> Fake:
        if run.info()["sweep"]["label"] == "first seed=0":
            raise ModelError("no engine starts here")
        return fakes.start(run)

    monkeypatch.setattr(workers.Local, "start", start)
    answer = kid("sweep", "s")
    assert answer.code == 1
    assert "first seed=0  failed: no engine starts here" in answer.err
    assert states()[1:] == ["done"] * 3


@pytest.mark.parametrize("before", ["true", "false"])
def test_cells_run_side_by_side(kid: Kid, fakes: Fakes, before: str) -> None:
    fakes.looks = 4
    assert kid("sweep", "s", "--jobs", "3", "--set", f"eval.before={before}").code == 0
    # Of one seed the first cell scores the student before training, and the other waits for that.
    assert fakes.most_at_once == (2 if before == "true" else 3)
    assert {run.profile().train.threads for run in the_sweep().runs()} == {max(1, usable_cores() // 3)}


def test_warm_starts_come_first_and_give_their_score(kid: Kid, fakes: Fakes) -> None:
    assert kid("sweep", "s").code == 0
    fakes.started, fakes.scored = [], []
    (Path("sweeps") / "w.toml").write_text("warm_start.steps = 7\n" + SWEEP)
    answer = kid("sweep", "w")
    made = next(found for ref in sweeps.ids() if (found := sweeps.find(ref)).warm_starts)
    assert answer.code == 0, answer.err
    assert fakes.started[:3] == ["warm start", "first seed=0", "warm start 2"]
    warm = runs.find(made.warm_starts[0].run)
    assert (warm.profile().train.max_steps, warm.profile().method.name) == (7, "sft")
    assert runs.find(made.cells[0].run).profile().student.model == f"run:{warm.id}"
    assert [role for label, role in fakes.scored if "seed" in label and role == "student_before"] == []
    assert len(made.path.joinpath("table.json").read_text().split(warm.id)) >= 1


def test_without_its_warm_start_a_cell_fails(kid: Kid, fakes: Fakes) -> None:
    (Path("sweeps") / "w.toml").write_text("warm_start.steps = 7\n" + SWEEP)
    fakes.failing = ("warm start 2",)
    answer = kid("sweep", "w")
    assert answer.code == 1
    assert states() == ["done", "failed", "done", "failed"]
    assert "its warm start" in answer.err
    fakes.failing = ()
    assert kid("sweep", "--resume", the_sweep().id, "--retry-failed").code == 0


def test_a_run_that_vanishes_fails_its_cell(kid: Kid, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(self: Fake) -> bool:
        if self.run.id.endswith("second-seed=0"):
            shutil.rmtree(self.run.path)
            return False
        return plain(self)

    plain = Fake.ended
    monkeypatch.setattr(Fake, "ended", ended)
    answer = kid("sweep", "s")
    assert answer.code == 1
    assert states() == ["done", "done", "failed", "done"]
    assert "is gone" in answer.err
    (the_sweep().runs()[0].path / "report.json").write_text("{")
    assert states()[0] == "failed"


def test_a_new_one_says_how_to_go_on_with_an_unfinished_one(kid: Kid, fakes: Fakes) -> None:
    assert kid("sweep", "s").code == 0
    done = the_sweep()
    runs.remove(done.runs()[2])
    assert states() == ["done", "done", "waiting", "done"]
    answer = kid("sweep", "s")
    assert f"kid sweep --resume {done.id}" in answer.err
    fakes.started = []
    assert kid("sweep", "--resume", done.id).code == 0
    assert fakes.started == ["second seed=0"]
    assert "--resume" not in kid("sweep", "s").err


def test_a_sweep_that_is_worked_on_is_left_alone(kid: Kid, fakes: Fakes) -> None:
    kid("sweep", "s")
    with sweeps.locked(the_sweep()):
        answer = kid("sweep", "--resume", the_sweep().id)
        assert (answer.code, "another process" in answer.err) == (3, True)
        listed = kid("sweep", "--list", "--json")
    assert json.loads(listed.out)["begun"][0]["state"] == "running"
    listed = kid("sweep", "--list")
    assert "two methods, two seeds" in listed.out
    assert "4 done" in listed.out
    (the_sweep().path / "sweep.json").write_text("{}")
    (Path("sweeps") / "s.toml").write_text("[grid")
    listed = kid("sweep", "--list")
    assert listed.code == 0
    assert "damaged" in listed.out
    assert "not valid TOML" in listed.out


def test_a_file_that_is_somebody_elses_drives_no_terminal(kid: Kid, fakes: Fakes) -> None:
    (Path("sweeps") / "odd.toml").write_text(
        'description = "a\\u001b[31m [bold]b"\ngrid.method.mask_token = ["\\u001b[5mX", "y"]\n'
    )
    listed, cells = kid("sweep", "--list"), kid("sweep", "odd", "--dry-run")
    assert (listed.code, cells.code) == (0, 0)
    assert "\x1b" not in listed.out + cells.out
    assert r"a\x1b[31m [bold]b" in listed.out
    assert r"method.mask_token = \x1b[5mX" in cells.out


def test_nothing_is_started_when_one_cell_is_wrong(kid: Kid, fakes: Fakes) -> None:
    answer = kid("sweep", "s", "--set", "data.train=file:nowhere.jsonl")
    assert (answer.code, sweeps.ids(), runs.all_runs()) == (3, [], [])
    (Path("sweeps") / "bad.toml").write_text(SWEEP + "method.copies = [1, 99]\n")
    answer = kid("sweep", "bad")
    assert (answer.code, sweeps.ids(), fakes.started) == (2, [], [])
    assert "cell 'first seed=0 copies=99': method.copies = 99 must be at most 64" in answer.err


def test_many_cells_are_asked_about_at_once(kid: Kid, fakes: Fakes) -> None:
    numbers = list(range(100))
    (Path("sweeps") / "big.toml").write_text(
        f'profile = "tiny"\n[grid]\ntrain.seed = {numbers}\neval.probes = {numbers}'
    )
    begun = time.monotonic()
    answer = kid("sweep", "big")
    assert time.monotonic() - begun < 1
    assert answer.code == 2
    assert answer.err == (
        "error: sweeps/big.toml makes 10,000 cells, each a training run\n  --yes starts them without asking\n"
    )
    assert fakes.started == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a sweep"),
        (("s", "--resume", "s-1"), "name a sweep"),
        (("--resume", "s-1", "--set", "a=1"), "--set cannot be changed"),
        (("s", "--retry-failed"), "--retry-failed goes with --resume"),
        (("s", "--jobs", "0"), "--jobs"),
        (("t",), "there is no sweep 't'"),
        (("s", "--profile", "tyni"), "did you mean 'tiny'?"),
        (("s", "--set", "train.seed=3"), "the grid says it"),
    ],
)
def test_wrong_usage(kid: Kid, fakes: Fakes, arguments: tuple[str, ...], words: str) -> None:
    answer = kid("sweep", *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert fakes.started == []


def test_dry_run(kid: Kid, fakes: Fakes) -> None:
    answer = kid("sweep", "s", "--dry-run")
    assert answer.code == 0
    assert "second seed=1  method.mle_weight = 0.5, train.seed = 1" in answer.out
    told = json.loads(kid("sweep", "s", "--dry-run", "--json").out)
    assert (told["num_cells"], told["cells"][0]["label"]) == (4, "first seed=0")
    assert sweeps.ids() == []


# --- with processes ---


@pytest.fixture
def two(project: Path) -> None:
    (project / "two.toml").write_text('profile = "tiny"\n[grid]\ntrain.seed = [0, 1]\n')


def test_interrupted_it_stops_cleanly_and_goes_on(two: None, start: Any, kid: Kid, fakes: Fakes) -> None:
    process = start("--steps 400 --seconds 0.01", "sweep", "./two.toml")
    run = wait_for_run("step", 2)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130, answer.err
    assert states() == ["stopped", "waiting"]
    assert f"kid sweep --resume {the_sweep().id} goes on" in answer.err
    assert kid("sweep", "--resume", the_sweep().id).code == 0
    assert states() == ["done"] * 2
    assert run.generations() == [1, 2]


def test_killed_it_takes_up_the_engine_that_lives_on(two: None, start: Any, kid: Kid, fakes: Fakes) -> None:
    process = start("--steps 30 --seconds 0.02", "sweep", "./two.toml")
    run = wait_for_run("step", 2)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert states() == ["running", "waiting"]
    assert kid("sweep", "--resume", the_sweep().id).code == 0
    assert states() == ["done"] * 2
    assert run.generations() == [1], "it was watched, not started again"
    assert fakes.started == ["seed=1"]


@pytest.mark.slow
def test_an_engine_that_dies_fails_its_cell_and_is_tried_again_when_resumed(
    two: None, start: Any, kid: Kid, fakes: Fakes
) -> None:
    answer = finish(start("--steps 5 --accident exit --at 2", "sweep", "./two.toml", "--jobs", "2"))
    assert answer.code == 1
    assert "its engine ended with exit code 3: free(): corrupted chunk" in answer.err
    assert states() == ["lost"] * 2
    assert kid("sweep", "--resume", the_sweep().id).code == 0


@pytest.mark.slow
def test_a_second_interrupt_kills(two: None, start: Any) -> None:
    process = start("--seconds 60", "sweep", "./two.toml")
    run = wait_for_run("run_start")
    process.send_signal(signal.SIGINT)
    wait_until((run.path / "control" / "stop").exists, "the request to stop")
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130
    assert run.status()["state"] == "lost"
    assert states() == ["lost", "waiting"]


# --- searches ---

SEARCH = """
profile = "tiny"
[search]
trials = 6
space.method.mle_weight = { low = 0.0, high = 1.0 }
space.train.schedule = ["cosine", "constant"]
space.train.epochs = { low = 1, high = 4, log = true }
"""


def test_a_search_learns_and_goes_on(kid: Kid, fakes: Fakes) -> None:
    optuna = pytest.importorskip("optuna")
    (Path("sweeps") / "search.toml").write_text(SEARCH)
    fakes.ex = lambda run: run.profile().method.mle_weight
    fakes.failing = ("2: ",)
    answer = kid("sweep", "search")
    made = the_sweep()
    assert answer.code == 1, answer.err
    assert states() == ["done", "failed", "done", "done", "done", "done"]
    assert len({cell.label for cell in made.cells}) == 6

    def study() -> Any:
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(made.path / "trials.journal"))
        )
        return optuna.load_study(study_name=made.id, storage=storage)

    best = max(cell.overrides["method.mle_weight"] for cell in made.cells if cell.state == "done")
    assert study().best_value == pytest.approx(best)
    told = json.loads((made.path / "sweep.json").read_text())
    told["cells"] = told["cells"][:4]  # killed before the fifth was written down
    (made.path / "sweep.json").write_text(json.dumps(told))
    for cell in made.cells[4:]:
        runs.remove(Run(cell.run, paths.runs_dir() / cell.run))
    fakes.failing = ()
    assert kid("sweep", "--resume", made.id, "--retry-failed").code == 0
    assert states() == ["done"] * 6
    weights = [cell.overrides["method.mle_weight"] for cell in the_sweep().cells]
    assert len(set(weights)) == 6, "no draw is made twice"
    assert len(study().trials) == 8


def test_without_optuna_a_search_is_refused(kid: Kid, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.study.search.find_spec", lambda name: None)
    (Path("sweeps") / "search.toml").write_text(SEARCH)
    answer = kid("sweep", "search")
    assert (answer.code, sweeps.ids()) == (1, [])
    assert "pip install 'kid-sql[sweep]'" in answer.err


REAL = """
profile = "demo"
budget.max_steps = 2
set.eval.limit = 10
set.data.train_limit = 64
[[cell]]
label = "sft"
method.name = "sft"
[[cell]]
label = "kid"
method.name = "kid"
"""


# --- ray, and the real engine ---


def test_without_ray_it_says_what_to_install(kid: Kid, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kidtui.sweep_ray.find_spec", lambda name: None)
    answer = kid("sweep", "s", "--ray")
    assert (answer.code, sweeps.ids()) == (1, [])
    assert "pip install 'kid-sql[ray]'" in answer.err


@pytest.mark.slow
def test_cells_are_trained_on_a_local_cluster(project: Path, kid: Kid) -> None:
    """The real engine on the demo, two workers, one core each."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        Path("r.toml").write_text(REAL + '[launch]\nwith = "ray"\n')
        answer = kid(
            "sweep", "./r.toml", "--set", "eval.before=false"
        )  # else one waits for the other's scores
    finally:
        ray.shutdown()
    assert answer.code == 0, answer.err
    assert states() == ["done"] * 2
    begun = [json.loads(run.events_path(1).read_text().splitlines()[0])["time"] for run in the_sweep().runs()]
    ended = [run.status()["updated"] for run in the_sweep().runs()]
    assert max(begun) < min(ended), "side by side"


@pytest.mark.slow
def test_the_demo_from_a_warm_start(project: Path, kid: Kid) -> None:
    """The real engine: two methods from one warm start, with table and figures."""
    Path("r.toml").write_text("warm_start.steps = 2\n" + REAL)
    answer = kid("sweep", "./r.toml")
    assert answer.code == 0, answer.err
    made = the_sweep()
    warm, (sft, kd) = runs.find(made.warm_starts[0].run), made.runs()
    reports = [run.report() or {} for run in (warm, sft, kd)]
    assert (
        reports[1]["ex"]["student_before"]
        == reports[2]["ex"]["student_before"]
        == reports[0]["ex"]["student"]
    )
    assert reports[1]["ex"]["teacher"] == reports[2]["ex"]["teacher"] is not None
    assert "EX" in answer.out
    assert list((made.path / "figures").glob("*.png"))
