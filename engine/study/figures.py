"""The figures of a comparison, as PNG and SVG. matplotlib is imported when called.

score-against-latency   the paper's Figure 1
score-against-steps     its Figure 6
alpha                   its Figure 5: EX by mask_ratio
strategies              its Figure 4: EX by mask_strategy
error-classes           what is wrong with the answers, before and after training
divergences             how far the student is from its teacher, over the steps
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine import files
from engine.study import mask_figures, score_figures, step_figures
from engine.study.saved import can_draw, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from engine.study.comparison import Comparison
    from engine.study.group import Group


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Every figure that the runs allow, in `folder`, which is made; the same runs give the same bytes.

    Raises:
        KidError: matplotlib is not installed; a file cannot be written.
    """
    can_draw(asked=True)
    import matplotlib

    drawings: dict[str, Callable[[Sequence[Group]], Figure | None]] = {
        "score-against-latency": score_figures.against_latency,
        "score-against-steps": step_figures.score,
        "alpha": mask_figures.alpha,
        "strategies": mask_figures.strategies,
        "error-classes": score_figures.error_classes,
        "divergences": step_figures.divergences,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.write_error(folder, error) from error
    written: list[Path] = []
    with matplotlib.rc_context({"font.size": 10.0}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in the figure says it
        for name, draw in drawings.items():
            figure = draw(comparison.groups)
            if figure is not None:
                written += save_figure(figure, folder, name)
    return written
