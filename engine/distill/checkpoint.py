"""Everything that a killed run needs to go on as if nothing had happened.

`checkpoints/step-00000200/` holds the trained weights, the optimizer's state, the random states and
the place in the data. It is written under another name and renamed: a checkpoint is whole or absent.
Nothing in it is ever unpickled beyond tensors (`weights_only`).
"""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.files import write_error


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

    Raises:
        KidError: disk full, no permission; earlier checkpoints are untouched.
    """
    final = folder / f"step-{progress.step:08d}"
    temporary = folder / f".{final.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        weights = {name: value.detach().contiguous() for name, value in trained_weights(student).items()}
        save_file(weights, temporary / "student.safetensors")
        torch.save(
            {"optimizer": optimizer.state_dict(), "random": _random_states()}, temporary / "optimizer.pt"
        )
        (temporary / "progress.json").write_text(json.dumps(asdict(progress)))
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(final, error) from error
    for old in names(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def names(folder: Path) -> list[Path]:
    """All whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def restore(
    folder: Path, student: Any, optimizer: torch.optim.Optimizer
) -> tuple[Progress | None, list[Path]]:
    """Takes up the newest checkpoint that can be read.

    Returns:
        Its progress (None: there is no checkpoint), and the newer ones that could not be read.
    """
    broken: list[Path] = []
    for checkpoint in reversed(names(folder)):
        try:
            weights = load_file(checkpoint / "student.safetensors")
            rest = torch.load(checkpoint / "optimizer.pt", weights_only=True)
            progress = Progress(**json.loads((checkpoint / "progress.json").read_text()))
            parameters = trained_weights(student)
            if weights.keys() != parameters.keys():
                raise ValueError("the weights belong to another model")
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(weights[name])
            optimizer.load_state_dict(rest["optimizer"])
            _set_random_states(rest["random"])
            return progress, broken
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError,
                SafetensorError, pickle.UnpicklingError):  # fmt: skip
            broken.append(checkpoint)
    return None, broken


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
