"""StreamTicks over all partitions of a session: in its one order, and from where and how a subscriber wants it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence

from protos.common.v1.market_pb2 import SUBSCRIBER_POLICY_BLOCK, Lag
from protos.replay.v1 import replay_pb2 as pb
from services.replay.sessions import Sessions
from services.replay.tick_batches import TICKS
from services.replay.woven_latest import latest_of
from services.runtime.errors import FailedPrecondition, InvalidRequest
from services.runtime.session.behind import Behind
from services.runtime.session.delivery import Delivery
from services.runtime.session.hold import Hold
from services.runtime.session.keys import SessionKeys
from services.runtime.session.woven_delivery import (
    WovenDelivery,
    WovenSent,
    begin_arrival,
    begin_behind,
    begin_now,
    begin_oldest,
)
from services.runtime.session.woven_stream import MERGE_WAIT_MS_MAX, MERGE_WAIT_S, Partitions, Position, WovenBatch
from services.runtime.subscriptions import Subscribers


def partition_keys(keys: SessionKeys, count: int, request: pb.StreamTicksRequest) -> SessionKeys:
    """Return the keys of the one partition that is asked for. Raises InvalidRequest."""
    if request.after:
        what = "`partition` is set" if request.HasField("partition") else f"session `{keys.session}` has one partition"
        raise InvalidRequest("after", f"is for streams over several partitions, but {what}; use `after_sequence`")
    if request.partition >= count:
        raise InvalidRequest(
            "partition", f"must be 0 to {count - 1}, as session `{keys.session}` has {count} (got {request.partition})"
        )
    return SessionKeys(keys.session, request.partition)


class WovenTicks:
    """Serves those who want all partitions."""

    def __init__(self, sessions: Sessions, subscribers: Subscribers) -> None:
        self._sessions = sessions
        self._subscribers = subscribers

    async def serve(
        self,
        keys: SessionKeys,
        count: int,
        request: pb.StreamTicksRequest,
        delivery: Delivery,
        tickers: frozenset[str],
    ) -> AsyncGenerator[bytes, None]:
        """Yield encoded batches, for ever. Raises InvalidRequest, FailedPrecondition, OutOfRange and FellBehind."""
        merge_wait_s, named = _merge_wait_s(request), _named(request, count)
        async with contextlib.AsyncExitStack() as stack:
            partitions = await stack.enter_async_context(self._sessions.partitions(keys, count))
            holds: list[Hold] = []
            if delivery.policy == SUBSCRIBER_POLICY_BLOCK:
                for partition in range(count):
                    held = self._sessions.holding(SessionKeys(keys.session, partition))
                    holds.append(await stack.enter_async_context(held))
            states: list[WovenBatch] = []
            starts: Sequence[Position]
            match request.WhichOneof("position"):
                case "latest_per_ticker" if request.latest_per_ticker:
                    states, starts = await latest_of(partitions)
                case position:
                    starts = await _starts(keys, partitions, request, position, named)
            arrival_ns = request.from_arrival_time_ns if request.HasField("from_arrival_time_ns") else None
            woven = WovenDelivery(
                partitions, starts, delivery, merge_wait_s=merge_wait_s, arrival_time_ns=arrival_ns, holds=holds
            )
            for hold, start in zip(holds, starts, strict=False):
                if start.sequence:
                    hold.take(start.sequence)
            for state in states:
                if payload := _payload(woven, WovenSent(state), delivery, tickers):
                    yield payload
            progress = stack.enter_context(_following(self._subscribers, woven))
            async for each in await stack.enter_async_context(contextlib.aclosing(woven.sent())):
                progress.last = each.woven
                self._subscribers.count_skipped(each.skipped)
                if payload := _payload(woven, each, delivery, tickers):
                    yield payload


class _Progress:
    """Where a subscriber is, for the figures."""

    def __init__(self, woven: WovenDelivery) -> None:
        self._woven = woven
        self.last: WovenBatch | None = None

    @property
    def behind(self) -> Behind | None:
        return None if self.last is None else self._woven.behind(self.last)


@contextlib.contextmanager
def _following(subscribers: Subscribers, woven: WovenDelivery) -> Iterator[_Progress]:
    progress = _Progress(woven)
    with subscribers.following(progress):
        yield progress


def _merge_wait_s(request: pb.StreamTicksRequest) -> float:
    if request.merge_wait_ms > MERGE_WAIT_MS_MAX:
        raise InvalidRequest("merge_wait_ms", f"must be at most {MERGE_WAIT_MS_MAX} (got {request.merge_wait_ms})")
    return request.merge_wait_ms / 1e3 or MERGE_WAIT_S


def _named(request: pb.StreamTicksRequest, count: int) -> dict[int, Position]:
    """The positions that a request names. Raises InvalidRequest."""
    named: dict[int, Position] = {}
    for each in request.after:
        if each.partition >= count or each.partition in named:
            raise InvalidRequest(
                "after", f"must name each of the partitions 0 to {count - 1} at most once (got {each.partition})"
            )
        named[each.partition] = Position(each.epoch, each.sequence)
    if named and request.WhichOneof("position") is not None:
        raise InvalidRequest(
            "after", f"says where to begin, and so does `{request.WhichOneof('position')}`; leave one out"
        )
    return named


async def _starts(
    keys: SessionKeys,
    partitions: Partitions,
    request: pb.StreamTicksRequest,
    position: str | None,
    named: dict[int, Position],
) -> Sequence[Position]:
    match position:
        case "from_now" if request.from_now:
            return await begin_now(partitions.tails)
        case "from_arrival_time_ns":
            return await begin_arrival(partitions.tails, request.from_arrival_time_ns)
        case "after_sequence":
            raise FailedPrecondition(
                f"session `{keys.session}` has {len(partitions.tails)} partitions, each with its own numbers, so `after_sequence` names no "
                "place in the stream over all of them: say `after` with the `positions` of the last batch, or name a `partition`"
            )
        case _ if named:
            return await begin_behind(partitions.tails, named)
        case _:
            return await begin_oldest(partitions.tails)


def _payload(woven: WovenDelivery, sent: WovenSent, delivery: Delivery, tickers: frozenset[str]) -> bytes | None:
    """What a subscriber gets; None where it gets nothing. Fields of a message may stand behind all others."""
    batch = sent.woven.batch
    payload = TICKS.select(batch.payload, tickers) if tickers else batch.payload
    more = b""
    if sent.skipped is not None:
        payload = payload or TICKS.head_alone(batch.payload)
        more += TICKS.message(skipped=sent.skipped).SerializeToString()
    if payload is None:
        return None
    if delivery.with_lag:
        behind = woven.behind(sent.woven)
        lag = Lag(records=behind.records, bytes=behind.bytes, data_time_ns=behind.data_time_ns)
        more += TICKS.message(lag=lag).SerializeToString()
    if sent.is_last and not sent.woven.is_complete(payload):
        more += sent.woven.encoded_positions
    return payload + more
