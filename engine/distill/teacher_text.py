"""The teacher's own answers to the training questions, for methods that learn from them.

Made once: kept in the cache folder under what they depend on (the teacher's files and number format, the
prompt, what ends an answer, how it is decoded), so runs of one sweep share them; and copied into the run, so
that a resumed run goes on with the same ones whatever has become of the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import files, paths
from engine.files import write_error
from engine.models.encode import Encoder, Item
from engine.models.prefix import shareable
from engine.models.sample import sample

_POLL_SECONDS = 3.0

Answers = dict[int, list[int]]
"""Token ids up to and with EOS, or cut at the longest answer; by the example's index."""


@dataclass(frozen=True)
class Writing:
    """How a teacher answers.

    fingerprint: of its files (locate.fingerprint).
    temperature: 0 is greedy.
    seed: of the samples; greedy answers do not depend on it.
    """

    teacher: Any
    encoder: Encoder
    fingerprint: str
    temperature: float
    seed: int
    max_new_tokens: int
    batch_size: int

    @property
    def key(self) -> str:
        # The student's tokenizer says what ends an answer and what can be in it.
        parts = [self.fingerprint, str(self.teacher.dtype), self.encoder.eos_id, len(self.encoder.tokenizer)]
        parts += [self.max_new_tokens, self.temperature, *([self.seed] if self.temperature else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def teacher_text(
    writing: Writing, items: Sequence[Item], kept: Path, progress: Callable[[int, int], None]
) -> Answers:
    """The teacher's answers to these items, from the run, the cache, or the teacher.

    Args:
        kept: the run's own file of them.
        progress: called with (done, total) after every batch; what it raises ends the work.

    Raises:
        KidError: the cache or the run cannot be written.
    """
    if kept.is_file():
        return {int(index): answer for index, answer in json.loads(kept.read_text()).items()}
    folder = paths.cache_dir() / "teacher-text"
    with _only_one(folder / f"{writing.key}.lock", lambda: progress(0, len(items))):
        found = _complete(writing, items, folder / f"{writing.key}.jsonl", progress)
    files.write_json(kept, {str(index): answer for index, answer in found.items()})
    return found


def _complete(
    writing: Writing, items: Sequence[Item], cache: Path, progress: Callable[[int, int], None]
) -> Answers:
    known = _read(cache)
    keys = {item.index: _prompt_key(writing, item) for item in items}
    missing = [item for item in items if keys[item.index] not in known]
    done = len(items) - len(missing)
    try:
        with cache.open("a") as file:
            for batch in _batches(missing, writing.batch_size):
                for item, answer in zip(batch, _answer(writing, batch), strict=True):
                    known[keys[item.index]] = answer
                    file.write(json.dumps([keys[item.index], answer]) + "\n")
                file.flush()
                done += len(batch)
                progress(done, len(items))
    except OSError as error:
        raise write_error(cache, error) from error
    return {item.index: known[keys[item.index]] for item in items}


def _answer(writing: Writing, batch: Sequence[Item]) -> list[list[int]]:
    answers = sample(
        writing.teacher,
        writing.encoder.prefix(batch[0].database),
        [item.suffix for item in batch],
        keys=[(writing.seed, item.index) for item in batch],
        temperatures=[writing.temperature],
        max_new_tokens=writing.max_new_tokens,
        eos_id=writing.encoder.eos_id,
        pad_id=writing.encoder.pad_id,
        vocabulary=min(len(writing.encoder.tokenizer), writing.teacher.config.vocab_size),
        shared=shareable(writing.teacher) is None,
    )
    return [answer for (answer,) in answers]


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Each on one database, similar questions side by side."""
    by_database: dict[Path, list[Item]] = defaultdict(list)
    for item in items:
        by_database[item.database].append(item)
    for members in by_database.values():
        members.sort(key=lambda item: len(item.suffix))
        yield from (members[start : start + size] for start in range(0, len(members), size))


def _prompt_key(writing: Writing, item: Item) -> str:
    """Of the whole prompt; a sampled answer is also the example's own."""
    prompt = [*writing.encoder.prefix(item.database), *item.suffix]
    parts = [prompt, item.index] if writing.temperature else [prompt]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _read(cache: Path) -> dict[str, list[int]]:
    """What the cache holds; a line that a killed process left half-written is cut off."""
    if not cache.is_file():
        return {}
    content = cache.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with cache.open("r+b") as file:
            file.truncate(len(whole))
    return dict(json.loads(line) for line in whole.splitlines())


@contextmanager
def _only_one(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a lock on the cache's file: of two runs that need the same text, one waits for the other's."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise write_error(lock, error) from error
    with handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(_POLL_SECONDS)
        yield
