"""Figures of what KID masks: EX by mask_ratio (α) and by mask_strategy, with the other methods as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.study.group import Group, metric
from engine.study.labels import labels
from engine.study.looks import GREY, finish, legend_below, look, plain
from engine.study.saved import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATIO: Final = "method.mask_ratio"
_STRATEGY: Final = "method.mask_strategy"
_STRATEGIES: Final = ("random", "uniform", "hard", "easy")
_BEHIND: Final = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
_DASHES: Final = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 3)))


def alpha(groups: Sequence[Group]) -> Figure | None:
    """EX by mask_ratio, a line for each recipe that is otherwise the same."""
    families = _families(groups, _RATIO)
    if not families:
        return None
    figure = new_figure((7.2, 4.6))
    axes = figure.add_subplot()
    ratios = sorted({float(value) for family in families.values() for value in family})
    span = ratios[-1] - ratios[0]
    for index, (name, family) in enumerate(families.items()):
        # A little to the side, so that the error bars of two lines are seen.
        shift = (index - (len(families) - 1) / 2) * span * 0.012
        values = sorted(family, key=float)
        _error_bars(axes, index, name, [float(value) + shift for value in values],
                    [family[value] for value in values])  # fmt: skip
    _others(axes, groups)
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.set_xlabel("share of the answer's tokens that is masked, mask_ratio (α)")
    axes.set_ylabel(f"{metric(groups)}, with 95 % interval")
    axes.set_title("Sensitivity to the mask ratio", loc="left")
    axes.margins(x=0.06, y=0.12)
    finish(axes)
    legend_below(figure, axes)
    return figure


def strategies(groups: Sequence[Group]) -> Figure | None:
    """EX by mask_strategy: bars, one beside the other for recipes that are otherwise the same."""
    families = _families(groups, _STRATEGY)
    if not families:
        return None
    found = {value for family in families.values() for value in family}
    names = [name for name in _STRATEGIES if name in found]
    width = 0.8 / len(families)
    figure = new_figure((max(6.4, 1.2 + 0.45 * len(families) * len(names)), 4.6))
    axes = figure.add_subplot()
    for index, (name, family) in enumerate(families.items()):
        own = look(index)
        shift = (index - (len(families) - 1) / 2) * width
        here = [(place + shift, family[value]) for place, value in enumerate(names) if value in family]
        xs, scores = [x for x, _ in here], [group.score for _, group in here if group.score]
        heights = [score.value for score in scores]
        errors = [
            [score.value - score.low for score in scores],
            [score.high - score.value for score in scores],
        ]
        axes.bar(xs, heights, width * 0.92, yerr=errors, color=f"{own.colour}66", edgecolor=own.colour,
                 hatch=own.hatch, linewidth=1.2, error_kw={"capsize": 4, "elinewidth": 1.4},
                 label=plain(name))  # fmt: skip
        for x, score in zip(xs, scores, strict=True):
            axes.annotate(f"{score.value:.3f}", (x, score.high), (0, 5), textcoords="offset points",
                          ha="center", fontsize=9, bbox=_BEHIND)  # fmt: skip
    _others(axes, groups)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("which tokens are masked, mask_strategy")
    axes.set_ylabel(f"{metric(groups)}, with 95 % interval")
    axes.set_title("Masking strategies", loc="left")
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)
    finish(axes, grid="y")
    legend_below(figure, axes)
    return figure


def _families(groups: Sequence[Group], key: str) -> Mapping[str, Mapping[str, Group]]:
    """Name -> value of the key -> group, of KID's recipes that differ in that key alone, if in any."""
    found: dict[tuple[tuple[str, str], ...], dict[str, Group]] = {}
    for group in groups:
        settings = dict(group.first.recipe)
        if group.method == "kid" and group.score and key in settings:
            value = settings.pop(key)
            found.setdefault(tuple(settings.items()), {}).setdefault(value, group)
    families = [family for family in found.values() if len(family) > 1]
    firsts = [next(iter(family.values())) for family in families]
    names = labels([group.first.settings for group in firsts], [group.label for group in firsts])
    return {
        _without(name, key.partition(".")[2]): family for name, family in zip(names, families, strict=True)
    }


def _without(name: str, key: str) -> str:
    """A label that does not tell the key."""
    return " ".join(word for word in name.split(" ") if not word.startswith(f"{key}="))


def _error_bars(axes: Axes, index: int, name: str, xs: Sequence[float], groups: Sequence[Group]) -> None:
    scores = [group.score for group in groups if group.score]
    values = [score.value for score in scores]
    errors = [[score.value - score.low for score in scores], [score.high - score.value for score in scores]]
    axes.errorbar(xs, values, errors, capsize=3, elinewidth=1.1, linewidth=1.6, label=plain(name),
                  **look(index).of_line)  # fmt: skip


def _others(axes: Axes, groups: Sequence[Group]) -> None:
    """Other methods as lines across: SFT and RKD, which KID is with nothing masked, then the best."""
    others = [(group, group.score.value) for group in groups if group.method != "kid" and group.score]
    others.sort(key=lambda each: (each[0].method not in ("sft", "rkd"), -each[1]))
    for index, (group, value) in enumerate(others[: len(_DASHES)]):
        axes.axhline(value, color=GREY if index % 2 else "black", linewidth=1.1, linestyle=_DASHES[index],
                     label=f"{plain(group.label)} ({value:.3f})")  # fmt: skip
