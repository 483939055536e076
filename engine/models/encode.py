"""Texts to token ids, in three pieces tokenised apart: prefix, suffix, answer.

Training, evaluation and the REPL all feed a model `prefix + suffix (+ answer)` made here, so what
a shared prefix stands for is the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine import settings
from engine.data import benchmarks
from engine.data.benchmarks import DataSet, Example
from engine.data.prompt import Prompter
from engine.data.text_task import TextPrompter
from engine.errors import ModelError

_KEPT_CONTEXTS = 4096


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

    What stands for a database may also be the context of a text task (`add` tells): then prefix, suffix and
    answer are context, prompt and completion, to the letter.
    """

    def __init__(self, tokenizer: Any, data: settings.Data) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no EOS token", "add one to its configuration")
        self.tokenizer = tokenizer
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos_id
        self._last: tuple[str | None, list[int]] = (None, [])
        self.prompter = Prompter(
            lambda text: len(self.ids(text)), data.max_prompt_tokens, data.max_suffix_tokens
        )
        self._head, self._tail = _template(tokenizer) if data.prompt_format == "chat" else ("", "")
        self._bos = [tokenizer.bos_token_id] if not self._head and tokenizer.bos_token_id is not None else []
        self._texts = TextPrompter(
            self.ids,
            data.max_prompt_tokens,
            data.max_suffix_tokens,
            self._head,
            self._tail,
            self.prompter.note,
        )
        self._evidence = data.evidence
        self._context = lru_cache(maxsize=_KEPT_CONTEXTS)(self._texts.prefix)
        self._entries: dict[Path, Any] = {}
        self._prefixes: dict[Path, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        last = self._last
        if text != last[0]:  # what the prompter has just counted need not be tokenised again
            self._last = last = text, self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*last[1]]

    def add(self, data: DataSet) -> None:
        """Makes a data set's own words about its databases (tables.json) part of their prefixes."""
        self._texts.add(data.contexts)
        for db_id, database in data.databases.items():
            self._entries[database] = data.tables.get(db_id)

    def add_database(self, database: Path) -> None:
        """Makes what a release's tables.json says about one of its databases part of the prefix.

        A database that was added before is read anew: it may have changed.
        """
        self._entries[database] = benchmarks.tables_entry(database)
        self._prefixes.pop(database, None)
        self.prompter.forget(database)

    def prefix(self, database: Path) -> list[int]:
        """Instructions and schema of a database. Kept: it is the same for every question. Of contexts, which
        may be as many as the questions, the last are kept.

        Never empty: without context and BOS it is EOS, with which models that have no BOS begin a document.
        """
        if database in self._texts:
            return self._bos + self._context(database) or [self.eos_id]
        if database not in self._prefixes:
            ids = self.ids(self._head + self.prompter.prefix(database, self._entries.get(database)))
            self._prefixes[database] = self._bos + ids or [self.eos_id]
        return self._prefixes[database]

    def suffix(self, example: Example) -> list[int]:
        if example.database in self._texts:
            return self._texts.suffix(example.database, example.question)
        if not self._evidence:
            example = replace(example, evidence="")
        return self.ids(self.prompter.suffix(example) + self._tail)

    def answer(self, query: str, database: Path | None = None) -> list[int]:
        """An answer's ids, EOS at the end. `database`: what it is about; a context's is left as it is."""
        text = query if database in self._texts else self.prompter.target(query)
        return [*self.ids(text), self.eos_id]

    def items(self, data: DataSet) -> list[Item]:
        """Every example of a data set as token ids."""
        return list(self.stream(data))

    def stream(self, data: DataSet) -> Iterator[Item]:
        """Every example of a data set as token ids, one after the other."""
        for example in data.examples:
            suffix, answer = self.suffix(example), self.answer(example.query, example.database)
            yield Item(example.index, example.database, tuple(suffix), tuple(answer))

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of what the ids depend on beside the text: tokenizer and template."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        words = backend.to_str() if backend is not None else sorted(self.tokenizer.get_vocab().items())
        parts = [type(self.tokenizer).__name__, words, self.eos_id, self._head, self._tail]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def num_unwritable(self, items: Sequence[Item]) -> int:
        """Items whose answer the tokenizer cannot write: it holds the unknown token, as '<' is in T5's."""
        return sum(self.tokenizer.unk_token_id in item.answer[:-1] for item in items)

    def decode(self, ids: list[int], database: Path | None = None) -> str:
        """Generated ids up to EOS: SQL on one line; where `database` is a context, the text as it stands."""
        if database in self._texts:
            return self.text(ids, clean_up_tokenization_spaces=False)
        return " ".join(self.text(ids).split())

    def text(self, ids: list[int], **options: bool) -> str:
        """Generated ids as they stand, up to EOS. `options`: of the tokenizer's own decoding."""
        end = ids.index(self.eos_id) if self.eos_id in ids else len(ids)
        return self.tokenizer.decode(ids[:end], skip_special_tokens=True, **options)


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
