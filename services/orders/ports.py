"""Clock, sleep, randomness and ids of the engine, replaced as a whole in tests."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clients.resilience.ports import MonotonicNs, RandomSource, Sleep, WallNs, system_random


def _new_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Ports:
    """One bundle for all parts of the engine, so that a campaign in virtual time injects them once."""

    wall_ns: WallNs = time.time_ns
    monotonic_ns: MonotonicNs = time.monotonic_ns
    sleep: Sleep = asyncio.sleep
    random: RandomSource = field(default_factory=system_random)
    new_id: Callable[[], str] = _new_id
    """128 random bits as hexadecimal digits: an id that can be guessed would be a way into another owner's orders."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until the event is set, at most that long; return whether it is."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await event.wait()
        except TimeoutError:
            return False
        return True
