"""What a run would take, without running it: `kid distill --dry-run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.data import corrections
from engine.distill.job import fitting_items, load_data, make_plan
from engine.distill.methods import METHODS
from engine.models.encode import Encoder
from engine.models.kind import from_config, is_encoder_decoder
from engine.models.load import load_config, load_tokenizer
from engine.models.memory import count_bytes, count_parameters
from engine.models.pair import add_lora, choose_dtype, require_one_kind, student_spec
from engine.models.quantize import weight_bytes
from engine.models.shrink import keep_layers
from engine.models.stored_items import StoredItems, place, write
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
    profile = Profile.model_validate(request["profile"]).local()
    data_dir = request.get("data_dir")
    train_set, _ = load_data(profile, data_dir)
    require_one_kind(profile)
    corrected = corrections.asked_for(profile.data, Path(data_dir) if data_dir else None)
    spec = student_spec(profile)
    encoder = Encoder(load_tokenizer(spec, profile.trusts(spec)), profile.data)
    encoder.add(train_set)
    path = place(encoder, train_set, profile)
    write(path, encoder, train_set, profile.data.max_answer_tokens)
    items = StoredItems(path)
    cut = make_plan(items, profile)
    teacher = count_parameters(_config(profile.teacher)) if profile.teacher else 0
    student, student_bytes, trainable, config = _student(profile)
    prefixes = np.array([len(encoder.prefix(Path(database))) for database in items.databases], int)
    distils = METHODS[profile.method.name].divergence is not None
    kept = _kept_prefixes(profile.teacher, int(prefixes.sum())) if profile.teacher and distils else 0
    longest = int((prefixes[items.numbers] + np.asarray(items.lengths)).max(initial=0))
    return {
        "parameters": {"teacher": teacher, "student": student, "trainable": trainable},
        "memory_mb": _memory(profile, kept, student_bytes, trainable, longest, config),
        "steps": cut.total_steps(profile.train.epochs, profile.train.max_steps),
        "steps_per_epoch": cut.steps_per_epoch,
        "examples": len(items),
        "corrections": len(fitting_items(encoder, replace(train_set, examples=corrected), profile)),
        "longest_row": longest,
    }


def _student(profile: Profile) -> tuple[int, int, int, Any]:
    """Parameters of the student, their bytes, how many are trained, and its configuration."""
    spec = student_spec(profile)
    config = load_config(spec, profile.trusts(spec))
    with torch.device("meta"):
        model = from_config(config)
        if profile.student.keep_layers:
            model = keep_layers(model, profile.student.keep_layers)
        size = sum(parameter.numel() for parameter in model.parameters())
        num_bytes = weight_bytes(model, choose_dtype(profile.student, trained=True), profile.student.quantize)
        if profile.student.lora:
            model = add_lora(model, profile.student)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return size, 0 if profile.student.share_base else num_bytes, trained, model.config


def _config(teacher: Teacher) -> Any:
    return load_config(teacher.model, teacher.trust_remote_code)


def _teacher_bytes(teacher: Teacher) -> int:
    dtype = choose_dtype(teacher, trained=False)
    return count_bytes(_config(teacher), dtype, teacher.quantize)


def _kept_prefixes(teacher: Teacher, num_tokens: int) -> int:
    """Bytes of the teacher's keys and values of so many tokens, within what it may keep."""
    config = _config(teacher)
    if is_encoder_decoder(config):
        return 0
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = 2 * config.num_hidden_layers * heads * width * choose_dtype(teacher, trained=False).itemsize
    return min(num_tokens * size, teacher.prefix_cache_mb * _MIB)


def _memory(
    profile: Profile, kept: int, student_bytes: int, trainable: int, longest: int, config: Any
) -> dict[str, int]:
    """MiB by part. Activations are a rule of thumb: rows of the longest length, all layers kept.

    An encoder–decoder runs the whole prompt of every question, but through its encoder, which has no head.
    """
    teacher_bytes = _teacher_bytes(profile.teacher) if profile.teacher else 0
    rows = profile.train.questions_per_database
    in_layers = config.num_hidden_layers * config.hidden_size * 34
    per_token = in_layers + 6 * config.vocab_size * 4
    prompts = rows * longest * in_layers if is_encoder_decoder(config) else longest * per_token
    parts = {
        "teacher": teacher_bytes // _MIB,
        "teacher_prefixes": kept // _MIB,
        "student": student_bytes // _MIB,
        "gradients_and_optimizer": 12 * trainable // _MIB,
        "activations": (prompts + rows * profile.data.max_answer_tokens * per_token) // _MIB,
    }
    return {**parts, "total": sum(parts.values())}
