"""ExAccErr of a run's student, where `kid eval --run RUN --exposure N` has measured it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import KidError
from engine.evaluation.request import Folder
from engine.models.locate import fingerprint
from engine.runs import Run


@dataclass(frozen=True, slots=True)
class ExAccErr:
    """Excess accumulated error in per cent at so many tokens, with its 95 % interval over the prompts."""

    value: float
    low: float | None
    high: float | None
    length: int
    num: int


def exaccerr(run: Run) -> ExAccErr | None:
    """What `kid eval --run RUN --exposure N` measured of the last student as it is now: most prompts, newest.

    Measurements of a student that has been trained on since do not count.
    """
    found = []
    for path in (run.path / "evaluations").glob("*/request.json"):
        try:
            folder = Folder(path.parent)
            request, told = folder.request(), folder.exposure()
            student = request.profile["student"]
            spec = str(student["model"])
            if told is None or told["headline"] is None or spec.partition("/")[2] not in ("", "last"):
                continue
            if fingerprint(spec, student.get("adapter")) != request.model:
                continue
            low, high = told["interval"] or (None, None)
            measured = ExAccErr(
                told["headline"], low, high, told["headline_length"], told["num_prompts"]
            )  # fmt: skip
            found.append((measured.num, path.stat().st_mtime, measured))
        except (KidError, OSError, ValueError, KeyError, TypeError):
            continue  # half-written, or of another version: as if it had not been measured
    return max(found, key=lambda each: each[:2])[2] if found else None
