"""Whether what was exported answers as the run's own student: both are asked the same questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from engine.data.benchmarks import DataSet, Example
from engine.errors import ModelError
from engine.evaluation.predict import predict
from engine.models.encode import Encoder
from engine.models.kind import is_encoder_decoder, model_class
from engine.models.load import load_config
from engine.profile import Profile
from engine.progress import Progress


@dataclass(frozen=True)
class Asked:
    """A question as the model reads it, and the answer of the run's own student.

    start, prefix, suffix: as in `card.Example`. ids: the prompt's, as the run's student reads it.
    """

    question: Example
    start: tuple[int, ...]
    prefix: str
    suffix: str
    ids: list[int]
    own: str


def ask_own(
    model: Any,
    encoder: Encoder,
    questions: Sequence[Example],
    data: DataSet,
    profile: Profile,
    progress: Progress,
) -> list[Asked]:
    """The questions with the answers of the run's student, each asked alone as `kid repl` does."""
    predictions = predict(
        model,
        encoder,
        questions,
        batch_size=1,
        max_new_tokens=profile.data.max_answer_tokens,
        progress=lambda done, total: progress("asking the student", done, total),
    )
    return [
        Asked(question, *_pieces(encoder, question, data, profile), prediction.sql)
        for question, prediction in zip(questions, predictions, strict=True)
    ]


def _pieces(
    encoder: Encoder, question: Example, data: DataSet, profile: Profile
) -> tuple[tuple[int, ...], str, str, list[int]]:
    """A prompt as text in two pieces, the ids before it, and all of its ids.

    Where the text is what a template was put around, or was cut to its tokens, it is read off the ids.
    """
    prefix_ids, suffix_ids = encoder.prefix(question.database), encoder.suffix(question)
    plain = profile.data.prompt_format == "plain"
    begins = [encoder.tokenizer.bos_token_id], [encoder.eos_id]  # EOS: see Encoder.prefix
    num_start = int(plain and (prefix_ids[:1] == begins[0] or prefix_ids == begins[1]))
    written = "", ""
    if data.kind == "sql":
        shown = question if profile.data.evidence else replace(question, evidence="")
        written = (
            encoder.prompter.prefix(question.database, data.tables.get(question.db_id)),
            encoder.prompter.suffix(shown),
        )
    prefix, suffix = (
        text
        if encoder.ids(text) == ids
        else encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        for text, ids in zip(written, (prefix_ids[num_start:], suffix_ids), strict=True)
    )
    return tuple(prefix_ids[:num_start]), prefix, suffix, prefix_ids + suffix_ids


@torch.inference_mode()
def ask_again(
    folder: Path,
    file: str | None,
    asked: Sequence[Asked],
    encoder: Encoder,
    generation: GenerationConfig,
    device: torch.device,
    progress: Progress,
) -> list[str]:
    """The answers of what was written, loaded and asked as the model card says.

    A GGUF file is asked with the run's tokenizer: that of the file is llama.cpp's to read.
    """
    progress("loading what was written", 0, 0)
    config = load_config(str(folder / file if file else folder))
    options: dict[str, Any] = {"gguf_file": file} if file else {}
    try:
        model: Any = model_class(config).from_pretrained(folder, **options).eval().to(device)
        tokenizer = encoder.tokenizer if file else AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"what was written cannot be read again: {error}", "is the disk sound?") from error
    if file:
        model.generation_config = generation
    answers = []
    for number, ids in enumerate(_inputs(asked, tokenizer, is_encoder_decoder(model.config)), 1):
        ids = ids.to(device)
        whole = model.generate(ids, attention_mask=torch.ones_like(ids))[0]
        answer = whole if is_encoder_decoder(model.config) else whole[ids.shape[1] :]
        generated = answer[1:] if is_encoder_decoder(model.config) else answer  # behind the decoder's start
        answers.append(encoder.decode(generated.tolist(), asked[number - 1].question.database))
        progress("asking what was written", number, len(asked))
    return answers


def _inputs(asked: Sequence[Asked], tokenizer: Any, seq2seq: bool) -> Iterator[torch.Tensor]:
    for one in asked:
        pieces = tokenizer([one.prefix, one.suffix], add_special_tokens=False)["input_ids"]
        end = [tokenizer.eos_token_id] if seq2seq else []
        yield torch.tensor([[*one.start, *pieces[0], *pieces[1], *end]])
