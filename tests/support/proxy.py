"""A TCP proxy that treats connections as badly as a network can.

It listens on loopback and forwards to a TCP address or a unix socket. Everything is controlled from the test's thread
while connections are open. For Redis it understands where one reply ends, so that exactly one reply can be lost.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter, deque
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.support.loopback_server import reset_when_closed
from tests.support.resp import RespSplitter, command_name

Address = tuple[str, int] | str
"""TCP host and port, or the path of a unix socket."""

_CHUNK = 64 * 1024


@dataclass
class _Drop:
    """One reply to lose: the nth from now to a command of this name."""

    command: bytes
    nth: int
    then: Literal["close", "hang"]


class TcpProxy:
    """Forwards until told otherwise; use it as a context manager.

    `redis=True` splits both directions into messages, which `drop_reply` needs and which counts `commands`.
    """

    def __init__(self, upstream: Address, *, redis: bool = False) -> None:
        self._upstream = upstream
        self._redis = redis
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.RLock()
        self._links: set[_Link] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self._delay_s = 0.0
        self._cut_at: int | None = None
        self._refusing = False
        self._drops: list[_Drop] = []
        self._dropped = threading.Semaphore(0)
        self.commands: Counter[bytes] = Counter()
        self.connections = 0
        self._acceptor = threading.Thread(target=self._accept, name="proxy-accept", daemon=True)
        self._acceptor.start()

    @classmethod
    def for_redis(cls, url: str) -> TcpProxy:
        """Return a proxy in front of the Redis at `url` (redis:// or unix://)."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls(parts.path, redis=True)
        return cls((parts.hostname or "127.0.0.1", parts.port or 6379), redis=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """The Redis URL of this proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def drop_reply(self, command: str, *, nth: int = 1, then: Literal["close", "hang"] = "close") -> None:
        """Lose one reply: the server has executed the command, the client never hears of it.

        Counted from now over all connections. Afterwards the connection is closed, or hangs so that the client runs
        into its timeout; a real network cannot lose one reply and deliver the next.
        """
        if not self._redis:
            raise ValueError("drop_reply needs redis=True")
        with self._lock:
            self._drops.append(_Drop(command.upper().encode(), nth, then))

    def wait_dropped(self, timeout_s: float = 5.0) -> bool:
        """Wait until one more planned reply has been lost; tell whether it was."""
        return self._dropped.acquire(timeout=timeout_s)

    def delay(self, seconds: float) -> None:
        """Hold back every chunk to the client for this long."""
        self._delay_s = seconds

    def blackhole(self) -> None:
        """Forward nothing any more in either direction, without closing anything: a half-open connection."""
        self._flowing.clear()

    def restore(self) -> None:
        """Forward again, beginning with what was held back; accept connections again; forget delay and cuts."""
        with self._lock:
            self._delay_s = 0.0
            self._cut_at = None
            self._refusing = False
            self._drops.clear()
        self._flowing.set()

    def cut_at_byte(self, count: int) -> None:
        """Reset every connection, open or new, once `count` more bytes went to its client."""
        with self._lock:
            self._cut_at = count
            for link in self._links:
                link.delivered = 0

    def refuse(self) -> None:
        """Reset open connections and every new one, until `restore`."""
        self._refusing = True
        self.cut()

    def lead_to(self, url: str) -> None:
        """Have new connections go to the Redis at `url`, a unix socket."""
        self._upstream = urlsplit(url).path

    def cut(self) -> None:
        """Reset the open connections; new ones are served."""
        with self._lock:
            for link in tuple(self._links):
                link.reset()

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5.0)
        with self._lock:
            links = tuple(self._links)
        for link in links:
            link.shut()
        for link in links:
            link.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                if self._refusing:
                    _reset(client)
                    continue
            try:
                server = _dial(self._upstream)
            except OSError:
                _reset(client)
                continue
            _at_once(client, server)
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def _planned(self, command: bytes) -> _Drop | None:
        """Return the plan that this reply falls to; each plan is used once."""
        with self._lock:
            for drop in self._drops:
                if drop.command == command:
                    drop.nth -= 1
                    if drop.nth == 0:
                        self._drops.remove(drop)
                        return drop
        return None


class _Link:
    """One client connection and its upstream connection."""

    def __init__(self, proxy: TcpProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._asked: deque[bytes] = deque()
        self._hanging = False
        self.delivered = 0
        self._threads = (
            threading.Thread(target=self._run, args=(self._pump_requests,), name="proxy-up", daemon=True),
            threading.Thread(target=self._run, args=(self._pump_replies,), name="proxy-down", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(5.0)

    def shut(self) -> None:
        """End both connections, also when a side does not read what is being sent to it."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Make both sides see the end: the client a reset, the server a close."""
        _reset(self._client)
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)

    def _run(self, pump: object) -> None:
        assert callable(pump)
        try:
            pump()
        except OSError:
            pass
        finally:
            self.reset()
            self._server.close()
            with self._proxy._lock:
                self._proxy._links.discard(self)

    def _pump_requests(self) -> None:
        splitter = RespSplitter()
        while chunk := self._client.recv(_CHUNK):
            self._proxy._flowing.wait()
            if self._proxy._redis:
                for request in splitter.feed(chunk):
                    name = command_name(request)
                    self._asked.append(name)
                    self._proxy.commands[name] += 1
            self._server.sendall(chunk)

    def _pump_replies(self) -> None:
        splitter = RespSplitter()
        while chunk := self._server.recv(_CHUNK):
            if self._proxy._delay_s and self._proxy._closed.wait(self._proxy._delay_s):
                return
            self._proxy._flowing.wait()
            if not self._proxy._redis:
                self._deliver(chunk)
                continue
            for reply in splitter.feed(chunk):
                drop = self._proxy._planned(self._asked.popleft()) if self._asked else None
                if drop is not None:
                    self._hanging = drop.then == "hang"
                    if not self._hanging:
                        self.reset()
                    self._proxy._dropped.release()
                    if not self._hanging:
                        return
                if not self._hanging:
                    self._deliver(reply)

    def _deliver(self, chunk: bytes) -> None:
        limit = self._proxy._cut_at
        if limit is not None and self.delivered + len(chunk) >= limit:
            self._client.sendall(chunk[: max(0, limit - self.delivered)])
            raise ConnectionAbortedError("cut as asked")
        self._client.sendall(chunk)
        self.delivered += len(chunk)


def _at_once(*sides: socket.socket) -> None:
    """Have small messages leave without waiting for others: as a network does, and not as two of its ends that wait for each other."""
    for side in sides:
        if side.family == socket.AF_INET:
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _dial(address: Address) -> socket.socket:
    if isinstance(address, str):
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(address)
        except OSError:
            server.close()
            raise
        return server
    return socket.create_connection(address, 5.0)


def _reset(client: socket.socket) -> None:
    """Close with RST, as a network that lost its patience does; harmless when repeated."""
    with contextlib.suppress(OSError):
        reset_when_closed(client)
        # Wakes a thread that is reading; shutting down the other direction as well would say goodbye politely.
        client.shutdown(socket.SHUT_RD)
    client.close()
