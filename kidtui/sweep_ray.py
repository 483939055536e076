"""The cells of a sweep as tasks on a ray cluster. All its machines see the disk with runs and data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import KidError
from engine.runs import Run
from kidtui import follow
from kidtui.workers import Worker


class Cluster:
    """The cluster that RAY_ADDRESS names or that runs here, else one of this machine alone.

    Args:
        num_cpus: cores that a cell asks for.

    Raises:
        KidError: ray is not installed, no cluster answers, or it has too few cores.
    """

    def __init__(self, num_cpus: float) -> None:
        if find_spec("ray") is None:
            raise KidError("--ray needs the package ray", "pip install 'kid-sql[ray]'")
        import ray

        if not ray.is_initialized():
            try:
                ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise KidError(f"no ray cluster: {error}", "check RAY_ADDRESS, or ray status") from error
        cores = ray.cluster_resources().get("CPU", 0.0)
        self.slots = int(cores // num_cpus)
        if not self.slots:
            raise KidError(
                f"a cell asks for {num_cpus:g} cores and the ray cluster has {cores:g}",
                "lower launch.num_cpus, or add machines",
            )
        self._num_cpus = num_cpus
        self._task = ray.remote(_train).options(num_cpus=num_cpus, max_retries=0)

    def threads(self, jobs: int) -> int:
        return max(1, int(self._num_cpus))

    def start(self, run: Run) -> Worker:
        """Hand the run to the cluster; it begins when cores are free."""
        environment = {name: value for name, value in os.environ.items() if name.startswith(("KID_", "HF_"))}
        return _Task(run, self._task.remote(run.id, str(run.path), environment))


def _train(run_id: str, path: str, environment: dict[str, str]) -> int:
    """On a machine of the cluster: the run's engine, to its end. Cancelled, it takes the engine along."""
    from kidtui import launch

    os.environ.update(environment)
    engine = launch.start(Run(run_id, Path(path)))
    try:
        return engine.process.wait()
    finally:
        engine.kill()


@dataclass
class _Task:
    run: Run
    task: Any

    def ended(self) -> bool:
        import ray

        ready, _ = ray.wait([self.task], timeout=0)
        return bool(ready)

    def kill(self) -> None:
        import ray

        ray.cancel(self.task)

    def end_in_words(self) -> str:
        import ray

        try:
            return f"its engine {follow.how(ray.get(self.task))}; {self.run.path / 'err.log'} may say why"
        except ray.exceptions.RayError as error:
            return f"its ray task ended: {str(error).strip().splitlines()[-1]}"
