"""An HTTP endpoint that takes and gives JSON, asked until it answers.

Whatever may pass is tried again, ever more slowly: no connection, a time-out, HTTP 408, 429 and 5xx, an
answer that is cut short or is not what was asked for. What will not pass (any other status) is told at once.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError

from engine.errors import KidError, ModelError

_AT_A_TIME = 4
_POLL_SECONDS = 0.2
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_CHUNK = 2**16
_LONGEST_WORDS = 200

T = TypeVar("T")


class Unavailable(Exception):
    """One try was in vain, which may pass. retry_after: seconds that the server asks for."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class OutageError(KidError):
    """The endpoint has not answered for as long as it is waited for."""


class Endpoint:
    """A server's address and how patiently it is asked.

    Args:
        url: what all its paths begin with.
        key: goes with every request as a bearer token, and into no message.
        timeout: seconds that one try may take.
        patience: seconds after which a request is given up.

    Attributes:
        check: called while an answer is waited for; what it raises ends the waiting.
        warn: is told once when the server fails twice in a row, and once when it is back.
    """

    def __init__(self, url: str, key: str | None, timeout: float, patience: float) -> None:
        self.url, self.timeout, self.patience = url.rstrip("/"), timeout, patience
        self.check: Callable[[], None] = lambda: None
        self.warn: Callable[[str], None] = lambda message: None
        self._key = key
        self._headers = {"Content-Type": "application/json", "User-Agent": "kid"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # A redirect would take the key to another host.
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._is_down = False

    def ask(self, path: str, requests: Sequence[Mapping[str, Any]], read: Callable[[int, Any], T]) -> list[T]:
        """What `read` makes of the answer to each request, in order; several are under way at a time.

        Args:
            read: called in threads with the request's number and the answer's JSON; raises Unavailable
                where that is not what was asked for.

        Raises:
            OutageError: a request was in vain for `patience` seconds.
            ModelError: the server refuses a request.
        """
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, T | Exception]] = queue.SimpleQueue()
        failed: queue.SimpleQueue[str] = queue.SimpleQueue()
        given_up = threading.Event()

        def work() -> None:
            while not given_up.is_set():
                try:
                    number = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    found = self._insist(path, requests[number], partial(read, number), failed, given_up)
                except Exception as error:
                    done.put((number, error))  # raised where it is waited for
                else:
                    done.put((number, found))

        for number in range(len(requests)):
            todo.put(number)
        for _ in range(min(_AT_A_TIME, len(requests))):
            # Nobody waits for a thread that hangs in a dead connection.
            threading.Thread(target=work, name="kid-endpoint", daemon=True).start()
        found: dict[int, T] = {}
        try:
            while len(found) < len(requests):
                self.check()
                self._tell_of(failed)
                try:
                    number, outcome = done.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    continue
                if isinstance(outcome, Exception):
                    raise outcome
                found[number] = outcome
        finally:
            given_up.set()
        if self._is_down:
            self._is_down = False
            self.warn(f"{self.url} answers again")
        return [found[number] for number in range(len(requests))]

    def _tell_of(self, failed: queue.SimpleQueue[str]) -> None:
        while not failed.empty():
            reason = failed.get()
            if not self._is_down:
                self._is_down = True
                self.warn(f"{self.url}: {reason}; it is asked again for up to {self.patience:g} s")

    def _insist(
        self,
        path: str,
        request: Mapping[str, Any],
        read: Callable[[Any], T],
        failed: queue.SimpleQueue[str],
        given_up: threading.Event,
    ) -> T:
        started = time.monotonic()
        for tries, wait in enumerate(_waits()):
            try:
                return read(self._post(path, request))
            except Unavailable as error:
                wait = max(wait, error.retry_after)
                if time.monotonic() - started + wait > self.patience:
                    raise OutageError(
                        f"{self.url} has given no answer in {self.patience:g} s: {error}",
                        "see to the server; a run that is resumed goes on from its last checkpoint",
                    ) from error
                if tries:
                    failed.put(str(error))
                if given_up.wait(wait):
                    raise
        raise AssertionError("the waits do not end")

    def _post(self, path: str, request: Mapping[str, Any]) -> Any:
        until = time.monotonic() + self.timeout
        asked = urllib.request.Request(f"{self.url}/{path}", json.dumps(request).encode(), self._headers)
        try:
            with self._opener.open(asked, timeout=self.timeout) as response:
                content = _read(response, until)
        except HTTPError as error:
            raise self._refusal(error, until) from error
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise Unavailable(self._told(str(reason) or type(reason).__name__)) from error
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Unavailable("its answer is not JSON, or not all of it") from error

    def _refusal(self, error: HTTPError, until: float) -> Exception:
        try:
            with error:
                words = _message(_read(error, until))
        except (OSError, HTTPException):
            words = ""
        told = self._told(f"HTTP {error.code} {words or error.reason}")
        if error.code in (408, 429) or error.code >= 500:
            return Unavailable(told, _seconds(error.headers.get("Retry-After")))
        return ModelError(
            f"{self.url} refuses: {told}", "check teacher.url, teacher.model and its other keys"
        )

    def _told(self, words: str) -> str:
        """A server's words as part of a message: one short line, without the key."""
        if self._key:
            words = words.replace(self._key, "***")
        line = " ".join("".join(char if char.isprintable() else " " for char in words).split())
        return line if len(line) <= _LONGEST_WORDS else line[:_LONGEST_WORDS] + "…"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """Nothing to ask instead: the redirect's status is told."""


def _waits() -> Iterator[float]:
    """Seconds to wait after a failure: doubled from time to time, and drawn so that not all ask at once.

    The generator is its own: training's random numbers are not touched.
    """
    chance, wait = random.Random(), _FIRST_WAIT
    while True:
        yield wait * chance.uniform(0.5, 1)
        wait = min(2 * wait, _LONGEST_WAIT)


def _read(response: HTTPResponse | HTTPError, until: float) -> bytes:
    """The body. A socket's own limit is of one read: a server that sends byte by byte would never meet it."""
    parts = []
    while part := response.read1(_CHUNK):
        parts.append(part)
        if time.monotonic() > until:
            raise TimeoutError("its answer does not end")
    return b"".join(parts)


def _message(body: bytes) -> str:
    """The words of an error: those in OpenAI's format, else the text as it is."""
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
        told = told.get("error", told)
        return str(told["message"])
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return text


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header that says seconds; a date is left to our own waits."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else 0.0
