"""Where a step's time goes, by part."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Sums milliseconds by part name. On a GPU it places events and waits for them once, in `read`."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._spans: list[tuple[str, float | torch.cuda.Event, float | torch.cuda.Event]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self._spans.append((name, start, self._now()))

    def read(self) -> dict[str, float]:
        """Milliseconds by part since the last call."""
        if self._on_gpu:
            torch.cuda.synchronize()
        total: dict[str, float] = defaultdict(float)
        for name, start, end in self._spans:
            if isinstance(start, float) and isinstance(end, float):
                total[name] += (end - start) * 1000
            elif isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
                total[name] += start.elapsed_time(end)
        self._spans.clear()
        return {name: round(ms, 3) for name, ms in total.items()}

    def _now(self) -> float | torch.cuda.Event:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
