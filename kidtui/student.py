"""Which model answers: a run's student, any model by name, or what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import profile as profiles
from engine import runs
from engine.data import text_task
from engine.errors import RunError, UsageError
from engine.models.locate import run_student
from engine.paths import typed_path
from engine.profile import Profile
from engine.runs import Run


def profile_of(run: str | None, model: str | None, teacher: str | None, overrides: Sequence[str]) -> Profile:
    """The settings with which a model answers: its run's, or the defaults, with overrides.

    Its student is the model that answers.

    Raises:
        RunError: there is no such run.
        ProfileError, UsageError: an override that does not fit; a name that no file can have.
    """
    values: dict[str, Any] = {"name": "eval", "student": {"model": model}}
    if run is not None:
        is_folder = typed_path(run).is_dir()
        name, _, which = (run, "", "") if is_folder else run.partition("/")
        found = runs.find(typed_path(name) if is_folder else name)
        made = found.profile()
        values = made.model_dump(mode="json", exclude_none=True)
        origin = made.student if made.student.model else made.teacher
        values["student"] = {
            "model": f"run:{found.id}/{which or 'last'}",
            "dtype": made.student.dtype,
            "device": made.student.device,
            "trust_remote_code": origin is not None and origin.trust_remote_code,
        }
    if teacher is not None:
        values["teacher"] = {"model": _from_here(teacher)}
    return profiles.from_values({**values, "method": {"name": "sft"}}, overrides)


@dataclass(frozen=True)
class Choice:
    """A model that answers, with its settings.

    name: what it is, in a few words.
    folder: from where relative paths in the profile are meant; None: from here.
    """

    profile: Profile
    name: str
    folder: Path | None = None


def choose(
    run: str | None = None,
    profile: str | None = None,
    model: str | None = None,
    teacher: str | None = None,
    overrides: Sequence[str] = (),
) -> Choice:
    """The student to ask: of a run, of a profile's newest run, a model; else the newest run's that is done,
    else the embedded demo's teacher.

    Raises:
        UsageError: more than one is named; an override that does not fit.
        RunError: there is no such run, or its student writes no SQL.
        ModelError: it has no student yet.
        ProfileError: there is no such profile.
    """
    given = {"--run": run, "--profile": profile, "--model": model}
    named = [option for option, value in given.items() if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} together", "name the student in one way")
    if model is not None:
        return Choice(profile_of(None, model, teacher, overrides), model)
    if run is not None:
        return _of_run(run, teacher, overrides)
    if profile is not None:
        name = profiles.load(profile).name
        found = [made for made in runs.all_runs() if _profile_name(made) == name and has_student(made)]
        if not found:
            mend = f"kid distill --profile {profile} makes one"
            raise RunError(f"no run of profile '{name}' has a student", mend)
        return _of_run(found[0].id, teacher, overrides)
    done = next((made for made in runs.all_runs() if _is_done(made)), None)
    return _of_run(done.id, teacher, overrides) if done else demo(teacher, overrides)


def _of_run(run: str, teacher: str | None, overrides: Sequence[str]) -> Choice:
    chosen = profile_of(run, None, teacher, overrides)
    spec = str(chosen.student.model).removeprefix("run:")
    run_student(spec)  # raises where there is none
    made = runs.find(spec.partition("/")[0])
    if text_task.is_text(chosen.data.train):
        raise RunError(
            f"the student of run {made.id} does not write SQL: it was trained on {chosen.data.train}",
            f"kid eval --run {made.id} scores it; name a run that was trained on SQL",
        )
    name = f"student of {spec.removesuffix('/last')}"
    return Choice(chosen, name, Path(made.info()["cwd"]))


def demo(teacher: str | None = None, overrides: Sequence[str] = ()) -> Choice:
    """The demo's teacher: no student ships, it is what `kid distill` makes."""
    profile = profiles.load("demo")
    assert profile.teacher
    replaced = {"student", "teacher"}
    values: dict[str, Any] = profile.model_dump(mode="json", exclude_none=True, exclude=replaced)
    values |= {"student": {"model": profile.teacher.model}, "method": {"name": "sft"}}
    if teacher is not None:
        values["teacher"] = {"model": _from_here(teacher)}
    return Choice(profiles.from_values(values, overrides), "the embedded demo's teacher (for demo/* alone)")


def _from_here(model: str) -> str:
    """A model's name; a path that is there is made whole, since a run's engine stands elsewhere."""
    path = typed_path(model)
    return str(path.absolute()) if path.exists() else model


def _is_done(run: Run) -> bool:
    try:
        if not has_student(run) or run.status()["state"] != "done":
            return False
        return not text_task.is_text(run.profile().data.train)
    except RunError:
        return False


def has_student(run: Run) -> bool:
    """Whether the run has made a student that can answer."""
    return (run.path / "student" / "last").is_dir()


def _profile_name(run: Run) -> str | None:
    try:
        return str(run.info()["profile"]["name"])
    except (RunError, KeyError, TypeError):
        return None
