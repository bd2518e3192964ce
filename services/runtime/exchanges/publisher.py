"""Every second, what this process knows of the exchanges goes to Redis, where the health server reads it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis
import redis.asyncio

from services.runtime.exchanges.watcher import GroupStatus
from services.runtime.log_fields import fields
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
EXPIRY_S: Final = 30
"""A process that is gone is not reported for ever."""
PROCESSES: Final = ("price", "orders")
"""Which servers talk to exchanges."""


def status_key(process: str) -> str:
    """Name of the key that holds a process's statement."""
    return f"midstream:exchanges:{process}"


class StatusPublisher:
    """Writes `{"time_ns": ..., "groups": [...]}`; a Redis that is away is no reason to stop."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        process: str,
        collect: Callable[[], Awaitable[list[GroupStatus]]],
        *,
        wall_ns: Callable[[], int],
    ) -> None:
        if process not in PROCESSES:
            raise ValueError(f"{process!r} is not one of {PROCESSES}: the health server would never read it")
        self._client = client
        self._process = process
        self._collect = collect
        self._wall_ns = wall_ns
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="exchange-status")

    async def stop(self) -> None:
        """End, and take the statement back."""
        await end_task(self._task)
        try:
            await self._client.delete(status_key(self._process))
        except (redis.RedisError, OSError):
            logger.info("exchange status not taken back: redis is away, it expires by itself")

    async def _run(self) -> None:
        while True:
            try:
                await self.publish()
                self._failing = False
            except (redis.RedisError, OSError) as exc:
                if not self._failing:
                    logger.warning("exchange status not published", extra=fields(error=type(exc).__name__))
                self._failing = True
            await asyncio.sleep(INTERVAL_S)

    async def publish(self) -> None:
        """Publish once."""
        statement: dict[str, Any] = {
            "time_ns": self._wall_ns(),
            "groups": [group.as_json() for group in await self._collect()],
        }
        await self._client.set(status_key(self._process), json.dumps(statement), ex=EXPIRY_S)
