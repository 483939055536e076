"""The engine's service seen from the REPL: started when needed, and again when it has died.

Nothing of the session is in it: a new one is told the models and the database again.
"""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import KidError, described
from engine.profile import Profile
from engine.protocol import LAST_EVENTS, VERSION
from kidtui import follow, launch

Event = dict[str, Any]
INTERRUPTED = "interrupted"
_END_SECONDS = 2.0


class DiedError(KidError):
    """The service ended while it was asked."""


class Service:
    """A student, and perhaps its teacher, in a process of its own.

    Args:
        profile: names them, with their prompt's settings.
        folder: from where relative paths in the profile are meant; None: from here.
        command: what to start; `serve` is added.
    """

    def __init__(
        self, profile: Profile, folder: Path | None = None, command: Sequence[str] = launch.ENGINE_COMMAND
    ) -> None:
        self._profile = profile
        self._folder = folder if folder is not None and folder.is_dir() else None
        self._command = command
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.Queue[Event]] = {}
        self._state = "not started"
        self._loading_since = 0.0

    @property
    def state(self) -> str:
        """In a few words, for the toolbar: "not started", "loading student… 3 s", "ready", "failed"."""
        if self._state == "loading":
            return f"loading student… {time.monotonic() - self._loading_since:.0f} s"
        return self._state

    @property
    def pid(self) -> int | None:
        process = self._process  # another thread may close it
        return process.pid if process and process.poll() is None else None

    def start(self, database: Path) -> None:
        """Starts the process, unless it runs, and lets it get the student and read a database's prompt.

        Returns at once.

        Raises:
            KidError: it cannot be started.
        """
        if self.pid is not None:
            return
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has died
        try:
            self._process = subprocess.Popen(
                [*self._command, "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C reaches us alone
            )
        except OSError as error:
            raise KidError(f"cannot start the engine: {error}") from error
        self._state, self._loading_since = "loading", time.monotonic()
        loading = self._send("load", wanted=False, profile=self._profile.model_dump(mode="json"))
        threading.Thread(target=self._listen, args=(self._process, loading), daemon=True).start()
        self.open(database)

    def open(self, database: Path) -> None:
        """Lets a service that runs read a database's prompt before it is asked."""
        if self.pid is not None:
            self._send("open", wanted=False, database=str(database))

    def ask(
        self, op: str, database: Path, restarting: Callable[[KidError], None], **fields: Any
    ) -> Generator[Event]:
        """The events of a request about a database, as `request` has them.

        A service that does not run is started. One that dies before it has given a result is started again,
        once, and asked again; `restarting` is told its death.
        """
        given = False
        try:
            self.start(database)
            for event in self.request(op, database=str(database), **fields):
                given = given or event["event"] not in ("token", "phase", "loaded")
                yield event
        except DiedError as death:
            if given:
                raise
            restarting(death)
            self.start(database)
            yield from self.request(op, database=str(database), **fields)

    def request(self, op: str, **fields: Any) -> Iterator[Event]:
        """The events of a request, the last one left out.

        Interrupted, or closed half-way, it cancels the request.

        Raises:
            KidError: as the service says.
            DiedError: it ended.
        """
        number = self._send(op, **fields)
        events, ended = self._waiting[number], False
        try:
            while (event := events.get())["event"] not in LAST_EVENTS:
                yield event
            ended = True
            if event["event"] == "error":
                raise DiedError(event["message"], event["mend"]) if event.get("died") else described(event)
        finally:
            self._waiting.pop(number, None)
            if not ended:
                self._send("cancel", wanted=False, target=number)

    def interrupt(self) -> None:
        """Wakes whoever waits for events, with one of kind `interrupted`; any thread may call this."""
        for events in list(self._waiting.values()):
            events.put({"event": INTERRUPTED})

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with suppress(OSError):  # it has died with something unread
                process.stdin.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _send(self, op: str, *, wanted: bool = True, **fields: Any) -> int:
        """Sends a request; `wanted`: its events are kept for `request`."""
        number = next(self._numbers)
        if wanted:
            self._waiting[number] = queue.Queue()
        line = json.dumps({"id": number, "op": op, **fields}).encode() + b"\n"
        with self._lock:
            process = self._process
            try:
                assert process is not None
                assert process.stdin is not None
                process.stdin.write(line)
                process.stdin.flush()
            except (OSError, ValueError):  # it has died: whoever listens is told so
                if wanted:
                    self._waiting[number].put(self._death(process))
        return number

    def _listen(self, process: subprocess.Popen[bytes], loading: int) -> None:
        """Gives each event to the request that it belongs to, until the process ends."""
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event: Event = json.loads(line)
                if event["event"] == "hello":
                    assert event["v"] == VERSION, event
                self._note_state(event, loading)
                unread = event["id"] is None and event["event"] == "error"  # of which request, it cannot tell
                for number, events in list(self._waiting.items()):
                    if unread or number == event["id"]:
                        events.put(event)
        finally:  # it has ended, or talks nonsense
            process.kill()
            if process is self._process or self._process is None:
                self._state = "not started"
                for events in list(self._waiting.values()):
                    events.put(self._death(process))

    def _note_state(self, event: Event, loading: int) -> None:
        if event["event"] == "loaded" and event["role"] == "student":
            self._state = "ready"
        elif event["id"] == loading and event["event"] == "error":
            self._state = "failed"

    def _death(self, process: subprocess.Popen[bytes] | None) -> Event:
        words = "is not running"
        tail = ""
        if process is not None:
            process.kill()  # one that reads no more is of no use
            words = follow.how(process.wait())
            self._log.seek(0)
            tail = "\n".join(self._log.read().decode(errors="replace").rstrip().splitlines()[-5:])
        return {"event": "error", "died": True, "message": f"the engine {words}", "mend": tail}
