"""Opens models and tokenizers; what names them is in locate.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from engine import runs
from engine.errors import ModelError
from engine.models.kind import model_class
from engine.models.locate import Source, locate, run_student
from engine.models.memory import require_memory

transformers_logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_tokenizer(spec: str) -> Any:
    source = locate(spec)
    with _explained(source):
        return AutoTokenizer.from_pretrained(**source.arguments)


def load_config(spec: str) -> Any:
    source = locate(spec)
    with _explained(source):
        return AutoConfig.from_pretrained(**source.arguments)


def load_model(
    spec: str,
    *,
    adapter: str | None = None,
    dtype: torch.dtype = torch.float32,
    random_init: bool = False,
) -> PreTrainedModel:
    """A language model of either kind (kind.py) on the CPU, in evaluation mode, with `adapter` merged in.

    Args:
        spec: see locate.py.
        adapter: the folder of a peft adapter, or "run:ID" of a LoRA run.
        dtype: of the weights.
        random_init: take only the architecture from `spec`; the weights are drawn from torch's generator.

    Raises:
        ModelError: with the cause and the mend.
    """
    if spec.startswith("run:") and (run_student(spec) / "adapter_config.json").is_file():
        model = _run_base(spec, dtype)
        adapter_folders = [run_student(spec)]
    else:
        source = locate(spec)
        with _explained(source):
            config = AutoConfig.from_pretrained(**source.arguments)
            require_memory(config, dtype, spec)
            if random_init:
                model = model_class(config).from_config(config, dtype=dtype)
            else:
                model = model_class(config).from_pretrained(**source.arguments, dtype=dtype)
                if source.gguf_file:
                    _forget_gguf(model)
        adapter_folders = []
    if adapter:
        adapter_folders.append(
            run_student(adapter) if adapter.startswith("run:") else Path(adapter).expanduser()
        )
    for folder in adapter_folders:
        model = merge_adapter(model, folder)
    return model.eval()


def _forget_gguf(model: PreTrainedModel) -> None:
    """A GGUF file's weights are plain once read; the mark of a quantised model that stays forbids saving."""
    for owner, names in (
        (model, ("hf_quantizer", "is_quantized", "quantization_method")),
        (model.config, ("quantization_config", "_is_quantized")),
    ):
        for name in names:
            vars(owner).pop(name, None)


def _run_base(spec: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model under the adapter of a LoRA run, made again as the run made it."""
    from engine.models.pair import build_student_base

    return build_student_base(runs.find(spec.removeprefix("run:").partition("/")[0]).profile(), dtype)


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Adds the LoRA weights in `folder` to the model's own."""
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"adapter {folder}: no adapter_config.json there", "name the folder of a peft adapter"
        )
    try:
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise ModelError(
            f"adapter {folder} does not fit the model: {_first_line(error)}",
            "name the model that it was made for",
        ) from error


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """Turns the libraries' errors while a model is opened into one line."""
    try:
        yield
    except MemoryError as error:
        raise ModelError(
            f"model {source.spec}: not enough memory", "choose a smaller model or dtype"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        if not Path(source.location).exists():
            raise ModelError(
                f"model {source.spec}: not here, and the hub did not give it: {_first_line(error)}",
                "check the name and the network, or name a local directory",
            ) from error
        raise ModelError(
            f"model {source.spec} cannot be read: {_first_line(error)}", "is it whole?"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
