"""One child process seen from its parent: ask it one query at a time, kill it when it is late."""

from __future__ import annotations

import marshal
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engine.errors import KidError
from engine.sql.systems import SQLITE, System

_LENGTH = struct.Struct("<Q")
_PROJECT = str(Path(__file__).parents[2])
_START_SECONDS = 60.0
_LONGEST_WAIT = 1e6  # seconds; poll(2) counts milliseconds in 32 bits


class Worker:
    """A running child.

    A subprocess and pipes rather than `multiprocessing`: the child is no copy of the caller,
    so no caller needs an `if __name__ == "__main__"`, and none of its imports are repeated.

    Args:
        memory_mb: memory of the child, in MiB.
        system: whose queries it runs.
        package_folder: where to import the system's package from; "" where it needs none.

    Raises:
        KidError: the child cannot be started.
    """

    def __init__(self, memory_mb: int, system: System = SQLITE, package_folder: str = "") -> None:
        self.system = system
        folders = [_PROJECT, package_folder] if package_folder else []
        # A session of its own: Ctrl-C and hang-ups reach the parent alone, and the child
        # ends when its standard input or its parent does.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(system.child), str(os.getpid()), str(memory_mb), *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)  # a child that reads nothing must not hold up its parent
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self._stdin, select.POLLOUT)
        self._readable.register(self._stdout, select.POLLIN)
        self._ahead, self._spare = bytearray(), bytearray(2**16)
        try:
            self._receive(time.monotonic() + _START_SECONDS)
        except (EOFError, TimeoutError) as error:
            self.close()
            raise KidError(
                f"the process that runs SQL did not start in {memory_mb} MiB",
                "allow it more memory, or see `kid doctor`",
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives; minus the signal that killed it."""
        return self._process.poll()

    def ask(self, task: tuple[str, str, float, int], seconds: float) -> tuple[list[tuple], tuple]:
        """The rows of a task and its closing tuple (see child.py).

        Raises:
            TimeoutError: no full answer within `seconds`.
            EOFError: the child died.
        """
        deadline = time.monotonic() + seconds
        try:
            self._write(marshal.dumps(task), deadline)
        except BrokenPipeError as error:
            raise EOFError from error
        rows: list[tuple] = []
        while isinstance(answer := self._receive(deadline), list):
            rows += answer
        return rows, answer

    def kill(self) -> None:
        """Ends the child, from any thread; one that waits in `ask` gets its EOFError."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the child and its pipes; only where no other thread can be in `ask`."""
        self.kill()
        self._stdin.close()
        self._stdout.close()

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(_LENGTH.pack(len(data)) + data)
        while left:  # a full pipe or a signal can cut a write short
            _wait(self._writable, deadline)
            left = left[os.write(self._stdin.fileno(), left) :]

    def _receive(self, deadline: float) -> Any:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        return marshal.loads(self._read(length, deadline))

    def _read(self, size: int, deadline: float) -> bytearray:
        """The next bytes. What has come with them waits in `_ahead`, so that most answers take one read."""
        data = bytearray(size)
        begun = min(size, len(self._ahead))
        data[:begun] = self._ahead[:begun]
        del self._ahead[:begun]
        left = memoryview(data)[begun:]
        while left:
            _wait(self._readable, deadline)
            count = os.readv(self._stdout.fileno(), [left, self._spare])
            if not count:
                raise EOFError
            self._ahead += self._spare[: max(0, count - len(left))]
            left = left[count:]
        return data


def _wait(pipe: select.poll, deadline: float) -> None:
    left = min(max(0.0, deadline - time.monotonic()), _LONGEST_WAIT)
    if not pipe.poll(left * 1000):
        raise TimeoutError
