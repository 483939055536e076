"""Puts a study's report and figures into a folder, each file whole or not there."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import files
from engine.errors import KidError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


def save_report(folder: Path, report: Mapping[str, Any], text: str) -> None:
    """Writes report.json and report.md; makes the folder.

    Raises:
        OpenError, KidError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.write_error(folder, error) from error
    files.write_json(folder / "report.json", report)
    files.write_text(folder / "report.md", text)


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as NAME.png and NAME.svg.

    Raises:
        OpenError, KidError: it cannot be written.
    """
    return [_save(figure, folder / f"{name}.{kind}", kind) for kind in ("png", "svg")]


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure, whose parts make room for each other. `size`: width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def can_draw(*, asked: bool) -> bool:
    """Whether there is a matplotlib to draw with.

    Raises:
        KidError: there is none, and figures are `asked` for.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is not None:
        return True
    if asked:
        raise KidError("there are no figures: matplotlib is not installed", "pip install 'kid-sql[figures]'")
    return False


def _save(figure: Figure, path: Path, kind: str) -> Path:
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "kid"}):  # else the ids in an SVG are random
        figure.savefig(drawn, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(drawn.getvalue())
        temporary.replace(path)
    except OSError as error:
        raise files.write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
