"""The teacher and the student that a profile describes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from engine.errors import ModelError
from engine.models.kind import is_encoder_decoder, lora_task, require_same_kind
from engine.models.load import (
    DTYPES,
    adapter_folder,
    attach_adapter,
    load_config,
    load_model,
    load_tokenizer,
    run_profile,
)
from engine.models.quantize import Quantization, is_quantized
from engine.models.served import ServedTeacher
from engine.models.shared_base import share
from engine.models.shrink import keep_layers
from engine.profile import Profile
from engine.settings import Student, Teacher


@dataclass
class Pair:
    """Two models that read the same tokens; `student` is what training changes (a peft model with LoRA).

    teacher: None where the method needs none; may be a ServedTeacher.
    """

    teacher: Any
    student: Any
    tokenizer: Any

    @property
    def local_teacher(self) -> Any:
        """The teacher where it is loaded here, else None."""
        return None if isinstance(self.teacher, ServedTeacher) else self.teacher


def build_pair(profile: Profile) -> Pair:
    """Loads teacher and student, both on their devices, checked to share one vocabulary.

    A served teacher is not asked yet: ServedTeacher.require_same_tokens does.

    Raises:
        ModelError: see `load_model`; also for kinds of model and tokenizers that differ.
    """
    if profile.teacher and profile.teacher.url:
        pair = build_pair(profile.local())
        return Pair(_served(profile.teacher, profile, pair.tokenizer), pair.student, pair.tokenizer)
    require_one_kind(profile)
    spec = student_spec(profile)
    tokenizer = load_tokenizer(spec, profile.trusts(spec))
    if profile.teacher and profile.student.model and profile.student.model != profile.teacher.model:
        theirs = load_tokenizer(profile.teacher.model, profile.teacher.trust_remote_code)
        require_same_tokens(theirs, tokenizer, profile.teacher.model, profile.student.model)
    teacher: Any = None
    student: Any
    if profile.student.share_base:
        assert profile.teacher, "the profile's own checks see to it"
        teacher, student = _build_on_one_base(profile.teacher, profile.student)
    else:
        if profile.teacher:
            teacher = build_teacher(profile.teacher)
        student = build_student_base(
            profile,
            choose_dtype(profile.student, trained=True),
            teacher,
            choose_quantization(profile.student),
        )
    if profile.student.lora:
        student = add_lora(student, profile.student)
    if teacher is not None and profile.teacher:
        teacher = place(teacher, profile.teacher).requires_grad_(False)
    return Pair(teacher, place(student, profile.student), tokenizer)


def _served(teacher: Teacher, profile: Profile, tokenizer: Any) -> ServedTeacher:
    student = student_spec(profile)
    if is_encoder_decoder(load_config(student, profile.trusts(student))):
        raise ModelError(
            f"student {student} is an encoder–decoder model, and a served teacher (teacher.url) reads prompt"
            " and answer as one text",
            "choose a decoder as student, or load the teacher here",
        )
    if teacher.tokenizer:
        require_same_tokens(load_tokenizer(teacher.tokenizer), tokenizer, teacher.tokenizer, student)
    return ServedTeacher(teacher, tokenizer.eos_token_id)


def _build_on_one_base(teacher: Teacher, student: Student) -> tuple[Any, Any]:
    """The teacher, with its adapter beside the base, and the student without its own LoRA."""
    base: Any = place(build_teacher(teacher.model_copy(update={"adapter": None})), teacher)
    _require_no_adapter(base, teacher.model)
    shared = share(base.requires_grad_(False))
    if student.keep_layers:
        shared = keep_layers(shared, student.keep_layers)
    if teacher.adapter:
        base = attach_adapter(base, adapter_folder(teacher.adapter)).eval()
    return base, shared


def student_spec(profile: Profile) -> str:
    """The model that the student is, or is cut from."""
    spec = profile.student.model or (profile.teacher.model if profile.teacher else None)
    assert spec, "the profile's own checks see to it"
    return spec


def require_one_kind(profile: Profile) -> None:
    """Raises ModelError where only one of teacher and student is an encoder–decoder model."""
    teacher, student = profile.teacher and profile.teacher.model, profile.student.model
    if teacher and student and teacher != student:
        theirs, ours = (load_config(spec, profile.trusts(spec)) for spec in (teacher, student))
        require_same_kind(theirs, ours, teacher, student)


def build_teacher(teacher: Teacher) -> PreTrainedModel:
    if teacher.url:
        raise ModelError(
            f"teacher {teacher.model} is served at {teacher.url}: here its weights are needed",
            "name a model that can be loaded here: --teacher M",
        )
    return load_model(
        teacher.model,
        adapter=teacher.adapter,
        dtype=choose_dtype(teacher, trained=False),
        quantize=choose_quantization(teacher),
        trust=teacher.trust_remote_code,
    )


def load_teacher(teacher: Teacher) -> Any:
    """The teacher on its device."""
    return place(build_teacher(teacher), teacher)


def load_student(profile: Profile) -> Any:
    """`student.model` with its adapter, on its device, to answer questions with.

    A run's student answers as it was trained: one on quantised weights, on quantised weights.
    """
    student = profile.student
    assert student.model, "who asks a student names it"
    quantize = None
    if student.model.startswith("run:") and not student.adapter:
        made = run_profile(student.model).student
        quantize = choose_quantization(student.model_copy(update={"quantize": made.quantize}))
    model = load_model(
        student.model,
        adapter=student.adapter,
        dtype=choose_dtype(student, trained=quantize is not None),
        quantize=quantize,
        trust=student.trust_remote_code,
    )
    return place(model, student)


def build_student_base(
    profile: Profile, dtype: torch.dtype, teacher: Any = None, quantize: Quantization | None = None
) -> Any:
    """The student before training and without its own LoRA.

    Args:
        teacher: the loaded teacher, to be copied where the student is cut from it.
        quantize: how its linear layers are quantised (None: not at all); it stays frozen then.

    Raises:
        ModelError: see `load_model`; an adapter on quantised weights, on which no other goes.
    """
    student = profile.student
    if student.model is None:
        assert profile.teacher, "the profile's own checks see to it"
        model: Any = _copy_teacher(profile.teacher, teacher, dtype, quantize)
    else:
        model = load_model(
            student.model,
            adapter=student.adapter,
            dtype=dtype,
            random_init=student.init == "random",
            quantize=quantize,
            trust=student.trust_remote_code,
        )
    _require_no_adapter(model, student_spec(profile))
    if not quantize:
        model.requires_grad_(True)  # merging an adapter leaves everything frozen
    return keep_layers(model, student.keep_layers) if student.keep_layers else model


def _require_no_adapter(base: Any, spec: str) -> None:
    """Raises ModelError where an adapter could not be merged, since the model is quantised."""
    if hasattr(base, "peft_config"):
        raise ModelError(
            f"model {spec} has an adapter, and nothing is merged into quantised weights",
            "kid export makes one model of both: name that",
        )


def _copy_teacher(given: Teacher, teacher: Any, dtype: torch.dtype, quantize: Quantization | None) -> Any:
    """A model with the teacher's weights, of the loaded teacher where it has them whole."""
    if quantize:
        return load_model(
            given.model,
            adapter=given.adapter,
            dtype=dtype,
            quantize=quantize,
            trust=given.trust_remote_code,
        )
    if teacher is not None and not is_quantized(teacher):
        return copy.deepcopy(teacher).to(dtype)
    model: Any = build_teacher(given.model_copy(update={"quantize": None}))
    return model.to(dtype)


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


def place(model: Any, role: Teacher | Student) -> Any:
    """The model on its role's device; a quantised one was loaded there."""
    return model if is_quantized(model) else model.to(choose_device(role.device))


def choose_quantization(role: Teacher | Student) -> Quantization | None:
    if role.quantize is None:
        return None
    return Quantization(role.quantize, choose_device(role.device), choose_dtype(role, trained=False))


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
