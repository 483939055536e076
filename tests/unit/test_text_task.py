"""Text tasks without a model: how they are read, refused, cut, judged and told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import profile, runs
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.data.check import check
from engine.data.text_task import TextPrompter, context_name, require_one_kind
from engine.errors import DataError, RunError, UsageError
from engine.evaluation.answers import Answer, read_answers
from engine.evaluation.assess import Task, assess
from engine.evaluation.card import card
from engine.evaluation.evaluate import Options, evaluate
from engine.evaluation.request import Request
from engine.evaluation.summary import summarise
from engine.settings import Data
from engine.sql.execute import Executor
from kidtui import launch, scoring, student
from kidtui.widgets.eval_pane import summary

AGES = "Ann: 31\nBo: 27"
ITEMS = [
    {"context": AGES, "prompt": "Bo = ", "completion": "27"},
    {"prompt": "1 + 1 = ", "completion": " 2 ;\n"},
    {"context": AGES, "prompt": "Ann = ", "completion": "31"},
    {"context": None, "prompt": "a list:", "completion": "a\nb  c"},
]


def write(folder: Path, items: Sequence[Any], name: str = "task.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(item) + "\n" for item in items))
    return f"text:{file}"


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return benchmarks.load(write(tmp_path, ITEMS))


def test_items_are_read_to_the_letter_and_grouped_by_context(data: DataSet) -> None:
    assert data.kind == "text"
    assert [example.query for example in data.examples] == ["27", " 2 ;\n", "31", "a\nb  c"]
    assert [example.question for example in data.examples] == ["Bo = ", "1 + 1 = ", "Ann = ", "a list:"]
    ages, none = context_name(AGES), "no-context"
    assert [example.db_id for example in data.examples] == [ages, none, ages, none]
    assert data.contexts == {ages: AGES, none: ""}
    assert all(str(example.database) == example.db_id for example in data.examples)


def test_a_json_list_and_csv_are_the_same_set(tmp_path: Path, data: DataSet) -> None:
    whole = tmp_path / "task.json"
    whole.write_text(json.dumps(ITEMS))
    table = tmp_path / "task.csv"
    cells = ["prompt,context,completion", f'"Bo = ","{AGES}",27', '"1 + 1 = ",," 2 ;\n"',
             f'"Ann = ","{AGES}",31', 'a list:,,"a\nb  c"']  # fmt: skip
    table.write_text("\n".join(cells) + "\n")
    for file in (whole, table):
        other = benchmarks.load(f"text:{file}")
        assert (list(other.examples), other.fingerprint) == (list(data.examples), data.fingerprint)


def test_another_completion_is_another_fingerprint(tmp_path: Path, data: DataSet) -> None:
    changed = [{**ITEMS[0], "completion": "28"}, *ITEMS[1:]]
    assert benchmarks.load(write(tmp_path, changed)).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "p"}', "line 2: no completion"),
        ('{"completion": "c"}', "line 2: no prompt"),
        ('{"prompt": "p", "completion": " \\n"}', "line 2: completion is not a text, or empty"),
        ('{"prompt": "p", "completion": 3}', "line 2: completion is not a text, or empty"),
        ('{"prompt": "", "completion": "c"}', "line 2: prompt is not a text, or empty"),
        ('{"prompt": "p", "completion": "c", "context": 1}', "line 2: context is not a text"),
        ('{"prompt": "p", "completion": "\\ud800"}', "line 2: a text is not valid Unicode"),
        ('{"db_id": "d", "question": "q", "query": "SELECT 1"}', "line 2: an item with a db_id"),
        ('["p", "c"]', "line 2: not an object"),
        ('{"prompt": ', "line 2: not JSON"),
    ],
)
def test_a_bad_item_is_refused_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{json.dumps(ITEMS[0])}\n{line}\n")
    with pytest.raises(DataError) as caught:
        benchmarks.load(f"text:{file}")
    assert caught.value.message.startswith(f"{file}, {message}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.jsonl", "\n", "is empty"),
        ("e.json", "[]", "is empty"),
        ("e.csv", "a,b\n1,2\n", "no column prompt"),
    ],
)
def test_a_file_without_items_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        benchmarks.load(f"text:{tmp_path / name}")
    with pytest.raises(DataError, match="no file"):
        benchmarks.load(f"text:{tmp_path / 'other'}")


def test_a_set_of_texts_named_as_sql_is_told_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        benchmarks.load(write(tmp_path, ITEMS).replace("text:", "file:"))
    assert "text:PATH" in caught.value.mend


def test_a_run_learns_one_kind(tmp_path: Path, data: DataSet) -> None:
    sql = DataSet("demo/dev", (), "f", {})
    with pytest.raises(DataError, match=r"is a text task, data\.eval = demo/dev is SQL"):
        require_one_kind(data, sql, Data())
    with pytest.raises(DataError, match="corrections are SQL"):
        require_one_kind(data, data, Data(corrections="mine.jsonl"))
    require_one_kind(data, data, Data())
    made = profile.load("demo", [f"data.train={write(tmp_path, ITEMS)}", "data.eval=demo/dev"])
    with pytest.raises(DataError, match="text task"):
        launch.create(made, ["kid"], None)
    assert runs.all_runs() == []


class Notes(list[tuple[str, str]]):
    def __call__(self, name: Path, what: str) -> None:
        self.append((name.name, what))


def prompter(context: str, notes: Notes, head: str = "", tail: str = "") -> TextPrompter:
    """Characters are tokens: room for 20 of them, 8 of which no context takes."""
    made = TextPrompter(lambda text: [ord(each) for each in text], 20, 8, head, tail, notes)
    made.add({"c": context})
    return made


def text(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


@pytest.mark.parametrize(
    ("context", "prefix", "suffix", "cut"),
    [
        ("", "", "abcdefghijklmnopqrst", []),
        ("xy", "xy\n", "abcdefghijklmnopqrst"[3:], ["the start of some prompts"]),
        ("xy\n", "xy\n", "abcdefghijklmnopqrst"[3:], ["the start of some prompts"]),
        (
            "0123456789ABCDEF",
            "0123456789A\n",
            "mnopqrst",
            ["the end of the context", "the start of some prompts"],
        ),
    ],
)
def test_what_is_too_long_is_cut_and_said(context: str, prefix: str, suffix: str, cut: list[str]) -> None:
    notes = Notes()
    made = prompter(context, notes, "<", ">")
    found = text(made.suffix(Path("c"), "abcdefghijklmnopqrst"))
    assert (text(made.prefix(Path("c"))), found) == (f"<{prefix}", f"{suffix}>")
    assert list(dict.fromkeys(notes)) == [("c", what) for what in cut]


def test_a_prompt_without_tokens_is_refused() -> None:
    made = TextPrompter(lambda text: [], 20, 8, "", "", Notes())
    made.add({"c": ""})
    with pytest.raises(DataError, match="no token for the prompt"):
        made.suffix(Path("c"), "\u200b")


class NoSql(Executor):
    def run(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a text is not run")


def judge(data: DataSet, *texts: str) -> Any:
    return evaluate(data, [Answer(text) for text in texts], Options(), NoSql(1))


def test_exact_match_but_for_white_space_around(data: DataSet) -> None:
    scored = judge(data, "27\n", "2 ;", "31.", "a\nb c")
    assert [item.ex for item in scored.items] == [True, True, False, False]
    told = summarise(scored)
    assert (told["rules"], told["metric"], told["num_counted"]) == ("text", "exact_match", 4)
    assert told["ex"]["value"] == 0.5
    assert told["ex"]["interval"][0] < 0.5 < told["ex"]["interval"][1]
    assert (told["by_difficulty"], told["errors"], told["executable"], told["exact_match"]) == (
        {},
        {},
        None,
        None,
    )
    assert told["vacuous"] == told["gold_failed"] == 0


def test_sql_that_is_a_completion_is_compared_as_text(tmp_path: Path) -> None:
    item = {"prompt": "p", "completion": "SELECT 1"}
    scored = judge(benchmarks.load(write(tmp_path, [item])), "select 1")
    assert [item.ex for item in scored.items] == [False]
    assert scored.items[0].error_class == ""


def test_rules_of_sql_are_refused(data: DataSet) -> None:
    with pytest.raises(UsageError, match="scored by exact match"):
        evaluate(data, [Answer("27")], Options(rules="bird"), NoSql(1))


def test_a_file_of_predictions_against_another(tmp_path: Path, data: DataSet) -> None:
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    right = [json.dumps({"index": e.index, "completion": e.query}) for e in data.examples]
    ours.write_text("\n".join(right))
    theirs.write_text("\n".join([*right[:3], json.dumps({"index": 3, "sql": "select x"})]))
    task = Task(
        data, read_answers(ours).answers, "ours", {"file": "ours.jsonl"}, against=read_answers(theirs)
    )
    report = assess([task], Options(), jobs=1).report
    told = card(report, num_examples=3)
    assert "4 items, a text task" in told
    assert "| exact match | 1.000 | 1.000 to 1.000 |" in told
    assert "| exact match on 4 common items |" in told
    assert report["sets"][0]["against"]["ex"][1]["value"] == 0.75
    for word in ("EX", "difficulty", "runs without error"):
        assert word not in told


def test_check_finds_items_that_contradict_each_other(tmp_path: Path, data: DataSet) -> None:
    spec = write(
        tmp_path,
        [*ITEMS, {"prompt": "1 + 1 = ", "completion": "3"}, {**ITEMS[0], "context": "x"}],
        "two.jsonl",
    )
    report = check(spec)
    assert (report.kind, report.num_examples, report.num_databases, report.num_problems) == ("text", 6, 3, 0)
    (finding,) = report.findings
    assert (finding.kind, finding.index, finding.subject) == ("several", 4, "no-context")
    assert finding.message == "'3'; item 1 has ' 2 ;\\n'"
    assert check(data.name).findings == []


def test_such_a_student_is_not_asked_for_sql(tmp_path: Path) -> None:
    spec = write(tmp_path, ITEMS)
    made = profile.load("demo", [f"data.train={spec}", f"data.eval={spec}"])
    run = runs.create(made, ["kid"])
    (run.path / "student" / "last").mkdir(parents=True)
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps({**status, "state": "done"}))
    assert student.has_student(run)
    assert run.status()["state"] == "done"
    with pytest.raises(RunError) as caught:
        student.choose(run=run.id)
    assert "does not write SQL" in caught.value.message
    assert f"kid eval --run {run.id}" in caught.value.mend
    assert "embedded demo" in student.choose().name  # and not the newest run's


def test_golds_of_sql_and_votes_are_refused(tmp_path: Path, data: DataSet) -> None:
    where = scoring.Where([data.name], None, None, tmp_path / "gold.sql")
    with pytest.raises(UsageError, match="--gold"):
        where.judged_by(data)
    asked = student.profile_of(None, "./model", None, []).model_dump(mode="json")
    request = Request(asked, model="", data="", fingerprint="", decode="vote")
    with pytest.raises(UsageError, match="--decode vote"):
        scoring.from_model(request, replace(where, gold=None), [])


def test_the_monitor_shows_no_difficulties() -> None:
    event = {"split": "student", "metric": "exact_match", "ex": 0.5, "by_hardness": {}, "errors": {}}
    assert summary([event]).plain.split("\n") == ["EX  student 0.500"]
