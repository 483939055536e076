"""What a student comes from, for its model card: models, data, method, run; and the licences of all that."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.markdown import in_table
from engine.profile import Profile
from engine.settings import Method

_DEMO = "package:engine/data/demo/"
_SHARE_ALIKE, _MIT, _OURS = "CC BY-SA 4.0", "MIT", "Apache-2.0"
# a release's folder -> its name, its licence
_RELEASES: Mapping[str, tuple[str, str]] = {
    "demo": ("the demo that is part of kid", _OURS),
    "spider": ("Spider", _SHARE_ALIKE),
    "spider_realistic": ("Spider-Realistic", _SHARE_ALIKE),
    "spider_syn": ("Spider-Syn", _MIT),
    "bird": ("BIRD", _SHARE_ALIKE),
}
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "kid": ("mask_ratio", "mask_strategy", "rewrite", "mle_context"),
    "gkd": ("on_policy", "temperature"),
    "imitkd": ("temperature",),
    "f-distill": ("temperature",),
    "skl": ("skew",),
    "srkl": ("skew",),
    "akl": ("head_mass",),
    "taid": ("taid_start",),
}
"""What a method is tuned by, shown also where it is as usual."""


def making(profile: Profile, report: Mapping[str, Any], step: int | None) -> Iterator[str]:
    """What it was made of and how, as Markdown. step: at which it was kept; None: the last."""
    sizes = report["parameters"]
    train = report["data"]["train"]
    yield "## How it was made"
    yield ""
    rows = [("student", f"{_origin(profile)}; {sizes['student']:,} parameters")]
    if profile.teacher:
        size = "served" if profile.teacher.url else f"{sizes['teacher']:,} parameters"
        rows.append(("teacher", f"{_named(profile.teacher.model)}; {size}"))
    rows += [
        (
            "data",
            f"{set_name(train['name'])}, {train['num_examples']:,} examples"
            + (", corrections by its user among them" if profile.data.corrections else ""),
        ),
        ("method", f"`{profile.method.name}`: " + ", ".join(_settings(profile.method))),
        (
            "training",
            f"{step or report['steps']} steps of {report['steps']}, {report['train_seconds']:.0f} s",
        ),
        (
            "batch",
            f"{profile.train.databases_per_step} × {profile.train.questions_per_database} questions,"
            f" learning rate {profile.train.learning_rate:g}, seed {profile.train.seed}",
        ),
    ]
    if lora := profile.student.lora:
        rows.append(("LoRA", f"rank {lora.rank}, alpha {lora.alpha:g}; merged into the weights here"))
    if profile.student.quantize:
        rows.append(("weights while training", profile.student.quantize))
    yield from table(("", ""), rows)
    yield ""


def _settings(method: Method) -> Iterator[str]:
    """The settings that tell this method from others, and those that are not as usual."""
    for key, value in method.model_dump(exclude={"name"}).items():
        if (
            key in ("mle_weight", *_SETTINGS.get(method.name, ()))
            or value != Method.model_fields[key].default
        ):
            yield f"{key} = {value}"


def licences(profile: Profile) -> Iterator[str]:
    """What is known of the licences behind it, and what is to be looked at, as Markdown."""
    yield "## Licences"
    yield ""
    if is_ours(profile):
        yield (
            "Teacher, databases and questions are the demo that is part of kid, and so is what this student"
            " was cut from: all of it is under Apache-2.0, and this model may be used under it."
        )
        yield ""
        return
    yield (
        "kid does not know the licence of a model, so this card states none: whoever passes this model on has"
        " to find it out. What to look at:"
    )
    yield ""
    base = profile.student.model or (profile.teacher.model if profile.teacher else "")
    if profile.student.init == "pretrained":
        yield f"- **Its origin**, {_named(base)}: its weights, changed, are here; its licence holds."
    if profile.teacher:
        yield (
            f"- **The teacher**, {_named(profile.teacher.model)}: the student has learnt from what it says."
            " The terms of some models also say what may be done with models trained on their output."
        )
    for name in sets(profile):
        yield f"- **The data**, {set_name(name)}: {_data_licence(name)}"
    yield ""
    yield "This is a list of what to read, not advice on law."
    yield ""


def _data_licence(name: str) -> str:
    _, licence = _RELEASES.get(name.partition("/")[0], ("", ""))
    if licence == _SHARE_ALIKE:
        return (
            "CC BY-SA 4.0. It asks to name the source, and to pass on what is adapted from the data under the"
            " same licence. Whether weights trained on data are adapted from it is not settled; who names the"
            " source and shares alike is on the safe side."
        )
    if licence:
        return f"{licence}. It asks to keep its notice."
    return "kid does not know its licence."


def provenance(run: str, info: Mapping[str, Any]) -> Iterator[str]:
    """The run that made it, as Markdown."""
    versions = info["versions"]
    git = info.get("git")
    made_with = ", ".join(
        f"{name} {versions[name]}"
        for name in ("python", "torch", "transformers", "peft")
        if versions.get(name)
    )
    yield "## Where it comes from"
    yield ""
    yield from table(
        ("", ""),
        [
            ("run", run),
            ("command", f"`{_public(shlex.join(map(str, info['argv'])))}`"),
            ("kid", f"{versions.get('kid')}" + (f", revision {git}" if git else "")),
            ("with", made_with),
        ],
    )


def sets(profile: Profile) -> list[str]:
    """What it was trained and scored on."""
    return list(dict.fromkeys((profile.data.train, profile.data.eval)))


def set_name(spec: str) -> str:
    """A data set's name; a file's without its folder, which is nobody's business."""
    kind, colon, path = spec.partition(":")
    if colon and kind in ("file", "text"):
        return f"{kind}:{Path(path).name}"
    name, licence = _RELEASES.get(spec.partition("/")[0], ("", ""))
    return f"{spec} ({name}, {licence})" if name else spec


def is_ours(profile: Profile) -> bool:
    """Whether all that it was made from is the demo's."""
    if profile.data.corrections:
        return False
    models = [profile.student.model, profile.student.adapter]
    models += [profile.teacher.model, profile.teacher.adapter] if profile.teacher else []
    return all(name.startswith(_DEMO) for name in models if name) and all(
        name.startswith("demo/") for name in sets(profile)
    )


def on_hub(spec: str) -> bool:
    """Whether a model's name is that of a repository on the hub."""
    return (
        bool(re.fullmatch(r"[\w.-]+/[\w.-]+", spec)) and not spec.startswith(".") and not Path(spec).exists()
    )


def _named(spec: str) -> str:
    """A model, as others may know it: a local folder by its name alone."""
    if spec.startswith(_DEMO):
        return "the teacher of kid's demo"
    if spec.startswith("run:"):
        return f"the student of run {spec.removeprefix('run:')}"
    if on_hub(spec):
        return f"[{spec}](https://huggingface.co/{spec})"
    return f"`{spec if spec.startswith('package:') else Path(spec).name}`"


def _origin(profile: Profile) -> str:
    student = profile.student
    spec = student.model or (profile.teacher.model if profile.teacher else "")
    words = (
        f"layers {', '.join(map(str, student.keep_layers))} of {_named(spec)}"
        if student.keep_layers
        else _named(spec)
    )
    if student.init == "random":
        words = f"random weights in the shape of {words}"
    return f"{words} with adapter {_named(student.adapter)}" if student.adapter else words


def _public(text: str) -> str:
    return text.replace(str(Path.home()), "~")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(map(in_table, row)) + " |"
