"""The figures of a comparison: which there are, nothing cut, nothing covered, the same bytes each time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.errors import KidError
from engine.study import figures, looks, mask_figures, saved, score_figures, step_figures
from engine.study.comparison import compare
from engine.study.group import Group
from engine.study.placing import Point, place
from tests.fakes.finished import finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")

METHODS = ("sft", "seqkd", "fkd", "rkd", "f-distill", "imitkd", "gkd", "kid", "taid")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KID_HOME", str(tmp_path))
    return tmp_path


def measured(at: int) -> list[dict[str, Any]]:
    names = ("fkl", "rkl", "jsd", "tvd", "student_entropy", "teacher_entropy", "top1_agreement")
    return [{"kind": "divergences", "step": step, **dict.fromkeys(names, 1 / step + at / 100)}
            for step in (5, 10, 20)]  # fmt: skip


def groups_of(*each: tuple[str, ...], latencies: Sequence[float] = ()) -> tuple[Group, ...]:
    """One finished run for each method with its settings."""
    latencies = latencies or [1.0 + at * 0.9 for at in range(len(each))]
    runs = [
        finished(f"r{at}", method, sets=sets, correct=[True] * (24 + at) + [False] * (16 - at),
                 latency=latencies[at], errors={"value": 9 - at, "syntax": 3, "wrong_column": 2},
                 more=measured(at))
        for at, (method, *sets) in enumerate(each)
    ]  # fmt: skip
    return compare(runs).groups


def nine() -> tuple[Group, ...]:
    """Some close to each other, as shared prompts make them."""
    latencies = (0.52, 0.55, 1.05, 1.04, 3.1, 3.2, 6.2, 1.06, 1.05)
    return groups_of(*((name,) for name in METHODS), latencies=latencies)


def long_names() -> tuple[Group, ...]:
    words = ("method.rewrite=sample", "method.mle_context=gold", "method.temperature=0.75",
             f"method.mask_token=<|a$b$_{'quite_long_' * 6}|>")  # fmt: skip
    return groups_of(("kid", *words), ("kid", *words[:2], "method.mask_ratio=0.35"), ("rkd",))


def texts(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that is seen, with its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    unseen = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    found = [text for text in found if text not in unseen]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in found]


def cut(figure: Figure) -> list[str]:
    whole = figure.bbox
    return [
        text
        for text, box in texts(figure)
        if box.x0 < whole.x0 - 1 or box.y0 < whole.y0 - 1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1
    ]


def test_all_figures_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "save_figure", lambda figure, folder, name: [folder / name])
    each = enumerate(((0.1, "random"), (0.2, "random"), (0.2, "hard")))
    runs = [
        finished(f"r{at}", "kid", sets=[f"method.mask_ratio={ratio}", f"method.mask_strategy={kind}"],
                 more=measured(at))
        for at, (ratio, kind) in each
    ]  # fmt: skip
    written = figures.write(compare(runs), tmp_path / "made" / "here")
    assert [path.name for path in written] == [
        "score-against-latency", "score-against-steps", "alpha", "strategies", "error-classes", "divergences"
    ]  # fmt: skip
    assert (tmp_path / "made" / "here").is_dir()


def test_the_same_runs_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("against_latency", "error_classes"):
        monkeypatch.setattr(score_figures, name, lambda groups: None)
    monkeypatch.setattr(step_figures, "divergences", lambda groups: None)
    compared = compare([finished("a", "kid"), finished("b", "sft")])
    first = {path.name: path.read_bytes() for path in figures.write(compared, tmp_path / "1")}
    second = {path.name: path.read_bytes() for path in figures.write(compared, tmp_path / "2")}
    assert list(first) == ["score-against-steps.png", "score-against-steps.svg"]
    assert first == second
    assert first["score-against-steps.png"].startswith(b"\x89PNG")
    assert first["score-against-steps.svg"].startswith(b"<?xml")


def test_one_run_has_what_it_allows() -> None:
    one = groups_of(("kid",))
    assert score_figures.against_latency(one) is None
    assert mask_figures.alpha(one) is None
    assert mask_figures.strategies(one) is None
    assert step_figures.score(one) is not None


def test_without_scores_there_are_no_figures(tmp_path: Path) -> None:
    run = finished("a")
    for name in ("report.json", "events.1.jsonl", "predictions.jsonl"):
        (run.path / name).unlink()
    assert figures.write(compare([run]), tmp_path / "figures") == []


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(KidError, match="matplotlib") as caught:
        figures.write(compare([finished("a")]), tmp_path / "figures")
    assert "pip install 'kid-sql[figures]'" in caught.value.mend
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("draw", "groups"),
    [
        (score_figures.against_latency, nine),
        (score_figures.against_latency, long_names),
        (score_figures.error_classes, nine),
        (score_figures.error_classes, long_names),
        (step_figures.score, long_names),
        (step_figures.divergences, nine),
    ],
)
def test_nothing_is_cut(draw: Any, groups: Any) -> None:
    figure = draw(groups())
    assert figure is not None
    assert cut(figure) == []


def test_labels_of_points_cover_nothing() -> None:
    figure = score_figures.against_latency(nine())
    assert figure is not None
    boxes = {text: box for text, box in texts(figure) if text in METHODS}
    assert set(boxes) == set(METHODS)
    assert [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []
    axes = figure.axes[0]
    points = [line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(points) >= len(METHODS)
    for x, y in axes.transData.transform(points):
        assert not any(box.contains(x, y) for box in boxes.values())


def test_labels_of_points_in_one_place_are_apart() -> None:
    figure = saved.new_figure((6, 4))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    names = [f"label {at}" for at in range(4)]
    points = [Point(5 + at / 10, 5, name, 4.5, 5.5, "black") for at, name in enumerate(names)]
    assert place(axes, points, [(0, 5), (10, 5)])
    boxes = [box for text, box in texts(figure) if text in names]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    _, line = axes.transData.transform((5, 5))
    assert not any(box.y0 <= line <= box.y1 for box in boxes)
    crowd = [Point(5, 5, f"a long label {at}", 0, 10, "black") for at in range(60)]
    num_texts = len(axes.texts)
    assert not place(axes, crowd)
    assert len(axes.texts) == num_texts


def test_points_too_near_for_labels_have_a_legend() -> None:
    close = [
        finished(f"r{at}", "kid", latency=1.5, sets=[f"method.mask_ratio=0.{at:02}"]) for at in range(1, 15)
    ]
    figure = score_figures.against_latency(compare(close).groups)
    assert figure is not None
    assert cut(figure) == []
    words = [text for text, _ in texts(figure)]
    assert all(f"kid mask_ratio=0.{at:02}".rstrip("0") in words for at in range(1, 15))


def test_dominated_points_are_paler() -> None:
    worse = finished("b", "sft", correct=[True, False, False, False], latency=3.0)
    figure = score_figures.against_latency(compare([finished("a", "kid"), worse]).groups)
    assert figure is not None
    marks = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s")]
    assert [line.get_alpha() for line in marks] == [1.0, 0.45]


def test_alpha_has_a_line_for_each_strategy_and_error_bars() -> None:
    figure = mask_figures.alpha(
        groups_of(*(("kid", f"method.mask_ratio=0.{at}", f"method.mask_strategy={kind}")
                    for at in (1, 2, 3) for kind in ("random", "hard")), ("sft",))
    )  # fmt: skip
    assert figure is not None
    assert cut(figure) == []
    _, names = figure.axes[0].get_legend_handles_labels()
    assert names[0].startswith("sft (0.")
    assert sorted(names[1:]) == ["kid mask_strategy=hard", "kid mask_strategy=random"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.1", "0.2", "0.3"]
    lows = [bar.get_segments() for bar in figure.axes[0].collections]
    assert sum(map(len, lows)) == 6


def test_strategies_are_bars_from_zero() -> None:
    figure = mask_figures.strategies(
        groups_of(*(("kid", f"method.mask_strategy={kind}") for kind in ("easy", "random", "hard")))
    )
    assert figure is not None
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["random", "hard", "easy"]
    assert [round(bar.get_height(), 3) for bar in axes.patches] == [0.625, 0.65, 0.6]
    assert axes.get_ylim()[0] == 0


def test_error_classes_count_of_100_questions() -> None:
    figure = score_figures.error_classes(groups_of(("kid",), ("sft",)))
    assert figure is not None
    words = [text for text, _ in texts(figure)]
    assert {"before\ntraining", "kid", "sft", "wrong column", "22.5", "20.0", "7.5", "5.0"} <= set(words)


def test_recipes_look_different_also_without_colour() -> None:
    every = [looks.look(at) for at in range(70)]
    assert len({(one.colour, one.marker) for one in every}) == 70
    assert len({one.marker for one in every[:10]}) == 10
    bars = [looks.look(at).hatch for at in range(8)]
    assert len(set(bars)) == 8
