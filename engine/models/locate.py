"""Where models lie: a hub id, a directory, a GGUF file, a Python package or a run.

A specification is one of
    "Qwen/Qwen2.5-Coder-0.5B"         a hub id
    "models/mine"                     a directory in the Hugging Face layout
    "models/mine.gguf"                a GGUF file (needs the `gguf` extra)
    "package:NAME/PATH"               a directory or GGUF file inside an installed Python package
    "run:ID"                          the last student of a run, "run:ID/best" the best one
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import runs
from engine.errors import ModelError


@dataclass(frozen=True)
class Source:
    """Where a model lies, in the words of `from_pretrained`."""

    spec: str
    location: str
    gguf_file: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"pretrained_model_name_or_path": self.location}
        if self.gguf_file:
            arguments["gguf_file"] = self.gguf_file
        return arguments


def locate(spec: str) -> Source:
    """Turns a specification into a source, without reading the model.

    Raises:
        ModelError: a file, package or run that does not exist, a GGUF without its reader.
    """
    if spec.startswith("run:"):
        return Source(spec, str(run_student(spec)))  # holds config and tokenizer also where it is an adapter
    path = _in_package(spec) if spec.startswith("package:") else Path(spec).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model {spec}: no file {path}", "check the path")
        if importlib.util.find_spec("gguf") is None:
            raise ModelError(
                f"model {spec} is a GGUF file and the package `gguf` is not installed",
                "pip install 'kid-sql[gguf]'",
            )
        return Source(spec, str(path.parent), path.name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"model {spec}: {path} holds no config.json", "name the folder of a saved model")
        return Source(spec, str(path))
    if spec.startswith(("package:", ".", "/", "~")) or spec.count("/") != 1:
        raise ModelError(f"model {spec}: nothing at {path}", "name a hub id, a directory or a .gguf file")
    return Source(spec, spec)


def _in_package(spec: str) -> Path:
    name, _, inside = spec.removeprefix("package:").partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"model {spec}: the Python package '{name}' is not installed",
            f"pip install {name.replace('_', '-')}",
        )
    return Path(next(iter(found.submodule_search_locations))) / inside


def run_student(spec: str) -> Path:
    """The folder of the student that "run:ID" or "run:ID/best" names."""
    name, _, which = spec.removeprefix("run:").partition("/")
    run = runs.find(name)
    folder = run.path / "student" / (which or "last")
    if "/" in which or which.startswith("."):
        raise ModelError(f"run {run.id} has no student '{which}'", "last and best are kept")
    if not folder.is_dir():
        raise ModelError(
            f"run {run.id} has no {which or 'last'} student yet", f"finish it: kid distill --resume {run.id}"
        )
    return folder


def fingerprint(spec: str, adapter: str | None = None) -> str:
    """What tells a model's files from later ones at the same place: their names, sizes and times, hashed.

    A hub id alone has no files here: its fingerprint is that of the name.

    Raises:
        ModelError: see `locate`.
    """
    parts = []
    for name in filter(None, (spec, adapter)):
        parts.append(name)
        place = run_student(name) if name.startswith("run:") else _files_of(name)
        for file in sorted(place.iterdir()) if place.is_dir() else [place] if place.is_file() else []:
            parts.append(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _files_of(spec: str) -> Path:
    source = locate(spec)
    return Path(source.location, source.gguf_file or "")
