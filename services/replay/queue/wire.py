"""One connection to Redis on which every wait ends early when the process is told to stop."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from services.replay.queue.errors import Stopped
from services.runtime.cluster.slots import (
    Address,
    Elsewhere,
    is_cluster_url,
    is_elsewhere,
    node_url,
    node_urls,
    slot_of,
)
from services.runtime.cluster.topology import Topology
from services.runtime.connection import explaining

STALL_S: Final = 5.0
"""A peer that takes or gives no byte for so long is treated as gone."""
DRAIN_S: Final = 1.0
"""The same, once the process was told to stop."""
_SLICE_S: Final = 0.1
"""How often a blocked call looks at `stopping`."""
_HANDSHAKE_S: Final = 1.0
_SEND_BUFFER_BYTES: Final = 4 << 20
"""Lets a whole transaction enter the kernel at once (1.2x on a unix socket); the kernel lowers it to its own limit."""
_PARTS_PER_CALL_MAX: Final = 256
"""Systems take some 1,024."""

LOST: Final = (RedisConnectionError, RedisTimeoutError)
"""What redis-py raises when an outcome is unknown. What a cluster answers when it moves our slot is one of them (Elsewhere)."""

Argument = bytes | str | int


def pack(*arguments: Argument) -> bytes:
    """Return one command in RESP."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        encoded = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


class Wire:
    """A connection that is either open and in step, or closed. Nothing is ever sent twice from here.

    In a cluster it leads to the primary that has the slot of one key, and each `open` asks who that is.
    """

    def __init__(self, url: str, *, client_name: str, stopping: threading.Event, key: str = "") -> None:
        """Remember where to connect, in a cluster for the slot of `key`; raises ValueError when the URL is not one of Redis."""
        self._stopping = stopping
        self._client_name = client_name
        self._key = key
        self._topology = Topology(url) if is_cluster_url(url) else None
        self._connection = self._made(node_urls(url)[0])
        self._opened = 0

    def _made(self, url: str) -> Any:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
        kind = explaining(options.pop("connection_class", Connection))
        options |= {
            "client_name": self._client_name,
            "socket_connect_timeout": _HANDSHAKE_S,
            # Only the handshake uses it; below, the socket is read and written in slices.
            "socket_timeout": _HANDSHAKE_S,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
        }
        return kind(**options)

    @property
    def is_open(self) -> bool:
        return self._connection._sock is not None

    @property
    def reconnects(self) -> int:
        """Times it was opened after the first."""
        return max(0, self._opened - 1)

    def open(self) -> None:
        """Connect and shake hands; raises one of LOST, or ResponseError when Redis does not let us in."""
        self.close()
        if self._topology is None:
            self._connection.connect()
        else:
            self._connect_to_owner(self._topology)
        self._opened += 1
        channel = self._connection._sock
        channel.settimeout(_SLICE_S)
        if channel.family == getattr(socket, "AF_UNIX", None):
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def _connect_to_owner(self, topology: Topology) -> None:
        slot = slot_of([self._key])
        address = self._owner(topology, slot)
        self._connection = self._made(node_url(topology.url, address))
        try:
            self._connection.connect()
        except LOST as exc:
            topology.last(address)
            raise Elsewhere(f"the primary of slot {slot} ({self._key}) does not answer: {exc}") from exc

    def _owner(self, topology: Topology, slot: int) -> Address:
        """Ask the nodes one by one, and believe the first that answers: one that is wrong sends us on by MOVED."""
        failure: Exception = Elsewhere("the cluster's URL names no node")
        for address in list(topology.known):
            if self._stopping.is_set():
                raise Stopped("told to stop while looking for a node of the cluster")
            asking = self._made(node_url(topology.url, address))
            try:
                asking.connect()
                asking.send_command("CLUSTER", "SLOTS")
                slots = topology.learn(asking.read_response(disable_decoding=True), address)
            except ResponseError as exc:
                failure = topology.refused(address, exc)
            except LOST as exc:
                failure = exc
            else:
                owner = slots.owner(slot)
                if owner is not None:
                    return owner
                failure = Elsewhere(f"slot {slot} ({self._key}) has no primary")
            finally:
                asking.disconnect()
            topology.last(address)
        raise failure

    def close(self) -> None:
        """Drop the connection; replies that are under way are lost."""
        self._connection.disconnect()

    def send(self, chunks: Sequence[bytes]) -> None:
        """Write `chunks` without copying them; raises one of LOST or Stopped, the connection is closed then."""
        channel = self._connection._sock
        if channel is None:
            raise RedisConnectionError("not connected")
        try:
            self._send_all(channel, chunks)
        except OSError as exc:
            self.close()
            raise RedisConnectionError(f"while sending: {exc}") from exc
        except BaseException:
            # Half a command is out: the connection cannot be used for anything else.
            self.close()
            raise

    def read(self, count: int) -> list[Any]:
        """Return the next `count` replies; errors that Redis answers are elements. Raises one of LOST or Stopped."""
        return [self._read_one() for _ in range(count)]

    def call(self, *arguments: Argument) -> Any:
        """Send one command and return its reply; raises ResponseError when it is one."""
        return self.call_packed(pack(*arguments))

    def call_packed(self, command: bytes) -> Any:
        """As `call`, for a command that is packed already."""
        self.send([command])
        reply = self._read_one()
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def _send_all(self, channel: socket.socket, chunks: Sequence[bytes]) -> None:
        # One call is the rule: sendall cannot tell how far it came when a slice ends, these can.
        started = time.monotonic()
        left: deque[bytes | memoryview] = deque(chunk for chunk in chunks if chunk)
        while left:
            try:
                # Redis is woken once for all of it. TLS has no call for several parts.
                sent = (
                    channel.send(left[0])
                    if isinstance(channel, ssl.SSLSocket)
                    else channel.sendmsg(islice(left, _PARTS_PER_CALL_MAX))
                )
            except TimeoutError:
                self._check_stall(started, "takes no data")
                continue
            started = time.monotonic()
            while left and sent >= len(left[0]):
                sent -= len(left.popleft())
            if sent:
                left[0] = memoryview(left[0])[sent:]

    def _read_one(self) -> Any:
        started = time.monotonic()
        while True:
            try:
                return self._connection.read_response(
                    disable_decoding=True, timeout=_SLICE_S, disconnect_on_error=False
                )
            except RedisTimeoutError:
                self._check_stall(started, "does not answer")
            except ResponseError as reply:
                if self._topology is not None and is_elsewhere(reply):
                    # What was sent with it may have been executed or not, and what follows belongs somewhere else.
                    self.close()
                    raise Elsewhere(
                        f"slot {slot_of([self._key])} ({self._key}): {type(reply).__name__}: {reply}"
                    ) from reply
                return reply
            except BaseException:
                self.close()
                raise

    def _check_stall(self, started: float, what: str) -> None:
        stalled_s = time.monotonic() - started
        if self._stopping.is_set() and stalled_s > DRAIN_S:
            self.close()
            raise Stopped(f"told to stop while Redis {what}")
        if stalled_s > STALL_S:
            self.close()
            raise RedisTimeoutError(f"Redis {what} for {STALL_S:g} s")
