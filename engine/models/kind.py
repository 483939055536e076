"""Decoder-only or encoder–decoder: told by a model's configuration, never by trying."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from engine.errors import ModelError


def is_encoder_decoder(config: Any) -> bool:
    return bool(getattr(config, "is_encoder_decoder", False))


def model_class(config: Any) -> Any:
    """The class of transformers that opens language models of this kind."""
    return AutoModelForSeq2SeqLM if is_encoder_decoder(config) else AutoModelForCausalLM


def from_config(config: Any, **options: Any) -> Any:
    """A model of this shape, with fresh weights. Its own code may run where that of its configuration has."""
    own = type(config).__module__.startswith("transformers_modules.")
    return model_class(config).from_config(config, trust_remote_code=own, **options)


def lora_task(config: Any) -> str:
    """peft's name of what such a model does."""
    return "SEQ_2_SEQ_LM" if is_encoder_decoder(config) else "CAUSAL_LM"


def require_same_kind(teacher: Any, student: Any, teacher_name: str, student_name: str) -> None:
    """Raises ModelError where one of two configurations is an encoder–decoder's and the other is not."""
    if is_encoder_decoder(teacher) != is_encoder_decoder(student):
        kinds = [_KINDS[is_encoder_decoder(config)] for config in (teacher, student)]
        raise ModelError(
            f"teacher {teacher_name} is {kinds[0]} and student {student_name} is {kinds[1]}",
            "choose a teacher and a student of one family",
        )


_KINDS = {True: "an encoder–decoder model", False: "a decoder-only model"}
