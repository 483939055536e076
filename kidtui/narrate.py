"""Events and quantities in words, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kidtui.watch import View


def event(what: Mapping[str, Any]) -> str | None:
    """One line that tells of an event; None for kinds that have no words."""
    words = _WORDS.get(what["kind"])
    return words(what) if words else None


def progress(view: View) -> str:
    """One line that tells where a run is."""
    at = view.progress
    if at.name == "training" and view.step:
        return _step(view.step)
    return f"{at.name} {count(at.done)}/{count(at.total)}" if at.total else at.name


def number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


def count(value: Any) -> str:
    """A whole number with thin groups, such as 12 345; – where there is none."""
    return f"{value:,.0f}".replace(",", " ") if isinstance(value, int | float) else "–"


def duration(seconds: Any) -> str:
    """Such as 42s, 3m 20s, 2h 05m; – where unknown."""
    if not isinstance(seconds, int | float):
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def loss(step: Mapping[str, Any]) -> str:
    """The loss of a step, in its parts where it has more than one."""
    parts = [
        f"{name} {number(step[key])}"
        for name, key in (("kd", "loss_kd"), ("mle", "loss_mle"))
        if step.get(key)  # plain fine-tuning has no kd part
    ]
    total = f"loss {number(step.get('loss'))}"
    return f"{total} ({', '.join(parts)})" if len(parts) > 1 else total


def _step(what: Mapping[str, Any]) -> str:
    speed = f"{count(what.get('tokens_per_s'))} tokens/s"
    return f"step {count(what.get('step'))}  {loss(what)}  {speed}  eta {duration(what.get('eta_s'))}"


def _run_start(what: Mapping[str, Any]) -> str:
    parameters = what.get("parameters") or {}
    sizes = ", ".join(f"{role} {count(value)}" for role, value in parameters.items() if value)
    return f"{what.get('profile')}: {count(what.get('total_steps'))} steps; parameters: {sizes or '–'}"


def _phase(what: Mapping[str, Any]) -> str:
    total = what.get("total")
    return f"{what.get('name')} {count(what.get('done'))}/{count(total)}" if total else str(what.get("name"))


def _eval(what: Mapping[str, Any]) -> str:
    at = f" at step {count(what['step'])}" if what.get("step") is not None else ""
    who = str(what.get("split")).replace("_", " ")
    score = "exact match" if what.get("metric") == "exact_match" else "EX"
    return f"{who}: {score} {number(what.get('ex'))} on {count(what.get('num_questions'))} questions{at}"


def _reference(what: Mapping[str, Any]) -> str:
    names = {"method_ms": "this method", "sft_ms": "shared-prefix SFT", "plain_sft_ms": "plain SFT"}
    told = ", ".join(f"{name} {count(what.get(key))} ms" for key, name in names.items())
    own, plain = what.get("method_ms"), what.get("plain_sft_ms")
    relative = ""
    if isinstance(own, int | float) and isinstance(plain, int | float) and plain > 0:
        relative = f" ({own / plain:.2f} × plain SFT)"
    return f"a step of the same batch at step {count(what.get('step'))}: {told}{relative}"


def _divergences(what: Mapping[str, Any]) -> str:
    names = {"fkl": "FKL", "rkl": "RKL", "jsd": "JSD", "tvd": "TVD", "student_entropy": "student's entropy",
             "teacher_entropy": "teacher's entropy", "top1_agreement": "top-1 agreement"}  # fmt: skip
    told = "  ".join(f"{name} {number(what[key])}" for key, name in names.items() if key in what)
    return f"divergences at step {count(what.get('step'))}: {told}"


def _run_end(what: Mapping[str, Any]) -> str:
    at = f" at step {count(what['step'])}" if what.get("step") is not None else ""
    error = what.get("error") or {}
    return f"{what.get('state')}{at}" + (f": {error.get('message')}" if error else "")


_WORDS = {
    "run_start": _run_start,
    "phase": _phase,
    "step": _step,
    "eval": _eval,
    "reference": _reference,
    "divergences": _divergences,
    "checkpoint": lambda what: f"checkpoint at step {count(what.get('step'))}: {what.get('path')}",
    "warning": lambda what: f"warning: {what.get('message')}",
    "run_end": _run_end,
}
