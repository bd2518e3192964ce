"""What the partitions of a session promise of the records to come, read once for all who wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import redis.asyncio

from services.runtime.session.keys import SessionKeys

LOOK_S: Final = 0.02
"""How old what was read may be: producers write it every half second while they publish nothing."""


class Watermark(NamedTuple):
    """Behind `sequence` of `epoch` nothing arrives before a time, unless a barrier comes first."""

    epoch: str
    sequence: int
    arrival_time_ns: int

    @classmethod
    def decode(cls, stored: bytes | None) -> Watermark | None:
        """Read what a producer wrote; None where there is nothing, or nothing that can be read: then its records are waited for."""
        parts = (stored or b"").split()
        try:
            epoch, sequence, arrival_time_ns = parts
            return cls(epoch.decode(), int(sequence), int(arrival_time_ns))
        except ValueError:
            return None


class Watermarks:
    """The watermarks of one session. For one event loop."""

    def __init__(
        self, client: redis.asyncio.Redis, keys: Sequence[SessionKeys], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`keys` are those of every partition."""
        self._client: Any = client
        self._keys = [each.watermark for each in keys]
        self._clock = clock
        self._found: list[Watermark | None] = [None] * len(self._keys)
        self._found_s: float | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> Sequence[Watermark | None]:
        """What every partition promises, as of LOOK_S ago or later. Raises redis.RedisError."""
        async with self._looking:
            if self._found_s is None or self._clock() - self._found_s >= LOOK_S:
                # One by one, because each may be on another node.
                stored = await asyncio.gather(*(self._client.get(key) for key in self._keys))
                self._found, self._found_s = [Watermark.decode(each) for each in stored], self._clock()
        return self._found
