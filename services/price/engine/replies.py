"""Replies of Redis, read into one buffer that is used again: large ones reach the kernels without a copy in between."""

from __future__ import annotations

import socket
from typing import Any, Final, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Reply: TypeAlias = Any
"""None, int, bytes, a view of the buffer, an exception that Redis answered with, or a list of these."""

BUFFER_BYTES: Final = 1 << 20
VIEW_BYTES_MIN: Final = 4096
"""Shorter strings are copied: ids and names are kept, payloads are not."""
_LINE_BYTES_MAX: Final = 64 * 1024


class ReplyBuffer:
    """Reads RESP2, one reply per call. Views in a reply are released by the next call: what reads them later gets a ValueError.

    The buffer grows to the longest reply and stays that long.
    """

    def __init__(self, size: int = BUFFER_BYTES) -> None:
        self._buffer = memoryview(bytearray(size))
        self._start = 0
        self._end = 0
        self._views: list[memoryview] = []

    def reset(self) -> None:
        """Forget what an older connection sent."""
        for view in self._views:
            view.release()
        self._views.clear()
        self._start = self._end = 0

    def read(self, connection: socket.socket) -> Reply:
        """Wait for one whole reply, at most the socket's timeout at a time, and return it. Raises what Redis answers with."""
        if self._start == self._end:
            self.reset()
        reply = self._value(connection)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _value(self, connection: socket.socket) -> Reply:
        line = self._line(connection)
        kind, rest = line[:1], line[1:]
        match kind:
            case b"*":
                return None if rest == b"-1" else [self._value(connection) for _ in range(_count(line))]
            case b"$":
                return None if rest == b"-1" else self._string(connection, _count(line))
            case b":":
                return int(rest)
            case b"+":
                return rest
            case b"-":
                return ResponseError(rest.decode("utf-8", "replace"))
        raise InvalidResponse(f"Redis answered {line[:40]!r}, which is no RESP2")

    def _line(self, connection: socket.socket) -> bytes:
        looked = self._start
        while True:
            # The view itself has no search; lines are short, and the bytes looked at once are not looked at again.
            found = bytes(self._buffer[looked : min(self._end, looked + 64)]).find(b"\n")
            if found >= 0:
                line = bytes(self._buffer[self._start : looked + found - 1])
                self._start = looked + found + 1
                return line
            looked = min(self._end, looked + 64)
            if looked - self._start > _LINE_BYTES_MAX:
                raise InvalidResponse(f"Redis answered a line of more than {_LINE_BYTES_MAX} bytes")
            if looked == self._end:
                waiting = looked - self._start
                self._receive(connection, 1)
                looked = self._start + waiting

    def _string(self, connection: socket.socket, size: int) -> bytes | memoryview:
        missing = size + 2 - (self._end - self._start)
        while missing > 0:
            missing -= self._receive(connection, missing)
        view = self._buffer[self._start : self._start + size]
        self._start += size + 2
        if size < VIEW_BYTES_MIN:
            return bytes(view)
        self._views.append(view)
        return view

    def _receive(self, connection: socket.socket, missing: int) -> int:
        """Wait for more bytes, with room for at least `missing`."""
        if len(self._buffer) - self._end < missing:
            # Views of this reply keep the old buffer alive.
            waiting = self._end - self._start
            grown = memoryview(bytearray(max(2 * len(self._buffer), waiting + missing)))
            grown[:waiting] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = grown, 0, waiting
        try:
            received = connection.recv_into(self._buffer[self._end :])
        except TimeoutError as exc:
            raise RedisTimeoutError("Timeout reading from socket") from exc
        if received == 0:
            raise RedisConnectionError("Connection closed by server.")
        self._end += received
        return received


def _count(line: bytes) -> int:
    if not line[1:].isdigit():
        raise InvalidResponse(f"Redis answered {line[:40]!r}, which is no RESP2")
    return int(line[1:])
