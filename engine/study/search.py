"""Let optuna choose the cells of a sweep by what those before reached. Its memory is a journal on disk."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engine.errors import KidError
from engine.profile import keys
from engine.study.search_space import SearchSettings
from engine.study.sweep import Entry, Sweep
from engine.study.sweep_file import Cell, described

if TYPE_CHECKING:
    import optuna

_DIGITS = 3  # of what is tried: more would tell nothing apart


def require_optuna() -> None:
    """Raises KidError: it is not installed."""
    if find_spec("optuna") is None:
        raise KidError("a sweep with [search] needs the package optuna", "pip install 'kid-sql[sweep]'")


class Search:
    """Asks optuna's default sampler for the settings of the next cell, and tells it the student's EX.

    What the sweep knows and the journal does not (the process was killed in between) is told at once.

    Args:
        sweep: one with `search`; its base's seed is the sampler's.

    Raises:
        KidError: optuna is not installed.
    """

    def __init__(self, sweep: Sweep) -> None:
        require_optuna()
        assert sweep.search is not None
        self._sweep = sweep
        self._settings = SearchSettings.model_validate(sweep.search)
        self._study = _open(sweep)
        known = {cell.trial: cell for cell in sweep.cells}
        for trial in self._study.trials:
            if trial.state.is_finished():
                continue
            if trial.number not in known:
                self._study.tell(trial.number, state=_failed())
            elif known[trial.number].state in ("done", "failed"):
                self.tell(known[trial.number])

    def ask(self) -> Entry | None:
        """The next cell, added to the sweep; None when there are enough."""
        if len(self._sweep.cells) >= self._settings.trials:
            return None
        trial = self._study.ask()
        overrides = {key: _suggest(trial, key, values) for key, values in self._settings.ranges().items()}
        return self._sweep.add(Cell(f"{trial.number + 1}: {described(overrides)}", overrides), trial.number)

    def tell(self, entry: Entry) -> None:
        """What a cell that has ended reached. One that is tried again keeps what was told first."""
        assert entry.trial is not None
        ex = entry.reached() if entry.state == "done" else None
        if ex is None:
            self._study.tell(entry.trial, state=_failed(), skip_if_finished=True)
        else:
            self._study.tell(entry.trial, ex, skip_if_finished=True)


def _open(sweep: Sweep) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(logging.WARNING)
    file = str(sweep.path / "trials.journal")
    # A lock by creating a file, not by a link: shared disks may lack links.
    storage = optuna.storages.JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))
    seed = int(sweep.base.get("train", {}).get("seed", 0)) + len(sweep.cells)  # not the first draws again
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32)
    return optuna.create_study(
        study_name=sweep.id, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
    )


def _suggest(trial: optuna.Trial, key: str, values: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(key, values)
    low, high, log = values["low"], values["high"], values.get("log", False)
    if keys()[key].annotation is int:
        return trial.suggest_int(key, int(low), int(high), log=log)
    rounded = float(f"{trial.suggest_float(key, low, high, log=log):.{_DIGITS}g}")
    return min(max(rounded, low), high)


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL
