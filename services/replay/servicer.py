"""Translates ReplayService calls. Ticks leave as the bytes that lie in the queue; nothing is encoded twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from fastpath.frame import select_tickers
from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceServicer, add_ReplayServiceServicer_to_server
from services.replay.sessions import Sessions
from services.runtime.errors import InvalidRequest, OutOfRange, ResourceExhausted
from services.runtime.keys import SessionKeys, check_session_name
from services.runtime.raw_stream import register_with_raw_stream
from services.runtime.stream_tail import Batch, FellBehind, StreamTail

TICKERS_MAX = 10_000
LAST_SEQUENCE_TRAILER = "midstream-last-sequence"
SUBSCRIBERS_MAX = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class ReplayServicer(ReplayServiceServicer):
    """The replay methods. Any number of subscribers up to SUBSCRIBERS_MAX; each costs a cursor, not a copy of the stream."""

    def __init__(self, sessions: Sessions, *, default_session: str) -> None:
        self._sessions = sessions
        self._default_session = default_session
        self._subscribers = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register; StreamTicks yields encoded bytes instead of messages."""
        register_with_raw_stream(server, add_ReplayServiceServicer_to_server, self, raw_methods=("StreamTicks",))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        names = await self._sessions.names()
        return pb.ListSessionsResponse(sessions=[await self._sessions.describe(SessionKeys(name)) for name in names])

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=await self._sessions.describe(self._keys(request.session)))

    async def StreamTicks(  # type: ignore[override]  # bytes on purpose: see add_to
        self, request: pb.StreamTicksRequest, context: Context
    ) -> AsyncIterator[bytes]:
        keys = self._keys(request.session)
        if len(request.tickers) > TICKERS_MAX:
            raise InvalidRequest("tickers", f"must name at most {TICKERS_MAX} tickers, got {len(request.tickers)}")
        if self._subscribers >= SUBSCRIBERS_MAX:
            raise ResourceExhausted(f"{SUBSCRIBERS_MAX} subscribers are connected already")
        tickers = frozenset(request.tickers)
        tail = await self._sessions.tail(keys)
        position, epoch, partial = await self._start(tail, request)
        self._subscribers += 1
        try:
            if partial is not None:
                yield _selected(partial, tickers)
            async for batch in tail.follow(position, epoch):
                payload = select_tickers(batch.payload, tickers) if tickers else batch.payload
                if payload is not None:
                    yield payload
        except FellBehind as exc:
            context.set_trailing_metadata(((LAST_SEQUENCE_TRAILER, str(exc.last_sequence)),))
            raise ResourceExhausted(
                f"the client fell behind what is retained: the last sequence sent is {exc.last_sequence}, "
                f"the oldest retained is {exc.oldest_sequence}; subscribe again, or read with a consumer group"
            ) from exc
        finally:
            self._subscribers -= 1

    def _keys(self, session: str) -> SessionKeys:
        return SessionKeys(check_session_name(session) if session else self._default_session)

    async def _start(self, tail: StreamTail, request: pb.StreamTicksRequest) -> tuple[int, str, bytes | None]:
        """Find where to begin: (end of a batch, its epoch, the rest of a batch that the position cuts)."""
        newest = await tail.newest()
        if newest is None:
            if request.after_sequence:
                raise OutOfRange(f"`after_sequence` is {request.after_sequence}, but nothing is retained")
            return 0, "", None
        match request.WhichOneof("position"):
            case "from_now":
                return newest.last_sequence, newest.epoch, None
            case "after_sequence":
                return await self._start_after(tail, request, newest)
            case _:
                oldest = await tail.oldest_sequence()
                return max(oldest - 1, 0), newest.epoch, None

    async def _start_after(
        self, tail: StreamTail, request: pb.StreamTicksRequest, newest: Batch
    ) -> tuple[int, str, bytes | None]:
        after, oldest = request.after_sequence, await tail.oldest_sequence()
        if request.epoch and request.epoch != newest.epoch:
            raise OutOfRange(
                f"epoch `{request.epoch}` is over; the current one is `{newest.epoch}` and its oldest retained sequence {oldest}"
            )
        if after > newest.last_sequence:
            raise OutOfRange(f"`after_sequence` {after} is beyond the last sequence published, {newest.last_sequence}")
        if after + 1 < oldest:
            raise OutOfRange(f"sequence {after + 1} is no longer retained; the oldest retained is {oldest}")
        holding = await tail.holding(after + 1)
        if holding is None or holding.first_sequence >= after + 1:
            return after, newest.epoch, None
        return holding.last_sequence, holding.epoch, _cut(holding.payload, after)


def _selected(payload: bytes, tickers: frozenset[str]) -> bytes:
    return (select_tickers(payload, tickers) or b"") if tickers else payload


def _cut(payload: bytes, after_sequence: int) -> bytes:
    """Drop the records up to `after_sequence`. Happens once per subscription at most, so the slow runtime does."""
    batch = TickBatch.FromString(payload)
    others = {record.sequence for record in batch.rejections} | {record.sequence for record in batch.markers}
    sequences = list(batch.tick_sequence) or [
        sequence for sequence in range(batch.first_sequence, batch.last_sequence + 1) if sequence not in others
    ]
    keep = [index for index, sequence in enumerate(sequences) if sequence > after_sequence]
    columns = ("ticker_index", "event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount")
    for name in columns:
        column = getattr(batch, name)
        column[:] = [column[index] for index in keep]
    for name in ("rejections", "markers"):
        records = getattr(batch, name)
        kept = [record for record in records if record.sequence > after_sequence]
        del records[:]
        records.extend(kept)
    if batch.tick_sequence:
        batch.tick_sequence[:] = [sequences[index] for index in keep]
    batch.first_sequence = after_sequence + 1
    return batch.SerializeToString(deterministic=True)
