"""The teacher and the student that a profile describes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from engine.errors import ModelError
from engine.models.kind import lora_task, require_same_kind
from engine.models.load import DTYPES, load_config, load_model, load_tokenizer
from engine.models.shrink import keep_layers
from engine.profile import Profile
from engine.settings import Student, Teacher


@dataclass
class Pair:
    """Two models that read the same tokens; `student` is what training changes (a peft model with LoRA)."""

    teacher: Any
    student: Any
    tokenizer: Any


def build_pair(profile: Profile) -> Pair:
    """Loads teacher and student, both on their devices, checked to share one vocabulary.

    Raises:
        ModelError: see `load_model`; also for kinds of model and tokenizers that differ.
    """
    require_one_kind(profile)
    tokenizer = load_tokenizer(student_spec(profile))
    teacher: Any = None
    if profile.teacher:
        if profile.student.model and profile.student.model != profile.teacher.model:
            require_same_tokens(
                load_tokenizer(profile.teacher.model), tokenizer, profile.teacher.model, profile.student.model
            )
        teacher = build_teacher(profile.teacher)
    student: Any = build_student_base(profile, choose_dtype(profile.student, trained=True), teacher)
    if profile.student.lora:
        student = add_lora(student, profile.student)
    if teacher is not None and profile.teacher:
        teacher = teacher.to(choose_device(profile.teacher.device)).requires_grad_(False)
    return Pair(teacher, student.to(choose_device(profile.student.device)), tokenizer)


def student_spec(profile: Profile) -> str:
    """The model that the student is, or is cut from."""
    spec = profile.student.model or (profile.teacher.model if profile.teacher else None)
    assert spec, "the profile's own checks see to it"
    return spec


def require_one_kind(profile: Profile) -> None:
    """Raises ModelError where only one of teacher and student is an encoder–decoder model."""
    teacher, student = profile.teacher and profile.teacher.model, profile.student.model
    if teacher and student and teacher != student:
        require_same_kind(load_config(teacher), load_config(student), teacher, student)


def build_teacher(teacher: Teacher) -> PreTrainedModel:
    return load_model(teacher.model, adapter=teacher.adapter, dtype=choose_dtype(teacher, trained=False))


def load_teacher(teacher: Teacher) -> Any:
    """The teacher on its device."""
    model: Any = build_teacher(teacher)
    return model.to(choose_device(teacher.device))


def load_student(profile: Profile) -> Any:
    """`student.model` with its adapter, on its device, to answer questions with."""
    student = profile.student
    assert student.model, "who asks a student names it"
    model: Any = load_model(
        student.model, adapter=student.adapter, dtype=choose_dtype(student, trained=False)
    )
    return model.to(choose_device(student.device))


def build_student_base(profile: Profile, dtype: torch.dtype, teacher: Any = None) -> Any:
    """The student before training and without its own LoRA.

    Args:
        teacher: the loaded teacher, to be copied where the student is cut from it.
    """
    student = profile.student
    if student.model is None:
        assert profile.teacher, "the profile's own checks see to it"
        model: Any = copy.deepcopy(teacher) if teacher is not None else build_teacher(profile.teacher)
        model = model.to(dtype)
    else:
        model = load_model(
            student.model, adapter=student.adapter, dtype=dtype, random_init=student.init == "random"
        )
    model.requires_grad_(True)  # merging an adapter leaves everything frozen
    return keep_layers(model, student.keep_layers) if student.keep_layers else model


def add_lora(model: PreTrainedModel, student: Student) -> Any:
    """Wraps a model so that only low-rank additions to its linear layers are trained."""
    from peft import LoraConfig, get_peft_model

    assert student.lora
    return get_peft_model(
        model,
        LoraConfig(
            r=student.lora.rank,
            lora_alpha=student.lora.alpha,  # type: ignore[arg-type]  # peft divides it: any number does
            lora_dropout=student.lora.dropout,
            target_modules=student.lora.targets,
            task_type=lora_task(model.config),
        ),
    )


def require_same_tokens(teacher: Any, student: Any, teacher_name: str, student_name: str) -> None:
    """Raises ModelError unless every id that both tokenizers have means the same token in both.

    One may know more (padding rows, added tokens) at its end: the loss reads the common part.
    """
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    common = min(max(ours.values()), max(theirs.values()))
    differing = {token for token, index in ours.items() ^ theirs.items() if index <= common}
    if differing or type(teacher) is not type(student):
        raise ModelError(
            f"teacher {teacher_name} and student {student_name} have different tokenizers "
            f"({len(theirs)} and {len(ours)} tokens, {len(differing)} of the common ids differ)",
            "choose a teacher and a student of one family",
        )


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU."""
    # cuDNN's attention makes a plan for every new shape, and nearly every batch has a new one. After some
    # hundreds of them it failed (torch 2.11, H100); torch's own kernels need none.
    torch.backends.cuda.enable_cudnn_sdp(False)
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"device '{name}' is not to be had here", "use 'auto' or 'cpu'") from error
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def choose_dtype(role: Teacher | Student, *, trained: bool) -> torch.dtype:
    """`auto`: float32 on the CPU and for trained weights (autocast computes in bfloat16 on a GPU);
    bfloat16 for a frozen teacher on a GPU."""
    if role.dtype != "auto":
        return DTYPES[role.dtype]
    on_gpu = choose_device(role.device).type == "cuda"
    return torch.bfloat16 if on_gpu and not trained else torch.float32
