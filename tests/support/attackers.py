"""Clients that hold connections and ask for nothing, on loopback; and what they cost the process that they are held against."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.runtime.descriptors import raise_descriptors
from tests.support.waiting import wait_until

ANSWER_S: Final = 5.0
"""What answers at all while an attack lasts answers within that; no measure of speed."""

HALF_REQUEST: Final = b"GET /v1/orders/active HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
HALF_BODY: Final = b"PUT /v1/kill-switch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"

LIMITER: Final = (
    "import os, resource, sys; files = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


def limited(files: int, *arguments: str) -> list[str]:
    """Return the command line of a Python that may open so many files and raise that no further; with 0 as many as ever."""
    if not files:
        return [sys.executable, *arguments]
    return [sys.executable, "-c", LIMITER, str(files), *arguments]


@dataclass(frozen=True)
class Cost:
    """What a process has open, by the system's own books."""

    files: int
    threads: int
    rss_mb: int

    @classmethod
    def of(cls, pid: int) -> Cost:
        """Look it up."""
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        return cls(
            len(list((process / "fd").iterdir())),
            len(list((process / "task").iterdir())),
            pages * resource.getpagesize() // (1 << 20),
        )


class Attack:
    """Connections to one port, each with the same first words; they neither end nor go on by themselves."""

    def __init__(self, port: int, words: bytes) -> None:
        self._port = port
        self._words = words
        self.held: list[socket.socket] = []
        self._said: dict[socket.socket, bytes] = {}

    def open(self, count: int) -> None:
        """Open so many more; who is refused is not counted."""
        for _ in range(count):
            connection = socket.socket()
            connection.settimeout(ANSWER_S)
            try:
                connection.connect(("127.0.0.1", self._port))
                connection.sendall(self._words)
            except OSError:
                connection.close()
                continue
            connection.setblocking(False)
            self.held.append(connection)

    def drip(self, words: bytes = b"x") -> None:
        """Send a little on each that is still open."""
        for connection in self.held:
            with contextlib.suppress(OSError):
                connection.send(words)

    def heard(self) -> tuple[int, list[bytes]]:
        """Return how many are open still, and what the others were told; forgets those."""
        told: list[bytes] = []
        left: list[socket.socket] = []
        for connection in self.held:
            # What it was told and its end may come apart.
            part, ended = _heard(connection)
            said = self._said.get(connection, b"") + part
            if ended:
                self._said.pop(connection, None)
                told.append(said)
                connection.close()
            else:
                self._said[connection] = said
                left.append(connection)
        self.held = left
        return len(left), told

    def close(self) -> None:
        """Leave."""
        for connection in self.held:
            connection.close()
        self.held = []


@contextlib.contextmanager
def attack(port: int, words: bytes, count: int) -> Iterator[Attack]:
    """Hold `count` connections for a block."""
    assert raise_descriptors() > count + 100, "the attacker itself may not open so many files"
    attackers = Attack(port, words)
    try:
        attackers.open(count)
        yield attackers
    finally:
        attackers.close()


def _heard(connection: socket.socket) -> tuple[bytes, bool]:
    """Return what the other side has said since, and whether it has ended the connection."""
    said = b""
    while True:
        try:
            part = connection.recv(4096)
        except BlockingIOError:
            return said, False
        except OSError:
            return said, True
        if not part:
            return said, True
        said += part


def timed_request(
    port: int, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> tuple[int, bytes, float]:
    """Ask on a connection of its own; return status, body and seconds. Fails when nothing comes within `ANSWER_S`."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(), time.monotonic() - started
    finally:
        connection.close()


def first_words(connections: Sequence[socket.socket], size: int) -> Counter[bytes]:
    """Count the first `size` bytes that connections were sent, once all were sent some or ended, or `ANSWER_S` are over."""
    heads: dict[socket.socket, bytes] = {}

    def all_heard() -> bool:
        for one in connections:
            if one not in heads:
                with contextlib.suppress(BlockingIOError):
                    heads[one] = _received(one, size)
        return len(heads) == len(connections)

    with contextlib.suppress(AssertionError):
        wait_until(all_heard, timeout_s=ANSWER_S)
    return Counter(heads.values())


def _received(connection: socket.socket, size: int) -> bytes:
    try:
        return connection.recv(size)
    except ConnectionError:
        return b""
