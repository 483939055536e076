"""Answers that cannot leave a database's grammar: what may not follow is struck out of the logits.

    constraint = constrainer.start(schema)
    while not constraint.ended:
        token = int(constraint.restrict(logits).argmax())
        constraint.accept(token)

The grammar is select_grammar.py's; llguidance, an optional extra, holds it against the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.errors import KidError, ModelError
from engine.sql.select_grammar import select_grammar

_MEND = "switch constrained decoding off"
_LEXER_FUEL = 100_000_000  # llguidance's own limit ends at a thousand columns
_Schema = tuple[tuple[str, tuple[str, ...]], ...]


class Constrainer:
    """One tokenizer, and the grammars of the databases it has been asked about, each compiled once.

    Args:
        tokenizer: a fast one of transformers.
        eos_id: the token that ends an answer.

    Raises:
        ModelError: llguidance is not installed, or it cannot read the tokenizer.
    """

    def __init__(self, tokenizer: Any, eos_id: int) -> None:
        try:
            import llguidance
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise ModelError(
                "constrained decoding needs llguidance, which is not installed",
                "pip install 'kid-sql[constrained]'",
            ) from error
        try:
            self._tokenizer = from_tokenizer(tokenizer, eos_token=eos_id)
        except ValueError as error:
            raise ModelError(f"constrained decoding cannot read this tokenizer: {error}", _MEND) from error
        self._matcher = partial(
            llguidance.LLMatcher, limits=llguidance.LLParserLimits(initial_lexer_fuel=_LEXER_FUEL)
        )
        self._compiled: dict[_Schema, Any] = {}

    def start(self, schema: Mapping[str, Sequence[str]]) -> Constraint:
        """The constraint of one answer, at its beginning.

        Args:
            schema: table -> its columns, as the database spells them.

        Raises:
            DatabaseError: the database has no table.
            ModelError: the schema is too large for llguidance.
        """
        key = tuple((table, tuple(columns)) for table, columns in schema.items())
        if key not in self._compiled:
            matcher = self._matcher(self._tokenizer, select_grammar(schema))
            if matcher.is_error():
                reason = matcher.get_error().splitlines()[0]
                raise ModelError(f"no grammar can be made of the database's names: {reason}", _MEND)
            self._compiled[key] = matcher
        return Constraint(self._compiled[key].deep_copy())


class Constraint:
    """What may follow in one answer. Each token goes through `accept`."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def restrict(self, logits: Tensor) -> Tensor:
        """[V] -> the same with -inf for every token that cannot follow. EOS can where a query is complete.

        V may be more than the tokenizer's size: ids that mean nothing are struck out.

        Raises:
            KidError: llguidance gave up, e.g. because brackets are nested too deeply.
        """
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        self._require_sound()
        places = torch.arange(8, dtype=torch.uint8)
        allowed = (bits[:, None] >> places & 1).flatten()[: len(logits)].bool().to(logits.device)
        restricted = torch.full_like(logits, float("-inf"))
        restricted[: len(allowed)] = logits[: len(allowed)].masked_fill(~allowed, float("-inf"))
        return restricted

    def accept(self, token: int) -> None:
        """The answer goes on with a token that `restrict` left."""
        accepted = self._matcher.consume_token(token)
        assert accepted, f"token {token} cannot follow: {self._matcher.get_error()}"

    @property
    def ended(self) -> bool:
        """Nothing but EOS can follow, or it has followed."""
        return self._matcher.is_stopped()

    def _require_sound(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().splitlines()[0]
            raise KidError(f"constrained decoding gave up: {reason}", _MEND)
