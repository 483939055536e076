"""A trained student as a folder that transformers and peft load."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from engine.files import write_error
from engine.models.pair import Pair


def save_student(pair: Pair, folder: Path, *, merged: bool = False) -> None:
    """Writes model (or adapter), configuration and tokenizer; replaces `folder` as a whole.

    Args:
        merged: with LoRA, also write the model with the adapter added in, to `folder`-merged.

    Raises:
        KidError: disk full, no permission.
    """
    _write(pair.student, pair.tokenizer, folder)
    if merged and hasattr(pair.student, "merge_and_unload"):
        _write(
            copy.deepcopy(pair.student).merge_and_unload(),
            pair.tokenizer,
            folder.with_name(f"{folder.name}-merged"),
        )


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    temporary, old = (folder.with_name(f".{folder.name}-{word}") for word in ("new", "old"))
    try:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)  # not its parents: a run that was deleted is not made again
        temporary.mkdir()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if hasattr(model, "peft_config"):  # run:ID reads the shape from here, also without the base model
            config = copy.deepcopy(model.config)
            vars(config).pop("quantization_config", None)  # of the weights under it, which are not here
            config.save_pretrained(temporary)
        if folder.exists():
            os.rename(folder, old)
        os.rename(temporary, folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(folder, error) from error
