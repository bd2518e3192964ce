"""The one thing that the limiter asks of Redis, in virtual time: swap a text if it is what the caller thinks it is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.exceptions


class SwapServer:
    """Its clients see each other's swaps; it may be away, lose answers after it acted, lose everything, or be slow."""

    def __init__(self, wall_ns: Callable[[], int], rng: random.Random, *, travel_s: float = 0.002) -> None:
        self._wall_ns = wall_ns
        self._rng = rng
        self._travel_s = travel_s
        self.texts: dict[str, str] = {}
        self.away = False
        self.lost_answers = 0.0
        self.swaps = 0
        self.lost_races = 0

    def client(self) -> Any:
        """Return what `RedisStore` takes for a client."""
        return _SwapClient(self)

    async def swap(self, keys: Sequence[str], args: Sequence[Any]) -> list[object]:
        await asyncio.sleep(self._rng.uniform(0, self._travel_s))
        if self.away:
            raise redis.exceptions.ConnectionError("away")
        stored = self.texts.get(keys[0], "")
        swapped = stored == args[0]
        if swapped:
            self.texts[keys[0]] = args[1]
            self.swaps += 1
        elif args[0] != "\x00":
            self.lost_races += 1
        now_ns = self._wall_ns()
        await asyncio.sleep(self._rng.uniform(0, self._travel_s))
        if self._rng.random() < self.lost_answers:
            raise redis.exceptions.TimeoutError("the answer was lost")
        return [int(swapped), b"" if swapped else stored.encode(), now_ns // 10**9, now_ns % 10**9 // 1000]


class _SwapClient:
    def __init__(self, server: SwapServer) -> None:
        self._server = server

    def get_retry(self) -> None:
        return None

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        assert "redis.call('SET', KEYS[1], ARGV[2]" in script
        return self._server.swap
