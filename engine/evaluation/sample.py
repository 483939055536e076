"""Which questions are scored: the same for every run, spread over the difficulties like the whole set."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from engine.data.benchmarks import Example
from engine.sql.hardness import hardness


def stratified(examples: Sequence[Example], limit: int) -> list[Example]:
    """`limit` of the examples (0: all), in their own order.

    The choice depends on the questions' text alone. Each difficulty gets its share of the
    whole, by largest remainders.
    """
    if not limit or limit >= len(examples):
        return list(examples)
    strata: dict[str, list[Example]] = defaultdict(list)
    for example in sorted(examples, key=_draw):
        strata[hardness(example.query)].append(example)
    exact = {name: limit * len(members) / len(examples) for name, members in strata.items()}
    sizes = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (sizes[name] - exact[name], name))
    for name in by_remainder[: limit - sum(sizes.values())]:
        sizes[name] += 1
    chosen = [example for name, members in strata.items() for example in members[: sizes[name]]]
    return sorted(chosen, key=lambda example: example.index)


def _draw(example: Example) -> str:
    return hashlib.sha256(f"{example.db_id}\0{example.question}\0{example.query}".encode()).hexdigest()
