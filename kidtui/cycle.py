"""Things that are gone through one after the other: themes, orders, tabs, scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def turned(all_: Sequence[T], one: T, by: int = 1) -> T:
    """What stands `by` places behind one of them, behind the last the first again.

    Of something that is not among them: the first, or going back the last.
    """
    at = all_.index(one) if one in all_ else -1 if by > 0 else 0
    return all_[(at + by) % len(all_)]
