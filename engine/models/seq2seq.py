"""Encoder–decoder models (the T5 family) in the places of decoder-only ones.

The encoder reads all of a question: prefix, suffix and EOS, which such models are trained to see at
the end. The decoder reads the answer behind its start token, so what stands at column c of a row whose
answer begins at column s is decoder position c − s + 1. Every question's encoder sees the prefix in
both directions, so a prefix cannot be run once for several questions.

Questions are padded on the right and masked; of answers no mask is needed, no real token sees a pad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from engine.errors import ModelError
from engine.models.head import read_at
from engine.models.rows import Rows


class EncoderDecoderPrefix:
    """The prefix in front of every question (a `Prefix`, see prefix.py).

    All passes over the same questions share one run of the encoder, so that KID's mask costs a pass of
    the decoder alone. With gradients (torch's mode when this is made) they go on from a detached copy of
    its states; `backward`, or a pass over other questions, sends what was left there on into the encoder.

    Args:
        ids: [P].

    Raises:
        ModelError: the model's configuration lacks EOS or the decoder's start token.
    """

    def __init__(self, model: Any, ids: Tensor) -> None:
        self.model = model
        self.ids = ids
        self._eos_id, self._start_id = _token(model, "eos_token_id"), _token(model, "decoder_start_token_id")
        self._with_gradient = torch.is_grad_enabled()
        self._encoded: list[_Encoded] = []

    def logits(self, rows: Rows) -> Tensor:
        questions, mask = self._questions(rows)
        places = rows.columns - rows.starts[rows.rows] + 1
        answers = self._answers(rows, int(places.max()))
        states = self._encode(questions, mask)
        with read_at(self.model, rows.rows, places):
            output = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=answers,
                use_cache=False,
            )
        return output.logits[0]

    def backward(self) -> None:
        self._send()
        self._encoded = []

    def _encode(self, questions: Tensor, mask: Tensor) -> Tensor:
        """[B, P + S, D] the encoder's states, of the last run where it was over the same questions."""
        if not (self._encoded and self._encoded[-1].are(questions, mask)):
            self._send()
            with torch.set_grad_enabled(self._with_gradient):  # also in the pass that masks, which has none
                made = self.model.get_encoder()(input_ids=questions, attention_mask=mask).last_hidden_state
            held = made.detach().requires_grad_() if made.requires_grad else made
            self._encoded.append(_Encoded(questions, mask, made, held))
        return self._encoded[-1].held

    def _send(self) -> None:
        """Gradients that have come to the states go on into the encoder, whose memory is freed then."""
        reached = [one for one in self._encoded if one.held.grad is not None]
        for one in reached:
            torch.autograd.backward(one.made, one.held.grad)
        self._encoded = [one for one in self._encoded if one.held.grad is None and one.made.requires_grad]

    def _questions(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """What the encoder reads, and its mask. Nothing of an answer is in it, not even masked."""
        starts, width = rows.starts[:, None], int(rows.starts.max())
        columns = torch.arange(width + 1, device=rows.ids.device)
        suffixes = torch.nn.functional.pad(rows.ids[:, :width], (0, 1))
        suffixes = suffixes.where(columns < starts, self._eos_id)
        prefix = self.ids.expand(len(suffixes), -1)
        mask = torch.cat([torch.ones_like(prefix, dtype=torch.bool), columns <= starts], dim=1)
        return torch.cat([prefix, suffixes], dim=1), mask.long()

    def _answers(self, rows: Rows, length: int) -> Tensor:
        """[B, 1 + length] the decoder's start token and the first tokens of each answer."""
        columns = rows.starts[:, None] + torch.arange(length, device=rows.ids.device)
        answers = rows.ids.gather(1, columns.clamp(max=rows.ids.shape[1] - 1))
        return torch.cat([answers.new_full((len(answers), 1), self._start_id), answers], dim=1)


@dataclass(frozen=True)
class _Encoded:
    """A run of the encoder. held: its states as the decoder reads them, [B, P + S, D]."""

    questions: Tensor
    mask: Tensor
    made: Tensor
    held: Tensor

    def are(self, questions: Tensor, mask: Tensor) -> bool:
        return torch.equal(self.questions, questions) and torch.equal(self.mask, mask)


class EncoderDecoderRollout:
    """Answers that grow token by token: the encoder–decoder's `Rollout` (generate.py).

    Args:
        prefix: [P] ids, common to all.
        copies: rows for each suffix, side by side. The encoder runs once for all of them.

    Raises:
        ModelError: see `EncoderDecoderPrefix`.
    """

    def __init__(
        self, model: Any, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], *, copies: int = 1
    ) -> None:
        self.model: Any = model
        self.device = next(model.parameters()).device
        self.num_rows = len(suffixes) * copies
        eos_id, start_id = _token(model, "eos_token_id"), _token(model, "decoder_start_token_id")
        ids, mask = _pad_right([[*prefix, *suffix, eos_id] for suffix in suffixes], eos_id, self.device)
        states = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        self._states = states.repeat_interleave(copies, dim=0)
        self._mask = mask.repeat_interleave(copies, dim=0)
        self._ids = ids.new_full((self.num_rows, 1), start_id)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def logits(self) -> Tensor:
        """[R, V] next-token logits of all rows."""
        output = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._states),
            attention_mask=self._mask,
            decoder_input_ids=self._ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        return output.logits[:, -1]

    def append(self, tokens: Tensor) -> None:
        """One token, [R], for each row."""
        self._ids = tokens[:, None]

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all rows but these."""
        chosen = torch.tensor(rows, device=self.device)
        self._cache.batch_select_indices(chosen)
        self._states, self._mask = self._states[chosen], self._mask[chosen]
        self.num_rows = len(rows)

    def shuffle(self, sources: Sequence[int]) -> None:
        """Gives each row what was appended to another of the same suffix. `sources`: R row numbers."""
        cache: Any = self._cache.self_attention_cache  # what is read of the question is the same in both
        cache.reorder_cache(torch.tensor(sources, device=self.device))


def plain_inputs(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """What an ordinary trainer calls the model with: questions, their mask, and labels (−100 at pads)."""
    device, eos_id = next(model.parameters()).device, _token(model, "eos_token_id")
    ids, mask = _pad_right([[*prompt, eos_id] for prompt in prompts], eos_id, device)
    labels, wanted = _pad_right(answers, eos_id, device)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels.masked_fill(wanted == 0, -100)}


def _token(model: Any, name: str) -> int:
    """An id that the model's configuration, or its generation's, names."""
    for config in (model.config, getattr(model, "generation_config", None)):
        token = getattr(config, name, None)
        if token is not None:
            return token[0] if isinstance(token, list) else token
    raise ModelError(
        f"the {model.config.model_type} model's configuration names no {name}",
        "add it to the model's config.json (T5: decoder_start_token_id is the padding token's)",
    )


def _pad_right(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids [B, S] and their attention mask [B, S]."""
    width = max(map(len, rows))
    ids = [[*row, *[fill] * (width - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
