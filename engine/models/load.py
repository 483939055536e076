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
from engine.models.kind import from_config, model_class
from engine.models.locate import Source, locate, run_student
from engine.models.memory import require_memory
from engine.models.quantize import Quantization, keep_gradients
from engine.profile import Profile

transformers_logging.disable_progress_bar()

_CONVERT = (
    "pickled weights (.bin, .pt) can run code and are not loaded; if you trust them, load them with"
    " transformers (peft) once and save them again: save_pretrained"
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_tokenizer(spec: str, trust: bool = False) -> Any:
    """The tokenizer of a model; `trust`: Python code that comes with it may run."""
    source = locate(spec)
    with _explained(source):
        return AutoTokenizer.from_pretrained(**source.arguments, trust_remote_code=trust)


def load_config(spec: str, trust: bool = False) -> Any:
    """The configuration of a model; `trust` as for `load_tokenizer`."""
    source = locate(spec)
    with _explained(source):
        return AutoConfig.from_pretrained(**source.arguments, trust_remote_code=trust)


def load_model(
    spec: str,
    *,
    adapter: str | None = None,
    dtype: torch.dtype = torch.float32,
    random_init: bool = False,
    quantize: Quantization | None = None,
    trust: bool = False,
) -> PreTrainedModel:
    """A language model of either kind (kind.py) on the CPU, in evaluation mode, with `adapter` merged in.

    Quantised, it is on its device and a peft model with an adapter that is not merged.

    Args:
        spec: see locate.py.
        adapter: the folder of a peft adapter, or "run:ID" of a LoRA run.
        dtype: of the weights.
        random_init: take only the architecture from `spec`; the weights are drawn from torch's generator.
        quantize: how its linear layers are quantised (None: not at all).
        trust: Python code that comes with the model may run.

    Raises:
        ModelError: with the cause and the mend. Weights that are pickled (.bin, .pt) are never loaded.
    """
    if spec.startswith("run:") and (run_student(spec) / "adapter_config.json").is_file():
        model = _run_base(spec, dtype, quantize)
        adapter_folders = [run_student(spec)]
    else:
        source = locate(spec)
        with _explained(source):
            config = AutoConfig.from_pretrained(**source.arguments, trust_remote_code=trust)
            _require_plain(config, source, quantize)
            arguments = quantize.arguments(spec) if quantize else {}
            require_memory(config, dtype, spec, quantize)
            if random_init:
                model = from_config(config, dtype=dtype)
            else:
                arguments |= {} if source.gguf_file else {"use_safetensors": True}
                model = model_class(config).from_pretrained(
                    **source.arguments, **arguments, dtype=dtype, trust_remote_code=trust
                )
                keep_gradients(model)
                if source.gguf_file:
                    _forget_gguf(model)
        adapter_folders = []
    if adapter:
        adapter_folders.append(adapter_folder(adapter))
    if quantize and len(adapter_folders) > 1:
        raise ModelError(
            f"model {spec} has an adapter already, and nothing is merged into {quantize.bits} weights",
            "kid export makes one model of both: name that",
        )
    for folder in adapter_folders:
        model = attach_adapter(model, folder) if quantize else merge_adapter(model, folder)
    return model.eval()


def _require_plain(config: Any, source: Source, quantize: Quantization | None) -> None:
    """Raises ModelError where weights that are to be quantised have been already."""
    if not quantize:
        return
    if source.gguf_file or getattr(config, "quantization_config", None):
        raise ModelError(
            f"model {source.spec} is stored quantised: it cannot be loaded in {quantize.bits}",
            "name the model that it was made from, or remove quantize",
        )


def _forget_gguf(model: PreTrainedModel) -> None:
    """A GGUF file's weights are plain once read; the mark of a quantised model that stays forbids saving."""
    for owner, names in (
        (model, ("hf_quantizer", "is_quantized", "quantization_method")),
        (model.config, ("quantization_config", "_is_quantized")),
    ):
        for name in names:
            vars(owner).pop(name, None)


def _run_base(spec: str, dtype: torch.dtype, quantize: Quantization | None) -> PreTrainedModel:
    """The model under the adapter of a LoRA run, made again as the run made it."""
    from engine.models.pair import build_student_base

    return build_student_base(run_profile(spec), dtype, quantize=quantize)


def run_profile(spec: str) -> Profile:
    """The profile of "run:ID"."""
    return runs.find(spec.removeprefix("run:").partition("/")[0]).profile()


def adapter_folder(adapter: str) -> Path:
    return run_student(adapter) if adapter.startswith("run:") else Path(adapter).expanduser()


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Adds the LoRA weights in `folder` to the model's own."""
    return attach_adapter(model, folder).merge_and_unload()


def attach_adapter(model: PreTrainedModel, folder: Path) -> Any:
    """The model with the adapter in `folder` beside its weights, frozen: a peft model."""
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"adapter {folder}: no adapter_config.json there", "name the folder of a peft adapter"
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"adapter {folder}: no adapter_model.safetensors there", _CONVERT)
    try:
        return PeftModel.from_pretrained(model, str(folder))
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
        if "custom code" in str(error):
            raise ModelError(
                f"model {source.spec} brings Python code along, which is not run unasked",
                "read it; if you trust it, set teacher.trust_remote_code or student.trust_remote_code = true",
            ) from error
        if "safetensors" in str(error) and not isinstance(error, SafetensorError):
            raise ModelError(f"model {source.spec} has no weights as safetensors", _CONVERT) from error
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
