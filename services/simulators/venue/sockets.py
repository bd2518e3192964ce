"""The websocket side of a simulator without a socket: what comes in is a call, what goes out is a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

QUEUE_FRAMES: Final = 4096
"""A client that reads so slowly is disconnected."""
GARBAGE: Final = ("{", '{"e":', "\u0000\u0001", "[[[[", "not json at all")


@dataclass(frozen=True)
class Closed:
    """The end of a socket. Without a code the connection just breaks."""

    code: int | None
    reason: str = ""


class SimSocket:
    """One connection as the simulator has it. `send` never blocks; frames behind a close are not sent."""

    def __init__(self, path: str, *, opened_ns: int, on_close: Callable[[SimSocket], None]) -> None:
        self.path = path
        self.opened_ns = opened_ns
        self.address = "127.0.0.1"
        """Limits by IP count this."""
        self.sent = 0
        self._outbox: asyncio.Queue[str | Closed] = asyncio.Queue(QUEUE_FRAMES)
        self._on_close = on_close
        self.closed: Closed | None = None

    def send(self, frame: str) -> None:
        """Queue a frame for the client."""
        if self.closed is not None:
            return
        if self._outbox.qsize() >= QUEUE_FRAMES - 1:
            self.close(1008, "slow consumer")
            return
        self.sent += 1
        self._outbox.put_nowait(frame)

    def close(self, code: int | None, reason: str = "") -> None:
        """End it: in order with a code, by breaking the connection without."""
        if self.closed is None:
            self.closed = Closed(code, reason)
            self._outbox.put_nowait(self.closed)
            self._on_close(self)

    @property
    def waiting(self) -> int:
        """Frames that the client has not taken yet."""
        return self._outbox.qsize()

    def left(self) -> None:
        """Note that the client is gone."""
        self.close(None, "the client left")

    async def next(self) -> str | Closed:
        """Return what goes out next; the end of it is a Closed, again and again."""
        if self.closed is not None and (self.closed.code is None or self._outbox.empty()):
            return self.closed
        return await self._outbox.get()
