"""Which signed requests were accepted: each one once, also over a restart and whatever the clock does."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Protocol

from clients.resilience.ports import WallNs
from services.runtime.errors import Unauthenticated

WINDOW_MS: Final = 30_000
"""How old a request may be: what a slow network and a clock that is off may take."""
AHEAD_MS: Final = 5_000
"""How far a sender's clock may be ahead. Less than the window: the floor rises with the stamps, and a restart refuses all below it."""
STEP_MS: Final = 1_000
"""How far above a stamp the floor is written, so that it is written once a second and not per request."""
NONCES_MAX: Final = 10_000
"""Nonces remembered per key; the oldest stamp that is forgotten closes everything up to it."""
KEYS_MAX: Final = 1_024
"""Keys remembered; one that was forgotten is as after a restart."""
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_STAMP: Final = re.compile(r"[0-9]{1,16}")


class Floors(Protocol):
    """Where it is written down how far the stamps of a key have come."""

    async def read(self, key_id: str) -> int:
        """Return the newest floor of a key, 0 without one."""
        ...

    async def write(self, key_id: str, floor_ms: int) -> None:
        """Raise a key's floor; durable when this returns."""
        ...


@dataclass
class _Accepted:
    """What is known of one key."""

    closed_ms: int
    """Nothing with this stamp or an earlier one is accepted: it was before the start, or its nonce is forgotten."""
    floor_ms: int
    """As written down: nothing with a later stamp was accepted."""
    nonces: dict[str, int] = field(default_factory=dict)
    by_stamp: list[tuple[int, str]] = field(default_factory=list)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def forget_before(self, stamp_ms: int) -> None:
        """Forget nonces of old stamps, and those that are too many."""
        while self.by_stamp and (self.by_stamp[0][0] < stamp_ms or len(self.by_stamp) > NONCES_MAX):
            old_ms, nonce = heapq.heappop(self.by_stamp)
            del self.nonces[nonce]
            # Not only the window: the clock may step back, and an old stamp be fresh again.
            self.closed_ms = max(self.closed_ms, old_ms)

    def remember(self, stamp_ms: int, nonce: str) -> None:
        self.nonces[nonce] = stamp_ms
        heapq.heappush(self.by_stamp, (stamp_ms, nonce))


class Stamps:
    """Before a request is accepted, a floor at or above its stamp is durable. Who starts later accepts nothing up to that floor:
    not what was accepted, which it cannot remember, and for a second nothing else either."""

    def __init__(self, floors: Floors, *, wall_ns: WallNs) -> None:
        self._floors = floors
        self._wall_ns = wall_ns
        self._keys: OrderedDict[str, _Accepted] = OrderedDict()
        self._reading = asyncio.Lock()

    def check_shape(self, timestamp_ms: str, nonce: str) -> int:
        """Return the stamp of a request that has not been authenticated yet. Raises Unauthenticated for what can never be accepted."""
        if _STAMP.fullmatch(timestamp_ms) is None:
            raise Unauthenticated("X-Midstream-Timestamp must be the time of signing, in milliseconds since 1970")
        if _NONCE.fullmatch(nonce) is None:
            raise Unauthenticated(
                "X-Midstream-Nonce must be 16 to 64 characters of A-Z a-z 0-9 _ -, another one each time"
            )
        stamp_ms, now_ms = int(timestamp_ms), self._wall_ns() // 1_000_000
        if now_ms - stamp_ms > WINDOW_MS:
            raise Unauthenticated(
                f"the request was signed {(now_ms - stamp_ms) / 1000:.1f} s ago by our clock, at most {WINDOW_MS // 1000} s will do"
            )
        if stamp_ms - now_ms > AHEAD_MS:
            raise Unauthenticated(
                f"the request's time is {(stamp_ms - now_ms) / 1000:.1f} s ahead of our clock, at most {AHEAD_MS // 1000} s will do"
            )
        return stamp_ms

    async def accept(self, key_id: str, timestamp_ms: str, nonce: str) -> None:
        """Accept a request whose signature is right. Raises Unauthenticated for one that was, or may have been, accepted before."""
        stamp_ms = self.check_shape(timestamp_ms, nonce)
        accepted = await self._of(key_id)
        accepted.forget_before(self._wall_ns() // 1_000_000 - WINDOW_MS)
        if nonce in accepted.nonces:
            raise Unauthenticated("this signed request was used before; sign each one with a nonce of its own")
        if stamp_ms <= accepted.closed_ms:
            ahead_s = (accepted.closed_ms - self._wall_ns() // 1_000_000) / 1000
            again = f", from {ahead_s:.1f} s on" if ahead_s > 0 else ""
            raise Unauthenticated(
                f"a request with this time may have been used before the server's start; sign it again{again}"
            )
        # Before anything is awaited: the same request may come a second time meanwhile.
        accepted.remember(stamp_ms, nonce)
        if stamp_ms > accepted.floor_ms:
            async with accepted.writing:
                if stamp_ms > accepted.floor_ms:
                    floor_ms = stamp_ms + STEP_MS
                    await self._floors.write(key_id, floor_ms)
                    accepted.floor_ms = floor_ms

    async def _of(self, key_id: str) -> _Accepted:
        accepted = self._keys.get(key_id)
        if accepted is None:
            async with self._reading:
                accepted = self._keys.get(key_id)
                if accepted is None:
                    floor_ms = await self._floors.read(key_id)
                    accepted = self._keys[key_id] = _Accepted(closed_ms=floor_ms, floor_ms=floor_ms)
        self._keys.move_to_end(key_id)
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)
        return accepted
