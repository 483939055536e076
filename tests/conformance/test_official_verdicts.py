"""Our verdict on every item equals the official evaluator's, for real systems' predictions on Spider dev."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from engine.data.benchmarks import Example
from engine.evaluation.score import score
from engine.sql.hardness import hardness

SYSTEMS = ["chatgpt_zero_shot_spider", "codex_few_shot", "dail_sql_gpt4", "spider_official_example"]


@pytest.fixture(params=SYSTEMS)
def system(request, data_dir) -> Path:
    folder = data_dir.parent / "predictions" / request.param
    if not folder.is_dir():
        pytest.skip(f"needs the predictions of {request.param} beside KID_DATA_DIR")
    return folder


def examples(system: Path, databases: Path) -> list[Example]:
    """Each system is scored with its own gold file: `SQL<TAB>db_id` a line."""
    made = []
    for index, line in enumerate((system / "gold.sql").read_text().splitlines()):
        query, db_id = line.split("\t")
        db_id = db_id.strip()
        made.append(Example(index, db_id, "", query, databases / db_id / f"{db_id}.sqlite"))
    return made


def official(system: Path) -> list[dict[str, str]]:
    with (system / "official_per_item.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize(("keep_distinct", "column"), [(False, "exec"), (True, "exec_keep_distinct")])
def test_execution_accuracy(system, data_dir, keep_distinct, column):
    predictions = (system / "pred.sql").read_text().removesuffix("\n").split("\n")
    verdicts = score(
        examples(system, data_dir / "spider" / "database"), predictions, keep_distinct=keep_distinct
    )
    expected = [int(row[column]) for row in official(system)]
    assert len(expected) == 1034
    differing = [i for i, verdict in enumerate(verdicts) if int(verdict.correct) != expected[i]]
    assert differing == []


def test_hardness(system):
    golds = [line.split("\t")[0] for line in (system / "gold.sql").read_text().splitlines()]
    column = list(official(system)[0])[1]
    assert [hardness(gold) for gold in golds] == [row[column] for row in official(system)]
