"""What SFT takes on the very batch that a method is trained on: the measure of a method's cost.

The paper states training latency relative to SFT. Two SFT steps are timed beside the method's own,
on the same rows: as an ordinary trainer does it (every row its whole prompt, logits everywhere) and
ours (the shared prefix). Forward and backward only; the optimizer is the same for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.distill.objective import Objective
from engine.models.encode import Item
from engine.models.kind import is_encoder_decoder
from engine.models.seq2seq import plain_inputs

_LOGITS_BYTES = 2**30  # on the CPU: more would swap, which is no fair reference
_IGNORED = -100


def time_sft(
    objective: Objective,
    groups: Sequence[Sequence[Item]],
    prefixes: Mapping[Path, Sequence[int]],
    max_rows: int = 0,
) -> dict[str, float]:
    """Milliseconds of a plain and of a shared SFT step on these groups, of which no trace is left.

    Args:
        max_rows: rows a pass at most in our step (0: a whole group), as training has it.
    """

    def plain() -> None:
        plain_sft(objective, groups, prefixes)

    def shared() -> None:
        objective.accumulate(groups, prefixes, epoch=0, warming_up=True, max_rows=max_rows)

    with unseen(objective):
        return {"plain_sft_ms": time_step(objective, plain), "sft_ms": time_step(objective, shared)}


def plain_sft(
    objective: Objective, groups: Sequence[Sequence[Item]], prefixes: Mapping[Path, Sequence[int]]
) -> None:
    """Forward and backward of ordinary SFT: padded rows, labels of −100 at the prompt, full logits."""
    student, device = objective.student, objective.device
    rows = [([*prefixes[item.database], *item.suffix], item.answer) for group in groups for item in group]
    num_tokens = sum(len(answer) for _, answer in rows)
    for batch in _micro_batches(rows, student.config.vocab_size, _logits_bytes(device)):
        if is_encoder_decoder(student.config):
            inputs = plain_inputs(student, *zip(*batch, strict=True))
        else:
            inputs = _padded(batch, objective.pad_id, device)
        share = sum(len(answer) for _, answer in batch) / num_tokens
        with objective.autocast():
            loss = student(**inputs, use_cache=False).loss * share
        loss.backward()


def _padded(
    batch: list[tuple[list[int], tuple[int, ...]]], pad_id: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Prompts with their answers, padded; labels at the answers' tokens."""
    width = max(len(prompt) + len(answer) for prompt, answer in batch)
    ids = torch.full((len(batch), width), pad_id)
    labels = torch.full_like(ids, _IGNORED)
    for row, (prompt, answer) in enumerate(batch):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : end] = torch.tensor(answer)
    lengths = torch.tensor([[len(prompt) + len(answer)] for prompt, answer in batch])
    mask = (torch.arange(width) < lengths).long()
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "labels": labels.to(device),
    }


def _micro_batches(
    rows: list[tuple[list[int], tuple[int, ...]]], vocabulary: int, num_bytes: int
) -> Iterator[list[tuple[list[int], tuple[int, ...]]]]:
    """As many rows at a time as so many bytes of float32 logits allow."""
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    size = max(1, num_bytes // (4 * longest * vocabulary))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _logits_bytes(device: torch.device) -> int:
    """A quarter of a GPU's free memory: logits are held three times, computed, in float32, as gradient."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else _LOGITS_BYTES


@contextmanager
def unseen(objective: Objective) -> Iterator[None]:
    """Takes back what a step leaves behind: gradients, random numbers that were drawn, timings."""
    devices = [objective.device] if objective.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
    objective.student.zero_grad(set_to_none=True)
    objective.stopwatch.read()


def time_step(objective: Objective, work: Callable[[], None]) -> float:
    def now() -> float:
        if objective.device.type == "cuda":
            torch.cuda.synchronize(objective.device)
        return time.perf_counter()

    started = now()
    work()
    return round((now() - started) * 1000, 3)
