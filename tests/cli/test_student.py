"""Which student answers: of a run, of a profile's newest run, a model, or what there is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine import files, paths, profile, runs
from engine.errors import ModelError, RunError, UsageError
from engine.runs import Run
from kidtui import student

DEMO_TEACHER = "package:engine/data/demo/teacher"


def make_run(name: str, run_id: str, *, state: str = "done", which: tuple[str, ...] = ("last",)) -> Run:
    made = runs.create(
        profile.from_values(
            {"name": name, "student": {"model": "./s", "dtype": "float32"}, "teacher": {"model": "./t"}}
        ),
        ["kid"],
        run_id,
    )
    files.write_json(made.path / "status.json", {**made.status(), "state": state})
    for folder in which:
        (made.path / "student" / folder).mkdir(parents=True)
    time.sleep(0.01)  # runs are dated by their files
    return made


def test_a_named_run_a_profiles_newest_run_or_a_model_is_the_student(project: Path) -> None:
    make_run("tiny", "old", which=("last", "best"))
    make_run("tiny", "new", state="stopped")
    make_run("tiny", "empty", which=())
    make_run("other", "newest")
    for given, model, name in (
        ({"run": "old"}, "run:old/last", "student of old"),
        ({"run": "ol"}, "run:old/last", "student of old"),
        ({"run": "old/best"}, "run:old/best", "student of old/best"),
        ({"run": str(paths.runs_dir() / "old")}, "run:old/last", "student of old"),
        ({"profile": "tiny"}, "run:new/last", "student of new"),
        ({"model": "./m"}, "./m", "./m"),
        ({}, "run:newest/last", "student of newest"),
    ):
        choice = student.choose(**given)
        assert (choice.profile.student.model, choice.name) == (model, name), given
        if model != "./m":
            assert choice.folder == project
            assert choice.profile.teacher
            assert choice.profile.teacher.model == "./t"


def test_the_newest_run_that_is_done_is_the_student_else_the_demos_teacher(project: Path) -> None:
    assert student.choose().profile.student.model == DEMO_TEACHER
    for run_id, state, which in (("a", "stopped", ("last",)), ("b", "failed", ("last",)), ("c", "done", ())):
        make_run("tiny", run_id, state=state, which=which)
    (make_run("tiny", "broken").path / "status.json").write_text("{")
    choice = student.choose()
    assert (choice.profile.student.model, choice.name) == (
        DEMO_TEACHER,
        "the embedded demo's teacher (for demo/* alone)",
    )
    make_run("tiny", "d")
    make_run("tiny", "e", state="stopped")
    assert student.choose().name == "student of d"


def test_a_teacher_and_settings_can_be_given_with_each(project: Path) -> None:
    make_run("tiny", "a")
    for given in ({"run": "a"}, {"profile": "tiny"}, {"model": "./m"}, {}):
        chosen = student.choose(**given, teacher="./mine", overrides=["student.device=cpu"]).profile
        assert chosen.teacher
        assert (chosen.teacher.model, chosen.student.device) == ("./mine", "cpu")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"run": "a", "profile": "tiny"}, UsageError, "--run and --profile together"),
        ({"run": "a", "profile": "b", "model": "c"}, UsageError, "--run and --profile and --model together"),
        ({"run": "nowhere"}, RunError, "there is no run 'nowhere'"),
        ({"run": "a/best"}, ModelError, "run a has no best student yet"),
        ({"run": "b"}, ModelError, "run b has no last student yet"),
        ({"profile": "demo"}, RunError, "no run of profile 'demo' has a student"),
        ({"overrides": ["student.modle=x"]}, UsageError, "unknown key 'student.modle'"),
    ],
)
def test_a_student_that_cannot_be_is_told(
    project: Path, given: dict[str, str], error: type[Exception], message: str
) -> None:
    make_run("tiny", "a")
    make_run("tiny", "b", which=())
    with pytest.raises(error) as raised:
        student.choose(**given)  # type: ignore[arg-type]
    assert message in str(raised.value)
