"""Text tasks: a prompt and the one completion that is right, scored by exact match. There is no database.

    text:PATH    a data set of them: JSON lines, a JSON list or CSV. An item has
    prompt       what the model reads
    completion   what it is to write, to the letter
    context      optional: what it reads before the prompt

The items with one context are to the rest of the program what the questions on one database are: they
share a prefix, which is run once. Nothing is added to a text but a line break behind a context without one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.items import require_unicode
from engine.errors import DataError

if TYPE_CHECKING:
    from engine import settings
    from engine.data.benchmarks import DataSet

PREFIX = "text:"
_NEEDED = ("prompt", "completion")


def is_text(spec: str) -> bool:
    """Whether a data set's name is that of a text task."""
    return spec.startswith(PREFIX)


def find_file(spec: str) -> Path:
    """The file of `text:PATH`.

    Raises:
        DataError: it is not there.
    """
    file = Path(spec.removeprefix(PREFIX)).expanduser().absolute()
    if not file.is_file():
        raise DataError(f"data set not found: no file {file}", "check the path after text:")
    return file


def fields(item: Any, place: str) -> dict[str, str]:
    """An item's prompt, completion and context ("" where it has none), checked.

    Args:
        place: names the item in a message.

    Raises:
        DataError: a key is missing, or its value is of no use.
    """
    if not isinstance(item, dict):
        raise DataError(f"{place}: not an object with prompt and completion", "correct the file")
    if "db_id" in item:
        raise DataError(
            f"{place}: an item with a db_id is a question on a database, no text task",
            "name sets of SQL with file:PATH, and keep the two kinds in files of their own",
        )
    for key in _NEEDED:
        if key not in item:
            has = ", ".join(map(str, item)) or "nothing"
            raise DataError(f"{place}: no {key}", f"it has {has}; correct the file")
        if not isinstance(item[key], str) or not item[key].strip():
            raise DataError(f"{place}: {key} is not a text, or empty", "correct the file")
    context = "" if item.get("context") is None else item["context"]
    if not isinstance(context, str):
        raise DataError(f"{place}: context is not a text", "correct the file, or leave it out")
    row = {"context": context, **{key: item[key] for key in _NEEDED}}
    require_unicode(row, place)
    return row


def context_name(context: str) -> str:
    """What stands for a context where others have a database: the same for the same text."""
    return f"context-{hashlib.sha256(context.encode()).hexdigest()[:12]}" if context else "no-context"


def same_text(prediction: str, completion: str) -> bool:
    """Exact match: equal but for white space around them."""
    return prediction.strip() == completion.strip()


def require_one_kind(train: DataSet, evaluation: DataSet, data: settings.Data) -> None:
    """What a run needs of its data.

    Raises:
        DataError: SQL and a text task together.
    """
    kinds = {"sql": "SQL on databases", "text": "a text task"}
    if train.kind != evaluation.kind:
        raise DataError(
            f"data.train = {train.name} is {kinds[train.kind]},"
            f" data.eval = {evaluation.name} is {kinds[evaluation.kind]}",
            "a run learns one of them: name two sets of one kind",
        )
    if train.kind == "text" and data.corrections is not None:
        raise DataError(
            f"data.corrections are SQL, and data.train = {train.name} is a text task",
            "remove data.corrections",
        )


class TextPrompter:
    """Prompts as token ids, within a budget of them.

    A context that is too long loses its end, and keeps its line break; a prompt that is too long loses its
    start: what is asked mostly stands at the end. A prompt may use what its context leaves.

    Args:
        ids: the token ids of a text that is tokenised by itself.
        max_prompt_tokens: most of a context and a prompt together.
        max_suffix_tokens: the part of it that no context takes.
        head, tail: what a chat template puts before and after, on top of the budget.
        note: told of everything that was cut: (context, what).
    """

    def __init__(
        self,
        ids: Callable[[str], list[int]],
        max_prompt_tokens: int,
        max_suffix_tokens: int,
        head: str,
        tail: str,
        note: Callable[[Path, str], None],
    ) -> None:
        self._ids, self._note = ids, note
        self._room, self._kept_room = max_prompt_tokens, max_suffix_tokens
        self._head, self._tail = ids(head), ids(tail)
        self._contexts: dict[Path, str] = {}
        self._lengths: dict[Path, int] = {}

    def __contains__(self, name: Path | None) -> bool:
        return name in self._contexts

    def add(self, contexts: Mapping[str, str]) -> None:
        """Takes in a data set's contexts, by name."""
        self._contexts |= {Path(name): text for name, text in contexts.items()}

    def prefix(self, name: Path) -> list[int]:
        """A context's ids; none for the empty one, unless there is a template."""
        text = self._contexts[name]
        ids = self._ids(text if text.endswith("\n") or not text else f"{text}\n")
        room = self._room - self._kept_room
        if len(ids) > room:
            self._note(name, "the end of the context")
            end = self._ids("\n")
            ids = ids[: room - len(end)] + end
        self._lengths[name] = len(ids)
        return self._head + ids

    def suffix(self, name: Path, prompt: str) -> list[int]:
        """A prompt's ids, at least one.

        Raises:
            DataError: the tokenizer has no token for it.
        """
        if name not in self._lengths:
            self.prefix(name)
        ids = self._ids(prompt)
        if not ids:
            raise DataError(f"the tokenizer has no token for the prompt {prompt[:60]!r}", "change the prompt")
        room = self._room - self._lengths[name]
        if len(ids) > room:
            self._note(name, "the start of some prompts")
            ids = ids[-room:]
        return ids + self._tail
