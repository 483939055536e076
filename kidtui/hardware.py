"""What the machine is at, in a few words: CPU, memory, GPUs."""

from __future__ import annotations

import shutil
import subprocess
import time

import psutil

_FIRST_SECONDS = 0.5
_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 2.0
_MOST_SILENT = 3
_MOST_GPUS = 16
_GIB = 2**30
_QUERY = (
    "--query-gpu=utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)


class Hardware:
    """Asked every so often; never waits for an answer."""

    def __init__(self) -> None:
        self.words = ""
        psutil.cpu_percent()  # what it tells is counted from the call before
        self._asked_at = time.monotonic() - _EVERY_SECONDS + _FIRST_SECONDS
        self._machine = ""
        self._tool = shutil.which("nvidia-smi")
        self._question: subprocess.Popen[str] | None = None
        self._num_silent = 0  # questions in a row without an answer
        self._gpus: list[str] = []

    def refresh(self) -> str:
        """CPU and memory in use and each GPU's load, such as `CPU 12%  3.1/23.5 GB  GPU 71%  11.0/80 GB`.

        Looks every 5 seconds, for the first time after half a second, and says nothing until then.
        A GPU tool that does not answer in 2 seconds is ended and its GPUs are left out; after
        three of these in a row it is not asked again.
        """
        self._hear()
        if time.monotonic() - self._asked_at < _EVERY_SECONDS:
            return self.words
        self._asked_at = time.monotonic()
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        self._machine = f"CPU {psutil.cpu_percent():.0f}%  {used / _GIB:.1f}/{memory.total / _GIB:.0f} GB"
        self._ask()
        self._tell()
        return self.words

    def close(self) -> None:
        """End a question that was not answered yet; a tool that hangs in its driver is not waited for."""
        if self._question is not None:
            self._question.kill()
            assert self._question.stdout is not None
            self._question.stdout.close()
            self._question.poll()
            self._question = None

    def _ask(self) -> None:
        if self._tool is None or self._question is not None or self._num_silent == _MOST_SILENT:
            return
        try:
            self._question = subprocess.Popen(
                [self._tool, *_QUERY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except OSError:
            self._tool = None

    def _hear(self) -> None:
        """Take up an answer, if there is one by now."""
        if self._question is None:
            return
        if self._question.poll() is not None:
            assert self._question.stdout is not None
            answer = self._question.stdout.read() if self._question.returncode == 0 else ""
            self._gpus = [words for line in answer.splitlines()[:_MOST_GPUS] if (words := _gpu(line))]
            self._num_silent = 0
        elif time.monotonic() - self._asked_at < _PATIENCE_SECONDS:
            return
        else:
            self._gpus = []
            self._num_silent += 1
        self.close()
        self._tell()

    def _tell(self) -> None:
        named = self._gpus if len(self._gpus) == 1 else [f"{n}: {gpu}" for n, gpu in enumerate(self._gpus)]
        self.words = "  ".join([self._machine, *(f"GPU {gpu}" for gpu in named)])


def _gpu(line: str) -> str | None:
    """Such as `71%  11.0/80 GB`; what a card does not tell is left out."""
    try:
        load, used, total = (_number(field) for field in line.split(","))
    except ValueError:
        return None
    memory = f"{used / 1024:.1f}/{total / 1024:.0f} GB" if used is not None and total is not None else ""
    return "  ".join(part for part in ("" if load is None else f"{load:.0f}%", memory) if part) or None


def _number(field: str) -> float | None:
    """Cards without a counter say [N/A]."""
    return None if "[" in field else float(field)
