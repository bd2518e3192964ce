"""Read the requests of a call: when there is room for them, within their time, and no larger than the method takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError

from services.runtime.errors import InvalidRequest, Overloaded
from services.runtime.request_memory import HeldRequest

MISSING_S: Final = 0.1


class Count(Protocol):
    """What counts messages."""

    def inc(self) -> None:
        """Count one more."""
        ...


async def read_no_more(requests: AsyncIterator[Any]) -> None:
    """Close what messages are read from, where it can be: a generator that is left alone is ended by the garbage collector, with a task."""
    close = getattr(requests, "aclose", None)
    if close is not None:
        await close()


class Requests(AsyncIterator[Any]):
    """The requests of one call, which arrive as bytes, so that what cannot be read is an answer and a figure like any other.

    An iterator and no generator: of most calls one message is read, and the garbage collector ends a generator that was left in the
    middle with a task and a wake-up of the loop.
    """

    def __init__(
        self,
        received: AsyncIterator[bytes],
        read: Callable[[bytes], Any] | None,
        *,
        held: HeldRequest,
        bytes_max: int,
        count: Count,
        arrived: Callable[[], None],
    ) -> None:
        """`read` makes a message of bytes; None leaves them as they are. `arrived` is called with the first one."""
        self._received = received
        self._reading: AsyncIterator[bytes] | None = None
        """Made for the first message: the library warns of one that is made and never asked."""
        self._read = read
        self._held = held
        self._bytes_max = bytes_max
        self._count = count
        self._arrived = arrived

    async def only(self) -> Any:
        """Return the request of a method that takes one."""
        async for request in self:
            await self.aclose()
            return request
        # The library says the same of a request that it has refused itself, and cancels the call a moment later.
        await asyncio.sleep(MISSING_S)
        raise InvalidRequest("request", "is missing: this method takes one message")

    async def __anext__(self) -> Any:
        """Return the next one, which is asked for now."""
        await self._held.reserve()
        if self._reading is None:
            self._reading = aiter(self._received)
        request = await anext(self._reading)
        if not self._held.began:
            self._arrived()
        self._held.arrived(len(request))
        self._count.inc()
        return self._message(request)

    async def aclose(self) -> None:
        """Read none any more."""
        if self._reading is not None:
            await read_no_more(self._reading)

    def _message(self, request: bytes) -> Any:
        if len(request) > self._bytes_max:
            # Whoever sends these by the thousand finds no line in the log for each.
            raise Overloaded(f"the request has {len(request)} bytes; this method takes {self._bytes_max} at most")
        if self._read is None:
            return request
        try:
            return self._read(request)
        except DecodeError as exc:
            raise InvalidRequest("request", "is not a message of the type that this method takes") from exc
