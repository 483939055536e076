"""Events folded into what a screen shows, and told in words."""

from __future__ import annotations

from typing import Any

import pytest

from kidtui import narrate
from kidtui.watch import Progress, View, fold_all


def event(kind: str, generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "kind": kind, "time": 0.0, "generation": generation, **fields}


START = event("run_start", profile="tiny", total_steps=10, parameters={"student": 5})


def test_a_run_from_start_to_end() -> None:
    view = fold_all(View(), [event("phase", name="loading", done=0, total=0)])
    assert (view.progress, view.end) == (Progress("loading"), None)
    view = fold_all(view, [START, event("step", step=3, loss=1.5)])
    assert view.progress == Progress("training", 3, 10)
    view = fold_all(view, [event("phase", name="scoring the student", done=1, total=4)])
    assert view.progress == Progress("scoring the student", 1, 4)
    assert view.step["loss"] == 1.5
    view = fold_all(view, [event("warning", message="poor"), event("run_end", state="done")])
    assert view.warnings == ("poor",)
    assert view.end is not None


def test_unknown_kinds_and_missing_fields_change_nothing_that_is_shown() -> None:
    begun = fold_all(View(), [START])
    assert fold_all(begun, [event("from the future", step=9)]) == begun
    bare = fold_all(
        begun, [event(kind) for kind in ("phase", "step", "eval", "probe", "rewrite", "checkpoint")]
    )
    assert bare.end is None
    assert bare.progress == Progress("training", 0, 10)


def test_a_resumed_run_is_no_longer_ended() -> None:
    view = fold_all(View(), [START, event("step", step=4), event("run_end", state="stopped")])
    view = fold_all(view, [event("phase", 2, name="loading")])
    assert (view.generation, view.end, view.progress.name) == (2, None, "loading")


@pytest.mark.parametrize("kind", ["eval", "probe"])
def test_what_a_resumed_run_scores_again_counts_once(kind: str) -> None:
    first = [event(kind, step=2, split="student", ex=0.1), event(kind, step=4, split="student", ex=0.2)]
    again = event(kind, 2, step=4, split="student", ex=0.3)
    other = event(kind, 2, step=4, split="teacher", ex=0.9)
    view = fold_all(View(), [*first, again, other])
    assert (view.evals if kind == "eval" else view.probes) == (first[0], again, other)


def test_what_compares_a_method_is_told_in_a_line() -> None:
    timed = event("reference", step=1200, plain_sft_ms=500.2, sft_ms=120.4, method_ms=185.0)
    assert narrate.event(timed) == (
        "a step of the same batch at step 1 200: this method 185 ms, shared-prefix SFT 120 ms,"
        " plain SFT 500 ms (0.37 × plain SFT)"
    )
    untimed = narrate.event(event("reference", step=1, plain_sft_ms=0, sft_ms=None, method_ms="?"))
    assert (
        untimed
        == "a step of the same batch at step 1: this method – ms, shared-prefix SFT – ms, plain SFT 0 ms"
    )
    apart = event("divergences", step=50, fkl=0.1, rkl=0.25, jsd=0.04, tvd=0.2, student_entropy=1.5,
                  teacher_entropy=0.75, top1_agreement=0.875)  # fmt: skip
    assert narrate.event(apart) == (
        "divergences at step 50: FKL 0.100  RKL 0.250  JSD 0.040  TVD 0.200  student's entropy 1.500"
        "  teacher's entropy 0.750  top-1 agreement 0.875"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (3599.7, "1h 00m"),
        (7500, "2h 05m"),
        (None, "–"),
        (-3, "0s"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert narrate.duration(seconds) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loss": 1.0, "loss_kd": 0.25, "loss_mle": 0.75}, "loss 1.000 (kd 0.250, mle 0.750)"),
        ({"loss": 1.0, "loss_kd": None, "loss_mle": 1.0}, "loss 1.000"),
        ({"loss": None}, "loss –"),
    ],
)
def test_loss_in_its_parts(fields: dict[str, Any], words: str) -> None:
    assert narrate.loss(fields) == words


def test_every_kind_can_be_told_without_its_fields() -> None:
    kinds = ("run_start", "phase", "step", "eval", "checkpoint", "warning", "run_end")
    assert all(narrate.event(event(kind)) for kind in kinds)
    assert narrate.event(event("from the future")) is None
