"""Describe sessions from the engines' reports in Redis, and serve their retained ticks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio

from fastpath.frame import peek
from fastpath.records import FrameError, FrameHead
from protos.common.v1.market_pb2 import Mode, TimeRange
from protos.replay.v1.replay_pb2 import SESSION_STATE_FAILED, SESSION_STATE_STARTING, Pacing, Session, TimeDebt
from services.replay.session_pace import policy_message
from services.replay.session_requests import definition_message
from services.replay.tick_batches import TICKS
from services.runtime.errors import NotFound, ResourceExhausted
from services.runtime.session import partitions_stored
from services.runtime.session.aggregate import read_report
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions
from services.runtime.session.hand_over_message import hand_over_message
from services.runtime.session.hold import Hold, holding
from services.runtime.session.intents import Range
from services.runtime.session.keys import SESSIONS, SessionKeys, session_names
from services.runtime.session.order_proof_message import proof_message
from services.runtime.session.report import REPORT_TTL_MS, EngineReport, TimeDebtReport
from services.runtime.session.ring import RING_BYTES_MAX
from services.runtime.session.stream_tail import StreamTail
from services.runtime.session.streamed_sessions import StreamedSessions
from services.runtime.session.versions import NewerVersion
from services.runtime.session.watermarks import Watermarks
from services.runtime.session.woven_stream import Partitions

TAILS_MAX = 64
"""Sessions that can be streamed at the same time; each costs one connection of each partition and one ring of memory, shared by these."""
CLOSE_S = 5.0
"""How long calls that were ended may take to be gone."""
RING_BYTES_MIN = 1024 * 1024
"""Of each partition's part of it."""
NO_REPORT = "its engine has not reported for an hour"


def _none_failed(session: str) -> str:
    return ""


class Sessions:
    """Reads reports and keeps one tail per session that somebody streams."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        default_session: str,
        default_definition: Callable[[], SessionDefinition] | None = None,
        failure: Callable[[str], str] = _none_failed,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`failure` tells why the engine of a session that this server runs has ended for good, or nothing."""
        self._client = client
        self._default_session = default_session
        self._default_definition = default_definition
        self._failure = failure
        self._time_ns = time_ns
        self._definitions = Definitions(client)
        self.streamed = StreamedSessions()
        self._tails: dict[tuple[SessionKeys, ...], _SharedTails] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._left = asyncio.Event()

    async def names(self) -> list[str]:
        found = await cast("Awaitable[set[bytes]]", self._client.smembers(SESSIONS))
        return session_names(found)

    async def describe(self, keys: SessionKeys) -> Session:
        """Put the engine's report into a message, or why it cannot be read. Raises NotFound and NewerVersion."""
        try:
            session = await self._find(keys)
        except ValueError as exc:
            # The next report takes its place; who streams the session needs nothing of it.
            session = Session(name=keys.session, error=str(exc))
        if session is None:
            raise NotFound(f"session `{keys.session}` is not known; ListSessions lists those that are")
        return session

    async def describe_page(self, after: str, size: int) -> tuple[list[Session], str]:
        """Describe up to `size` sessions behind the name `after`, in the order of their names; and say where the next page begins."""
        names = [name for name in await self.names() if name > after]
        found = [await self._find_readable(SessionKeys(name)) for name in names[:size]]
        return [session for session in found if session is not None], names[size - 1] if len(names) > size else ""

    async def _find_readable(self, keys: SessionKeys) -> Session | None:
        try:
            return await self._find(keys)
        except (ValueError, NewerVersion) as exc:
            # Of one session alone: the others are listed nevertheless.
            return Session(name=keys.session, error=str(exc))

    async def _find(self, keys: SessionKeys) -> Session | None:
        definition = await self._definition(keys)
        session = await self._reported(keys)
        if definition is not None and self._is_new(keys, definition, session):
            session = Session(name=keys.session, state=SESSION_STATE_STARTING)
        if session is None or definition is None:
            return session
        session.definition.CopyFrom(definition_message(definition))
        session.private = definition.private
        if failure := self._failure(keys.session):
            # Its last report may be from before, or expired.
            session.state, session.error = SESSION_STATE_FAILED, failure
        return session

    def _is_new(self, keys: SessionKeys, definition: SessionDefinition, session: Session | None) -> bool:
        """Whether a created session's engine has not said anything yet: nothing of it can have expired."""
        if keys.session == self._default_session:
            return False
        age_ns = self._time_ns() - definition.created_time_ns
        return session is None or (session.error == NO_REPORT and age_ns < REPORT_TTL_MS * 1_000_000)

    async def _definition(self, keys: SessionKeys) -> SessionDefinition | None:
        if keys.session == self._default_session:
            return None if self._default_definition is None else self._default_definition()
        return await self._definitions.get(keys)

    async def _reported(self, keys: SessionKeys) -> Session | None:
        report = await read_report(self._client, keys)
        if report is not None:
            return session_message(report)
        if not await cast("Awaitable[int]", self._client.sismember(SESSIONS, keys.session)):
            return None
        # Its report expired long after its engine ended, but its records may be retained.
        return await self._retained(keys)

    async def _retained(self, keys: SessionKeys) -> Session:
        """Describe a session by what its queues retain. Raises ValueError and FailedPrecondition."""
        count = (await partitions_stored.read(self._client, keys)).count
        session = Session(name=keys.session, error=NO_REPORT, partitions=count)
        for partition in range(count):
            head = await newest_head(self._client, SessionKeys(keys.session, partition).ticks)
            if head is not None:
                # There is no epoch of several.
                session.epoch = head.epoch if count == 1 else ""
                session.last_sequence += head.last_sequence
        return session

    async def partition_count(self, keys: SessionKeys) -> int:
        """In how many parts a session's ticks are published, or are to be. Raises FailedPrecondition."""
        definition = await self._definition(keys)
        if definition is not None:
            return definition.partitions
        return (await partitions_stored.read(self._client, keys)).count

    @contextlib.asynccontextmanager
    async def tail(self, keys: SessionKeys) -> AsyncIterator[StreamTail]:
        """The tail of a known session, for as long as a subscriber needs it. Raises NotFound, ResourceExhausted."""
        async with self._streamed(keys, (keys,)) as shared:
            yield shared.tails[0]

    @contextlib.asynccontextmanager
    async def partitions(self, keys: SessionKeys, count: int) -> AsyncIterator[Partitions]:
        """The tails of all partitions of a known session, as `tail`."""
        every = tuple(SessionKeys(keys.session, partition) for partition in range(count))
        async with self._streamed(keys, every) as shared:
            yield Partitions(shared.tails, shared.watermarks)

    @contextlib.asynccontextmanager
    async def _streamed(self, keys: SessionKeys, every: tuple[SessionKeys, ...]) -> AsyncIterator[_SharedTails]:
        if keys.session != self._default_session:
            await self.describe(keys)
        # No await from here to the count: two first subscribers share one tail.
        shared = self._tails.get(every)
        if shared is None:
            if len(self._tails) >= TAILS_MAX:
                raise ResourceExhausted(
                    f"{TAILS_MAX} sessions are streamed already; try again when one has no subscriber"
                )
            ring_bytes = max(RING_BYTES_MAX // len(every), RING_BYTES_MIN)
            tails = [StreamTail(self._client, each.ticks, batches=TICKS, ring_bytes=ring_bytes) for each in every]
            shared = self._tails[every] = _SharedTails(tails, Watermarks(self._client, every))
            for tail in tails:
                tail.start()
        shared.subscribers += 1
        try:
            async with self.streamed.streaming(keys.session):
                yield shared
        finally:
            shared.subscribers -= 1
            self._left.set()
            is_kept = keys.session == self._default_session and (keys.partition == 0 or len(every) > 1)
            if not shared.subscribers and not is_kept:
                del self._tails[every]
                # A call whose client left may be cancelled again while it ends; close() waits for what is left.
                ending = asyncio.create_task(shared.stop(), name="tails-end")
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
                await asyncio.shield(ending)

    def holding(self, keys: SessionKeys) -> contextlib.AbstractAsyncContextManager[Hold]:
        """Let a private session wait for a subscriber. Raises FailedPrecondition."""
        return holding(self._client, keys)

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while any(shared.subscribers for shared in self._tails.values()):
                    # Their calls were ended, and are about to give up what they read with.
                    self._left.clear()
                    await self._left.wait()
        for shared in tuple(self._tails.values()):
            await shared.stop()
        for ending in tuple(self._ending):
            await ending


@dataclass
class _SharedTails:
    tails: Sequence[StreamTail]
    watermarks: Watermarks
    subscribers: int = 0

    async def stop(self) -> None:
        for tail in self.tails:
            await tail.stop()


async def newest_head(client: Any, key: str) -> FrameHead | None:
    """Read what the newest entry of a queue begins with; None where there is none. Raises ValueError."""
    newest = await client.xrevrange(key, count=1)
    try:
        return peek(newest[0][1].get(b"b", b"")) if newest else None
    except FrameError as exc:
        raise ValueError(f"the newest entry of {key} cannot be read ({exc})") from exc


def _range_message(played: Range) -> TimeRange | None:
    if played.start_ns is None and played.end_ns is None:
        return None
    return TimeRange(start_arrival_time_ns=played.start_ns, end_arrival_time_ns=played.end_ns)


def _time_debt_message(debt: TimeDebtReport) -> TimeDebt:
    return TimeDebt(**debt.fields() | {"policy": policy_message(debt.policy)})


def session_message(report: EngineReport) -> Session:
    """Put a report into a message."""
    effective, backlog = report.effective, report.backlog
    return Session(
        name=report.session,
        epoch=report.epoch,
        state=f"SESSION_STATE_{report.state}",
        mode=cast("Mode", effective.mode),
        revision=effective.revision,
        paused=effective.paused,
        speed=effective.speed,
        last_sequence=report.last_sequence,
        oldest_sequence=backlog.oldest_sequence,
        backlog_records=backlog.records,
        backlog_bytes=backlog.bytes,
        last_arrival_time_ns=report.last_arrival_time_ns,
        skipped=report.historical.skipped,
        live_configured=report.live.configured,
        live_connected=report.live.connected,
        error=report.error,
        acknowledged=report.acknowledged,
        reported_time_ns=report.reported_time_ns,
        historical_configured=report.historical.configured,
        damaged_sources=report.historical.damaged_sources,
        position_arrival_time_ns=report.position_arrival_time_ns,
        range=_range_message(effective.range),
        loop=effective.range.loop,
        scheduled=len(report.scheduled),
        hand_over=hand_over_message(report.hand_over),
        pacing=Pacing(**report.pacing.fields()),
        time_debt=_time_debt_message(report.time_debt),
        partitions=report.partitions,
        proof=None if report.proof is None else proof_message(report.proof),
    )
