"""Let a session wait for a subscriber: by a consumer group of its own, which the producer's backpressure honours like any other.

The group's position is the subscriber's. While the server that serves the subscriber is there, it touches the group; the producer counts
the group for READER_LEASE_S after the last touch. So a server that died holds nobody up, and neither does a connection that is gone, which
keepalive ends. A client that is there and reads nothing is waited for, for STUCK_S: that is what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from uuid import uuid4

import redis
import redis.asyncio

from services.runtime.errors import FailedPrecondition
from services.runtime.log_fields import fields
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import READER_GROUP_PREFIX, READER_LEASE_S, SessionKeys
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

TOUCH_S: Final = 5.0
STUCK_S: Final = 3600.0
"""How long one is waited for that takes nothing: as long as for any other group (MIDSTREAM_GROUP_LEASE)."""
ADVANCE_S: Final = 0.02
"""The producer hears no sooner how far a reader is: a command per batch would cost more than what it says."""
LOOK_S: Final = 0.5
"""How often to see whether a reader that has everything is further than the last batch says."""
_CONSUMER: Final = "server"
_ending: Final[set[asyncio.Task[None]]] = set()
"""Under way, whoever waits for them; the event loop alone would not keep them."""


End = Callable[[int], int]
"""Tells up to which sequence a subscriber has everything that took everything up to one and waits for more."""


class Hold:
    """The group of one subscriber. For one event loop."""

    def __init__(
        self, client: redis.asyncio.Redis, keys: SessionKeys, *, end: End | None, clock: Callable[[], float]
    ) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._keys = keys
        self._end = end
        self._clock = clock
        self.name: Final = f"{READER_GROUP_PREFIX}{uuid4().hex}"
        self._taken = 0
        self._told = 0
        self._moved = asyncio.Event()
        self._waits_since_s: float | None = None
        self._touched_s = clock()

    def offer(self) -> None:
        """The client is about to be given something."""
        self._waits_since_s = self._clock()

    def take(self, sequence: int) -> None:
        """The client has everything up to this sequence, with which an entry of the queue ends."""
        self._waits_since_s = None
        self._taken = sequence
        self._moved.set()

    async def begin(self) -> None:
        """Hold everything that is retained; groups that nobody touches any more go."""
        await _sweep(self._client, self._keys.ticks)
        await self._create()

    async def end(self, keeping: asyncio.Task[None]) -> None:
        """Let the session go on without this subscriber, once it is not kept any more."""
        await end_task(keeping)
        with contextlib.suppress(redis.RedisError, OSError):
            await self._client.xgroup_destroy(self._keys.ticks, self.name)

    async def keep(self) -> None:
        """Tell the producer how far the subscriber is, and that it is there."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), LOOK_S)
            self._moved.clear()
            try:
                await self._tell()
            except redis.ResponseError as exc:
                if "NOGROUP" not in str(exc) and "requires the key to exist" not in str(exc):
                    raise
                # The stream began anew, and its groups went with it.
                await self._create()
            except (redis.RedisError, OSError) as exc:
                # The lease covers a short outage; after a longer one the subscriber hears of it where it reads.
                logger.warning("hold not renewed", extra=fields(key=self._keys.ticks, error=type(exc).__name__))
            await asyncio.sleep(ADVANCE_S)

    async def _tell(self) -> None:
        now_s = self._clock()
        is_waiting = self._waits_since_s is not None
        if self._end is not None and not is_waiting:
            self._taken = max(self._taken, self._end(self._taken))
        if (taken := self._taken) != self._told:
            await self._client.xgroup_setid(self._keys.ticks, self.name, f"0-{taken}")
            self._told = taken
        is_stuck = self._waits_since_s is not None and now_s - self._waits_since_s > STUCK_S
        if now_s - self._touched_s >= TOUCH_S and not is_stuck:
            # Reads what is pending for the consumer, which is nothing: a sign of life that moves nothing.
            await self._client.xreadgroup(self.name, _CONSUMER, {self._keys.ticks: "0"}, count=1)
            self._touched_s = now_s

    async def _create(self) -> None:
        self._told = 0
        await self._client.xgroup_create(self._keys.ticks, self.name, id="0-0", mkstream=True)
        await self._client.xgroup_createconsumer(self._keys.ticks, self.name, _CONSUMER)


@contextlib.asynccontextmanager
async def holding(
    client: redis.asyncio.Redis,
    keys: SessionKeys,
    *,
    end: End | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Hold]:
    """Let a private session wait for a subscriber while that is there. Raises FailedPrecondition for other sessions."""
    if not await is_private(client, keys):
        raise FailedPrecondition(
            f"session `{keys.session}` is not private, so it waits for no subscriber: others would wait too; use another "
            "`policy`, or a session that CreateSession made with `private`"
        )
    hold = Hold(client, keys, end=end, clock=clock)
    await hold.begin()
    keeping = asyncio.create_task(hold.keep(), name="hold")
    try:
        yield hold
    finally:
        # A call whose client left may be cancelled again while it ends, and the session would wait out the lease then.
        ending = asyncio.create_task(hold.end(keeping), name="hold-end")
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)


async def is_private(client: redis.asyncio.Redis, keys: SessionKeys) -> bool:
    """Tell whether a session's definition says that it is one subscriber's own. Raises FailedPrecondition."""
    stored = await client.get(keys.definition)
    if stored is None:
        return False
    try:
        return SessionDefinition.decode(keys.session, stored).private
    except ValueError as exc:
        raise FailedPrecondition(f"{exc}, so nobody knows whether it is private") from exc


async def _sweep(client: Any, key: str) -> None:
    """Remove the groups of subscribers whose server is gone."""
    try:
        groups = await client.xinfo_groups(key)
    except redis.ResponseError:
        return
    for group in groups:
        name = group["name"]
        if not name.startswith(READER_GROUP_PREFIX.encode()):
            continue
        consumers = await client.xinfo_consumers(key, name)
        if consumers and min(consumer["idle"] for consumer in consumers) > READER_LEASE_S * 1e3:
            await client.xgroup_destroy(key, name)
            logger.info("hold of a server that is gone removed", extra=fields(key=key, group=name.decode()))
