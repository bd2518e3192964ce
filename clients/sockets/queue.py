"""Keep events for the consumer of a socket, within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from clients.sockets.events import Dropped, Event, Message
from clients.sockets.policy import Overflow

NOTICES_MAX = 16
"""Events other than messages that may wait before no new connection is opened."""


class EventQueue:
    """One producer side in callbacks, one consumer. `on_full` and `on_room` tell when reading has to stop and may go on."""

    def __init__(
        self,
        *,
        messages_max: int,
        bytes_max: int,
        overflow: Overflow,
        on_full: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._overflow = overflow
        self._on_full = on_full
        self._on_room = on_room
        self._events: deque[Event] = deque()
        self._messages = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._closed = False
        self.full = False
        self.dropped = 0

    def __len__(self) -> int:
        return self._messages

    def put(self, event: Event) -> None:
        """Append; never blocks."""
        if self._closed:
            return
        self._events.append(event)
        if isinstance(event, Message):
            self._messages += 1
            self._bytes += len(event.payload)
            if self._over(1.0):
                self._make_room()
        self._changed.set()

    async def get(self) -> Event | None:
        """Return the next event; None once closed and empty."""
        while not self._events:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        if isinstance(event, Message):
            self._forget(event)
            # Half empty before reading goes on: pausing and resuming costs more than a message.
            if self.full and not self._over(0.5):
                self.full = False
                self._on_room()
        if len(self._events) - self._messages < NOTICES_MAX:
            self._drained.set()
        return event

    async def room_for_notices(self) -> None:
        """Wait while a consumer that does not read has let notices pile up."""
        while len(self._events) - self._messages >= NOTICES_MAX and not self._closed:
            self._drained.clear()
            await self._drained.wait()

    def close(self, *, discard: bool) -> None:
        """Let `get` return None, after what is there unless it is discarded."""
        self._closed = True
        if discard:
            self._events.clear()
            self._messages = self._bytes = 0
        self._changed.set()
        self._drained.set()

    def _over(self, share: float) -> bool:
        return self._messages > self._messages_max * share or self._bytes > self._bytes_max * share

    def _make_room(self) -> None:
        if self._overflow is Overflow.BACKPRESSURE:
            if not self.full:
                self.full = True
                self._on_full()
            return
        while self._over(1.0) and self._messages > 1:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        # Notices in front of the oldest message stay where they are; there are few.
        notices: list[Event] = []
        while not isinstance(oldest := self._events.popleft(), Message):
            notices.append(oldest)
        self._forget(oldest)
        self.dropped += 1
        if notices and isinstance(notices[-1], Dropped):
            notices[-1] = replace(notices[-1], count=notices[-1].count + 1)
        else:
            notices.append(Dropped(1))
        self._events.extendleft(reversed(notices))

    def _forget(self, message: Message) -> None:
        self._messages -= 1
        self._bytes -= len(message.payload)
