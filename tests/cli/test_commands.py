"""`kid runs`, `kid profiles`, `kid data`, `kid doctor`: for people and, with --json, for programs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import profile, runs
from engine.run_writer import RunWriter
from engine.runs import Run
from tests.cli.conftest import Answer, finish, kill_engine, wait_for_run, wait_until

Kid = Callable[..., Answer]
Start = Callable[..., "subprocess.Popen[str]"]


def told(answer: Answer) -> Any:
    """What `--json` printed."""
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.fixture
def done(project: Path) -> Run:
    run = runs.create(profile.load("tiny"), ["kid", "distill"])
    with RunWriter(run) as writer:
        writer.event("step", step=7, loss=1.25, loss_kd=1.0, loss_mle=0.25, tokens_per_s=12345.6, eta_s=130)
        writer.event("rewrite", gold=["a"])
        writer.update(step=7, loss=1.25, total_steps=7)
        (run.path / "report.json").write_text('{"ex": {"student": 0.815}}')
        (run.path / "report.md").write_text("# The report\n")
        writer.finish("done")
    return run


def test_runs_list(kid: Kid, done: Run) -> None:
    heading, row = kid("runs", "list").out.splitlines()
    assert heading.split() == ["run", "state", "step", "loss", "EX", "created"]
    assert row.split()[:6] == ["✓", done.id, "done", "7/7", "1.250", "0.815"]
    [one] = told(kid("runs", "list", "--json"))
    assert (one["id"], one["state"], one["ex"], one["profile"]) == (done.id, "done", 0.815, "tiny")
    assert kid("runs").out == kid("runs", "list").out
    assert told(kid("runs", "--json"))[0]["id"] == done.id


def test_no_runs_yet(kid: Kid) -> None:
    assert kid("runs", "list") == Answer(0, "", "no runs yet; kid distill starts one\n")
    assert told(kid("runs", "list", "--json")) == []
    assert kid("runs", "show").err == "error: there are no runs yet\n  kid distill starts one\n"


def test_a_broken_run_is_listed_with_the_reason_and_can_be_removed(kid: Kid, done: Run) -> None:
    (done.path / "status.json").write_text('{"state": ')
    answer = kid("runs", "list")
    assert answer.code == 0
    assert "cannot read" in answer.out
    assert kid("runs", "show", done.id).code == 3
    assert kid("runs", "remove", done.id, "--yes").code == 0
    assert not done.path.exists()


def test_runs_show(kid: Kid, done: Run) -> None:
    answer = kid("runs", "show", done.id[:6])
    assert f"run         {done.id}\n" in answer.out
    assert "command     kid distill\n" in answer.out
    assert answer.out.endswith("\nThe report\n")
    assert told(kid("runs", "show", "--json"))["status"]["state"] == "done"
    assert told(kid("runs", "show", str(done.path), "--json"))["info"]["profile"]["name"] == "tiny"


def test_runs_logs(kid: Kid, done: Run) -> None:
    lines = [line.split(maxsplit=1)[1] for line in kid("runs", "logs", done.id).out.splitlines()]
    assert lines == [
        "step 7  loss 1.250 (kd 1.000, mle 0.250)  12 346 tokens/s  eta 2m 10s",
        "done at step 7",
    ]
    kinds = [json.loads(line)["kind"] for line in kid("runs", "logs", done.id, "--json").out.splitlines()]
    assert kinds == ["step", "rewrite", "run_end"]
    (done.path / "err.log").write_text("oh\n")
    assert kid("runs", "logs", done.id, "--err").out == "oh\n"
    assert kid("runs", "logs", done.id, "--err", "--json").code == 2


def test_pause_resume_and_stop(kid: Kid, start: Start) -> None:
    process = start("--steps 1000 --seconds 0.02", "distill", "--profile", "tiny")
    run = wait_for_run("step", 2)
    assert kid("runs", "resume", run.id).code == 2  # it is not paused
    assert told(kid("runs", "pause", run.id, "--json")) == {"id": run.id, "asked": "pause"}
    wait_until(lambda: run.status()["state"] == "paused", "paused")
    held = run.status()["step"]
    time.sleep(0.3)
    assert run.status()["step"] == held
    again = kid("distill", "--resume", run.id)
    assert again.code == 3
    assert f"kid runs resume {run.id} lets it go on" in again.err
    assert kid("runs", "resume", run.id).err == f"run {run.id} goes on\n"
    wait_until(lambda: run.status()["step"] > held, "going on")
    assert kid("runs", "remove", run.id, "--yes").code == 3
    assert kid("runs", "stop", run.id).code == 0
    assert finish(process).code == 130
    assert run.status()["state"] == "stopped"
    ended = kid("runs", "pause", run.id)
    assert ended.code == 3
    assert ended.err.startswith(f"error: run {run.id} is stopped\n")


def test_stop_now(kid: Kid, start: Start) -> None:
    process = start("--seconds 60", "distill", "--profile", "tiny")
    run = wait_for_run("run_start")
    pid = run.status()["pid"]
    assert f"(pid {pid}) is killed" in kid("runs", "stop", run.id, "--now").err
    assert finish(process).code == 1
    assert told(kid("runs", "list", "--json"))[0]["state"] == "lost"
    assert kid("runs", "stop", run.id, "--now").code == 3


def test_remove(kid: Kid, done: Run) -> None:
    refused = kid("runs", "remove", done.id)
    assert refused.code == 2
    assert "--yes deletes without asking" in refused.err
    assert done.path.exists()
    assert told(kid("runs", "remove", done.id, "--yes", "--json")) == {"id": done.id, "asked": "remove"}
    assert list(done.path.parent.iterdir()) == []


def test_remove_a_lost_run(kid: Kid, start: Start) -> None:
    process = start("--seconds 60", "distill", "--profile", "tiny")
    run = wait_for_run("run_start")
    kill_engine(run)
    finish(process)
    assert kid("runs", "remove", run.id, "-y").code == 0
    assert runs.all_runs() == []


def test_profiles_list(kid: Kid) -> None:
    rows = kid("profiles", "list").out.splitlines()
    assert rows[1].split(maxsplit=2) == ["tiny", "project", "for tests"]
    listed = {one["name"]: one for one in told(kid("profiles", "list", "--json"))}
    assert listed["demo"]["origin"] == "shipped"
    assert not any(one["problem"] for one in listed.values())


def test_a_broken_profile_is_listed_with_the_reason(kid: Kid, project: Path) -> None:
    (project / "profiles" / "bad.toml").write_text('[student]\nmodel = "x"\ncolour = "red"\n')
    assert "unknown key 'student.colour'" in kid("profiles", "list").out
    answer = kid("profiles", "validate", "tiny", "bad")
    assert answer.code == 2
    assert answer.out == "tiny: ok\n"
    assert answer.err.startswith("error: profiles/bad.toml: unknown key 'student.colour'\n")
    assert kid("profiles", "validate", "--json").code == 2


def test_profiles_show_is_a_profile(kid: Kid, project: Path) -> None:
    shown = kid("profiles", "show", "demo", "--set", "train.seed=5").out
    copy = project / "copy.toml"
    copy.write_text(shown)
    assert profile.load(copy) == profile.load("demo", ["train.seed=5"])
    assert told(kid("profiles", "show", "demo", "--json"))["train"]["seed"] == 0


def test_profiles_new(kid: Kid, project: Path) -> None:
    answer = kid("profiles", "new", "mine", "--from", "tiny", "--to", "profiles", "--set", "train.seed=3")
    assert answer.out == "profiles/mine.toml\n"
    made = profile.load("mine")
    assert (made.train.seed, made.student) == (3, profile.load("tiny").student)
    again = kid("profiles", "new", "mine", "--to", "profiles")
    assert (again.code, again.err) == (
        2, "error: profiles/mine.toml exists already\n  choose another name, or edit it\n"
    )  # fmt: skip
    for wrong in ("a/b", "two words", "-x"):
        assert kid("profiles", "new", "--from", "tiny", "--to", "profiles", "--", wrong).code == 2
    assert kid("profiles", "new", "other", "--to", "profiles", "--set", "train.seed=-1").code == 2
    assert sorted(path.name for path in (project / "profiles").iterdir()) == ["mine.toml", "tiny.toml"]


def test_profiles_schema(kid: Kid) -> None:
    schema = told(kid("profiles", "schema"))
    assert "extends" in schema["properties"]
    assert schema["$defs"]["Train"]["properties"]["epochs"]["description"].startswith("Passes over")


def test_data_list(kid: Kid, tmp_path: Path) -> None:
    listed = {one["name"]: one["path"] for one in told(kid("data", "list", "--json"))}
    assert Path(listed["demo/train"]).is_file()
    assert listed["spider/dev"] is None
    answer = kid("data", "list", "--data-dir", str(tmp_path))
    assert "not found" in answer.out
    assert f"looked in {tmp_path}" in answer.err


def test_doctor(kid: Kid) -> None:
    found = told(kid("doctor", "--json"))
    findings = {one["name"]: one for one in found}
    assert findings["devices"]["value"].startswith("cpu")
    assert findings["libraries"]["ok"]
    assert "spider/dev" in findings["data sets not found"]["value"]
    assert "KID_DATA_DIR" in findings["data sets not found"]["mend"]
    assert ("models not here", "./no-such-model") in [(one["name"], one["value"]) for one in found]


def test_doctor_says_what_every_run_needs(kid: Kid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    demo = profile.paths.demo_source()
    assert demo.is_dir()
    monkeypatch.setattr("engine.paths.runs_dir", lambda: tmp_path / "file" / "runs")
    answer = kid("doctor")
    assert answer.code == 1
    assert "✗ runs folder" in answer.out
    assert "set KID_HOME to a folder you can write" in answer.out


def test_dry_run(kid: Kid, project: Path) -> None:
    """By the real engine; nothing is written, and the output is the profile."""
    arguments = ("distill", "--profile", "tiny", "--dry-run", "--no-measure", "--set", "train.max_steps=9")
    model = ("--set", "student.model=package:engine/data/demo/teacher", "--set", "student.init=random")
    answer = kid(*arguments, *model)
    assert answer.code == 0, answer.err
    assert "# parameters: teacher 0, student 2" in answer.out
    assert "# steps: 9 (1 an epoch, 2 examples)" in answer.out
    (project / "copy.toml").write_text(answer.out)
    assert profile.load(project / "copy.toml").train.max_steps == 9
    assert runs.all_runs() == []
