"""`kid eval`: score predictions from a file, or those of a run's student or any model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kidtui.commands.options import DataDir, Json, Set

Files = Annotated[
    list[Path] | None,
    typer.Option("--predictions", metavar="FILE", help="Score this file; one for each --data, in its order."),
]


class Rules(StrEnum):
    spider = "spider"
    bird = "bird"


class Decode(StrEnum):
    greedy = "greedy"
    beam = "beam"
    vote = "vote"


def evaluate(
    predictions: Files = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Score its student (RUN/best: the best seen).")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Score a model: hub id, directory, .gguf file.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="SET",
            help="Such as spider/dev or text:PATH; several are averaged. Default:"
            " what the run was scored on, else demo/dev.",
        ),
    ] = None,
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="FILE", help="Golds in place of the set's: SQL TAB db_id."),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="FILE", help="Other predictions, compared item by item."),
    ] = None,
    items: Annotated[
        Path | None, typer.Option("--items", metavar="OUT.tsv", help="Write one row an item here.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the whole report: .md, or .json."),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Show so many wrong items of each error class.")
    ] = 0,
    keep_distinct: Annotated[
        bool, typer.Option("--keep-distinct", help="Run DISTINCT instead of deleting it.")
    ] = False,
    plug_value: Annotated[
        bool, typer.Option("--plug-value", help="A match with the gold's literals counts, too.")
    ] = False,
    official: Annotated[
        bool, typer.Option("--official", help="Take back the safe deviations from the official evaluator.")
    ] = False,
    rules: Annotated[
        Rules | None,
        typer.Option(
            "--rules", help="Whose. Default: bird for bird/* and sets with its levels, else spider."
        ),
    ] = None,
    timed: Annotated[
        int,
        typer.Option(
            "--timed", metavar="N", min=0, help="BIRD: run correct queries N times, for VES, R-VES."
        ),
    ] = 0,
    test_suite: Annotated[
        Path | None,
        typer.Option("--test-suite", metavar="DIR", help="TS: a folder with several databases per db_id."),
    ] = None,
    databases: Annotated[
        Path | None, typer.Option("--databases", metavar="DIR", help="Look for the databases here.")
    ] = None,
    data_dir: DataDir = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds a query may run.")] = 30.0,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Queries at once; 0: as many as there are cores.")
    ] = 0,
    decode: Annotated[Decode, typer.Option("--decode", help="How a model answers.")] = Decode.greedy,
    beams: Annotated[int, typer.Option("--beams", min=1, help="Width of --decode beam.")] = 4,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Candidates of --decode vote.")] = 8,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.01, help="Of the candidates of --decode vote.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Answer a stratified sample of so many questions.")
    ] = 0,
    exposure: Annotated[
        int, typer.Option("--exposure", metavar="N", min=0, help="Take ExAccErr from N prompts, too.")
    ] = 0,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="M", help="For ExAccErr. Default: the run's own."),
    ] = None,
    overrides: Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Answer anew what has been answered before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score predictions: execution accuracy, exact match, errors and their causes, with intervals.

    A text task (--data text:PATH) is scored by exact match of the whole text.

    --predictions FILE scores a file (one SQL a line, JSON, JSON lines, or BIRD's JSON); --run and --model
    let a model answer first. Killed half-way, the same command goes on where it was.
    """
    from engine.errors import UsageError
    from engine.evaluation.evaluate import Options
    from engine.evaluation.request import Request
    from engine.models.locate import fingerprint
    from kidtui import scoring
    from kidtui.scoring import Where
    from kidtui.student import profile_of

    scoring.check(report, test_suite)

    given = {"--predictions": predictions, "--run": run, "--model": model}
    chosen = [name for name, value in given.items() if value]
    if len(chosen) != 1:
        raise UsageError(
            f"{' and '.join(chosen)} together" if chosen else "nothing to score",
            "give one of --predictions FILE, --run RUN and --model M",
        )
    where = Where(data or [], data_dir, databases, gold)
    if predictions:
        tasks = scoring.from_files(predictions, where, against or [])
    else:
        profile = profile_of(run, model, teacher, overrides or [])
        if exposure and profile.teacher is None:
            raise UsageError(
                "ExAccErr is measured against a teacher, and there is none", "name one: --teacher M"
            )
        request = Request(
            profile=profile.model_dump(mode="json"),
            model=fingerprint(str(profile.student.model), profile.student.adapter),
            data="",
            fingerprint="",
            limit=limit,
            decode=decode.value,
            num_beams=beams,
            num_samples=samples,
            temperature=temperature,
            seed=seed,
            exposure=exposure,
        )
        tasks = scoring.from_model(request, where, against or [], fresh=fresh)
    options = Options(rules.value if rules else None, keep_distinct, plug_value, official, timed, test_suite)
    raise typer.Exit(
        scoring.show(
            tasks,
            options,
            timeout=timeout,
            jobs=jobs,
            items=items,
            report=report,
            num_examples=examples,
            as_json=as_json,
        )
    )
