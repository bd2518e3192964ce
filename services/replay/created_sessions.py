"""The sessions that were created: which there are, on this server and on others, and their beginning and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import redis

from services.replay.session_idleness import Idleness
from services.replay.session_queue import SessionQueue
from services.runtime.errors import FailedPrecondition, NotFound, ResourceExhausted
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions, SessionsFull, SinkLogs
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partition_runners import PartitionRunners
from services.runtime.session.session_runner import Ending, Host, SessionRunner
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often to see which sessions other servers have created or deleted, and which are idle."""
END_S: Final = 8.0
"""How long a deletion waits for another server's engine and for sinks to end: an engine gets four seconds to drain."""
POLL_S: Final = 0.05
SUBSCRIBED_EVERY_S: Final = 10.0
IDLE_SHOWN: Final = 5
IDLE_WORTH_TELLING_S: Final = 60.0


class Share(Protocol):
    """Has this server take part in a session of several partitions."""

    def __call__(
        self,
        session: str,
        definition: SessionDefinition,
        make_runner: Callable[[SessionKeys], SessionRunner],
        after: Ending | None,
        /,
    ) -> PartitionRunners: ...


@dataclass(frozen=True)
class Limits:
    """What the operator grants."""

    sessions_max: int
    idle_s: float
    """After which a session is deleted; 0 is never."""


class CreatedSessions:
    """Keeps a runner for every definition. The lease of each session decides which server's engine runs it."""

    def __init__(
        self,
        definitions: Definitions,
        queue: SessionQueue,
        *,
        make_host: Callable[[SessionKeys, SessionDefinition, Callable[[str], None]], Host],
        share: Share,
        limits: Limits,
        subscribed: Callable[[], Collection[str]],
        end_streams: Callable[[str], None],
        monotonic_s: Callable[[], float],
        own_session: str,
    ) -> None:
        """`share` has this server take part in a session of several partitions; `subscribed` names the sessions that are streamed here;
        `end_streams` hears of one that has been deleted.
        """
        self._definitions = definitions
        self._queue = queue
        self._make_host = make_host
        self._share = share
        self._limits = limits
        self._subscribed = subscribed
        self._end_streams = end_streams
        self._monotonic_s = monotonic_s
        self._own_session = own_session
        self._idleness = Idleness(monotonic_s)
        self._runners: dict[str, SessionRunner | PartitionRunners] = {}
        self._deleting: set[str] = set()
        self._deletions: set[asyncio.Task[list[SinkLogs]]] = set()
        self._changes = 0
        """Counts what was created and deleted here: what was read before it is old."""
        self._told_s = -SUBSCRIBED_EVERY_S
        self._complaint = LogLimit(REPEAT_S)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Bring back what was there, and follow what others do."""
        self._task = asyncio.create_task(self._follow(), name="created-sessions")

    async def stop(self) -> None:
        """Let every engine drain; the sessions stay."""
        await end_task(self._task)
        await asyncio.gather(*(runner.stop() for runner in self._runners.values()))
        for deletion in tuple(self._deletions):
            # What is left of it is deleted by whoever asks again.
            await end_task(deletion)

    def failure(self, session: str) -> str:
        """Return why a session's engine has ended for good; empty where it has not."""
        runner = self._runners.get(session)
        return runner.failure if runner is not None else ""

    @property
    def running(self) -> frozenset[str]:
        """Name the sessions whose engines run here, as their figures do; from any thread."""
        return frozenset[str]().union(*(runner.running for runner in tuple(self._runners.values())))

    @property
    def ours(self) -> Mapping[str, bool]:
        """Tell of each session that this server runs, or ran, whether its engine has ended for good; from any thread."""
        return {name: bool(runner.failure) for name, runner in tuple(self._runners.items()) if runner.is_ours}

    @property
    def troubles(self) -> Mapping[str, str]:
        """What is wrong with sessions, by name."""
        found = {name: runner.failure or runner.trouble for name, runner in self._runners.items()}
        return {name: trouble for name, trouble in found.items() if trouble}

    async def create(self, keys: SessionKeys, definition: SessionDefinition) -> SessionDefinition:
        """Store a definition and start its engine; return it as it is stored. Raises AlreadyExists and ResourceExhausted."""
        try:
            definition = await self._definitions.create(keys, definition, sessions_max=self._limits.sessions_max)
        except SessionsFull as exc:
            raise ResourceExhausted(f"{exc.message}; {self._idle_text()}") from exc
        self._run(keys.session, definition)
        return definition

    async def delete(self, keys: SessionKeys) -> list[SinkLogs]:
        """End a session and remove what it keeps in Redis; return where its sinks' logs are. Raises NotFound and FailedPrecondition."""
        if keys.session == self._own_session:
            raise FailedPrecondition(
                f"session `{keys.session}` is made of this server's environment (MIDSTREAM_SESSION); stop the server instead"
            )
        if keys.session in self._deleting:
            raise NotFound(f"session `{keys.session}` is being deleted already")
        self._deleting.add(keys.session)
        # Whoever asked may give up waiting; half of a deletion would leave engines without a session and keys without an owner.
        deletion = asyncio.create_task(self._delete(keys), name=f"deletion-{keys.session}")
        self._deletions.add(deletion)
        deletion.add_done_callback(self._deletions.discard)
        return await asyncio.shield(deletion)

    async def _delete(self, keys: SessionKeys) -> list[SinkLogs]:
        self._changes += 1
        try:
            logs = await self._definitions.logs(keys)
            every = await self._partitions_of(keys)
            runner = self._runners.get(keys.session)
            was_defined = await self._definitions.delete(keys)
            if runner is None and not was_defined:
                await self._check_leftover(every)
            self._end_streams(keys.session)
            if runner is not None:
                await self._end(keys.session, runner)
            await self._wait_for_the_others(every)
            await self._definitions.remove_everything(keys, partitions=len(every))
        finally:
            self._changes += 1
            self._deleting.discard(keys.session)
        logger.info("session deleted", extra=fields(session=keys.session))
        return logs

    async def look(self) -> None:
        """Start what was created elsewhere, stop what was deleted elsewhere, and delete what has been idle for too long."""
        changes = self._changes
        defined = await self._definitions.all()
        if changes != self._changes:
            return
        if defined is None:
            if self._runners:
                # Redis has lost everything: their engines adopt an empty queue, and what they replay is known here.
                kept = {name: runner.definition for name, runner in self._runners.items() if name not in self._deleting}
                await self._definitions.put_back(kept)
            return
        for name, definition in defined.items():
            self._run(name, definition)
        for name, runner in list(self._runners.items()):
            if name in defined or name in self._deleting:
                continue
            self._end_streams(name)
            await self._end(name, runner)
            await self._remove_leftovers(SessionKeys(name), runner.definition.partitions)
        await self._tell_subscribed()
        await self._expire()

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
                self._complaint.over()
            except (redis.RedisError, OSError) as exc:
                if self._complaint.passes() is not None:
                    logger.warning("created sessions not read", extra=fields(error=type(exc).__name__))
            await asyncio.sleep(LOOK_S)

    def _run(self, name: str, definition: SessionDefinition) -> None:
        """Have a runner for a definition; harmless when there is one."""
        known = self._runners.get(name)
        if name in self._deleting or name == self._own_session:
            return
        if known is not None and known.definition.created_time_ns == definition.created_time_ns:
            return
        self._changes += 1
        # `known`: deleted and created again elsewhere between two looks.
        runner: SessionRunner | PartitionRunners
        if definition.partitions > 1:
            runner = self._share(name, definition, lambda keys: self._runner(keys, definition), known)
        else:
            runner = self._runner(SessionKeys(name), definition, after=known)
        self._runners[name] = runner
        runner.start()

    def _runner(
        self, keys: SessionKeys, definition: SessionDefinition, *, after: Ending | None = None
    ) -> SessionRunner:
        return SessionRunner(
            keys,
            definition,
            make_host=lambda definition, on_trouble: self._make_host(keys, definition, on_trouble),
            prepare=self._definitions.hold_for_sinks,
            queue=self._queue,
            after=after,
        )

    async def _end(self, name: str, runner: SessionRunner | PartitionRunners) -> None:
        """Stop a runner; it is ours until it has ended, also when this is interrupted."""
        await runner.stop()
        if self._runners.get(name) is runner:
            del self._runners[name]

    async def _remove_leftovers(self, keys: SessionKeys, partitions: int) -> None:
        """Remove what came into a session that was deleted elsewhere: an engine of ours may only have begun when all was removed."""
        if not await self._queue.producers(keys.session, partitions) and not await self._definitions.logs(keys):
            await self._definitions.remove_everything(keys, partitions=partitions)

    async def _check_leftover(self, every: list[SessionKeys]) -> None:
        """Raise unless a session that nobody created here may be deleted: one that ended, or whose deletion was cut short."""
        keys = every[0]
        if await self._queue.is_unknown(keys) and not await self._definitions.keeps_anything(every):
            raise NotFound(f"session `{keys.session}` is not known; ListSessions lists those that are")
        for partition in every:
            if holder := await self._queue.holder(partition):
                raise FailedPrecondition(
                    f"session `{keys.session}` was not created by CreateSession and is produced by {holder}; stop that instead"
                )

    async def _partitions_of(self, keys: SessionKeys) -> list[SessionKeys]:
        defined = await self._definitions.get(keys)
        # Of one whose deletion was cut short, or that was made of an environment, there is no definition.
        count = await self._definitions.stored_partitions(keys) if defined is None else defined.partitions
        return [SessionKeys(keys.session, partition) for partition in range(count)]

    async def _wait_for_the_others(self, every: list[SessionKeys]) -> None:
        """Wait until no server has an engine or a sink for the session any more; those that hang are not waited for."""
        deadline_s = self._monotonic_s() + END_S
        keys = every[0]
        while await self._queue.producers(keys.session, len(every)) or await self._definitions.logs(keys):
            if self._monotonic_s() >= deadline_s:
                logger.warning("session deleted while something still works for it", extra=fields(session=keys.session))
                return
            await asyncio.sleep(POLL_S)

    async def _tell_subscribed(self) -> None:
        now_s = self._monotonic_s()
        if now_s - self._told_s >= SUBSCRIBED_EVERY_S:
            self._told_s = now_s
            await self._definitions.note_subscribed(name for name in self._subscribed() if name in self._runners)

    async def _expire(self) -> None:
        self._idleness.keep(self._runners)
        here = self._subscribed()
        for name in [name for name, runner in self._runners.items() if runner.is_ours and name not in self._deleting]:
            keys = SessionKeys(name)
            subscribed = name in here or await self._queue.is_subscribed(keys)
            idle_s = self._idleness.note(name, await self._queue.report(keys), subscribed=subscribed)
            if 0 < self._limits.idle_s <= idle_s and name not in self._deleting:
                logger.info("idle session expires", extra=fields(session=name, idle_s=round(idle_s)))
                await self.delete(keys)

    def _idle_text(self) -> str:
        idle = sorted(((self._idleness.idle_s(name), name) for name in self._runners), reverse=True)
        shown = [f"`{name}` for {idle_s:.0f} s" for idle_s, name in idle[:IDLE_SHOWN] if idle_s >= IDLE_WORTH_TELLING_S]
        return f"idle are {', '.join(shown)}" if shown else "none of them is idle"
