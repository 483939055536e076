"""`kid study` as a user types it: reports, files, an engine that fails or is interrupted, bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.evaluation.request import Folder
from engine.runs import Run
from engine.study import error_figures
from engine.study.error_distribution import GOLD, REAL, REAL_ALL, STRATEGIES, Seen, compare, count
from kidtui import answering, engine_job
from kidtui.watch import View
from tests.cli.conftest import Answer, wait_until
from tests.fakes.finished_run import made

Kid = Callable[..., Answer]

ENGINE = """
import json, os, sys, time
request = json.load(sys.stdin)
assert sys.argv[1] == "study" and request["method"]["mask_ratio"] and os.path.isdir(request["folder"])
print(json.dumps({"kind": "phase", "name": "masking and guessing", "done": 1, "total": 2}), flush=True)
%s
"""


def report() -> dict[str, Any]:
    seen = [Seen(*count([3], ["column"], 10), "value"), Seen(*count([9], ["table"], 10), "join")]
    return {
        "v": 1,
        "study": "errors",
        "student": "run:a/last",
        "data": "file:train.jsonl",
        "num_questions": 2,
        "num_left_out": 0,
        "num_wrong": 2,
        "mask_ratio": 0.2,
        "masked": {name: {"tokens": 4, "wrong": 2} for name in STRATEGIES},
        **compare(dict.fromkeys((*STRATEGIES, REAL, REAL_ALL, GOLD), seen), resamples=20),
    }


@pytest.fixture
def run(project: Path) -> Run:
    """A finished run on the project's questions, with a student of no weights."""
    data = {"train": "file:train.jsonl", "eval": "file:train.jsonl", "databases": "databases"}
    run = made("a", "rv", "vv", **{f"data__{key}": value for key, value in data.items()})
    (run.path / "student" / "last").mkdir(parents=True)
    (run.path / "run.json").write_text(json.dumps({**run.info(), "cwd": str(project)}))
    return run


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets another program stand for the engine; the student's answers are there already."""

    def answer(folders: Sequence[Folder]) -> None:
        lines = [{"index": at, "sql": "SELECT 1", "num_tokens": 2, "milliseconds": 1.0} for at in (0, 1)]
        folders[0].answers_file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    monkeypatch.setattr(answering, "answer", answer)

    def use(code: str) -> None:
        (tmp_path / "engine.py").write_text(ENGINE % code)
        command = [sys.executable, str(tmp_path / "engine.py")]
        monkeypatch.setattr(engine_job, "do", partial(engine_job.do, command=command))

    return use


def tells(value: dict[str, Any]) -> str:
    return f"print({json.dumps({'kind': 'report', 'report': value})!r})"


def test_errors_are_told_and_written(kid: Kid, run: Run, engine: Callable[[str], None]) -> None:
    engine(tells(report()))
    found = kid("study", "errors", "a")
    assert found.code == 0, found.err
    assert "distance from the real errors" in found.out
    assert "masking and guessing" in found.err
    folder = run.path / "study" / "errors"
    assert json.loads((folder / "report.json").read_text())["run"] == "a"
    assert (folder / "report.md").read_text().startswith("# a: artificial errors beside real ones")
    assert len(list(folder.glob("errors-*.png"))) == len(list(folder.glob("errors-*.svg"))) == 4


def test_errors_as_json_and_into_another_folder(
    kid: Kid, run: Run, engine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tells(report()))
    drawn: list[Path] = []
    monkeypatch.setattr(error_figures, "write", lambda report, folder: drawn.append(folder))
    found = kid("study", "errors", "a", "--json", "--figures", "here/there", "--limit", "1")
    assert found.code == 0, found.err
    assert json.loads(found.out)["overall"]["nearest"] in STRATEGIES
    assert (Path("here/there") / "report.md").is_file()
    assert drawn == [Path("here/there")]
    assert not (run.path / "study").exists()


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ('print(json.dumps({"kind": "error", "message": "no error", "mend": "ask more", "exit_code": 1}))',
         1, "error: no error"),
        ("raise ValueError('broken inside')", 1, "broken inside"),
        ("os.kill(os.getpid(), 9)", 1, "while it studied the errors"),
        ("os._exit(0)", 1, "while it studied the errors"),
    ],
)  # fmt: skip
def test_an_engine_that_fails_leaves_no_report(
    kid: Kid, run: Run, engine: Callable[[str], None], code: str, exit_code: int, message: str
) -> None:
    engine(code)
    found = kid("study", "errors", "a")
    assert (found.code, found.out) == (exit_code, "")
    assert message in found.err
    assert "Traceback (most recent call last)" not in found.err.split("\n")[0]
    assert not (run.path / "study").exists()


def test_interrupted_it_ends_the_engine(
    kid: Kid, run: Run, engine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine(f"open({str(tmp_path / 'part')!r}, 'w').write(str(os.getpid()));"
           f"os.rename({str(tmp_path / 'part')!r}, {str(tmp_path / 'pid')!r}); time.sleep(60)")  # fmt: skip

    class Interrupting:
        def show(self, view: View) -> None:
            wait_until((tmp_path / "pid").exists, "the engine's number")
            raise KeyboardInterrupt

    @contextmanager
    def display() -> Iterator[Interrupting]:
        yield Interrupting()

    monkeypatch.setattr(engine_job, "open_display", display)
    found = kid("study", "errors", "a")
    assert found.code == 130
    assert "stopped" in found.err
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert not (run.path / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["errors", "nobody"], 3, "there is no run 'nobody'"),
        (["errors", "bare"], 3, "run bare has no last student yet"),
        (["errors", "none"], 2, "run none masks nothing: its mask_ratio is 0"),
        (["errors", "text"], 2, "text:a.jsonl is a text task"),
        (["errors", "a", "--data", "demo/dve"], 3, "unknown data set 'demo/dve'"),
        (["errors", "a", "--data", "file:none.jsonl"], 3, "data set not found"),
        (["errors", "a", "--mask-ratio", "2"], 2, "--mask-ratio"),
        (["errors", "a", "--limit", "-1"], 2, "--limit"),
        (["repairs", "nobody"], 3, "there is no run 'nobody'"),
        (["sensitivity", "a"], 3, "differ in mask_ratio or mask_strategy alone"),
        (["grouping", "a"], 3, "differ in train.batching alone"),
        (["repairs", "bare"], 3, "no run has kept its answers"),
    ],
)
def test_bad_input_is_one_clear_message(
    kid: Kid, run: Run, arguments: list[str], code: int, message: str
) -> None:
    made("bare", "rv", method__mask_ratio=0.1)
    for name, keys in (
        ("none", {"method__mask_ratio": 0.0}),
        ("text", {"data__train": "text:a.jsonl", "data__eval": "text:a.jsonl"}),
    ):
        (made(name, "rv", **keys).path / "student" / "last").mkdir(parents=True)
    found = kid("study", *arguments)
    assert found.code == code, found.err
    errors = [line for line in found.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in found.err


def test_repairs_on_stdout_and_in_a_folder(kid: Kid, run: Run) -> None:
    found = kid("study", "repairs", "a", "--figures", "out")
    assert found.code == 0, found.err
    assert "50 % of 2" in found.out
    assert {path.name for path in Path("out").iterdir()} == {
        "report.json", "report.md", "repairs.png", "repairs.svg", "repairs-01-kid.png", "repairs-01-kid.svg",
    }  # fmt: skip
    assert json.loads(kid("study", "repairs", "a", "--json").out)["groups"][0]["num"] == 2


def test_sensitivity_and_grouping_write_figures(kid: Kid, run: Run) -> None:
    made("b", "rr", method__mask_ratio=0.4)
    made("c", "rv", method__mask_ratio=0.1)
    made("d", "vv", method__mask_ratio=0.1, train__batching="mixed")
    found = kid("study", "sensitivity", "b", "c", "--figures", "sensitivity")
    assert found.code == 0, found.err
    assert "mask_ratio" in found.out
    assert Path("sensitivity/sensitivity-alpha.png").is_file()
    found = kid("study", "grouping", "c", "d", "--figures", "grouping")
    assert found.code == 0, found.err
    assert "Grouped − mixed: +0.500 EX" in found.out
    assert Path("grouping/grouping.svg").is_file()
