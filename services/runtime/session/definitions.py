"""The created sessions of a Redis: their definitions, what follows them, and the end of everything that they keep there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import redis.asyncio

from services.runtime.connection import is_cluster
from services.runtime.errors import AlreadyExists, FailedPrecondition, ResourceExhausted
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session import partitions_stored
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import DEFINED, DEFINED_IS_KEPT, SESSIONS, SessionKeys, session_names
from services.runtime.session.versions import NewerVersion

logger = logging.getLogger(__name__)

SUBSCRIBED_MS: Final = 30_000
"""For how long a session counts as streamed after the last sign of it."""
_ATTEMPTS: Final = 3


class SessionsFull(ResourceExhausted):
    """There are as many created sessions as there may be."""


@dataclass(frozen=True)
class SinkLogs:
    """Where a sink writes."""

    sink: str
    directory: str
    host: str = ""
    """Where several servers share the partitions of a session: that of one of them."""

    @property
    def field(self) -> str:
        """What it is called in Redis: a server that comes back takes the place of itself."""
        return f"{self.sink} {self.host}:{self.directory}" if self.host else self.sink

    @classmethod
    def read(cls, field: str, directory: str) -> SinkLogs:
        """Read what `field` says."""
        sink, _, place = field.partition(" ")
        return cls(sink, directory, place.removesuffix(f":{directory}"))


class Definitions:
    """Reads and writes definitions. Any number of servers may, at the same time."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._complaint = LogLimit(REPEAT_S)

    async def all(self) -> dict[str, SessionDefinition] | None:
        """Return the definitions of all created sessions by name; None when Redis has lost that there were any.

        What cannot be read of one is logged and leaves that one out.
        """
        members = await self._client.smembers(DEFINED)
        if DEFINED_IS_KEPT not in members:
            return None
        names = session_names(members)
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.get(SessionKeys(name).definition)
        found: dict[str, SessionDefinition] = {}
        for name, stored in zip(names, await pipeline.execute() if names else (), strict=True):
            try:
                if stored is not None:
                    found[name] = SessionDefinition.decode(name, stored)
            except (ValueError, NewerVersion) as exc:
                if self._complaint.passes() is not None:
                    logger.warning("definition ignored", extra=fields(session=name, reason=exc))
        return found

    async def get(self, keys: SessionKeys) -> SessionDefinition | None:
        """Return one definition; None where there is none. Raises NewerVersion, and ValueError on what cannot be read."""
        stored = await self._client.get(keys.definition)
        return None if stored is None else SessionDefinition.decode(keys.session, stored)

    async def create(self, keys: SessionKeys, definition: SessionDefinition, *, sessions_max: int) -> SessionDefinition:
        """Store a definition and return it, or the one that is there already and says the same.

        From here on the session holds what it publishes for its sinks. Raises AlreadyExists and SessionsFull.
        """
        stored = await self.get(keys)
        if stored is None:
            await self._refuse_used(keys, definition.partitions)
            await self._count_in(keys, sessions_max)
            if not await self._client.set(keys.definition, definition.encode(), nx=True):
                stored = await self.get(keys)
        if stored is not None and not stored.is_same(definition):
            raise AlreadyExists(
                f"session `{keys.session}` exists with another definition; take another name, or delete it first"
            )
        definition = stored or definition
        # The rest is done again by whoever repeats a call that was cut short.
        await self.hold_for_sinks(keys, definition)
        await self._client.sadd(SESSIONS, keys.session)
        return definition

    async def put_back(self, known: Mapping[str, SessionDefinition]) -> None:
        """Store again what Redis has lost."""
        pipeline = self._client.pipeline(transaction=False)
        for name, definition in known.items():
            pipeline.set(SessionKeys(name).definition, definition.encode(), nx=True)
        await pipeline.execute()
        # Last, as it says that nothing is missing; until then everybody puts back what they know.
        await self._client.sadd(DEFINED, DEFINED_IS_KEPT, *known)

    async def hold_for_sinks(self, keys: SessionKeys, definition: SessionDefinition) -> None:
        """Have the session wait for its sinks also before they have come: a fast replay is over before they do."""
        for sink in definition.sinks:
            try:
                await self._client.xgroup_create(keys.ticks, sink, id="0-0", mkstream=True)
            except redis.ResponseError as exc:
                if "BUSYGROUP" not in str(exc):
                    raise

    async def delete(self, keys: SessionKeys) -> bool:
        """Forget a definition, upon which everything that works for the session ends; tell whether there was one."""
        # In a cluster the two are in different slots, and go one after the other: a name that has no definition is no session.
        pipeline = self._client.pipeline(transaction=not is_cluster(self._client))
        pipeline.delete(keys.definition)
        pipeline.srem(DEFINED, keys.session)
        deleted, removed = await pipeline.execute()
        return bool(deleted or removed)

    async def remove_everything(self, keys: SessionKeys, *, partitions: int = 1) -> bool:
        """Delete what an ended session left in Redis, unless it was created again; tell whether that was done.

        That is of so many `partitions`, or of those that are stored where these are more.
        """
        for _ in range(_ATTEMPTS):
            async with self._client.pipeline(transaction=True) as pipeline:
                try:
                    await pipeline.watch(keys.definition)
                    if await pipeline.exists(keys.definition):
                        return False
                    parts = [
                        SessionKeys(keys.session, partition).by_slot[0]
                        for partition in range(max(partitions, await self.stored_partitions(keys)))
                    ]
                    of_session = keys.by_slot[1]
                    if is_cluster(self._client):
                        # No transaction spans them. The name goes last, so that what was cut short is found again.
                        for of_partition in parts:
                            await self._client.delete(*of_partition)
                        pipeline.multi()
                        pipeline.delete(*of_session)
                        await pipeline.execute()
                        await self._client.srem(SESSIONS, keys.session)
                    else:
                        pipeline.multi()
                        pipeline.delete(*(key for of_partition in parts for key in of_partition), *of_session)
                        pipeline.srem(SESSIONS, keys.session)
                        await pipeline.execute()
                except redis.WatchError:
                    continue
                return True
        return False

    async def stored_partitions(self, keys: SessionKeys) -> int:
        """Return in how many parts a session is published, as far as that can be read."""
        try:
            return (await partitions_stored.read(self._client, keys)).count
        except FailedPrecondition as exc:
            logger.warning("partitions not read", extra=fields(session=keys.session, reason=exc))
            return 1

    async def remove_leftovers(self, keys: SessionKeys, *, partitions: int = 1) -> None:
        """As `remove_everything`, once nothing produces or works for the session any more: what came last may have written last."""
        for partition in range(max(partitions, await self.stored_partitions(keys))):
            if await self._client.exists(SessionKeys(keys.session, partition).lease):
                return
        if not await self._client.exists(keys.logs):
            await self.remove_everything(keys, partitions=partitions)

    async def note_logs(self, keys: SessionKeys, logs: SinkLogs) -> None:
        """Say where a sink writes, before it does."""
        await self._client.hset(keys.logs, logs.field, logs.directory)

    async def let_go(self, keys: SessionKeys, logs: SinkLogs) -> None:
        """Say that a sink has ended there."""
        await self._client.hdel(keys.logs, logs.field)

    async def logs(self, keys: SessionKeys) -> list[SinkLogs]:
        """Return where the sinks of a session write; those that have ended are not in it."""
        stored = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.logs))
        return [
            SinkLogs.read(field.decode("utf-8", "replace"), directory.decode("utf-8", "replace"))
            for field, directory in sorted(stored.items())
        ]

    async def note_subscribed(self, sessions: Iterable[str]) -> None:
        """Say that somebody streams these."""
        for session in sessions:
            await self._client.set(SessionKeys(session).subscribed, b"1", px=SUBSCRIBED_MS)

    async def _count_in(self, keys: SessionKeys, sessions_max: int) -> None:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.sadd(DEFINED, DEFINED_IS_KEPT)
        pipeline.sadd(DEFINED, keys.session)
        pipeline.scard(DEFINED)
        _, added, count = await pipeline.execute()
        if added and count - 1 > sessions_max:
            await self._client.srem(DEFINED, keys.session)
            raise SessionsFull(f"there are {sessions_max} sessions already (MIDSTREAM_SESSIONS_MAX); delete one first")

    async def keeps_anything(self, every: Sequence[SessionKeys]) -> bool:
        """Tell whether there is anything of a session in these partitions."""
        for keys in every:
            for of_slot in keys.by_slot:
                if await self._client.exists(*of_slot):
                    return True
        return False

    async def _refuse_used(self, keys: SessionKeys, partitions: int) -> None:
        used = await self._client.exists(keys.logs, keys.state, keys.partitions)
        for partition in range(partitions):
            part = SessionKeys(keys.session, partition)
            used = used or await self._client.exists(part.ticks, part.checkpoint, part.sinks)
        if used:
            raise AlreadyExists(
                f"session `{keys.session}` is another program's, or its end is still under way; take another name, or delete it"
            )
