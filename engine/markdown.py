"""Texts of others inside Markdown that we write."""

from __future__ import annotations


def in_table(text: str) -> str:
    """A text that may stand in a table: on one line, its bars no borders."""
    return " ".join(text.replace("|", "\\|").split())
