"""Beam search behind a shared prefix: the likeliest of several answers followed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.models.generate import start_rollout
from engine.models.prefix import SharedPrefix


def beam_search(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffixes: Sequence[Sequence[int]],
    **how: Any,
) -> list[list[int]]:
    """The best continuation of `prefix + suffix`, one for each suffix. Arguments are those of `beams`."""
    return [answers[0] for answers in beams(model, prefix, suffixes, **how)]


@torch.inference_mode()
def beams(
    model: Any,
    prefix: SharedPrefix | Sequence[int],
    suffixes: Sequence[Sequence[int]],
    *,
    num_beams: int,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    shared: bool = True,
) -> list[list[list[int]]]:
    """The best continuations of `prefix + suffix` found with `num_beams` beams, best first, for each suffix.

    An answer's score is the sum of its tokens' log-probabilities over their number, EOS included
    (transformers' `length_penalty=1.0`). At each step the 2·num_beams likeliest extensions of a
    question's beams are looked at: one that ends counts as an answer if it is among the first
    num_beams, and the likeliest that do not end are the next beams.

    A question is settled when it has num_beams answers and its likeliest beam, scored at its present
    length, is no better than the worst of them (transformers' `early_stopping=False`). At
    `max_new_tokens` every extension is an answer, ended or not. One beam is greedy decoding.

    Arguments not named here are those of `generate`.
    """
    rollout = start_rollout(
        model,
        prefix,
        suffixes,
        max_new_tokens=max_new_tokens,
        pad_id=pad_id,
        shared=shared,
        copies=num_beams,
    )
    searches = [_Search(num_beams) for _ in suffixes]
    open_searches = searches  # those whose rows the rollout holds, in its order
    for length in range(1, max_new_tokens + 1):
        totals = torch.tensor([search.totals for search in open_searches], device=rollout.device)
        candidates = _candidates(rollout.logits(), totals)
        for search, best in zip(open_searches, candidates, strict=True):
            if not search.settled:
                search.step(best, eos_id, length, last=length == max_new_tokens)
        going_on = [place for place, search in enumerate(open_searches) if not search.settled]
        if not going_on:
            break
        if len(going_on) <= len(open_searches) // 2:  # settled questions cost as much as open ones
            rollout.keep([place * num_beams + beam for place in going_on for beam in range(num_beams)])
            open_searches = [open_searches[place] for place in going_on]
        rollout.shuffle(
            [
                place * num_beams + beam
                for place, search in enumerate(open_searches)
                for beam in search.sources
            ]
        )
        tokens = [beam[-1] for search in open_searches for beam in search.beams]
        rollout.append(torch.tensor(tokens, device=rollout.device))
    return [[ids for _, ids in search.answers] for search in searches]


def _candidates(logits: Tensor, totals: Tensor) -> list[list[tuple[float, int, int]]]:
    """The 2·K likeliest extensions of each question's K beams: (log-probability, beam, token), best first.

    Args:
        logits: [Q·K, V]. totals: [Q, K], log-probabilities of the beams so far.
    """
    num_questions, num_beams = totals.shape
    log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    sums = (log_probs.view(num_questions, num_beams, -1) + totals[:, :, None]).flatten(1)
    best, places = sums.topk(min(2 * num_beams, sums.shape[1]))
    beams, tokens = places // logits.shape[-1], places % logits.shape[-1]
    return [
        list(zip(*question, strict=True))
        for question in zip(best.tolist(), beams.tolist(), tokens.tolist(), strict=True)
    ]


@dataclass
class _Search:
    """One question's beams and answers.

    totals: log-probability of each beam. At the start all beams are the same, so all but one are ruled out.
    sources: the beam of the step before that each beam goes on from.
    answers: (score, ids), best first, at most num_beams.
    """

    num_beams: int
    beams: list[list[int]] = field(init=False)
    totals: list[float] = field(init=False)
    sources: list[int] = field(init=False)
    answers: list[tuple[float, list[int]]] = field(default_factory=list)
    settled: bool = False

    def __post_init__(self) -> None:
        self.beams = [[] for _ in range(self.num_beams)]
        self.totals = [0.0] + [-torch.inf] * (self.num_beams - 1)
        self.sources = list(range(self.num_beams))

    def step(
        self, candidates: Sequence[tuple[float, int, int]], eos_id: int, length: int, *, last: bool
    ) -> None:
        """One step on, to beams of `length` tokens; `last`: there is no further one."""
        going_on = []
        for rank, (total, beam, token) in enumerate(candidates):
            if not (last or token == eos_id):
                going_on.append((total, beam, token))
            elif rank < self.num_beams:
                self.answers.append((total / length, [*self.beams[beam], token]))
        self.answers = sorted(self.answers, key=lambda answer: -answer[0])[: self.num_beams]
        if last:
            self.settled = True
            return
        going_on = going_on[: self.num_beams]
        self.totals = [total for total, _, _ in going_on]
        self.sources = [beam for _, beam, _ in going_on]
        self.beams = [[*self.beams[beam], token] for _, beam, token in going_on]
        full = len(self.answers) == self.num_beams
        self.settled = full and self.totals[0] / length <= self.answers[-1][0]
