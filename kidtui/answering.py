"""Let the engine answer the questions of an evaluation, with progress on stderr."""

from __future__ import annotations

from collections.abc import Sequence

from engine.evaluation.request import Folder
from kidtui import engine_job


def answer(folders: Sequence[Folder]) -> None:
    """Answers what the folders' requests ask and is not answered yet.

    Interrupted, it ends the engine; what is answered by then stays.

    Raises:
        KidError: as the engine says, with its exit code; it died.
    """
    engine_job.do(
        ["answer", *(str(folder.path) for folder in folders)],
        folders[0].path / "err.log",
        doing="answered",
        when_stopped="stopped; the same command goes on where it was",
    )
