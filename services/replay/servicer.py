"""Translates ReplayService calls. Ticks leave as the bytes that lie in the queue; nothing is encoded twice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from protos.common.v1.market_pb2 import SUBSCRIBER_POLICY_BLOCK
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceServicer, add_ReplayServiceServicer_to_server
from services.replay.created_sessions import CreatedSessions
from services.replay.partition_listing import PartitionListing
from services.replay.session_requests import SessionRequests
from services.replay.sessions import Sessions
from services.replay.woven_ticks import WovenTicks, partition_keys
from services.runtime.access.state_changes import note
from services.runtime.errors import AlreadyExists, InvalidRequest, OutOfRange
from services.runtime.metrics import Metrics
from services.runtime.raw_stream import register_with_raw_stream
from services.runtime.session.arrivals import begin_at
from services.runtime.session.delivery import Begin, Delivery
from services.runtime.session.keys import SessionKeys, check_session_name
from services.runtime.session.stream_tail import StreamTail
from services.runtime.subscriptions import Subscribers, wanted_tickers

PAGE_MAX: Final = 1_000
"""Sessions on one page, also when nothing is asked for: more are a mistake of somebody's."""

Context = grpc.aio.ServicerContext[Any, Any]


class ReplayServicer(ReplayServiceServicer):
    """The replay methods. Any number of subscribers up to SUBSCRIBERS_MAX; each costs a cursor, not a copy of the stream."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        default_session: str,
        metrics: Metrics,
        created: CreatedSessions,
        requests: SessionRequests,
        partitions: PartitionListing,
    ) -> None:
        self._sessions = sessions
        self._created = created
        self._requests = requests
        self._partitions = partitions
        self._default_session = default_session
        self._subscribers = Subscribers(metrics, advice="subscribe again, or read with a consumer group")
        self._woven = WovenTicks(sessions, self._subscribers)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register; StreamTicks yields encoded bytes instead of messages."""
        register_with_raw_stream(server, add_ReplayServiceServicer_to_server, self, raw_methods=("StreamTicks",))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        if request.page_size < 0:
            raise InvalidRequest("page_size", f"must not be negative (got {request.page_size})")
        after = check_session_name(request.page_token, field="page_token") if request.page_token else ""
        sessions, more = await self._sessions.describe_page(after, min(request.page_size, PAGE_MAX) or PAGE_MAX)
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=more)

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=await self._sessions.describe(self._keys(request.session)))

    async def CreateSession(self, request: pb.CreateSessionRequest, context: Context) -> pb.CreateSessionResponse:
        keys = SessionKeys(self._requests.name_of(request))
        note(session=keys.session)
        if keys.session == self._default_session:
            raise AlreadyExists(
                f"session `{keys.session}` is made of this server's environment (MIDSTREAM_SESSION); take another name"
            )
        await self._created.create(keys, self._requests.read(request))
        return pb.CreateSessionResponse(session=await self._sessions.describe(keys))

    async def DeleteSession(self, request: pb.DeleteSessionRequest, context: Context) -> pb.DeleteSessionResponse:
        keys = SessionKeys(check_session_name(request.session))
        note(session=keys.session)
        logs = await self._created.delete(keys)
        return pb.DeleteSessionResponse(
            logs=[pb.SinkLogs(sink=each.sink, directory=each.directory, host=each.host) for each in logs]
        )

    async def ListPartitions(self, request: pb.ListPartitionsRequest, context: Context) -> pb.ListPartitionsResponse:
        keys = self._keys(request.session)
        if keys.session != self._default_session:
            await self._sessions.describe(keys)
        count = await self._sessions.partition_count(keys)
        return pb.ListPartitionsResponse(partitions=await self._partitions.describe(keys.session, count))

    async def StreamTicks(  # type: ignore[override]  # bytes on purpose: see add_to
        self, request: pb.StreamTicksRequest, context: Context
    ) -> AsyncIterator[bytes]:
        keys = self._keys(request.session)
        tickers = wanted_tickers(request.tickers)
        delivery = Delivery.of(request)
        count = await self._sessions.partition_count(keys)
        with self._subscribers.admitted():
            if count > 1 and not request.HasField("partition"):
                async with contextlib.aclosing(self._woven.serve(keys, count, request, delivery, tickers)) as payloads:
                    async for payload in payloads:
                        yield payload
                return
            keys = partition_keys(keys, count, request)
            async with contextlib.AsyncExitStack() as stack:
                tail = await stack.enter_async_context(self._sessions.tail(keys))
                hold = None
                if delivery.policy == SUBSCRIBER_POLICY_BLOCK:
                    hold = await stack.enter_async_context(self._sessions.holding(keys))
                begin = await self._begin(tail, request)
                payloads = self._subscribers.serve(tail, begin, delivery, tickers, hold)
                async for payload in await stack.enter_async_context(contextlib.aclosing(payloads)):
                    yield payload

    def _keys(self, session: str) -> SessionKeys:
        return SessionKeys(check_session_name(session) if session else self._default_session)

    async def _begin(self, tail: StreamTail, request: pb.StreamTicksRequest) -> Begin:
        """Find where to begin. Raises OutOfRange."""
        match request.WhichOneof("position"):
            case "from_now" if request.from_now:
                newest = await tail.newest()
                return Begin(newest.last_sequence, newest.epoch) if newest is not None else Begin()
            case "after_sequence":
                return await self._begin_after(tail, request)
            case "latest_per_ticker" if request.latest_per_ticker:
                return Begin(latest=True)
            case "from_arrival_time_ns":
                return await begin_at(tail, request.from_arrival_time_ns)
            case _:
                return Begin()

    async def _begin_after(self, tail: StreamTail, request: pb.StreamTicksRequest) -> Begin:
        newest = await tail.newest()
        after, oldest = request.after_sequence, await tail.oldest_sequence()
        if newest is None:
            if after:
                raise OutOfRange(
                    f"`after_sequence` is {after}, but nothing is retained; leave it out to begin at the oldest"
                )
            return Begin(0, request.epoch)
        if request.epoch and request.epoch != newest.epoch:
            raise OutOfRange(
                f"epoch `{request.epoch}` is over; the current one is `{newest.epoch}` and its oldest retained sequence {oldest}"
            )
        if after > newest.last_sequence and request.epoch != newest.epoch:
            # Who names the numbering may be ahead of a queue that came back without its newest records: it grows past them again.
            raise OutOfRange(f"`after_sequence` {after} is beyond the last sequence published, {newest.last_sequence}")
        if after + 1 < oldest:
            raise OutOfRange(f"sequence {after + 1} is no longer retained; the oldest retained is {oldest}")
        return Begin(after, newest.epoch)
