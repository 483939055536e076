"""A model that writes SQL for questions, each database's prompt prefix run once and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.data.glance import file_stamp, readable
from engine.errors import ModelError
from engine.evaluation.vote import elect
from engine.models.beam import beams
from engine.models.encode import Encoder
from engine.models.load import load_tokenizer
from engine.models.pair import load_student, load_teacher
from engine.models.prefix import SharedPrefix, shareable
from engine.models.sample import sample
from engine.models.stream import CHUNK, Restriction, probabilities, stream
from engine.models.threads import set_threads
from engine.profile import Profile
from engine.protocol import Decoding, Role
from engine.question import Question, Written
from engine.sql.execute import Executor

Prompt = tuple[SharedPrefix | list[int], list[int]]
KEPT = 8
"""Databases whose prefixes are kept, the last ones used."""

Check = Callable[[], None]
"""Called before every pass of the model; it raises where nobody waits for the answer any more."""


class Writer:
    """One model and what it has read. One answer at a time.

    Args:
        model: in evaluation mode.
        encoder: its tokenizer and prompt format.
        executor: runs the candidates of a vote.
        max_new_tokens: of one answer.
        name: what the model is called.
    """

    def __init__(
        self, model: Any, encoder: Encoder, executor: Executor, max_new_tokens: int, name: str = ""
    ) -> None:
        self.encoder = encoder
        self.name = name
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        self._model: Any = model
        self._executor = executor
        self._max_new_tokens = max_new_tokens
        self._shared = shareable(model) is None
        self._constrainer: Any = None
        self._prefixes: OrderedDict[Path, tuple[str, SharedPrefix | list[int]]] = OrderedDict()

    def read(self, database: Path, check: Check) -> SharedPrefix | list[int]:
        """Runs a database's prefix, unless that is done and the file is the same.

        Raises:
            DatabaseError: it is missing or damaged.
            DataError: its schema does not fit into a prompt.
        """
        stamp = file_stamp(database)
        known = self._prefixes.pop(database, None)
        if known is None or known[0] != stamp:
            self.encoder.add_database(database)
            prefix: SharedPrefix | list[int] = self.encoder.prefix(database)
            if self._shared:
                with _checked(self._model, check), torch.inference_mode():
                    ids = torch.tensor(prefix, device=next(self._model.parameters()).device)
                    prefix = SharedPrefix(self._model, ids, CHUNK)
            known = stamp, prefix
        self._prefixes[database] = known
        if len(self._prefixes) > KEPT:
            self._prefixes.popitem(last=False)
        return known[1]

    def write(
        self,
        question: Question,
        decoding: Decoding,
        on_token: Callable[[str, float], None],
        check: Check,
    ) -> Written:
        """SQL for a question; greedy decoding tells its tokens as they come.

        Raises:
            DatabaseError, DataError: see `read`.
            ModelError: constrained decoding is asked for, and its library is missing.
        """
        prompt = self.read(question.database, check), self.encoder.suffix(question.example)
        with _checked(self._model, check):
            if decoding.name == "greedy":
                return self._greedy(prompt, question.database, decoding.constrained, on_token)
            if decoding.name == "beam":
                return self._told(prompt, self._beams(prompt, decoding.num_beams)[0])
            ids, votes = self._vote(prompt, question, decoding, check)
            return self._told(prompt, ids, votes)

    def alternatives(self, question: Question, num_beams: int, check: Check) -> Iterator[Written]:
        """The answers that a beam search finds likely, best first."""
        prompt = self.read(question.database, check), self.encoder.suffix(question.example)
        with _checked(self._model, check):
            for ids in self._beams(prompt, num_beams):
                yield self._told(prompt, ids)

    def prompt(self, question: Question) -> dict[str, Any]:
        """What the model reads for a question: both pieces as text, with their tokens counted."""
        known = self._prefixes.get(question.database)
        if known is None or known[0] != file_stamp(question.database):
            self.encoder.add_database(question.database)
        ids = self.encoder.prefix(question.database), self.encoder.suffix(question.example)
        prefix, suffix = map(self.encoder.tokenizer.decode, ids)
        return {
            "prefix": prefix,
            "suffix": suffix,
            "num_tokens": list(map(len, ids)),
            "dropped": self.encoder.prompter.dropped.get(question.database, ""),
        }

    def _greedy(
        self, prompt: Prompt, database: Path, constrained: bool, on_token: Callable[[str, float], None]
    ) -> Written:
        pieces = Pieces(self.encoder)
        ids, tokens = [], []
        for token in stream(
            self._model,
            *prompt,
            max_new_tokens=self._max_new_tokens,
            eos_id=self.encoder.eos_id,
            shared=self._shared,
            known=self.encoder.prefix(database) + prompt[1],
            restriction=self._restriction(database) if constrained else None,
        ):
            ids.append(token.id)
            tokens.append((pieces.add(token.id), token.probability))
            on_token(*tokens[-1])
        return Written(self.encoder.decode(ids), tuple(tokens))

    def _vote(
        self, prompt: Prompt, question: Question, decoding: Decoding, check: Check
    ) -> tuple[list[int], tuple[int, int]]:
        """The winner's ids and its votes, of how many."""
        (candidates,) = sample(
            *self._rows(prompt),
            keys=[(decoding.seed, 0)],
            temperatures=[0.0] + [decoding.temperature] * decoding.num_samples,
            **self._limits,
        )
        texts = [self.encoder.decode(ids) for ids in candidates]
        election = elect(texts, question.database, self._executor, check)
        return candidates[texts.index(election.query)], (election.votes, len(texts))

    def _beams(self, prompt: Prompt, num_beams: int) -> list[list[int]]:
        return beams(*self._rows(prompt), num_beams=num_beams, **self._limits)[0]

    def _told(self, prompt: Prompt, ids: list[int], votes: tuple[int, int] | None = None) -> Written:
        pieces = Pieces(self.encoder)
        found = probabilities(self._model, *prompt, ids)
        tokens = tuple((pieces.add(token), share) for token, share in zip(ids, found, strict=True))
        return Written(self.encoder.decode(ids), tokens, votes)

    def _rows(self, prompt: Prompt) -> tuple[Any, SharedPrefix | list[int], list[list[int]]]:
        prefix, suffix = prompt
        return self._model, prefix, [suffix]

    @property
    def _limits(self) -> dict[str, Any]:
        return {
            "max_new_tokens": self._max_new_tokens,
            "eos_id": self.encoder.eos_id,
            "pad_id": self.encoder.pad_id,
            "shared": self._shared,
        }

    def _restriction(self, database: Path) -> Restriction:
        from engine.models.constrain import Constrainer

        if self._constrainer is None:
            self._constrainer = Constrainer(self.encoder.tokenizer, self.encoder.eos_id)
        return self._constrainer.start(readable(database))


def open_writer(profile: Profile, role: Role, executor: Executor) -> Writer:
    """The student or the teacher of a profile, ready to write.

    Raises:
        ModelError: it cannot be opened; the profile has no teacher.
    """
    set_threads(profile)
    if role == "student":
        assert profile.student.model, "who asks a student names it"
        spec = profile.student.model
        model: Any = load_student(profile)
    elif profile.teacher is not None:
        spec = profile.teacher.model
        model = load_teacher(profile.teacher)
    else:
        raise ModelError("there is no teacher here", "name one with --teacher, or ask a run's student")
    encoder = Encoder(load_tokenizer(spec, profile.trusts(spec)), profile.data)
    return Writer(model, encoder, executor, profile.data.max_answer_tokens, spec)


class Pieces:
    """Tokens as the pieces of text that they add to what came before."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ids: list[int] = []
        self._told = 0

    def add(self, token: int) -> str:
        """What a token adds: nothing yet while a character's bytes are not all there."""
        self._ids.append(token)
        text = self._encoder.text(self._ids)
        if text.endswith("\ufffd"):
            return ""
        piece, self._told = text[self._told :], len(text)
        return piece


@contextmanager
def _checked(model: Any, check: Check) -> Iterator[None]:
    """Lets `check` stop the work before any pass of the model."""
    hook = model.register_forward_pre_hook(lambda *_: check())
    try:
        yield
    finally:
        hook.remove()
