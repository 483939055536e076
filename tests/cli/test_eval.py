"""`kid eval` as a user types it: files, golds, reports, bad input; models that answer first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import paths, profile, runs
from engine.errors import UsageError
from kidtui import student
from tests.cli.conftest import Answer, finish, wait_until

Kid = Callable[..., Answer]
RIGHT = "SELECT count(*) FROM animal"
TEACHER = "package:engine/data/demo/teacher"


@pytest.fixture
def score(project: Path, kid: Kid) -> Callable[..., Answer]:
    """Score these predictions on the project's two questions: score("SELECT 1\\n…", "--json")."""

    def run(content: str, *options: str) -> Answer:
        Path("pred.sql").write_text(content)
        return kid("eval", "--predictions", "pred.sql", "--data", "file:train.jsonl",
                   "--databases", "databases", *options)  # fmt: skip

    return run


def test_a_file_is_scored(score: Callable[..., Answer]) -> None:
    found = score(f"{RIGHT}\nSELECT name FROM animal\n")
    assert found.code == 0
    assert "EX" in found.out
    assert "0.500" in found.out
    assert "select_columns" in found.out
    report = json.loads(score(f"{RIGHT}\nSELECT name FROM animal\n", "--json").out)
    assert report["ex"] == 0.5
    assert report["sets"][0]["origin"]["file"] == "pred.sql"
    assert len(report["sets"][0]["origin"]["sha256"]) == len(report["sets"][0]["fingerprint"]) == 64
    assert {"git", "versions", "machine"} <= set(report)


def test_the_same_words_on_a_terminal_and_in_a_pipe_and_in_files(score: Callable[..., Answer]) -> None:
    found = score(
        f"{RIGHT}\nSELECT nme FROM animal\n",
        "--items",
        "items.tsv",
        "--report",
        "report.md",
        "--examples",
        "1",
    )
    assert found.code == 0
    report = Path("report.md").read_text()
    assert "did you mean animal.name?" in report
    assert "did you mean animal.name?" in found.out
    rows = [line.split("\t") for line in Path("items.tsv").read_text().splitlines()]
    assert [row[:5] for row in rows] == [
        ["index", "db_id", "difficulty", "ex", "error_class"],
        ["0", "zoo", "easy", "1", ""],
        ["1", "zoo", "easy", "0", "unknown_column"],
    ]
    assert score(RIGHT, "--report", "report.json").code == 1
    assert json.loads(Path("report.json").read_text())["ex"] == 0.5


def test_two_files_are_compared(score: Callable[..., Answer]) -> None:
    Path("other.sql").write_text(f"SELECT 3\n{RIGHT}\n")
    found = json.loads(score(f"{RIGHT}\n{RIGHT}\n", "--against", "other.sql", "--json").out)
    told = found["sets"][0]["against"]
    assert (told["only_first"], told["only_second"], told["difference"]["value"]) == (1, 0, 0.5)
    assert told["names"] == ["pred.sql", "other.sql"]


def test_golds_of_a_file(score: Callable[..., Answer]) -> None:
    Path("gold.sql").write_text("SELECT 1\tzoo\nSELECT 2\tzoo\n")
    assert json.loads(score("SELECT 1\nSELECT 1\n", "--gold", "gold.sql", "--json").out)["ex"] == 0.5


def test_several_sets_are_averaged(project: Path, kid: Kid) -> None:
    Path("pred.sql").write_text(f"{RIGHT}\n{RIGHT}\n")
    Path("half.sql").write_text(f"{RIGHT}\nSELECT 0\n")
    Path("other.jsonl").write_text(Path("train.jsonl").read_text())
    found = kid("eval", "--predictions", "pred.sql", "--predictions", "half.sql",
                "--data", "file:train.jsonl", "--data", "file:other.jsonl", "--databases", "databases",
                "--items", "items.tsv")  # fmt: skip
    assert found.code == 0, found.err
    assert "Average EX over the 2 sets: 0.750" in found.out
    rows = [line.split("\t") for line in Path("items.tsv").read_text().splitlines()]
    assert [row[-1] for row in rows] == ["data", *["file:train.jsonl"] * 2, *["file:other.jsonl"] * 2]


@pytest.mark.parametrize(
    ("content", "options", "code", "message"),
    [
        (RIGHT, [], 1, "1 predictions for the 2 questions"),
        (f"{RIGHT}\n" * 3, [], 1, "3 predictions for the 2 questions"),
        ("", [], 3, "pred.sql is empty: no predictions"),
        (f"{RIGHT}\n{RIGHT}\tfarm\n", [], 1, "1 predictions of pred.sql are for another database"),
        (f"{RIGHT}\n" * 2, ["--gold", "none.sql"], 3, "cannot read the golds none.sql"),
        (f"{RIGHT}\n" * 2, ["--data", "file:train.jsonl"], 2, "1 --predictions and 2 --data"),
        (f"{RIGHT}\n" * 2, ["--run", "x"], 2, "--predictions and --run together"),
        (f"{RIGHT}\n" * 2, ["--report", "x.pdf"], 2, "--report x.pdf: neither .md nor .json"),
        (f"{RIGHT}\n" * 2, ["--items", "no/where.tsv"], 3, "cannot write no/where.tsv"),
        (f"{RIGHT}\n" * 2, ["--timeout", "0"], 2, "--timeout"),
        (f"{RIGHT}\n" * 2, ["--against", "none.sql"], 3, "cannot read the predictions none.sql"),
        (f"{RIGHT}\n" * 2, ["--test-suite", "none"], 3, "no folder none"),
    ],
)
def test_bad_input_is_one_clear_message(
    score: Callable[..., Answer], content: str, options: list[str], code: int, message: str
) -> None:
    found = score(content, *options)
    assert found.code == code, found.err
    errors = [line for line in found.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in found.err


def test_partial_results_are_kept(score: Callable[..., Answer]) -> None:
    found = score(RIGHT, "--items", "items.tsv", "--json")
    assert (found.code, json.loads(found.out)["ex"]) == (1, 0.5)
    assert len(Path("items.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize("content", [None, b"junk"])
def test_a_database_that_is_missing_or_broken_costs_its_items_alone(
    score: Callable[..., Answer], content: bytes | None
) -> None:
    Path("gold.sql").write_text(f"{RIGHT}\tzoo\n{RIGHT}\tfarm\n")
    if content:
        Path("databases/farm.sqlite").write_bytes(content)
    found = score(f"{RIGHT}\n" * 2, "--gold", "gold.sql", "--json")
    assert found.code == 3
    assert "1 items are not counted, their database cannot be read" in found.err
    assert "farm" in found.err
    assert json.loads(found.out)["sets"][0]["num_counted"] == 1


def test_nothing_to_score(kid: Kid) -> None:
    found = kid("eval")
    assert (found.code, found.out) == (2, "")
    assert "give one of --predictions FILE, --run RUN and --model M" in found.err
    assert kid("eval", "--run", "nobody").code == 3
    assert kid("eval", "--model", "./nowhere", "--data", "demo/dev").code == 3


def _answers() -> Path:
    (folder,) = paths.evaluations_dir().iterdir()
    return folder / "answers.jsonl"


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_model_answers_once(kid: Kid) -> None:
    ask = ("eval", "--model", TEACHER, "--data", "demo/dev", "--limit", "12", "--json")
    first = kid(*ask)
    assert first.code == 0, first.err
    report = json.loads(first.out)
    figures = report["sets"][0]
    assert figures["num_questions"] == 12
    assert figures["answers"]["tokens"] > 5
    assert figures["answers"]["ms"] > 0
    assert report["ex"] > 0.5
    begun = time.perf_counter()
    again = json.loads(kid(*ask).out)
    assert time.perf_counter() - begun < 3  # no model was loaded
    assert again["sets"][0]["answers"] == figures["answers"]
    assert (_answers().parent / "report.md").read_text().startswith(f"# {TEACHER} on demo/dev")


def test_a_killed_evaluation_goes_on_where_it_was(project: Path) -> None:
    command = [
        *(str(Path(sys.executable).with_name("kid")), "eval", "--model", TEACHER, "--data", "demo/dev"),
        *("--limit", "60", "--set", "eval.batch_size=2", "--set", "train.threads=1", "--json"),
    ]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(
        lambda: any(_lines(path / "answers.jsonl") for path in paths.evaluations_dir().glob("*")),
        "the first answers",
        60,
    )
    os.kill(first.pid, signal.SIGINT)
    stopped = finish(first)
    assert stopped.code == 130
    assert "goes on" in stopped.err
    kept = _lines(_answers())
    assert 0 < len(kept) < 60
    with _answers().open("a") as file:
        file.write('{"index": 3, "sql": "SEL')  # what a kill in the middle of a write leaves
    done = finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), 120)
    assert done.code == 0, done.err
    answers = _lines(_answers())
    assert answers[: len(kept)] == kept
    assert len({answer["index"] for answer in answers}) == len(answers) == 60
    assert json.loads(done.out)["sets"][0]["num_questions"] == 60


@pytest.mark.slow
def test_a_model_that_has_changed_answers_anew(kid: Kid, project: Path) -> None:
    shutil.copytree(paths.demo_source() / "teacher", "model")
    ask = ("eval", "--model", "./model", "--data", "demo/dev", "--limit", "8", "--json")
    assert json.loads(kid(*ask).out)["ex"] > 0.5
    from safetensors.torch import load_file, save_file

    weights = load_file("model/model.safetensors")
    save_file(
        {name: tensor * 0 for name, tensor in weights.items()}, "model/model.safetensors", {"format": "pt"}
    )
    assert json.loads(kid(*ask).out)["ex"] == 0.0


def test_a_run_is_scored_on_what_it_was_scored_on_wherever_one_stands(
    project: Path, kid: Kid, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.create(profile.load("tiny"), ["kid", "distill"])
    (run.path / "student" / "last").mkdir(parents=True)
    (run.path / "student" / "last" / "config.json").write_text("{}")
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    found = kid("eval", "--run", run.id)  # the questions are found; the student is no model
    assert f"scoring on file:{project / 'train.jsonl'}" in found.err
    assert found.code == 3
    assert f"model run:{run.id}/last cannot be read" in found.err


def test_exaccerr_takes_a_teacher(kid: Kid) -> None:
    found = kid("eval", "--model", TEACHER, "--exposure", "5")
    assert found.code == 2
    assert "ExAccErr is measured against a teacher, and there is none" in found.err


def test_a_score_is_shown_before_a_file_that_cannot_be_written_is_told(score: Callable[..., Answer]) -> None:
    found = score(f"{RIGHT}\n" * 2, "--items", "no/where.tsv", "--json")
    assert (found.code, json.loads(found.out)["ex"]) == (3, 1.0)


def test_a_runs_student_answers_with_the_runs_own_settings(project: Path) -> None:
    run = runs.create(profile.load("tiny", ["data.max_prompt_tokens=333"]), ["kid", "distill"])
    made = student.profile_of(f"{run.id}/best", None, "./teacher", ["eval.batch_size=3"])
    assert (made.student.model, made.teacher and made.teacher.model) == (f"run:{run.id}/best", "./teacher")
    assert (made.data.max_prompt_tokens, made.eval.batch_size) == (333, 3)
    assert student.profile_of(run.id, None, None, []).student.model == f"run:{run.id}/last"
    assert student.profile_of(str(run.path), None, None, []).student.model == f"run:{run.id}/last"
    with pytest.raises(UsageError, match="batch_sise"):
        student.profile_of(run.id, None, None, ["eval.batch_sise=3"])
