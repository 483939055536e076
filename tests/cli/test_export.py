"""`kid export` as a user types it: what it prints, what it refuses, what is left when it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.models import push
from engine.runs import Run
from kidtui import launch
from kidtui.commands import export
from tests.cli.conftest import Answer
from tests.fakes.finished import finished, write

Kid = Callable[..., Answer]

ENGINE = """
import json, pathlib, sys
request = json.load(sys.stdin)
assert sys.argv[1] == "export", sys.argv
folder = pathlib.Path(request["folder"])
assert not list(folder.iterdir())
print(json.dumps({"kind": "phase", "name": "writing", "done": 1, "total": 2}), flush=True)
(folder / "model").write_text("weights")
(folder / "example.json").write_text(json.dumps({"made_by": "kid export", "request": request}))
%s
"""
REPORT = {
    "run": "a", "which": "last", "format": "hf", "type": "f32", "parameters": 1000, "checked": 5, "same": 5,
    "cuts_alike": True, "files": {"model": 7}, "bytes": 7,
}  # fmt: skip


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a fake engine in place: it writes something, then does as it is told."""

    def put(then: str = "", **changes: Any) -> None:
        told = {"kind": "report", "report": {**REPORT, **changes}}
        script = ENGINE % (then or f"print({json.dumps(told)!r})")
        monkeypatch.setattr(launch, "ENGINE_COMMAND", (sys.executable, "-c", script))

    put()
    return put


@pytest.fixture
def run(project: Path) -> Run:
    made = finished("a")
    (made.path / "student" / "last").mkdir(parents=True)
    return made


def left(project: Path) -> set[str]:
    """What lies in the project, hidden things too."""
    return {path.name for path in project.iterdir()} - {"profiles", "databases", "train.jsonl"}


def test_a_folder_and_its_path(kid: Kid, run: Run, engine: object, project: Path) -> None:
    done = kid("export", "a", "out/mine", "--which", "last", "--type", "f16", "--data-dir", "d")
    assert (done.code, done.out) == (0, f"{project}/out/mine\n")
    assert "it answers 5 of 5 questions" in done.err
    assert "note:" not in done.err
    assert {path.name for path in (project / "out").iterdir()} == {"mine"}
    request = json.loads((project / "out" / "mine" / "example.json").read_text())["request"]
    assert (request["run"], request["type"], request["data_dir"]) == ("a", "f16", f"{project}/d")
    assert (project / "out" / "mine").stat().st_mode & 0o777 == 0o755


def test_json(kid: Kid, run: Run, engine: object, project: Path) -> None:
    told = json.loads(kid("export", "a", "out", "--json").out)
    assert told == {"path": f"{project}/out", **REPORT, "pushed": None}


def test_what_llama_cpp_cannot_read_is_said(kid: Kid, run: Run, engine: Callable[..., None]) -> None:
    engine(cuts_alike=False, format="gguf", same=4)
    done = kid("export", "a", "out", "--format", "gguf")
    assert done.code == 0
    assert "4 of 5" in done.err
    assert "--format hf is exact" in done.err


def test_nothing_is_overwritten(kid: Kid, run: Run, engine: object, project: Path) -> None:
    (project / "mine").mkdir()
    assert kid("export", "a", "mine").code == 0  # an empty folder may be there
    (project / "mine" / "old").write_text("")
    again = kid("export", "a", "mine")
    assert (again.code, again.out) == (2, "")
    assert "has an export already\n  --force replaces it" in again.err
    assert (project / "mine" / "old").exists()
    assert kid("export", "a", "mine", "--force").code == 0
    assert not (project / "mine" / "old").exists()
    for there in ("databases", "train.jsonl"):
        refused = kid("export", "a", there, "--force")
        assert refused.code == 2, there
        assert f"{there} is " in refused.err
    assert (project / "databases" / "zoo.sqlite").exists()
    assert left(project) == {"mine"}


@pytest.mark.parametrize(
    ("then", "code", "said"),
    [
        ('print(json.dumps({"kind": "error", "message": "the disk is full", "mend": "", "exit_code": 1}))',
         1, "error: the disk is full"),
        ("sys.exit('lost my mind')", 1, "lost my mind"),
    ],
)  # fmt: skip
def test_a_failure_leaves_nothing(
    kid: Kid, run: Run, engine: Callable[..., None], project: Path, then: str, code: int, said: str
) -> None:
    engine(then)
    done = kid("export", "a", "out")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert left(project) == set()


def test_an_interrupt_leaves_what_was_there(
    kid: Kid, run: Run, engine: object, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        assert left(project) != {"out"}  # the new folder is under way
        raise KeyboardInterrupt

    assert kid("export", "a", "out").code == 0
    monkeypatch.setattr(export, "_engine", interrupted)
    assert kid("export", "a", "out", "--force").code == 130
    assert left(project) == {"out"}
    assert (project / "out" / "example.json").exists()


def test_runs_without_a_finished_student(kid: Kid, run: Run, engine: object, project: Path) -> None:
    for arguments, code, said in (
        (["nope", "out"], 3, "there is no run 'nope'"),
        (["a", "out", "--which", "best"], 3, "no best student"),
        ([str(project), "out"], 3, "is not a run directory"),
    ):
        done = kid("export", *arguments)
        assert (done.code, done.out) == (code, ""), arguments
        assert said in done.err
    (run.path / "report.json").unlink()
    write(run, "status.json", {**run.status(), "state": "stopped"})
    done = kid("export", "a", "out")
    assert done.code == 3
    assert "run a is stopped: it has no finished student\n  kid distill --resume a goes on" in done.err
    assert left(project) == set()


def test_a_run_elsewhere(kid: Kid, run: Run, engine: object, project: Path) -> None:
    moved = run.path.rename(project / "a")
    done = kid("export", str(moved), "out")
    assert done.code == 3
    assert "is not in the runs folder" in done.err


def test_options_that_do_not_fit(kid: Kid, run: Run, engine: object, project: Path) -> None:
    for arguments, said in (
        (["--public"], "--public without --push"),
        (["--format", "gguf", "--type", "bf16"], "choose f16 or f32"),
        (["--push", "nobody"], "'nobody' is no name of a repository"),
    ):
        done = kid("export", "a", "out", *arguments)
        assert done.code == 2, arguments
        assert said in done.err
    assert left(project) == set()


def test_pushing(kid: Kid, run: Run, engine: object, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[tuple[Path, str, bool]] = []

    def fake(folder: Path, repository: str, *, public: bool) -> str:
        assert (folder / "model").exists()
        pushed.append((folder, repository, public))
        return f"https://hub/{repository}"

    monkeypatch.setattr(push, "require_pushable", lambda repository: None)
    monkeypatch.setattr(push, "push", fake)
    done = kid("export", "a", "out", "--push", "me/mine", "--json")
    assert json.loads(done.out)["pushed"] == "https://hub/me/mine"
    assert "(private)" in done.err
    assert kid("export", "a", "out2", "--push", "me/mine", "--public").code == 0
    assert pushed == [(project / "out", "me/mine", False), (project / "out2", "me/mine", True)]
