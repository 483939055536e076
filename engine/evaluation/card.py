"""An evaluation as Markdown: figures, errors, comparison, and wrong predictions laid open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.markdown import in_table

_METRICS = {
    "ex": "EX",
    "test_suite": "TS",
    "exact_match": "exact match",
    "soft_f1": "soft F1",
    "ves": "VES",
    "r_ves": "R-VES",
    "executable": "runs without error",
    "ex_without_vacuous": "EX without vacuous items",
}
_POINTS = ("ves", "r_ves")  # of 100, not fractions
_RULES = {"spider": "Spider's rules", "bird": "BIRD's rules", "text": "a text task"}


def card(report: Mapping[str, Any], *, num_examples: int) -> str:
    """The report for people, with so many examples of each error class, as far as the report has them."""
    lines = [f"# {report['title']}", ""]
    for figures in report["sets"]:
        lines += _set(figures)
        for kind, them in figures["cases"].items():
            lines += _cases(f"{kind}: examples of {figures['name']}", them[:num_examples])
    if len(report["sets"]) > 1 and report["average"]:
        name = " and ".join(dict.fromkeys(map(_name_of_ex, report["sets"])))
        lines += [f"Average {name} over the {len(report['sets'])} sets: {_cell(report['average'])}", ""]
    several = len(report["sets"]) > 1
    lines += [
        f"**Note:** {figures['name'] + ': ' if several else ''}{note}"
        for figures in report["sets"]
        for note in figures["notes"]
    ]
    return "\n".join(lines).rstrip() + "\n"


def _set(figures: Mapping[str, Any]) -> Iterator[str]:
    count = f"{figures['num_counted']} items"
    if figures["gold_failed"]:
        count += f" ({figures['gold_failed']} more are not counted: their gold fails)"
    yield f"## {figures['name']}: {count}, {_RULES[figures['rules']]}"
    if figures["release"]:
        yield f"Release: {figures['release']}."
    yield ""
    if not figures["num_counted"]:
        return
    yield from _table(
        ("metric", "score", "95 % interval"),
        [
            (name, shown(figures[key], key), shown_interval(figures[key], key))
            for key, name in {**_METRICS, "ex": _name_of_ex(figures)}.items()
            if figures[key] and not (key == "ex_without_vacuous" and not figures["vacuous"])
        ],
    )
    yield ""
    if figures["by_difficulty"]:
        yield from _by_difficulty(figures["by_difficulty"])
        yield ""
    if figures["errors"]:
        wrong = sum(part["first"] for part in figures["errors"].values())
        yield from _table(
            (f"errors of {wrong} wrong items", "first cause", "among the causes"),
            [(kind, str(part["first"]), str(part["any"])) for kind, part in figures["errors"].items()],
        )
        yield ""
    if figures["answers"]["tokens"] is not None or figures["answers"]["ms"] is not None:
        yield f"An answer took {_cost(figures['answers'])}."
        yield ""
    if figures["exposure"]:
        yield from _exposure(figures["exposure"])
    if figures.get("against"):
        yield from _against(figures["against"], _name_of_ex(figures))


def _name_of_ex(figures: Mapping[str, Any]) -> str:
    return "exact match" if figures["metric"] == "exact_match" else _METRICS["ex"]


def _by_difficulty(levels: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    metrics = [key for key in _METRICS if any(cells.get(key) for cells in levels.values())]
    names = list(levels)
    yield from _table(
        ("difficulty", *names),
        [
            ("items", *(str(levels[name]["num"]) for name in names)),
            *(
                row
                for key in metrics
                for row in (
                    (_METRICS[key], *(shown(levels[name][key], key) for name in names)),
                    ("95 % interval", *(shown_interval(levels[name][key], key) for name in names)),
                )
            ),
        ],
    )


def _exposure(told: Mapping[str, Any]) -> Iterator[str]:
    """ExAccErr and its curve."""
    points = told["points"]
    yield from _table(
        (f"ExAccErr, {told['num_prompts']} prompts", *(f"l = {point['length']}" for point in points)),
        [
            (name, *(_percent(point[key]) for point in points))
            for key, name in (("value", "all prompts"), ("active", "those still going on"))
        ],
    )
    yield ""
    if told["interval"]:
        low, high = told["interval"]
        yield (
            f"At l = {told['headline_length']}: {_percent(told['headline'])}, "
            f"95 % interval {low:.1f} to {high:.1f} %."
        )
        yield ""


def _against(told: Mapping[str, Any], name_of_ex: str) -> Iterator[str]:
    low, high = told["difference"]["interval"]
    yield from _table(
        (
            f"{name_of_ex} on {told['num']} common items",
            "score",
            "95 % interval",
            "right where the other is wrong",
        ),
        [
            (name, shown(cell), shown_interval(cell), str(only))
            for name, cell, only in zip(
                told["names"], told["ex"], (told["only_first"], told["only_second"]), strict=True
            )
        ],
    )
    yield ""
    yield (
        f"Difference {told['difference']['value']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}; "
        f"McNemar p = {told['mcnemar_p']:.3g}, paired bootstrap p = {told['bootstrap_p']:.3g}."
    )
    yield ""


def _cases(heading: str, them: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if them:
        yield from (f"### {heading}", "")
    for case in them:
        yield f"Item {case['index']}, {case['db_id']}: {case['question']}".rstrip(": ")
        yield ""
        yield from _block("sql", [f"-- gold\n{case['gold']}", f"-- prediction\n{case['prediction']}"])
        if case["difference"]:
            yield from _block("diff", case["difference"])
        elif case["message"]:
            yield from (case["message"], "")
        for title, result in (("gold", case["gold_result"]), ("prediction", case["result"])):
            if not result["message"]:
                yield from _rows(title, result)


def _rows(title: str, result: Mapping[str, Any]) -> Iterator[str]:
    if not result["rows"]:
        yield f"Rows of the {title}: none"
    else:
        columns = [f"{title}: {column}" for column in result["columns"]]
        more = [["…"] * len(columns)] if result["more"] else []
        yield from _table(columns, [*result["rows"], *more], rule="---")
    yield ""


def _block(language: str, lines: Iterable[str]) -> Iterator[str]:
    """Fenced, with a fence that the text itself does not hold."""
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    yield from (f"{fence}{language}", text, fence, "")


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]], rule: str = "---:") -> Iterator[str]:
    """The first column to the left, the others, figures mostly, to the right."""
    yield "| " + " | ".join(map(in_table, headers)) + " |"
    yield "| --- |" + f" {rule} |" * (len(headers) - 1)
    for row in rows:
        yield "| " + " | ".join(map(in_table, row)) + " |"


def shown(cell: Mapping[str, Any] | None, key: str = "") -> str:
    """An accuracy in figures; key: its metric, where that may be counted in points."""
    if not cell:
        return "–"
    return f"{cell['value']:.2f}" if key in _POINTS else f"{cell['value']:.3f}"


def shown_interval(cell: Mapping[str, Any] | None, key: str = "") -> str:
    """The interval of an accuracy in figures."""
    if not cell:
        return "–"
    low, high = cell["interval"]
    return f"{low:.2f} to {high:.2f}" if key in _POINTS else f"{low:.3f} to {high:.3f}"


def _cell(cell: Mapping[str, Any]) -> str:
    return f"{shown(cell)} (95 % interval {shown_interval(cell)})"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1f} %"


def _cost(answers: Mapping[str, float | None]) -> str:
    parts = [
        f"{answers[key]:.1f} {unit}"
        for key, unit in (("tokens", "tokens"), ("ms", "ms"))
        if answers[key] is not None
    ]
    return " and ".join(parts)
