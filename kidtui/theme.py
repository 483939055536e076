"""kid's own themes, beside those of Textual. Their colours suit the colour-blind (Okabe, Ito)."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="kid-dark",
    primary="#56B4E9",
    secondary="#009E73",
    accent="#E69F00",
    success="#2FB88A",
    warning="#F0C541",
    error="#E8743B",
    foreground="#D8DEE6",
    background="#11151A",
    surface="#171C23",
    panel="#222A33",
    dark=True,
)
LIGHT = Theme(
    name="kid-light",
    primary="#0072B2",
    secondary="#007A59",
    accent="#B36B00",
    success="#00795A",
    warning="#8A6A00",
    error="#B5400A",
    foreground="#1D242B",
    background="#FAFAF7",
    surface="#F0F0EC",
    panel="#E2E3DF",
    dark=False,
)
OWN = (DARK, LIGHT)
CYCLE = ("kid-dark", "kid-light", "ansi-dark")
"""What the theme key goes through; the palette has all others."""
