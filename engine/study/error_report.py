"""The study of a student's errors for people: what is like what, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.study.error_distribution import STRATEGIES

_VIEWS = {
    "token_class": "token class",
    "position": "position in the answer",
    "error_class": "error of the SQL",
}
_SURE, _LIKELY = 0.95, 0.8


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {report['run']}: artificial errors beside real ones", "", *_what(report), ""]
    lines += [*verdicts(report), ""]
    lines += [*_distances(report), "", *_masked(report)]
    for view in _VIEWS:
        lines += ["", *_shares(view, report["dimensions"][view])]
    lines += ["", *_reading(report)]
    lines += [f"\n**Note:** {line}" for line in report["signatures"]]
    return "\n".join(lines) + "\n"


def verdicts(report: Mapping[str, Any]) -> list[str]:
    """In plain words: the nearest strategy and how sure that is, over all views and in each."""
    overall = report["overall"]
    lines = ["No strategy gave an error in every view: there is no nearest one over all of them.", ""]
    if (near := overall["nearest"]) is not None:
        lines = [
            f"Nearest to the real errors, over the three views together: **{near}** masks, mean distance "
            f"{overall['distances'][near]:.2f}; {_sureness(overall['certainty'], report['resamples'])}.",
            "",
            _claim(overall),
            "",
        ]
    for view, name in _VIEWS.items():
        part = report["dimensions"][view]
        if part["nearest"] is not None:
            value = part["distances"][part["nearest"]]["value"]
            lines.append(
                f"- By {name}: {part['nearest']} ({value:.2f}), {_share(part['certainty'])} of the resamples"
                f"{_chance(value, part['chance'])}."
            )
    return lines


def _sureness(certainty: float, resamples: int) -> str:
    word = "sure" if certainty >= _SURE else "likely" if certainty >= _LIKELY else "not sure"
    return f"{word}: it is the nearest in {_share(certainty)} of {resamples} resamples of the questions"


def _claim(overall: Mapping[str, Any]) -> str:
    claim = "The paper holds that errors from random masks look like those of inference."
    random = overall["won"]["random"]
    if overall["nearest"] == "random":
        sure = "" if random >= _LIKELY else ", but that is not sure"
        return f"{claim} Of the four strategies they are the nearest here, too{sure}."
    if 1 - random >= _LIKELY:
        return f"{claim} Here other masks come nearer, in {_share(1 - random)} of the resamples."
    return f"{claim} Here that is open: they are the nearest in {_share(random)} of the resamples."


def _chance(value: float, chance: float | None) -> str:
    """Whether the questions suffice to tell the two kinds of errors apart at all."""
    if chance is None:
        return ""
    if value <= chance:
        return f"; not told apart from the real errors (sampling alone gives up to {chance:.2f})"
    return f"; other than the real errors (sampling alone gives up to {chance:.2f})"


def _what(report: Mapping[str, Any]) -> Iterator[str]:
    left_out = report["num_left_out"]
    yield (
        f"{report['num_questions']} questions of {report['data']}, of which the student answers "
        f"{report['num_wrong']} wrong; {100 * report['mask_ratio']:.0f} % of the gold tokens masked."
        + (f" {left_out} more are left out: their gold answer is too long." if left_out else "")
    )


def _distances(report: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(
        ("distance from the real errors", *STRATEGIES, "every gold token", "by chance"),
        [
            (name, *(_distance(part["distances"].get(source)) for source in (*STRATEGIES, "gold")),
             "–" if part["chance"] is None else f"{part['chance']:.2f}")
            for view, name in _VIEWS.items()
            for part in [report["dimensions"][view]]
        ],
    )  # fmt: skip


def _masked(report: Mapping[str, Any]) -> Iterator[str]:
    masked = report["masked"]
    yield from _table(
        ("masks", *STRATEGIES),
        [
            ("tokens masked", *(str(masked[name]["tokens"]) for name in STRATEGIES)),
            ("of these guessed wrong", *(_ratio(masked[name]) for name in STRATEGIES)),
        ],
    )


def _shares(view: str, part: Mapping[str, Any]) -> Iterator[str]:
    shares = part["shares"]
    sources = ["inference", "inference_all", *STRATEGIES, *(["gold"] if "gold" in shares else [])]
    titles = {"inference": "wrong answers", "inference_all": "all answers", "gold": "every gold token"}
    if view == "error_class":
        sources.remove("inference_all")
    yield from _table(
        (f"errors by {_VIEWS[view]}", *(titles.get(source, source) for source in sources)),
        [
            (name, *(_share(shares[source][at]) if shares[source] else "–" for source in sources))
            for at, name in enumerate(part["names"])
        ]
        + [("**errors**", *(f"{part['counts'][source]:.0f}" for source in sources))],
    )


def _reading(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Distances are Jensen–Shannon distances to the base 2: 0 for equal distributions, 1 for those that "
        "have nothing in common; in brackets the 95 % bootstrap interval over the questions. "
        '"By chance": what two samples of the same errors would be apart, 95 % of the time at most. '
        '"Every gold token": as if every token were as often wrong as any other.'
    )


def _distance(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["value"] is None:
        return "–"
    return f"{cell['value']:.2f} ({cell['low']:.2f} to {cell['high']:.2f})"


def _ratio(counted: Mapping[str, int]) -> str:
    return _share(counted["wrong"] / counted["tokens"]) if counted["tokens"] else "–"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.1f} %"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| --- |{' ---: |' * (len(header) - 1)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
