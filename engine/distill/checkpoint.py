"""Everything that a killed run needs to go on as if nothing had happened.

`checkpoints/step-00000200/` holds the trained weights, the optimizer's state, the random states and
the place in the data. It is written under another name, brought to the disk and renamed: a checkpoint
is whole or absent, also after a power cut.
Nothing in it is ever unpickled beyond tensors (`weights_only`).
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.errors import RunError
from engine.files import flush, write_error

_WEIGHTS, _OPTIMIZER, _PROGRESS = _FILES = ("student.safetensors", "optimizer.pt", "progress.json")
_SUMS = "sha256"
"""The other files' sums, as `sha256sum -c` reads them: a damaged file is found before it is opened."""


@dataclass
class Progress:
    """Where training stands. `step` optimizer steps are done; the next is `index` of `epoch`.

    data: what tells the training set, whose items `index` counts, from another one.
    taid: where TAID's schedule stands (taid.py).
    """

    data: str = ""
    step: int = 0
    epoch: int = 0
    index: int = 0
    bad_in_a_row: int = 0
    max_rows: int = 0
    evaluated_step: int = 0
    best_step: int = 0
    best_ex: float = -1.0
    train_seconds: float = 0.0
    taid: dict[str, Any] = field(default_factory=dict)


def trained_weights(student: Any) -> dict[str, torch.Tensor]:
    """The parameters that training changes, by name; tied ones once."""
    return {name: parameter for name, parameter in student.named_parameters() if parameter.requires_grad}


def save(folder: Path, student: Any, optimizer: torch.optim.Optimizer, progress: Progress, keep: int) -> Path:
    """Writes a checkpoint and deletes all but the newest `keep`.

    What claims to come after it is deleted too: `restore` could not read it, or it would have been taken up.

    Raises:
        KidError: disk full, no permission; earlier checkpoints are untouched.
    """
    final = folder / f"step-{progress.step:08d}"
    temporary, former = folder / f".{final.name}", folder / f".old-{final.name}"
    try:
        folder.mkdir(exist_ok=True)  # and none above it: a run that somebody has deleted stays deleted
        for leftover in folder.glob(".step-*"):  # of engines that were killed here
            shutil.rmtree(leftover)
        temporary.mkdir()
        weights = {name: value.detach().contiguous() for name, value in trained_weights(student).items()}
        save_file(weights, temporary / _WEIGHTS)
        with (temporary / _OPTIMIZER).open("wb") as file:  # given a path, torch does not say "disk full"
            torch.save({"optimizer": optimizer.state_dict(), "random": random_states()}, file)
        (temporary / _PROGRESS).write_text(json.dumps(asdict(progress)))
        (temporary / _SUMS).write_text(_sums(temporary))
        for path in (*temporary.iterdir(), temporary):
            flush(path)
        if final.exists():  # the same step again, after an evaluation or in a later life
            shutil.rmtree(former, ignore_errors=True)
            final.rename(former)
        temporary.rename(final)
        flush(folder)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(final, error) from error
    kept = [path for path in names(folder) if _step_name(path) <= final.name][-keep:]
    for path in (*folder.glob("step-*"), *folder.glob(".old-step-*")):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
    return final


def names(folder: Path) -> list[Path]:
    """All whole checkpoints, oldest first; a former one where a kill kept the newer out of its place."""
    whole = {_step_name(path): path for path in (*folder.glob(".old-step-*"), *folder.glob("step-*"))}
    return [whole[name] for name in sorted(whole)]


def _step_name(path: Path) -> str:
    return path.name.removeprefix(".old-")


def restore(
    folder: Path, student: Any, optimizer: torch.optim.Optimizer
) -> tuple[Progress | None, dict[Path, str]]:
    """Takes up the newest checkpoint that can be read.

    Returns:
        Its progress (None: there is no checkpoint), and why newer ones could not be read.

    Raises:
        RunError: there are checkpoints, and none can be read.
    """
    broken: dict[Path, str] = {}
    for checkpoint in reversed(names(folder)):
        try:
            if (checkpoint / _SUMS).read_text() != _sums(checkpoint):
                raise ValueError("its files are not as they were written")
            weights = load_file(checkpoint / _WEIGHTS)
            rest = torch.load(checkpoint / _OPTIMIZER, weights_only=True)
            progress = Progress(**json.loads((checkpoint / _PROGRESS).read_text()))
            parameters = trained_weights(student)
            if weights.keys() != parameters.keys():
                raise ValueError("its weights belong to another model")
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(weights[name])
            optimizer.load_state_dict(rest["optimizer"])
            set_random_states(rest["random"])
            return progress, broken
        except (OSError, ValueError, KeyError, TypeError, RuntimeError,
                SafetensorError, pickle.UnpicklingError) as error:  # fmt: skip
            broken[checkpoint] = (str(error).splitlines() or [type(error).__name__])[0]
    if broken:
        newest, reason = next(iter(broken.items()))
        raise RunError(
            f"none of the checkpoints in {folder} can be read; {newest.name}: {reason}",
            "put one back from a copy, start a new run, or delete that folder: the run then begins anew",
        )
    return None, broken


def _sums(checkpoint: Path) -> str:
    """A checkpoint's files with their sha256, one a line."""
    lines = []
    for name in _FILES:
        with (checkpoint / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def random_states() -> dict[str, Any]:
    """Of torch's generators, as `set_random_states` takes them."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
