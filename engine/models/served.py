"""A teacher that a server has: an OpenAI-compatible endpoint that says a prompt's log-probabilities, as vLLM.

Every row is sent whole, as token ids (prefix, question, answer), and what comes back is, for each of its
places, the `teacher.top_k` likeliest tokens and the token that stands there (vLLM's `prompt_logprobs`).
topk.py says what is made of that, endpoint.py how it is asked. docs/served_teacher.md is the guide.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine import settings
from engine.errors import ModelError
from engine.models.endpoint import Endpoint, Unavailable
from engine.models.rows import Rows
from engine.models.topk import NO_ID, TopK

_ROWS = 8
"""Rows in a request."""
_PROBE = "SELECT name, COUNT(*) FROM singer WHERE age > 20 GROUP BY name ORDER BY COUNT(*) DESC LIMIT 3"
_MOST_DIFFERING = 0.1
"""Of the tokens that are compared: servers write some special ones in their own way."""

Entry = Mapping[str, Mapping[str, Any]]
"""What the server says of one place: by token id, its logprob and decoded_token."""


class Prompt(NamedTuple):
    """Token ids, and the place from which on is wanted what the server says; it says nothing of place 0."""

    ids: list[int]
    first: int


class ServedTeacher:
    """The teacher of a profile with teacher.url.

    Args:
        teacher: the profile's settings of it.
        eos_id: stands behind every row, so that the server also says what follows its last token.

    Raises:
        ModelError: teacher.api_key_env names a variable that is not set.
    """

    device = torch.device("cpu")

    def __init__(self, teacher: settings.Teacher, eos_id: int) -> None:
        assert teacher.url, "who makes one has looked"
        self.name, self.top_k, self.eos_id = teacher.model, teacher.top_k, eos_id
        self.endpoint = Endpoint(teacher.url, _key(teacher.api_key_env), teacher.timeout, teacher.patience)

    def open(self, ids: Sequence[Tensor]) -> ServedPrefix:
        """One view of several prefixes, [P_i] token ids each: the server reads them anew with every row."""
        return ServedPrefix(self, [one.tolist() for one in ids])

    def require_same_tokens(self, tokenizer: Any) -> None:
        """Asks once, before anything depends on it.

        Raises:
            ModelError: the server refuses, says no log-probabilities, or means other tokens by the same ids.
            OutageError: it does not answer.
        """
        prompt = tokenizer.encode(_PROBE, add_special_tokens=False)
        (entries,) = self.ask([Prompt(prompt, 1)])
        said = {int(id): one.get("decoded_token") for entry in entries for id, one in entry.items()}
        compared = [
            (text.strip(), tokenizer.decode([id]).strip())
            for id, text in said.items()
            if isinstance(text, str) and text and id < len(tokenizer) and not text.startswith("token_id:")
        ]
        # Half a character is written in more than one way.
        pairs = [pair for pair in compared if "\N{REPLACEMENT CHARACTER}" not in "".join(pair)]
        differing = [pair for pair in pairs if pair[0] != pair[1]]
        if len(differing) > _MOST_DIFFERING * len(pairs):
            theirs, ours = differing[0]
            raise ModelError(
                f"{self.endpoint.url}: '{self.name}' has another vocabulary than the student: of {len(pairs)}"
                f" ids {len(differing)} are other tokens (one is {theirs[:20]!r} there, {ours[:20]!r} here)",
                "choose a teacher and a student of one family",
            )

    def ask(self, prompts: Sequence[Prompt]) -> list[list[Entry]]:
        """What the server says of each prompt's places, from the first one that is wanted."""
        batches = [prompts[start : start + _ROWS] for start in range(0, len(prompts), _ROWS)]
        requests = [
            {
                "model": self.name,
                "prompt": [prompt.ids for prompt in batch],
                "max_tokens": 1,  # the least that is allowed
                "prompt_logprobs": self.top_k,
                # As the model is: a server has other defaults of sampling, which old ones apply here too.
                "temperature": 1.0,
                "top_p": 1.0,
                "top_k": -1,
                "repetition_penalty": 1.0,
            }
            for batch in batches
        ]
        answers = self.endpoint.ask(
            "completions", requests, lambda number, answer: self._read(batches[number], answer)
        )
        return [entries for answer in answers for entries in answer]

    def _read(self, prompts: Sequence[Prompt], answer: Any) -> list[list[Entry]]:
        """The answer's entries, checked: it comes from outside."""
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            said = [choice.get("prompt_logprobs") for choice in choices]
            if None in said:
                raise ModelError(
                    f"{self.endpoint.url} says no log-probabilities of a prompt",
                    "serve the teacher by vLLM, or by what also knows prompt_logprobs",
                )
            if [len(entries) for entries in said] != [len(prompt.ids) for prompt in prompts]:
                raise Unavailable("its answer is not as long as the prompts")
            found = [entries[prompt.first :] for entries, prompt in zip(said, prompts, strict=True)]
            for entry in (entry for entries in found for entry in entries):
                if not entry or not all(_is_sound(id, one["logprob"]) for id, one in entry.items()):
                    raise Unavailable("its answer has places without log-probabilities")
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise Unavailable(f"its answer is not in vLLM's format ({type(error).__name__})") from error
        return found


class ServedPrefix:
    """Prefixes of a served teacher (see prefix.Prefix): their `logits` are the likeliest tokens alone."""

    def __init__(self, teacher: ServedTeacher, ids: Sequence[Sequence[int]]) -> None:
        self.teacher, self.ids = teacher, ids

    def logits(self, rows: Rows) -> TopK:
        """What the teacher says may follow at the N wanted places."""
        columns: dict[int, list[int]] = defaultdict(list)
        places = list(zip(rows.rows.tolist(), rows.columns.tolist(), strict=True))
        for row, column in places:
            columns[row].append(column)
        groups, ids = rows.groups.tolist(), rows.ids.tolist()
        prompts = {}
        for row, wanted in columns.items():
            prefix = self.ids[groups[row]]
            # What may follow a column is said of the place behind it.
            prompts[row] = Prompt(
                [*prefix, *ids[row][: max(wanted) + 1], self.teacher.eos_id], len(prefix) + min(wanted) + 1
            )
        said = dict(zip(prompts, self.teacher.ask(list(prompts.values())), strict=True))
        return _top_k([said[row][column - min(columns[row])] for row, column in places])

    def backward(self) -> None:
        """It is frozen, and elsewhere."""


def _top_k(entries: Sequence[Entry]) -> TopK:
    width = max(map(len, entries))
    ids, log_probs = torch.full((len(entries), width), NO_ID), torch.full((len(entries), width), -torch.inf)
    for place, entry in enumerate(entries):
        ids[place, : len(entry)] = torch.tensor([int(id) for id in entry])
        log_probs[place, : len(entry)] = torch.tensor([float(said["logprob"]) for said in entry.values()])
    return TopK(ids, log_probs)


def _is_sound(id: str, log_prob: Any) -> bool:
    """Whether this is a token's log-probability, which rounding may leave just above 0."""
    return 0 <= int(id) < NO_ID and math.isfinite(log_prob) and log_prob < 1e-3


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if key := os.environ.get(variable):
        return key
    raise ModelError(
        f"teacher.api_key_env: the environment has no {variable}", f"export {variable}=… before starting"
    )
