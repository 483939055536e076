"""What a run reached: report.json for programs, report.md for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine import files
from engine.data.benchmarks import DataSet
from engine.distill.checkpoint import Progress
from engine.evaluation.card import shown, shown_interval
from engine.evaluation.scorer import Scorer, Scores
from engine.evaluation.summary import metric
from engine.profile import Profile
from engine.runs import Run

_POOR_TEACHER = 0.10
_METRICS = {
    "execution_accuracy": ("Execution accuracy (EX)", "EX"),
    "exact_match": ("Exact match (white space around an answer aside)", "exact match"),
}
"""What a score is -> its full name and its short one."""


def write(
    run: Run,
    profile: Profile,
    scorer: Scorer,
    progress: Progress,
    parameters: Mapping[str, int],
    data: tuple[DataSet, DataSet],
) -> None:
    """Writes report.json and report.md into the run's directory."""
    results = scorer.results
    report = {
        "v": 1,
        "run": run.id,
        "profile": profile.name,
        "method": profile.method.model_dump(),
        "metric": metric(data[1].kind),
        "ex": {
            role: results[role].ex if role in results else None
            for role in ("teacher", "student_before", "student")
        },
        "best": {"ex": max(progress.best_ex, results["student"].ex), "step": _best_step(progress, results)},
        "num_questions": results["student"].num_questions,
        "steps": progress.step,
        "train_seconds": round(progress.train_seconds, 2),
        "parameters": dict(parameters),
        "scores": {role: scores.figures for role, scores in results.items()},
        "data": {
            part: {"name": entry.name, "num_examples": len(entry.examples), "fingerprint": entry.fingerprint}
            for part, entry in zip(("train", "eval"), data, strict=True)
        },
        "recorded": _recorded(profile, progress.step) if data[1].kind == "sql" else [],  # they are EX
        "warnings": _warnings(results, _METRICS[metric(data[1].kind)][1]),
    }
    files.write_json(run.path / "report.json", report)
    files.write_text(run.path / "report.md", markdown(report))


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    ex, scores = report["ex"], report["scores"]
    title, name_of_ex = _METRICS[report["metric"]]
    runs = report["metric"] == "execution_accuracy"  # a text is not run
    lines = [
        f"# {report['run']}: {report['method']['name']} on {report['data']['train']['name']}",
        "",
        f"{title} on {report['num_questions']} questions of {report['data']['eval']['name']}:",
        "",
        f"| model | parameters | {name_of_ex} | 95 % interval |"
        + " runs without error |" * runs
        + " ms per answer |",
        "| --- | ---: | ---: | ---: | ---: |" + " ---: |" * runs,
    ]
    for role, name in (
        ("teacher", "teacher"),
        ("student_before", "student before"),
        ("student", "**student after**"),
    ):
        if ex[role] is not None:
            size = report["parameters"]["teacher" if role == "teacher" else "student"]
            executable = f" {shown(scores[role]['executable'])} |" * runs
            lines.append(
                f"| {name} | {_millions(size)} | {ex[role]:.3f} | {shown_interval(scores[role]['ex'])} "
                f"|{executable} {scores[role]['answers']['ms']:.1f} |"
            )
    for entry in report["recorded"]:
        lines += [
            "",
            f"For comparison, recorded: {entry['label']} ({entry['steps']} steps) reached "
            f"EX {entry['ex']:.3f} with `{entry['command']}`.",
        ]
    lines.append("")
    if scores["student"]["by_difficulty"]:
        lines += [*_by_hardness(scores), ""]
    best = report["best"]
    if best["step"] != report["steps"]:
        lines += [f"The best student was seen at step {best['step']}: {name_of_ex} {best['ex']:.3f}.", ""]
    lines.append(
        f"Trained for {report['steps']} steps in {report['train_seconds']:.0f} s "
        f"on {report['data']['train']['num_examples']} examples."
    )
    lines += [f"\n**Note:** {warning}" for warning in report["warnings"]]
    return "\n".join(lines) + "\n"


def _by_hardness(scores: Mapping[str, Any]) -> list[str]:
    levels = list(scores["student"]["by_difficulty"])
    lines = [
        "| EX by difficulty | " + " | ".join(levels) + " |",
        "| --- |" + " ---: |" * len(levels),
    ]
    for role, told in scores.items():
        cells = [shown(told["by_difficulty"][level]["ex"]) for level in levels]
        lines.append(f"| {role.replace('_', ' ')} | " + " | ".join(cells) + " |")
    sizes = [str(scores["student"]["by_difficulty"][level]["num"]) for level in levels]
    lines.append("| questions | " + " | ".join(sizes) + " |")
    return lines


def _warnings(results: Mapping[str, Scores], name_of_ex: str) -> list[str]:
    found = []
    if teacher := results.get("teacher"):
        if teacher.ex < _POOR_TEACHER:
            found.append(
                f"the teacher's {name_of_ex} is {teacher.ex:.3f}: it has little to teach; "
                "tune it first with a -teacher profile"
            )
        if teacher.ex < results["student"].ex:
            found.append("the student is better than its teacher: distilling from a better one should pay")
    failed = results["student"].figures["gold_failed"]
    if failed:
        found.append(f"{failed} questions are not counted: their gold SQL failed")
    return found


def _recorded(profile: Profile, steps: int) -> Sequence[Mapping[str, Any]]:
    return [entry.model_dump() for entry in profile.recorded if entry.steps == steps]


def _best_step(progress: Progress, results: Mapping[str, Scores]) -> int:
    return progress.best_step if progress.best_ex >= results["student"].ex else progress.step


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M"
