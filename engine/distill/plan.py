"""What a run would take, without running it: `kid distill --dry-run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.data import corrections
from engine.distill.job import fitting_items, load_data, make_plan
from engine.distill.methods import METHODS
from engine.models.encode import Encoder
from engine.models.kind import is_encoder_decoder, model_class
from engine.models.load import load_config, load_tokenizer
from engine.models.memory import count_parameters
from engine.models.pair import add_lora, choose_dtype, require_one_kind, student_spec
from engine.models.shrink import keep_layers
from engine.profile import Profile
from engine.settings import Teacher

_MIB = 2**20


def plan(request: dict[str, Any]) -> dict[str, Any]:
    """Sizes, steps and an estimate of memory.

    Args:
        request: {"profile": a resolved profile, "data_dir": a folder or null}.

    Returns:
        parameters (teacher, student, trainable), memory_mb (by part, and total), steps,
        steps_per_epoch, examples, and how many of them are corrections.
    """
    profile = Profile.model_validate(request["profile"])
    data_dir = request.get("data_dir")
    train_set, _ = load_data(profile, data_dir)
    require_one_kind(profile)
    corrected = corrections.asked_for(profile.data, Path(data_dir) if data_dir else None)
    encoder = Encoder(load_tokenizer(student_spec(profile)), profile.data)
    encoder.add(train_set)
    items = fitting_items(encoder, train_set, profile)
    cut = make_plan(items, profile)
    teacher = count_parameters(load_config(profile.teacher.model)) if profile.teacher else 0
    student, trainable, config = _student(profile)
    read = sum(len(encoder.prefix(database)) for database in {item.database for item in items})
    distils = METHODS[profile.method.name].divergence is not None
    kept = _kept_prefixes(profile.teacher, read) if profile.teacher and distils else 0
    longest = max((len(encoder.prefix(item.database)) + item.length for item in items), default=0)
    return {
        "parameters": {"teacher": teacher, "student": student, "trainable": trainable},
        "memory_mb": _memory(profile, teacher, kept, student, trainable, longest, config),
        "steps": cut.total_steps(profile.train.epochs, profile.train.max_steps),
        "steps_per_epoch": cut.steps_per_epoch,
        "examples": len(items),
        "corrections": len(fitting_items(encoder, replace(train_set, examples=corrected), profile)),
        "longest_row": longest,
    }


def _student(profile: Profile) -> tuple[int, int, Any]:
    """Parameters of the student, how many of them are trained, and its configuration."""
    config = load_config(student_spec(profile))
    with torch.device("meta"):
        model = model_class(config).from_config(config)
        if profile.student.keep_layers:
            model = keep_layers(model, profile.student.keep_layers)
        size = sum(parameter.numel() for parameter in model.parameters())
        if profile.student.lora:
            model = add_lora(model, profile.student)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return size, trained, model.config


def _kept_prefixes(teacher: Teacher, num_tokens: int) -> int:
    """Bytes of the teacher's keys and values of so many tokens, within what it may keep."""
    config = load_config(teacher.model)
    if is_encoder_decoder(config):
        return 0
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = 2 * config.num_hidden_layers * heads * width * choose_dtype(teacher, trained=False).itemsize
    return min(num_tokens * size, teacher.prefix_cache_mb * _MIB)


def _memory(
    profile: Profile, teacher: int, kept: int, student: int, trainable: int, longest: int, config: Any
) -> dict[str, int]:
    """MiB by part. Activations are a rule of thumb: rows of the longest length, all layers kept.

    An encoder–decoder runs the whole prompt of every question, but through its encoder, which has no head.
    """
    weights = teacher * choose_dtype(profile.teacher, trained=False).itemsize if profile.teacher else 0
    rows = profile.train.questions_per_database
    in_layers = config.num_hidden_layers * config.hidden_size * 34
    per_token = in_layers + 6 * config.vocab_size * 4
    prompts = rows * longest * in_layers if is_encoder_decoder(config) else longest * per_token
    parts = {
        "teacher": weights // _MIB,
        "teacher_prefixes": kept // _MIB,
        "student": student * choose_dtype(profile.student, trained=True).itemsize // _MIB,
        "gradients_and_optimizer": 12 * trainable // _MIB,
        "activations": (prompts + rows * profile.data.max_answer_tokens * per_token) // _MIB,
    }
    return {**parts, "total": sum(parts.values())}
