"""A connection between the main process and every other one: which closes without a farewell is dead.

The kernel closes the connections of a process however it ends, and keep-alive messages find out
about a machine that is gone; so nothing here depends on how long a step or an evaluation takes.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Mapping

_FAREWELL = b"bye"
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 60.0
_TOKEN_LENGTH, _RANK_LENGTH = 32, 6
_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A machine that does not answer for so long (20 seconds in all) is gone."""


class Lifeline:
    """This process's connections, watched by a thread.

    Args:
        peers: by rank; the main process has one to every other, each of those one to rank 0.
    """

    def __init__(self, peers: Mapping[int, socket.socket]) -> None:
        self._peers = dict(peers)
        self._parent = os.getppid()
        self._thread: threading.Thread | None = None
        self._leaving = threading.Event()
        for peer in self._peers.values():
            _keep_alive(peer)

    def watch(self, on_lost: Callable[[int, bytes], None], on_orphaned: Callable[[], None]) -> None:
        """Begins to watch.

        Args:
            on_lost: called in the watching thread with a rank that is gone and its last words.
            on_orphaned: called there when the launcher, this process's parent, is gone.
        """
        self._thread = threading.Thread(
            target=self._watch, args=(on_lost, on_orphaned), name="kid-lifeline", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Gives the watching thread so long to act on what it finds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def leave(self, last_words: bytes = _FAREWELL) -> None:
        """Says farewell, or what went wrong, to all and closes."""
        self._leaving.set()
        for peer in self._peers.values():
            try:
                peer.sendall(last_words)
                peer.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # it has left before us

    def _watch(self, on_lost: Callable[[int, bytes], None], on_orphaned: Callable[[], None]) -> None:
        heard = dict.fromkeys(self._peers, b"")
        with selectors.DefaultSelector() as selector:
            for rank, peer in self._peers.items():
                selector.register(peer, selectors.EVENT_READ, rank)
            while heard and not self._leaving.is_set():
                for key, _ in selector.select(_POLL_SECONDS):
                    rank, said = key.data, _receive(self._peers[key.data])
                    heard[rank] += said
                    if said:
                        continue
                    selector.unregister(key.fileobj)
                    words = heard.pop(rank)
                    if words != _FAREWELL and not self._leaving.is_set():
                        on_lost(rank, words)
                if os.getppid() != self._parent and not self._leaving.is_set():
                    on_orphaned()


class Door:
    """Where the main process waits for the others.

    Args:
        host: the address to listen at; "" is every one of this machine.
    """

    def __init__(self, host: str) -> None:
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.token = secrets.token_hex(_TOKEN_LENGTH // 2)

    def admit(self, number: int) -> dict[int, socket.socket]:
        """Connections to so many others, by rank. Who does not know the token is turned away.

        Raises:
            OSError: one does not come within a minute.
        """
        peers: dict[int, socket.socket] = {}
        self._listener.settimeout(_CONNECT_SECONDS)
        with self._listener:
            while len(peers) < number:
                peer, _ = self._listener.accept()
                peer.settimeout(_CONNECT_SECONDS)
                said = b""
                while len(said) < _TOKEN_LENGTH + _RANK_LENGTH and (more := _receive(peer, _RANK_LENGTH)):
                    said += more
                if secrets.compare_digest(said[:_TOKEN_LENGTH], self.token.encode()):
                    peer.settimeout(None)
                    peers[int(said[_TOKEN_LENGTH:])] = peer
                else:
                    peer.close()
        return peers


def knock(host: str, port: int, token: str, rank: int) -> socket.socket:
    """Another process's connection to the main one.

    Raises:
        OSError: it cannot be reached.
    """
    peer = socket.create_connection((host, port), _CONNECT_SECONDS)
    peer.settimeout(None)
    peer.sendall(f"{token}{rank:0{_RANK_LENGTH}d}".encode())
    return peer


def _receive(peer: socket.socket, size: int = 4096) -> bytes:
    """What has come; empty at the end of the connection, however it ended."""
    try:
        return peer.recv(size)
    except OSError:
        return b""


def _keep_alive(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not every system lets one choose
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
