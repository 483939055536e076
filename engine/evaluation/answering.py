"""A model answers the questions of its requests, each into its directory, going on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine import files
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.errors import DataError, ModelError
from engine.evaluation.exposure import exposure
from engine.evaluation.predict import Prediction, predict
from engine.evaluation.request import Folder, Request
from engine.evaluation.sample import stratified
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.locate import fingerprint
from engine.models.pair import load_student, load_teacher, require_same_tokens
from engine.models.threads import set_threads
from engine.profile import Profile
from engine.progress import Progress
from engine.provenance import usable_cores
from engine.sql.execute import Executor

_LONGEST_CURVE = 64  # steps of ExAccErr: what reports show ends there


def answer_all(folders: Sequence[Folder], progress: Progress) -> None:
    """Answers what is not answered yet. The folders' requests are to one model.

    Args:
        progress: called with (what is being done, done, total).

    Raises:
        KidError: the model, the teacher or a data set cannot be opened; the disk is full.
    """
    profile = Profile.model_validate(folders[0].request().profile)
    spec = profile.student.model
    assert spec, "a request names its model"
    set_threads(profile)
    progress(f"loading {spec}", 0, 0)
    encoder = Encoder(load_tokenizer(spec, profile.trusts(spec)), profile.data)
    model = load_student(profile)
    for folder in folders:
        request = folder.request()
        if fingerprint(spec, profile.student.adapter) != request.model:
            raise ModelError(f"model {spec} has changed since it was asked", "ask again")
        data = load_asked(request)
        encoder.add(data)
        with folder.answering():
            _answer(folder, request, data, model, encoder, profile, progress)
            if request.exposure and folder.exposure() is None:
                _measure_exposure(folder, request, data, model, encoder, profile, progress)


def _answer(
    folder: Folder,
    request: Request,
    data: DataSet,
    model: Any,
    encoder: Encoder,
    profile: Profile,
    progress: Progress,
) -> None:
    examples = stratified(data.examples, request.limit)
    done = {answer.index for answer in folder.answers() if answer.index is not None}
    if done >= {example.index for example in examples}:
        return
    name = f"answering {data.name}"
    with (
        _appending(folder.answers_file) as keep,
        Executor(usable_cores(), profile.eval.timeout) as executor,
    ):
        predict(
            model,
            encoder,
            examples,
            batch_size=profile.eval.batch_size,
            max_new_tokens=profile.data.max_answer_tokens,
            progress=lambda count, total: progress(name, count, total),
            decode=request.decode,
            num_beams=request.num_beams,
            num_samples=request.num_samples,
            temperature=request.temperature,
            seed=request.seed,
            executor=executor,
            on_batch=keep,
            done=done,
        )


def _measure_exposure(
    folder: Folder,
    request: Request,
    data: DataSet,
    model: Any,
    encoder: Encoder,
    profile: Profile,
    progress: Progress,
) -> None:
    """ExAccErr of the model against the profile's teacher, on a stratified sample of the questions."""
    assert profile.teacher, "who asks for ExAccErr names a teacher"
    progress(f"loading {profile.teacher.model}", 0, 0)
    teacher = load_teacher(profile.teacher)
    require_same_tokens(
        load_tokenizer(profile.teacher.model, profile.teacher.trust_remote_code),
        encoder.tokenizer,
        profile.teacher.model,
        str(profile.student.model),
    )
    found = exposure(
        model,
        teacher,
        encoder,
        stratified(data.examples, request.exposure),
        batch_size=profile.eval.batch_size,
        max_new_tokens=min(_LONGEST_CURVE, profile.data.max_answer_tokens),
        seed=request.seed,
        progress=lambda done, total: progress("measuring ExAccErr", done, total),
    )
    files.write_json(folder.exposure_file(request), found.told())


def load_asked(request: Request) -> DataSet:
    """The data set of a request, which must be the one that it was made for.

    Raises:
        DataError: it has changed, or cannot be read.
    """
    data = benchmarks.load(
        request.data,
        Path(request.data_dir) if request.data_dir else None,
        Path(request.databases) if request.databases else None,
    )
    if data.fingerprint != request.fingerprint:
        raise DataError(f"{request.data} has changed since it was asked for", "ask again")
    return data


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """A function that adds predictions to the file, a batch at a time: killed between two, none is lost."""
    with files.appending(path) as append:

        def keep(batch: Sequence[Prediction]) -> None:
            lines = (json.dumps(asdict(prediction), ensure_ascii=False) + "\n" for prediction in batch)
            append("".join(lines))

        yield keep
