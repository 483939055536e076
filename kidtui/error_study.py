"""What `kid study errors` does: the student's answers, the engine's study of them, report and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine import runs
from engine.data import text_task
from engine.errors import UsageError
from engine.evaluation.request import Request
from engine.models.locate import fingerprint, run_student
from engine.paths import typed_path
from engine.study import comparison, error_figures, saved
from engine.study.error_report import markdown
from kidtui import console, engine_job, scoring
from kidtui.scoring import Where
from kidtui.student import profile_of


def study_errors(
    which: str,
    *,
    data: str | None,
    limit: int | None,
    mask_ratio: float | None,
    databases: Path | None,
    data_dir: Path | None,
    folder: Path | None,
) -> dict[str, Any]:
    """Studies a run's student; writes report.json, report.md and figures. The report.

    Args:
        data, limit, mask_ratio: None = as the run has them.
        folder: where the files go; None = study/errors in the run's folder.

    Raises:
        RunError: there is no such run. ModelError: it has no student yet.
        UsageError: the run masks nothing, or learns a text task.
        KidError: as the engine says; a file cannot be written.
    """
    draws = saved.can_draw(asked=folder is not None)
    is_folder = typed_path(which).is_dir()
    run = runs.find(typed_path(which) if is_folder else which)
    run_student(f"run:{run.id}")
    made = run.profile()
    method = made.method if mask_ratio is None else made.method.model_copy(update={"mask_ratio": mask_ratio})
    if not method.mask_ratio:
        raise UsageError(f"run {run.id} masks nothing: its mask_ratio is 0", "give one: --mask-ratio 0.2")
    if texts := [name for name in (made.data.train, data or made.data.eval) if text_task.is_text(name)]:
        raise UsageError(f"{texts[0]} is a text task: only errors in SQL can be studied", "name another run")
    profile = profile_of(run.id, None, None, [])
    request = Request(
        profile=profile.model_dump(mode="json"),
        model=fingerprint(str(profile.student.model)),
        data="",
        fingerprint="",
        limit=made.eval.limit if limit is None else limit,
    )
    (task,) = scoring.from_model(request, Where([data] if data else [], data_dir, databases, None), [])
    assert task.folder is not None
    asked = {"folder": str(task.folder), "method": method.model_dump(mode="json"), "seed": made.train.seed}
    found = engine_job.do(
        ["study"],
        task.folder / "study.log",
        doing="studied the errors",
        when_stopped="stopped; the same command begins with the answers that there are",
        request=asked,
        reports=True,
    )
    report = {"run": run.id, **found["report"], "signatures": list(comparison.compare([run]).signatures)}
    target = folder or run.path / "study" / "errors"
    saved.save_report(target, report, markdown(report))
    if draws:
        error_figures.write(report, target)
    else:
        console.note("no figures: pip install 'kid-sql[figures]' draws them")
    console.note(f"written to {target}")
    return report
