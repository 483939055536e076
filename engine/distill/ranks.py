"""What a process knows of the others that train beside it (docs/decisions/0012-data-parallel.md).

Every process builds the same data, plan and models, and takes its share of every step. `Ranks` is
one process alone, for which all of this is nothing; `Joined` is one of several.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from engine.distill.control import StopRequested
from engine.distill.lifeline import Door, Lifeline, knock
from engine.distill.shares import deal, merged, weights
from engine.distill.step_result import StepResult
from engine.distill.stopwatch import Stopwatch
from engine.errors import KidError, UsageError, describe, described
from engine.models.encode import Item

log = logging.getLogger(__name__)

_BUCKET = 2**24
"""Numbers that are summed at a time: 64 MiB."""
_NEVER = timedelta(days=30)  # an evaluation may take hours; the lifeline finds out who is dead
_VERDICT_SECONDS = 30.0

T = TypeVar("T")


class Ranks:
    """One process alone."""

    index = 0
    size = 1
    num_here = 1
    """Processes on this machine."""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes events, checkpoints and scores."""
        return self.index == 0

    def deal(self, groups: Sequence[Sequence[Item]]) -> Sequence[Sequence[Item]]:
        """This process's share of a step's groups; empty where there are fewer questions than processes."""
        return groups

    def add_up(
        self, result: StepResult, parameters: Sequence[Tensor], normalise: str, stopwatch: Stopwatch
    ) -> StepResult:
        """One result of all processes' shares; their gradients become those of the whole step."""
        return result

    def from_main(self, value: T) -> T:
        """The main process's value."""
        return value

    def on_main(self, work: Callable[[], T]) -> T:
        """What `work` gives, done by the main process alone; the others wait for it.

        Raises:
            StopRequested: in every process, where `work` raises it.
        """
        return work()

    def seed(self, seed: int, step: int) -> None:
        """Gives every process random numbers of its own, for dropout. The main one's stay as they are."""

    def watch(self, on_lost: Callable[[KidError], None], log_name: str) -> None:
        """From here on, `on_lost` is called (in a thread) when another process is gone.

        Args:
            log_name: where the others' words are, with {} for the rank.
        """

    def leave(self, error: BaseException | None) -> None:
        """The end of this process's part; with an error, the main process tells it and ends the run."""


class Joined(Ranks):
    """One of several processes, as the environment that a launcher has made says.

    Raises:
        KidError: the others cannot be reached.
    """

    def __init__(self) -> None:
        self.index, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.num_here = int(os.environ["LOCAL_WORLD_SIZE"])
        own = _own_gpus(int(os.environ["LOCAL_RANK"]), self.num_here)
        try:
            dist.init_process_group("nccl" if own else "gloo", timeout=_NEVER)
            # Words between processes go past the GPU, which must not wait for them.
            self._talk = dist.new_group(backend="gloo", timeout=_NEVER)
            self._lifeline = Lifeline(self._connect())
        except (RuntimeError, OSError) as error:
            raise KidError(
                f"process {self.index} of {self.size} cannot reach the others: {error}",
                "check that the machines can open connections to each other",
            ) from error

    def deal(self, groups: Sequence[Sequence[Item]]) -> Sequence[Sequence[Item]]:
        return deal(groups, self.size)[self.index]

    def add_up(
        self, result: StepResult, parameters: Sequence[Tensor], normalise: str, stopwatch: Stopwatch
    ) -> StepResult:
        with stopwatch.part("reduce"):
            has_gradient = bytes(parameter.grad is not None for parameter in parameters)
            gathered = self._gather((result, has_gradient))
            results = [one for one, _ in gathered]
            reached = [any(flags) for flags in zip(*(flags for _, flags in gathered), strict=True)]
            taking_part = [one for one, is_reached in zip(parameters, reached, strict=True) if is_reached]
            with self._together():
                _sum_gradients(taking_part, weights(results, normalise)[self.index])
            return merged(results, normalise)

    def from_main(self, value: T) -> T:
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0, group=self._talk)
        return box[0]

    def on_main(self, work: Callable[[], T]) -> T:
        outcome: tuple[bool, Any] = (False, None)
        if self.is_main:
            try:
                outcome = (False, work())
            except StopRequested:
                outcome = (True, None)
        stopped, value = self.from_main(outcome)
        if stopped:
            raise StopRequested
        return value

    def seed(self, seed: int, step: int) -> None:
        if not self.is_main:
            key = np.random.SeedSequence((seed, self.index, step))
            torch.manual_seed(int(key.generate_state(1, np.uint64)[0]))

    def watch(self, on_lost: Callable[[KidError], None], log_name: str) -> None:
        def lost(rank: int, last_words: bytes) -> None:
            on_lost(_loss(rank, self.size, last_words, log_name.format(rank)))

        self._lifeline.watch(lost, lambda: os._exit(1))

    def leave(self, error: BaseException | None) -> None:
        if error is None:
            self._lifeline.leave()
            dist.destroy_process_group()
        else:
            self._lifeline.leave(json.dumps(describe(error)).encode())

    def _connect(self) -> dict[int, Any]:
        alone = self.size == self.num_here
        host = "127.0.0.1" if alone else os.environ["MASTER_ADDR"]
        door = Door(host if alone else "") if self.is_main else None
        port, token = self.from_main((door.port, door.token) if door else (0, ""))
        return door.admit(self.size - 1) if door else {0: knock(host, port, token, self.index)}

    def _gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        found: list[Any] = [None] * self.size
        with self._together():
            dist.all_gather_object(found, value, group=self._talk)
        return found

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Where another's death shows as a broken connection: who it was, the lifeline knows better."""
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and hasattr(self, "_lifeline"):
                self._lifeline.wait(_VERDICT_SECONDS)
            raise


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that its launcher started; alone where none did.

    Raises:
        UsageError: the launcher is set to a way of sharing that this trainer does not have.
        KidError: the others cannot be reached.
    """
    _require_launched_as_asked()
    ranks = Joined() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Ranks()
    try:
        yield ranks
    except BaseException as error:
        ranks.leave(error)
        raise
    ranks.leave(None)


def _require_launched_as_asked() -> None:
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UsageError(
                f"launch.config asks for {name}: the batch is shared out here, not the model",
                "set distributed_type: MULTI_GPU in it",
            )
    asked, started = os.environ.get("KID_PROCESSES"), os.environ.get("WORLD_SIZE", "1")
    if asked and asked != started:
        raise UsageError(
            f"{asked} processes were asked for and {started} started",
            "set distributed_type: MULTI_GPU in launch.config, with and without GPUs",
        )


def _own_gpus(local_rank: int, num_here: int) -> bool:
    """Lets this process see its part of the machine's GPUs alone; False where they do not go round.

    Must come before CUDA is first used.
    """
    count = torch.cuda.device_count()
    each = count // num_here
    if not each:
        return False
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[local_rank * each : (local_rank + 1) * each])
    return True


def _sum_gradients(parameters: Sequence[Tensor], weight: float) -> None:
    """Each gradient becomes the sum over all processes of `weight` times theirs; none counts as zero."""
    for bucket in _buckets(parameters):
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in bucket]
        flat = torch.cat([gradient.float().reshape(-1) for gradient in gradients]).mul_(weight)
        dist.all_reduce(flat)
        for parameter, gradient, part in zip(
            bucket, gradients, flat.split([one.numel() for one in bucket]), strict=True
        ):
            parameter.grad = gradient.copy_(part.view_as(gradient))


def _buckets(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters in order, cut where a bucket is full."""
    bucket: list[Tensor] = []
    for parameter in parameters:
        if bucket and sum(one.numel() for one in bucket) + parameter.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def _loss(rank: int, size: int, last_words: bytes, log_file: str) -> KidError:
    """What to tell of a process that is gone."""
    try:
        error = described(json.loads(last_words))
    except ValueError:
        return KidError(
            f"process {rank} of {size} died",
            f"the end of {log_file} may say why; resuming the run goes on from its last checkpoint",
        )
    error.message = f"process {rank} of {size}: {error.message}"
    return error
