"""Sweep files: what they say, what is wrong with them, the cells and profiles that they make."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engine import paths, profile
from engine.errors import KidError, ProfileError
from engine.study import sweep, sweep_file, sweep_tables
from engine.study.shared_scores import SharedScores, score_keys
from engine.study.sweep_file import Definition

SHIPPED = sorted(paths.shipped_sweeps().glob("*.toml"))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def defined(text: str, base: str | None = None, overrides: tuple[str, ...] = ()) -> Definition:
    Path("s.toml").write_text(text)
    return sweep_file.define(Path("s.toml"), base, overrides)


def made(text: str) -> sweep.Sweep:
    definition = defined(text)
    return sweep.create(definition, sweep_file.checked_cells(definition), ["kid"], None)


GRID = """
[grid]
method.mask_ratio = [0.1, 0.3]
train.seed = [0, 1]
"""
CELLS = """
[[cell]]
label = "plain"
method.name = "sft"
[[cell]]
method.name = "gkd"
method.divergence = "rkl"
[grid]
train.seed = [0, 1]
"""


# --- cells ---


def test_a_grid_is_all_combinations() -> None:
    cells = sweep_file.checked_cells(defined(GRID))
    assert [cell.label for cell in cells] == [
        "mask_ratio=0.1 seed=0", "mask_ratio=0.1 seed=1", "mask_ratio=0.3 seed=0", "mask_ratio=0.3 seed=1",
    ]  # fmt: skip
    assert cells[2].overrides == {"method.mask_ratio": 0.3, "train.seed": 0}


def test_cells_of_a_list_are_taken_with_each_combination_of_the_grid() -> None:
    definition = defined(CELLS)
    cells = sweep_file.checked_cells(definition)
    assert [cell.label for cell in cells] == [
        "plain seed=0", "plain seed=1", "gkd divergence=rkl seed=0", "gkd divergence=rkl seed=1",
    ]  # fmt: skip
    assert definition.num_cells == 4
    chosen = sweep_file.profile_of(definition.base, cells[3].overrides, "")
    assert (chosen.method.name, chosen.method.divergence, chosen.train.seed) == ("gkd", "rkl", 1)


def test_a_grid_of_many_cells_is_counted_not_built() -> None:
    numbers = list(range(1000))
    definition = defined(
        f"[grid]\ntrain.seed = {numbers}\ntrain.threads = {numbers}\neval.probes = {numbers}"
    )
    begun = time.monotonic()
    assert definition.num_cells == 10**9
    assert len(list(islice(definition.cells(), 3))) == 3
    with pytest.raises(ProfileError, match="1,000,000,000 cells"):
        sweep_file.checked_cells(definition)
    assert time.monotonic() - begun < 1


def test_what_comes_on_top_of_what() -> None:
    text = """
        set.train.epochs = 3
        set.eval.limit = 30
        budget.max_steps = 7
        warm_start.steps = 9
        [profiles.demo]
        set.eval.limit = 20
        budget.max_steps = 5
        [grid]
        train.seed = [4]
    """
    Path("profiles").mkdir()
    Path("profiles/mine.toml").write_text('extends = "demo"\n')
    Path("profiles/other.toml").write_text('student.model = "./m"\nmethod.name = "sft"\n')
    shown = {
        base: (values["train"]["epochs"], values["eval"]["limit"], values["train"]["max_steps"])
        for base in ("demo", "mine", "other")
        if (values := defined(text, base).base)
    }
    assert shown == {"demo": (3, 20, 5), "mine": (3, 20, 5), "other": (3, 30, 7)}
    assert defined(text).warm_steps == 9
    assert defined(text, overrides=("train.max_steps=2",)).base["train"]["max_steps"] == 2
    assert defined(text).base["recorded"] == []


def test_a_budget_in_seconds_is_not_ended_by_steps() -> None:
    chosen = sweep_file.profile_of(defined(f"budget.seconds = 45\n{GRID}").base, {}, "")
    assert (chosen.train.max_seconds, chosen.train.max_steps) == (45, 0)
    assert chosen.train.epochs >= 100


def test_a_budget_in_steps_is_not_ended_by_time() -> None:
    text = f"budget.seconds = 45\n[profiles.demo]\nbudget.max_steps = 5\n{GRID}"
    chosen = sweep_file.profile_of(defined(text).base, {}, "")
    assert (chosen.train.max_seconds, chosen.train.max_steps) == (0, 5)


# --- what is wrong ---


@pytest.mark.parametrize(
    ("text", "message", "mend"),
    [
        ("budgett.max_steps = 4", "unknown key 'budgett'", "did you mean 'budget'?"),
        ("budget.max_step = 4", "unknown key 'budget.max_step'", "did you mean 'budget.max_steps'?"),
        ("budget.max_steps = -1", "budget.max_steps = -1 must be at least 0", "budget.max_steps: Optimizer"),
        ("budget = {max_steps = 1, seconds = 2}", "both max_steps and seconds", "remove one"),
        ("jobs = 0", "jobs = 0 must be at least 1", "jobs: Cells"),
        ("", "the grid is empty", "give [grid] lists"),
        ("[grid]\ntrain.seed = []", "the grid is empty", "give it values"),
        ("[grid]\ntrain.seed = 3", "train.seed must be a list", "for example [3]"),
        ("[grid]\ntrain.sed = [3]", "grid: unknown key 'train.sed'", "did you mean 'train.seed'?"),
        ("set.mask_ratio = 1", "set: unknown key 'mask_ratio'", "did you mean 'method.mask_ratio'?"),
        ("[[cell]]\nlabel = 3", "cell 1: label must be", "for example"),
        ('[[cell]]\nlabel = "a"\nseed = 3', "cell a: unknown key 'seed'", "did you mean 'train.seed'?"),
        ('[grid]\nmethod.name = ["kid", "gdk"]', "cell 'gdk': method.name = \"gdk\" must be", "'gkd'?"),
        ("[grid]\ntrain.seed = [1, 1]", "cell 'seed=1' is there twice", "a label of its own"),
        ("[search]\nspace.train.seed = 3", "neither a range nor a list", "low = 0.1"),
        ("[search]\nspace.train.seed = {low = 3, high = 3}", "from 3 to 3", "low must be less"),
        ("[search]\nspace.method.mask_ratio = {low = 0.1, high = 2.0}", "mask_ratio = 2.0 must be", ""),
        ("[search]\nspace.method.mask_ration = [0.1]", "search.space: unknown key", "mask_ratio'?"),
        ("[search]\nspace.train.seed = [1]\n[grid]\ntrain.seed = [1]", "in place of grid", "remove one"),
        ("[grid", "not valid TOML", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_mend(text: str, message: str, mend: str) -> None:
    has_cells = text == "" or any(word in text for word in ("[grid", "[[cell", "[search"))
    with pytest.raises(ProfileError) as caught:
        sweep_file.checked_cells(defined(text if has_cells else f"{text}\n[grid]\ntrain.seed = [0]"))
    assert "s.toml" in caught.value.message
    assert message in caught.value.message
    assert mend in caught.value.mend


def test_all_cells_are_checked_and_the_first_few_named() -> None:
    with pytest.raises(ProfileError) as caught:
        sweep_file.checked_cells(defined("[grid]\nmethod.mask_ratio = [0.1, 2, 3, 4, 5, 6, 7, 8]"))
    lines = caught.value.message.splitlines()
    assert "cell 'mask_ratio=2'" in lines[0]
    assert lines[-1].strip() == "and 2 more cells"


@pytest.mark.parametrize("key", ["train.seed=3", "method.mask_ratio=0.2"])
def test_what_the_sweep_varies_cannot_be_set(key: str) -> None:
    with pytest.raises(ProfileError, match="the grid says it"):
        defined(GRID, overrides=(key,))
    with pytest.raises(ProfileError, match="cell 'plain' says it"):
        defined(CELLS, overrides=("method.name=kid",))


def test_names_are_looked_up_here_first() -> None:
    with pytest.raises(ProfileError, match="there is no sweep 'alfa'") as caught:
        sweep_file.find("alfa")
    assert caught.value.mend == "did you mean 'alpha'?"
    assert sweep_file.find("alpha") == paths.shipped_sweeps() / "alpha.toml"
    Path("profiles/sweeps").mkdir(parents=True)
    Path("profiles/sweeps/alpha.toml").write_text(GRID)
    assert sweep_file.find("alpha") == Path("profiles/sweeps/alpha.toml")
    Path("sweeps").mkdir()
    Path("sweeps/alpha.toml").write_text(GRID)
    assert sweep_file.find("alpha") == Path("sweeps/alpha.toml")
    with pytest.raises(KidError, match="there is no sweep file"):
        sweep_file.find("./beta.toml")


# --- the shipped ones ---


def test_sweeps_are_no_profiles() -> None:
    assert SHIPPED
    assert not {path.stem for path in SHIPPED} & {file.name for file in profile.available()}


@pytest.mark.parametrize("base", [None, "demo"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_cells_of_a_shipped_sweep_differ_in_what_they_vary_alone(path: Path, base: str | None) -> None:
    definition = sweep_file.define(path, base)
    cells = sweep_file.checked_cells(definition)
    assert 4 <= len(cells) <= 12
    assert sweep_tables.read(path).description
    seen = set()
    for cell in cells:
        told = sweep_file.profile_of(definition.base, cell.overrides, "").model_dump()
        told.pop("method")
        for key in definition.grid:
            table, _, name = key.partition(".")
            told.get(table, {}).pop(name, None)
        seen.add(repr(told))
        assert all(key.startswith("method.") or key in definition.grid for key in cell.overrides)
    assert len(seen) == 1, "same seed, data order, steps"
    if base == "demo":
        train = sweep_file.profile_of(definition.base, {}, "").train
        assert 0 < train.max_steps <= 250 or 0 < train.max_seconds <= 60


# --- on disk ---


def test_a_warm_start_is_made_once_for_each_student_and_seed() -> None:
    one = made(f"warm_start.steps = 9\nset.method.name = 'gkd'\n{GRID}")
    assert [entry.overrides for entry in one.warm_starts] == [{"train.seed": 0}, {"train.seed": 1}]
    assert [cell.warm for cell in one.cells] == [0, 1, 0, 1]
    warm, chosen = one.profile(one.warm_starts[1]), one.profile(one.cells[1])
    assert (warm.method.name, warm.train.max_steps, warm.train.seed) == ("sft", 9, 1)
    codegen = made(f'profile = "codegen-350m"\nwarm_start.steps = 9\n{GRID}')
    assert codegen.profile(codegen.warm_starts[0]).method.mask_token == "____"
    assert (chosen.student.model, chosen.student.keep_layers) == (f"run:{one.warm_starts[1].run}", None)
    assert chosen.train.max_steps == 300, "the warm start counts for nobody"
    assert one.plain_profile(one.cells[1]).student.keep_layers == [0, 1, 3, 5]


def test_a_sweep_is_read_as_it_was_written() -> None:
    one = made(f"warm_start.steps = 9\n{GRID}")
    assert sweep.find(one.id[:-1]) == one
    assert not one.finished
    assert sweep.ids() == [one.id]
    with pytest.raises(KidError, match="there is no sweep 'nothing'"):
        sweep.find("nothing")
    (one.path / "sweep.json").write_text("{")
    with pytest.raises(KidError, match="cannot read"):
        sweep.find(one.id)


def test_the_same_definition_has_the_same_fingerprint() -> None:
    first, again, other = made(GRID), made(GRID), made(f"budget.max_steps = 3\n{GRID}")
    assert first.id != again.id
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_one_process_works_on_a_sweep() -> None:
    one = made(GRID)
    assert not sweep.is_locked(one)
    with sweep.locked(one):
        assert sweep.is_locked(one)
        with pytest.raises(KidError, match="being worked on by another process"), sweep.locked(one):
            pass
    assert not sweep.is_locked(one)


# --- scores before training ---


def keys(**overrides: Any) -> dict[str, str]:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return score_keys(sweep_file.profile_of(defined(GRID).base, dotted, ""))


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        ({"method__name": "gkd", "train__max_steps": 3, "eval__every": 9, "data__train": "other"},
         {"teacher", "student_before"}),
        ({"train__seed": 1}, {"teacher"}),
        ({"student__keep_layers": [0, 1]}, {"teacher"}),
        ({"teacher__adapter": "a"}, set()),
        ({"eval__limit": 3}, set()),
        ({"data__eval": "spider/dev"}, set()),
        ({"data__max_prompt_tokens": 400}, set()),
    ],
)  # fmt: skip
def test_scores_are_shared_where_they_are_the_same(overrides: dict[str, Any], same: set[str]) -> None:
    plain, other = keys(), keys(**overrides)
    assert {role for role in ("teacher", "student_before") if plain[role] == other[role]} == same
    assert keys(eval__before=False) == {}


def test_scores_are_copied_once_they_are_there(tmp_path: Path) -> None:
    from engine.runs import Run

    runs = [Run(name, tmp_path / name) for name in ("a", "b", "c")]
    for run in runs:
        run.path.mkdir()
    scores, wanted = SharedScores(), {"teacher": "k"}
    assert not scores.awaited(wanted, "a")
    scores.hand(wanted, runs[0])
    assert scores.awaited(wanted, "b")
    assert not scores.awaited(wanted, "a")
    scores.withdraw(runs[0])  # it ended before it had scored
    assert not scores.awaited(wanted, "b")
    scores.hand(wanted, runs[1])
    (runs[1].path / "scores-teacher.json").write_text("{}")
    scores.withdraw(runs[1])
    scores.hand(wanted, runs[2])
    assert (runs[2].path / "scores-teacher.json").read_text() == "{}"


def test_a_warm_starts_last_answers_are_the_answers_before(tmp_path: Path) -> None:
    from engine.runs import Run

    warm, run = Run("warm", tmp_path / "warm"), Run("run", tmp_path / "run")
    for made in (warm, run):
        made.path.mkdir()
    (warm.path / "scores-student.json").write_text("{}")
    (warm.path / "predictions.jsonl").write_text("[]\n")
    scores = SharedScores()
    scores.offer("k", warm, "student")
    scores.hand({"student_before": "k"}, run)
    assert (run.path / "scores-student_before.json").read_text() == "{}"
    assert (run.path / "predictions-before.jsonl").read_text() == "[]\n"
