"""Texts to token ids, in three pieces tokenised apart: prefix, suffix, answer.

Training, evaluation and the REPL all feed a model `prefix + suffix (+ answer)` made here, so what
a shared prefix stands for is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine import settings
from engine.data import benchmarks
from engine.data.benchmarks import DataSet, Example
from engine.data.prompt import Prompter
from engine.errors import ModelError


@dataclass(frozen=True, slots=True)
class Item:
    """One example as token ids. `answer` ends in EOS."""

    index: int
    database: Path
    suffix: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of its own row: EOS is only ever predicted, never read."""
        return len(self.suffix) + len(self.answer) - 1


class Encoder:
    """A tokenizer and a prompt format.

    `plain`: BOS (where the tokenizer has one), prefix, suffix, answer, EOS.
    `chat`: the same text as the user's turn of the model's chat template.
    """

    def __init__(self, tokenizer: Any, data: settings.Data) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no EOS token", "add one to its configuration")
        self.tokenizer = tokenizer
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos_id
        self.prompter = Prompter(
            lambda text: len(self.ids(text)), data.max_prompt_tokens, data.max_suffix_tokens
        )
        self._head, self._tail = _template(tokenizer) if data.prompt_format == "chat" else ("", "")
        self._bos = [tokenizer.bos_token_id] if not self._head and tokenizer.bos_token_id is not None else []
        self._evidence = data.evidence
        self._entries: dict[Path, Any] = {}
        self._prefixes: dict[Path, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def add(self, data: DataSet) -> None:
        """Makes a data set's own words about its databases (tables.json) part of their prefixes."""
        for example in data.examples:
            self._entries[example.database] = data.tables.get(example.db_id)

    def add_database(self, database: Path) -> None:
        """Makes what a release's tables.json says about one of its databases part of the prefix.

        A database that was added before is read anew: it may have changed.
        """
        self._entries[database] = benchmarks.tables_entry(database)
        self._prefixes.pop(database, None)
        self.prompter.forget(database)

    def prefix(self, database: Path) -> list[int]:
        """Instructions and schema of a database. Kept: it is the same for every question."""
        if database not in self._prefixes:
            text = self._head + self.prompter.prefix(database, self._entries.get(database))
            self._prefixes[database] = self._bos + self.ids(text)
        return self._prefixes[database]

    def suffix(self, example: Example) -> list[int]:
        if not self._evidence:
            example = replace(example, evidence="")
        return self.ids(self.prompter.suffix(example) + self._tail)

    def answer(self, query: str) -> list[int]:
        return [*self.ids(self.prompter.target(query)), self.eos_id]

    def items(self, data: DataSet) -> list[Item]:
        """Every example of a data set as token ids."""
        return [
            Item(
                example.index,
                example.database,
                tuple(self.suffix(example)),
                tuple(self.answer(example.query)),
            )
            for example in data.examples
        ]

    def decode(self, ids: list[int]) -> str:
        """Generated ids as SQL on one line, up to EOS."""
        return " ".join(self.text(ids).split())

    def text(self, ids: list[int]) -> str:
        """Generated ids as they stand, up to EOS."""
        end = ids.index(self.eos_id) if self.eos_id in ids else len(ids)
        return self.tokenizer.decode(ids[:end], skip_special_tokens=True)


def _template(tokenizer: Any) -> tuple[str, str]:
    """What a chat template puts before and after the user's text."""
    if not tokenizer.chat_template:
        raise ModelError(
            "data.prompt_format is 'chat' and the tokenizer has no chat template", "set it to 'plain'"
        )
    marker = "[[user text]]"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": marker}], tokenize=False, add_generation_prompt=True
    )
    head, _, tail = text.partition(marker)
    return head, tail
