"""How many bytes of requests may be held at once. What is reserved for a request before it is read is returned once its size is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.runtime.errors import DeadlineExceeded, MidstreamError, Overloaded

PATIENCE_S: Final = 0.25
"""While others wait, a request that has been arriving for longer makes room. Ordinary ones are there with their call's headers."""

WAITING_MAX: Final = 1_000
"""Calls that wait for room; beyond, the one that has waited longest is refused."""

WAIT_S: Final = 5.0
"""What a call waits for room at most."""


class RequestMemory:
    """The budget of a server, or of a method that has one of its own.

    The library takes in as much as a message announces, as soon as it is asked for one, so the most that a message may have is reserved
    first. Whoever came last is served first: under a flood the callers of now are worth more than those who have been waiting for long.
    """

    def __init__(self, total: int, *, message_bytes_max: int, timeout_s: float, patience_s: float = PATIENCE_S) -> None:
        self._total = max(total, message_bytes_max)
        self._message_bytes_max = message_bytes_max
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._reading: dict[HeldRequest, float] = {}
        self._waiting: dict[HeldRequest, _Waiting] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.held = 0
        """Bytes reserved or held."""

    def request(self, end: Callable[[MidstreamError], None]) -> HeldRequest:
        """Return what one call holds; `end` ends the call while a request is being read."""
        return HeldRequest(self, end)

    async def reserve(self, request: HeldRequest) -> None:
        """Reserve what a message may have at most. Raises Overloaded when there is no room for it in time."""
        loop = asyncio.get_running_loop()
        request.size, self.held = 0, self.held - request.size
        if self._has_room():
            self._grant(request, loop)
            return
        if len(self._waiting) >= WAITING_MAX:
            self._refuse(next(iter(self._waiting)))
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[request] = _Waiting(turn, loop.time())
        self._watch(loop)
        try:
            await turn
        finally:
            self._waiting.pop(request, None)

    def hold(self, request: HeldRequest, size: int) -> None:
        """Have a call hold `size` bytes: its message has arrived, or it has ended."""
        self._reading.pop(request, None)
        self.held += size - request.size
        request.size = size
        while self._waiting and self._has_room():
            waiting, place = self._waiting.popitem()
            if not place.turn.done():
                # Granted here, so that nobody else takes it before the call runs again; a call that has ended by then returns it.
                self._grant(waiting, place.turn.get_loop())
                place.turn.set_result(None)

    def _refuse(self, request: HeldRequest) -> None:
        turn = self._waiting.pop(request).turn
        if not turn.done():
            turn.set_exception(
                Overloaded(
                    f"requests of other calls hold {self.held} bytes, which leaves no room for another; try again with backoff, or raise "
                    "MIDSTREAM_GRPC_REQUEST_BYTES_HELD"
                )
            )

    def _has_room(self) -> bool:
        return self.held + self._message_bytes_max <= self._total

    def _grant(self, request: HeldRequest, loop: asyncio.AbstractEventLoop) -> None:
        self.held += self._message_bytes_max
        request.size = self._message_bytes_max
        self._reading[request] = loop.time()
        self._watch(loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        when_s = loop.time() + (self._patience_s if self._waiting else self._timeout_s / 4)
        if self._timer is None or self._timer.when() > when_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(when_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End who takes too long, and have those make room who are slow while others wait."""
        self._timer = None
        now_s = loop.time()
        for request, place in tuple(self._waiting.items()):
            if now_s - place.since_s >= WAIT_S:
                self._refuse(request)
        wanted = len(self._waiting)
        for request, since_s in tuple(self._reading.items()):
            if not request.began and now_s - since_s >= self._timeout_s:
                request.end(DeadlineExceeded(f"the request did not arrive within {self._timeout_s:g} s"))
            elif wanted and now_s - since_s >= self._patience_s:
                wanted -= 1
                request.end(Overloaded("the request arrived too slowly while others waited; try again with backoff"))
        if self._reading or self._waiting:
            self._watch(loop)


class HeldRequest:
    """What one call holds: the message that is being read, or the one that it is about."""

    def __init__(self, memory: RequestMemory, end: Callable[[MidstreamError], None]) -> None:
        self._memory = memory
        self.end = end
        self.size = 0
        self.began = False
        """Whether a message has arrived. Clients that stream may take their time for the next."""

    async def reserve(self) -> None:
        """Make room for a message. Raises Overloaded."""
        await self._memory.reserve(self)

    def arrived(self, size: int) -> None:
        """Say how large it was."""
        self.began = True
        self._memory.hold(self, size)

    def release(self) -> None:
        """Hold nothing any more."""
        self._memory.hold(self, 0)


@dataclass(frozen=True)
class _Waiting:
    turn: asyncio.Future[None]
    since_s: float
