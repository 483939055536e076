"""Phrasings that several kinds share: four or more templates for one intention."""

from __future__ import annotations


def listing(rest: str, one: str = "{one}", many: str = "{many}") -> tuple[str, ...]:
    return (
        f"List the {{sel}} of {many} {rest}.",
        f"Show the {{sel}} of all {many} {rest}.",
        f"Find the {{sel}} of every {one} {rest}.",
        f"What is the {{sel}} of each {one} {rest}?",
    )


def asking(rest: str) -> tuple[str, ...]:
    return (f"What is the {rest}?", f"Show the {rest}.", f"Find the {rest}.", f"Give the {rest}.")


def counting(rest: str) -> tuple[str, ...]:
    return (f"How many {rest} are there?", *asking(f"number of {rest}")[:2], f"Count the {rest}.")


def choosing(rest: str) -> tuple[str, ...]:
    return (
        f"Which {{cats}} have {rest}?",
        f"List the {{cats}} that have {rest}.",
        f"Show all {{cats}} with {rest}.",
        f"Find the {{cats}} with {rest}.",
    )


def grouping(rest: str, group: str) -> tuple[str, ...]:
    return (
        f"What is the {rest} for each {group}?",
        f"Show each {group} with the {rest}.",
        f"For every {group}, give the {rest}.",
        f"List the {rest} by {group}.",
    )
