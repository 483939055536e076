"""`kid compare`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Answer
from tests.fakes.finished import finished

Kid = Callable[..., Answer]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KID_HOME", str(tmp_path / "home"))
    return tmp_path


def test_table_on_stdout_in_a_hundred_columns(kid: Kid) -> None:
    finished("one", "kid", correct=[True] * 9 + [False])
    finished("two", "sft", correct=[True] * 7 + [False] * 3, latency=0.5)
    told = kid("compare", "one", "tw")
    assert (told.code, told.err) == (0, "")
    lines = told.out.split("\n")
    assert "  kid     0.900    0.800–1.000         –" in lines
    assert any(line.startswith("  sft           0.50×      1.00×") for line in lines)
    assert "Paired test: kid against sft: +0.200 EX on the same 10 questions" in told.out
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in told.out
    assert "**" not in told.out


def test_long_lines_are_broken_between_words(kid: Kid) -> None:
    for at in range(3):
        finished(
            f"r{at}", "kid", sets=[f"method.mask_ratio=0.{at + 1}", f"method.mask_token=<|{'long' * 9}{at}|>"]
        )
    told = kid("compare", "r0", "r1", "r2")
    assert max(map(len, told.out.split("\n"))) <= 100
    assert "- A kid mask_ratio=0.1" in told.out
    assert "95 %" in told.out
    assert "\0" not in told.out


def test_json(kid: Kid) -> None:
    finished("one", "kid")
    finished("two", "sft")
    told = kid("compare", "one", "two", "--json")
    assert (told.code, told.err) == (0, "")
    found = json.loads(told.out)
    assert [run["id"] for run in found["runs"]] == ["one", "two"]
    assert found["runs"][0]["latency"] == 2.0


def test_single_runs_of_seeds_on_demand(kid: Kid) -> None:
    for seed in (0, 1):
        finished(f"r{seed}", "kid", sets=[f"train.seed={seed}"])
    assert "seed 1" not in kid("compare", "r0", "r1").out
    assert "  · seed 1  0.750" in kid("compare", "r0", "r1", "--runs").out


def test_a_directory_anywhere_is_a_run(kid: Kid, tmp_path: Path) -> None:
    finished("one", "kid").path.rename(tmp_path / "moved")
    assert "  kid" in kid("compare", str(tmp_path / "moved")).out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "nothing to compare"),
        (("gone",), 3, "there is no run 'gone'"),
        (("one", "onf"), 3, "did you mean 'one'?"),
        (("one", "--plots", "--json"), 2, "--plots draws for people"),
        (("--sweep", "gone"), 3, "there is no sweep 'gone'"),
    ],
)
def test_bad_input_is_one_message(kid: Kid, arguments: tuple[str, ...], code: int, words: str) -> None:
    finished("one")
    told = kid("compare", *arguments)
    assert (told.code, told.out) == (code, "")
    assert words in told.err
    assert len(told.err.strip().split("\n")) <= 2


def test_a_damaged_run_is_shown_with_what_is_wrong(kid: Kid) -> None:
    finished("one", "kid")
    (finished("two").path / "run.json").write_text("[]")
    told = kid("compare", "one", "two")
    assert told.code == 0
    assert "- two: cannot read" in told.out
    assert "damaged" in told.out


def test_text_from_disk_drives_no_terminal(kid: Kid) -> None:
    run = finished("one", "kid")
    info = json.loads((run.path / "run.json").read_text())
    info["profile"]["method"]["mask_token"] = "\x1b[31m|*[b]"
    (run.path / "run.json").write_text(json.dumps(info))
    finished("two", "kid")
    told = kid("compare", "one", "two")
    assert "\x1b" not in told.out
    assert "kid mask_token=\\x1b[31m|*[b]" in told.out


def test_plots(kid: Kid) -> None:
    finished("one", "kid", correct=[True] * 9 + [False])
    finished("two", "sft", latency=0.5)
    told = kid("compare", "one", "two", "--plots")
    assert "EX against the time of a training step" in told.out
    assert "EX against steps" in told.out
    assert "  A    2.00 × plain SFT  EX 0.900  kid" in told.out
    assert "  B EX 0.750 at step 20  sft" in told.out
    canvas = (
        told.out.partition("EX against the time of a training step")[2]
        .partition("  A    2.00 ×")[0]
        .split("\n")
    )
    assert all(len(line) <= 100 for line in canvas)
    row_of = {letter: next(at for at, line in enumerate(canvas) if letter in line) for letter in "AB"}
    column_of = {letter: canvas[row_of[letter]].index(letter) for letter in "AB"}
    assert row_of["A"] < row_of["B"]  # better is higher
    assert column_of["B"] < column_of["A"]  # faster is further left


def test_nothing_to_plot_is_said(kid: Kid) -> None:
    finished("one", latency=None, curve={}).events_path(1).unlink()
    told = kid("compare", "one", "--plots")
    assert told.code == 0
    assert "nothing to plot" in told.err


def test_figures(kid: Kid, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    finished("one", "kid", errors={}, curve={})
    finished("two", "sft", errors={}, curve={})
    told = kid("compare", "one", "two", "--figures", str(tmp_path / "made"))
    assert told.code == 0
    assert "score-against-latency" in told.err
    assert (tmp_path / "made" / "score-against-latency.png").is_file()
    assert (tmp_path / "made" / "score-against-latency.svg").is_file()


def test_the_folder_of_figures_cannot_be_made(kid: Kid, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    finished("one")
    (tmp_path / "file").write_text("")
    told = kid("compare", "one", "--figures", str(tmp_path / "file" / "under"))
    assert told.code == 3
    assert "cannot write" in told.err
