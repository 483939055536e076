"""What `kid eval` does: gather answers from files or from a model, judge them, show and write the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine import files, runs
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.errors import DataError, UsageError
from engine.evaluation.answers import AnswerFile, read_answers
from engine.evaluation.assess import Assessment, Task, assess
from engine.evaluation.card import card
from engine.evaluation.evaluate import Options
from engine.evaluation.golds import with_golds
from engine.evaluation.items import write_items
from engine.evaluation.request import Folder, Request, open_folder
from engine.evaluation.sample import stratified
from engine.profile import Profile
from engine.provenance import usable_cores
from kidtui import answering, console
from kidtui.display import progress

DEFAULT_DATA = "demo/dev"
EXAMPLES_KEPT = 3
"""Wrong items of each error class in a written report."""


@dataclass(frozen=True)
class Where:
    """The questions: names of data sets, where they are looked for, and golds in place of theirs."""

    names: Sequence[str]
    data_dir: Path | None
    databases: Path | None
    gold: Path | None

    def load(self) -> list[DataSet]:
        """The data sets; a database that is missing costs its own items alone."""
        if self.gold and len(self.names) > 1:
            raise UsageError("--gold with several --data", "score them one by one")
        places = [benchmarks.locate(name, self.data_dir, self.databases) for name in self.names]
        return [benchmarks.read(place) for place in places]

    def judged_by(self, data: DataSet) -> DataSet:
        """The data set with the golds that count."""
        if self.gold and data.kind == "text":
            raise UsageError(f"--gold: its golds are SQL, and {data.name} is a text task", "leave it out")
        return with_golds(data, self.gold) if self.gold else data


def from_files(predictions: Sequence[Path], where: Where, against: Sequence[Path]) -> list[Task]:
    """One task for each file and its data set."""
    if len(where.names) != len(predictions):
        raise UsageError(
            f"{len(predictions)} --predictions and {len(where.names)} --data",
            "give one --data SET for each file, in the same order",
        )
    answered = [read_answers(path) for path in predictions]
    return [
        Task(
            where.judged_by(data),
            own.answers,
            str(own.path),
            {"file": str(own.path), "sha256": own.sha256, "gold": str(where.gold) if where.gold else None},
            against=other,
        )
        for data, own, other in zip(where.load(), answered, _others(against, where), strict=True)
    ]


def _others(against: Sequence[Path], where: Where) -> list[AnswerFile | None]:
    if against and len(against) != len(where.names):
        raise UsageError(
            f"{len(against)} --against and {len(where.names)} --data", "give one file for each data set"
        )
    return [read_answers(path) for path in against] or [None] * len(where.names)


def from_model(request: Request, where: Where, against: Sequence[Path], *, fresh: bool = False) -> list[Task]:
    """One task for each data set, once the model has answered its questions.

    Args:
        request: what is asked, all but the data set.
        fresh: forget earlier answers to the same request.
    """
    profile = Profile.model_validate(request.profile)
    spec = profile.student.model or ""
    if not where.names:
        where = _default(where, profile, spec)
        console.note(f"scoring on {where.names[0]}; --data names another set")
    sets = where.load()
    if request.decode == "vote" and (texts := [data.name for data in sets if data.kind == "text"]):
        raise UsageError(
            f"--decode vote runs the SQL of its candidates, and {texts[0]} is a text task",
            "choose greedy or beam",
        )
    folders = [
        open_folder(
            replace(
                request,
                data=data.name,
                fingerprint=data.fingerprint,
                data_dir=_absolute(where.data_dir),
                databases=_absolute(where.databases),
            )
        )
        for data in sets
    ]
    if fresh:
        for folder in folders:
            with folder.answering():
                folder.clear()
    if any(_has_open_questions(folder, data) for folder, data in zip(folders, sets, strict=True)):
        answering.answer(folders)
    return [
        Task(
            where.judged_by(data),
            folder.answers(),
            spec,
            {"model": spec, "folder": str(folder.path), "request": asdict(folder.request())},
            exposure=folder.exposure(),
            against=other,
            folder=folder.path,
        )
        for data, folder, other in zip(sets, folders, _others(against, where), strict=True)
    ]


def _default(where: Where, profile: Profile, spec: str) -> Where:
    """What a run was scored on, found from where the run was made; the demo for any other model."""
    if not spec.startswith("run:"):
        return replace(where, names=[DEFAULT_DATA])
    made = runs.find(spec.removeprefix("run:").partition("/")[0]).info()
    name, databases, data_dir = profile.data.eval, profile.data.databases, made["data_dir"]
    kind, colon, path = name.partition(":")
    if colon and kind in ("file", "text"):
        name = f"{kind}:{Path(made['cwd'], Path(path).expanduser())}"
    return replace(
        where,
        names=[name],
        databases=where.databases or (Path(made["cwd"], Path(databases).expanduser()) if databases else None),
        data_dir=where.data_dir or (Path(data_dir) if data_dir else None),
    )


def show(
    tasks: Sequence[Task],
    options: Options,
    *,
    timeout: float,
    jobs: int,
    items: Path | None = None,
    report: Path | None = None,
    num_examples: int = 0,
    as_json: bool = False,
) -> int:
    """Judges the tasks, shows what came of it on stdout, writes what is to be written. The exit code.

    Args:
        items: where the table of items goes; report: where the whole report goes, .md or .json.
        num_examples: wrong items of each error class that are shown.
    """
    with progress(as_json=as_json) as tell:
        found = assess(
            tasks,
            options,
            timeout=timeout,
            jobs=jobs or usable_cores(),
            num_examples=max(num_examples, EXAMPLES_KEPT),
            progress=tell,
        )
    if as_json:
        console.data_json(found.report)
    else:
        console.markdown(card(found.report, num_examples=num_examples))
    for note in (note for score in found.scores for note in score.notes if note.exit_code):
        console.error({"message": note.message, "mend": note.mend})
    if items is not None:
        write_items(items, {score.data.name: score.items for score in found.scores})
    if report is not None:
        _write(found, report)
    for task in tasks:
        if task.folder is not None:
            _write(found, task.folder / "report.json")
            _write(found, task.folder / "report.md")
    return found.exit_code


def check(report: Path | None, test_suite: Path | None) -> None:
    """What can be known to be wrong before any work.

    Raises:
        UsageError: the report could not be written in that form.
        DataError: there is no such folder of databases.
    """
    if report is not None and report.suffix not in (".md", ".json"):
        raise UsageError(f"--report {report}: neither .md nor .json", "name a file of either kind")
    if test_suite is not None and not test_suite.is_dir():
        raise DataError(f"--test-suite: no folder {test_suite}", "name one with DB_ID/*.sqlite in it")


def _write(found: Assessment, path: Path) -> None:
    if path.suffix == ".json":
        files.write_json(path, found.report)
    else:
        files.write_text(path, card(found.report, num_examples=EXAMPLES_KEPT))


def _has_open_questions(folder: Folder, data: DataSet) -> bool:
    request = folder.request()
    answered = {answer.index for answer in folder.answers()}
    wanted = {example.index for example in stratified(data.examples, request.limit)}
    return not wanted <= answered or bool(request.exposure and folder.exposure() is None)


def _absolute(path: Path | None) -> str | None:
    return str(path.expanduser().absolute()) if path is not None else None
