"""What one pass of a model reads behind a prefix, and where its logits are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Questions with their answers, as one pass reads them.

    ids: [B, S] token ids, padded on the right.
    starts: [B] the column of each row's first answer token; what stands before it is the question.
    rows, columns: [N] each; the N places whose next-token logits are wanted.
    groups: [B] which of several prefixes each row stands behind, ascending.
    most: rows behind one prefix, at most: known here, so that a GPU need not be asked.
    """

    ids: Tensor
    starts: Tensor
    rows: Tensor
    columns: Tensor
    groups: Tensor
    most: int

    def with_ids(self, ids: Tensor) -> Rows:
        return replace(self, ids=ids)

    def at(self, chosen: Tensor) -> Rows:
        """The same rows, read at fewer places. `chosen`: [k] which of the N."""
        return replace(self, rows=self.rows[chosen], columns=self.columns[chosen])

    def only(self, kept: Tensor) -> Rows:
        """Fewer rows, numbered anew, with the places that are in them. `kept`: [B] booleans."""
        numbers = torch.cumsum(kept, 0) - 1
        places = kept[self.rows]
        rows, columns = numbers[self.rows[places]], self.columns[places]
        return Rows(self.ids[kept], self.starts[kept], rows, columns, self.groups[kept], self.most)

    def to(self, device: torch.device) -> Rows:
        ids, starts, rows, columns, groups = (
            tensor.to(device) for tensor in (self.ids, self.starts, self.rows, self.columns, self.groups)
        )
        return Rows(ids, starts, rows, columns, groups, self.most)


def send(values: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on a device. A GPU is not waited for: that would drain what it has to do."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def answer_rows(
    suffixes: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    pad_id: int,
    device: torch.device,
    groups: Sequence[int] | None = None,
) -> Rows:
    """Suffixes with their answers, wanted at the places that predict the answers' tokens.

    The last token of an answer is only ever predicted, so it is not among the ids.

    Args:
        groups: of each row, ascending; None: all stand behind one prefix.
    """
    starts = np.array([len(suffix) for suffix in suffixes])
    lengths = np.array([len(answer) for answer in answers])
    ids = np.full((len(starts), int((starts + lengths).max()) - 1), pad_id)
    for row, (suffix, answer) in enumerate(zip(suffixes, answers, strict=True)):
        ids[row, : len(suffix) + len(answer) - 1] = (*suffix, *answer[:-1])
    columns = [np.arange(length) + start - 1 for start, length in zip(starts, lengths, strict=True)]
    rows = np.repeat(np.arange(len(starts)), lengths)
    behind = np.array(groups) if groups is not None else np.zeros_like(starts)
    return Rows(
        send(ids, device),
        send(starts, device),
        send(rows, device),
        send(np.concatenate(columns), device),
        send(behind, device),
        int(np.bincount(behind).max()),
    )
