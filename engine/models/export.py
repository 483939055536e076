"""A run's student as a folder for others: an ordinary directory of transformers, or a GGUF file.

The folder holds the model with every adapter merged in, a model card, and a prompt from the run's own
evaluation set. An adapter that was trained on quantised weights is merged into the whole ones. Before
the folder is handed over it is loaded again with plain transformers and asked some questions; how many get
the answer that the run's student gives stands in the card.
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig

from engine import files, runs
from engine.data import benchmarks
from engine.data.benchmarks import DataSet
from engine.errors import RunError
from engine.evaluation.sample import stratified
from engine.evaluation.summary import accuracy
from engine.event_reader import EventReader
from engine.files import write_error
from engine.models import card
from engine.models.encode import Encoder
from engine.models.export_check import ask_again, ask_own
from engine.models.export_folder import EXAMPLE, MADE_BY
from engine.models.gguf_file import Precision, require_writable, write_gguf
from engine.models.kind import is_encoder_decoder
from engine.models.load import DTYPES, load_config, load_model, load_tokenizer
from engine.models.pair import choose_device, choose_dtype, load_student
from engine.models.threads import set_threads
from engine.profile import Profile
from engine.progress import Progress
from engine.runs import Run

_NUM_CHECKED = 5
_TYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is exported.

    run: its id. folder: an empty one, which is filled, absolute.
    type: of the weights; auto = as they were trained, in a GGUF file f16.
    data_dir: where data sets are looked for first; None: where the run looked.
    """

    run: str
    folder: str
    which: Literal["last", "best"] = "last"
    format: Literal["hf", "gguf"] = "hf"
    type: Literal["auto", "f32", "f16", "bf16"] = "auto"
    data_dir: str | None = None


def export(request: Request, progress: Progress) -> dict[str, Any]:
    """Fills the folder; what was written, plain enough for JSON.

    Args:
        progress: called with (what is being done, done, total).

    Raises:
        RunError: the run is not finished. ModelError: it has no such student; it is of a type that the
            format does not hold. DataError, DatabaseError: its evaluation set cannot be read.
        KidError: disk full, no permission.
    """
    run = runs.find(request.run)
    report, info, profile = run.report(), run.info(), run.profile()
    if report is None:
        raise RunError(f"run {run.id} is not finished", f"kid distill --resume {run.id} goes on with it")
    where = Path(info["cwd"])
    with contextlib.chdir(
        where if where.is_dir() else Path.cwd()
    ):  # the profile's paths are meant from there
        return _export(request, run, report, info, profile, progress)


def _export(
    request: Request,
    run: Run,
    report: dict[str, Any],
    info: dict[str, Any],
    profile: Profile,
    progress: Progress,
) -> dict[str, Any]:
    spec, folder = f"run:{run.id}/{request.which}", Path(request.folder)
    as_gguf = request.format == "gguf"
    set_threads(profile)
    if as_gguf:
        require_writable(load_config(spec))
    data = _evaluation_set(profile, request.data_dir or info.get("data_dir"))
    progress(f"loading {spec}", 0, 0)
    tokenizer = load_tokenizer(spec)
    encoder = Encoder(tokenizer, profile.data)
    encoder.add(data)
    device = choose_device(profile.student.device)
    quantized = profile.student.quantize is not None
    model: Any = load_student(_answering(spec, profile)) if quantized else _whole(spec, request, profile)
    asked = ask_own(model, encoder, stratified(data.examples, _NUM_CHECKED), data, profile, progress)
    if quantized:
        del model
        gc.collect()
        model = _whole(spec, request, profile)
    generation = _generation(model, encoder, profile)
    model.generation_config = generation
    progress("writing", 0, 0)
    cuts_alike = True
    file = None
    if as_gguf:
        precision: Precision = "f32" if request.type == "f32" else "f16"
        file = f"student-{precision}.gguf"
        add_bos = asked[0].start == (tokenizer.bos_token_id,)
        cuts_alike = write_gguf(
            model, tokenizer, folder / file, name=run.id, precision=precision, add_bos=add_bos
        ).cuts_alike
    else:
        _save(model, tokenizer, folder)
    seq2seq, num_parameters = is_encoder_decoder(model.config), model.num_parameters()
    del model
    gc.collect()  # before the same weights are read once more
    answers = ask_again(folder, file, asked, encoder, generation, device, progress)
    best = max(
        zip(asked, answers, strict=True),
        key=lambda pair: (pair[0].own == pair[1], pair[1] == pair[0].question.query, -len(pair[0].ids)),
    )
    figures, step = _figures(run, report, request.which)
    facts = card.Facts(
        run=run.id,
        info=info,
        report=report,
        figures=figures,
        step=step,
        example=card.Example(
            best[0].start, best[0].prefix, best[0].suffix, best[0].question.question, best[1],
            best[0].question.query,
        ),
        seq2seq=seq2seq,
        text_task=data.kind == "text",
        gguf=file,
        cuts_alike=cuts_alike,
        checked=len(asked),
        same=sum(one.own == answer for one, answer in zip(asked, answers, strict=True)),
        whole=sum(encoder.ids(one.prefix + one.suffix) == one.ids[len(one.start) :] for one in asked),
    )  # fmt: skip
    _write_words(folder, facts)
    for path in folder.iterdir():  # safetensors makes files that only their owner can read
        path.chmod((folder / "README.md").stat().st_mode)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return {
        "run": run.id,
        "which": request.which,
        "format": request.format,
        "type": _type(request, profile),
        "parameters": num_parameters,
        "checked": facts.checked,
        "same": facts.same,
        "cuts_alike": cuts_alike,
        "files": sizes,
        "bytes": sum(sizes.values()),
    }


def _whole(spec: str, request: Request, profile: Profile) -> Any:
    """The student as it is written: with its adapter merged into weights that were never quantised."""
    model: Any = load_model(spec, dtype=_dtype(request, profile))
    return model.to(choose_device(profile.student.device))


def _answering(spec: str, profile: Profile) -> Profile:
    """The profile with the run's student in the place of what it was made from."""
    student = profile.student.model_copy(update={"model": spec, "adapter": None})
    return profile.model_copy(update={"student": student})


def _evaluation_set(profile: Profile, data_dir: str | None) -> DataSet:
    return benchmarks.load(
        profile.data.eval,
        Path(data_dir) if data_dir else None,
        Path(profile.data.databases) if profile.data.databases else None,
    )


def _dtype(request: Request, profile: Profile) -> torch.dtype:
    if request.format == "gguf" or request.type == "auto":
        return choose_dtype(profile.student, trained=True)
    return DTYPES[_TYPES[request.type]]


def _type(request: Request, profile: Profile) -> str:
    if request.format == "gguf":
        return "f32" if request.type == "f32" else "f16"
    names = {DTYPES[name]: short for short, name in _TYPES.items()}
    return names[_dtype(request, profile)]


def _generation(model: Any, encoder: Encoder, profile: Profile) -> GenerationConfig:
    """Greedy, to the same end as the run's own answers. What the base model came with is left behind."""
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=profile.data.max_answer_tokens,
        bos_token_id=encoder.tokenizer.bos_token_id,
        eos_token_id=encoder.eos_id,
        pad_token_id=encoder.pad_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # tokenizers' own errors have no class
        if isinstance(error, (OSError, SafetensorError)) or "os error" in str(error):
            raise write_error(folder, error) from error
        raise


def _figures(run: Run, report: dict[str, Any], which: str) -> tuple[dict[str, Any], int | None]:
    """What the student reached; of one that was kept on the way also the step."""
    last, best = report["scores"]["student"], report["best"]
    if which == "last" or best["step"] == report["steps"]:
        return last, None
    told = [
        event
        for event in EventReader(run).poll()
        if event["kind"] == "eval" and event["split"] == "student" and event["step"] == best["step"]
    ]
    newest = told[-1] if told else {}  # the events may be gone
    return {
        "ex": _counted(best["ex"], last["ex"]["num"]),
        "by_difficulty": {
            level: {"num": part["num"], "ex": _counted(part["ex"], part["num"])}
            for level, part in newest.get("by_hardness", {}).items()
        },
        "errors": {kind: {"first": number} for kind, number in newest.get("errors", {}).items()},
    }, best["step"]


def _counted(share: float | None, num: int) -> dict[str, Any] | None:
    """A share of `num` answers, with its interval."""
    if share is None:
        return None
    right = round(share * num)
    return accuracy([True] * right + [False] * (num - right))


def _write_words(folder: Path, facts: card.Facts) -> None:
    """The card, the example, and what llama.cpp and Ollama are asked with: each knows its own keys."""
    example = facts.example
    told = {name: getattr(example, name) for name in ("prefix", "suffix", "question", "answer", "gold")}
    files.write_json(folder / EXAMPLE, {"made_by": MADE_BY, **told})
    files.write_text(folder / "README.md", card.model_card(facts))
    if facts.gguf:
        limit = facts.profile.data.max_answer_tokens
        files.write_json(
            folder / "request.json",
            {
                "model": "student",
                "prompt": example.prefix + example.suffix,
                "raw": True,
                "stream": False,
                "temperature": 0,
                "n_predict": limit,
                "options": {"temperature": 0, "num_predict": limit},
            },
        )
        files.write_text(
            folder / "Modelfile",
            f"FROM ./{facts.gguf}\nPARAMETER temperature 0\nPARAMETER num_predict {limit}\n",
        )
