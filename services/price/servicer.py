"""Translates PriceService calls. Mids are streamed as the bytes that lie in Redis, behind the head of the response."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

import grpc
import redis

from fastpath.mids import compute_mids
from protos.common.v1.market_pb2 import SUBSCRIBER_POLICY_BLOCK, MidBatch
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceServicer, add_PriceServiceServicer_to_server
from services.price.exchanges.answers import ExchangePrices
from services.price.interleaving import interleaved
from services.price.priced_sessions import PricedSession, PricedSessions
from services.runtime.errors import (
    InvalidRequest,
    NotFound,
    OutOfRange,
    Unavailable,
)
from services.runtime.interceptors import begin_stream, begins_itself
from services.runtime.metrics import Metrics
from services.runtime.raw_stream import register_with_raw_stream
from services.runtime.session.arrivals import begin_at
from services.runtime.session.delivery import Begin, Delivery
from services.runtime.session.stream_entries import FellBehind
from services.runtime.subscriptions import Subscribers, wanted_tickers

QUOTES_MAX: Final = 100_000
QUOTES_INLINE_MAX: Final = 4_096
"""More than these are computed outside of the event loop."""

Context = grpc.aio.ServicerContext[Any, Any]


class PriceServicer(PriceServiceServicer):
    """The price methods of all sessions."""

    def __init__(self, sessions: PricedSessions, *, metrics: Metrics, exchange_prices: ExchangePrices) -> None:
        self._sessions = sessions
        self._exchange_prices = exchange_prices
        self._subscribers = Subscribers(metrics, advice="subscribe again `from_oldest` or from now")

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register; StreamMidPrices yields encoded bytes instead of messages."""
        register_with_raw_stream(server, add_PriceServiceServicer_to_server, self, raw_methods=("StreamMidPrices",))

    async def GetMidPrice(self, request: pb.GetMidPriceRequest, context: Context) -> pb.GetMidPriceResponse:
        priced = self._sessions.find(request.session)
        if not request.ticker:
            raise InvalidRequest("ticker", "must name a ticker, exactly as in the data (got '')")
        latest = priced.of_ticker(request.ticker).followed.latest.get(request.ticker)
        if latest is None:
            raise NotFound(f"ticker `{request.ticker[:200]}` has no mid price yet in session `{priced.session}`")
        return pb.GetMidPriceResponse(
            mid_price=pb.MidPrice(
                ticker=request.ticker,
                mid_price=latest.mid,
                event_time_ns=latest.event_time_ns,
                arrival_time_ns=latest.arrival_time_ns,
                sequence=latest.sequence,
                mode=latest.mode,  # type: ignore[arg-type]  # the same numbers, checked where they were written
            )
        )

    async def GetPrice(self, request: pb.GetPriceRequest, context: Context) -> pb.GetPriceResponse:
        return await self._exchange_prices.get(request)

    async def ListExchangePrices(
        self, request: pb.ListExchangePricesRequest, context: Context
    ) -> pb.ListExchangePricesResponse:
        return await self._exchange_prices.list(request)

    @begins_itself
    async def StreamMidPrices(  # type: ignore[override]  # bytes on purpose: see add_to
        self, request: pb.StreamMidPricesRequest, context: Context
    ) -> AsyncIterator[bytes]:
        priced = self._sessions.find(request.session)
        wanted_tickers(request.tickers)
        delivery = Delivery.of(request)
        parts = priced.chosen(request.partition if request.HasField("partition") else None)
        _check_position(request, priced, parts)
        with self._subscribers.admitted():
            try:
                async with contextlib.AsyncExitStack() as stack:
                    await stack.enter_async_context(self._sessions.streamed.streaming(priced.session))
                    several = bool(priced.parts)
                    streams = [await self._opened(part, request, delivery, stack, several=several) for part in parts]
                    await begin_stream(context)
                    payloads = streams[0] if len(streams) == 1 else interleaved(streams)
                    async for payload in await stack.enter_async_context(contextlib.aclosing(payloads)):
                        yield _response(payload)
            except (redis.RedisError, OSError) as exc:
                raise Unavailable(
                    "the mids stream cannot be read at the moment; resume after the last sequence"
                ) from exc

    async def ComputeMidPrices(
        self, request: pb.ComputeMidPricesRequest, context: Context
    ) -> pb.ComputeMidPricesResponse:
        quotes = len(request.bid_price)
        if quotes > QUOTES_MAX:
            raise InvalidRequest("bid_price", f"must hold at most {QUOTES_MAX} quotes (got {quotes})")
        if len(request.ask_price) != quotes:
            raise InvalidRequest(
                "ask_price", f"must be as long as `bid_price`, {quotes} (got {len(request.ask_price)})"
            )
        for name, amounts in (("bid_amount", request.bid_amount), ("ask_amount", request.ask_amount)):
            if len(amounts) not in (0, quotes):
                raise InvalidRequest(name, f"must be empty or as long as `bid_price`, {quotes} (got {len(amounts)})")
        if quotes <= QUOTES_INLINE_MAX:
            return _compute(request)
        return await asyncio.to_thread(_compute, request)

    async def _opened(
        self,
        part: PricedSession,
        request: pb.StreamMidPricesRequest,
        delivery: Delivery,
        stack: contextlib.AsyncExitStack,
        *,
        several: bool,
    ) -> AsyncGenerator[bytes, None]:
        """Find where to begin in one partition, and return its batches from there. Raises OutOfRange."""
        hold = None
        if delivery.policy == SUBSCRIBER_POLICY_BLOCK:
            hold = await stack.enter_async_context(part.followed.holding(lambda: part.committed_sequence))
        begin = await self._begin(part, request)
        payloads = self._subscribers.serve(part.followed.tail, begin, delivery, wanted_tickers(request.tickers), hold)
        return _named(payloads, part.partition) if several else payloads

    async def _begin(self, priced: PricedSession, request: pb.StreamMidPricesRequest) -> Begin:
        """Find where to begin. Raises OutOfRange."""
        tail = priced.followed.tail
        for each in request.after:
            if each.partition == priced.partition:
                return await _begin_after(
                    priced, each.sequence, each.epoch, f"of partition {each.partition} in `after`"
                )
        match request.WhichOneof("position"):
            case "from_oldest" if request.from_oldest:
                return Begin()
            case "after_sequence":
                return await _begin_after(priced, request.after_sequence, request.epoch, "`after_sequence`")
            case "latest_per_ticker" if request.latest_per_ticker:
                return Begin(latest=True)
            case "from_arrival_time_ns":
                return await begin_at(tail, request.from_arrival_time_ns)
            case _:
                newest = await tail.newest()
                return Begin(newest.last_sequence, newest.epoch) if newest is not None else Begin()


def _check_position(request: pb.StreamMidPricesRequest, priced: PricedSession, parts: Sequence[PricedSession]) -> None:
    """Refuse a sequence without the partition that it counts in, and mids that are not to be had."""
    is_behind = request.WhichOneof("position") == "after_sequence"
    if len(parts) > 1 and is_behind:
        raise InvalidRequest(
            "after_sequence",
            f"needs `partition` here: each of the {len(parts)} partitions has its own numbers; say `after` with the last sequence of the "
            "batches of each (`batch.partition`), or resume each with a stream of its own",
        )
    if request.after and not priced.parts:
        raise InvalidRequest(
            "after", f"is for sessions of several partitions, and `{priced.session}` has one; use `after_sequence`"
        )
    if request.after and is_behind:
        raise InvalidRequest("after", "says where to begin, and so does `after_sequence`; leave one out")
    asked, named = {part.partition for part in parts}, [each.partition for each in request.after]
    if len(set(named)) < len(named) or not asked.issuperset(named):
        raise InvalidRequest("after", f"must name each partition of this stream at most once (got {named})")
    for part in parts:
        _ = part.followed


async def _named(payloads: AsyncGenerator[bytes, None], partition: int) -> AsyncGenerator[bytes, None]:
    """Have every batch name its partition: a field may stand behind all others."""
    name = MidBatch(partition=partition).SerializeToString()
    async with contextlib.aclosing(payloads):
        async for payload in payloads:
            yield payload + name


async def _begin_after(priced: PricedSession, after: int, epoch: str, what: str) -> Begin:
    tail = priced.followed.tail
    newest = await tail.newest()
    if newest is not None and epoch not in ("", newest.epoch):
        raise OutOfRange(
            f"epoch `{epoch}` is over; the current one is `{newest.epoch}` and its oldest retained mid is "
            f"at {await tail.oldest_sequence()}"
        )
    # The newest records may be without mids.
    newest_sequence = max(newest.last_sequence if newest is not None else 0, priced.committed_sequence)
    if after > newest_sequence:
        raise OutOfRange(f"{what} {after} is beyond the newest sequence, {newest_sequence}")
    # Nothing retained yet: the first batch decides, and the tail knows when it is of another epoch.
    epoch = newest.epoch if newest is not None else epoch
    try:
        await tail.check_retained(after, epoch)
    except FellBehind as exc:
        raise OutOfRange(
            f"mids after {after} are no longer retained; the oldest retained is {exc.oldest_sequence}"
        ) from exc
    return Begin(after, epoch)


def _response(batch: bytes) -> bytes:
    """Wrap an encoded MidBatch as the first field of a StreamMidPricesResponse."""
    prefix = bytearray(b"\x0a")
    length = len(batch)
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + batch


def _compute(request: pb.ComputeMidPricesRequest) -> pb.ComputeMidPricesResponse:
    columns = [
        array("d", column) if len(column) else None
        for column in (request.bid_price, request.ask_price, request.bid_amount, request.ask_amount)
    ]
    bid_price, ask_price, bid_amount, ask_amount = columns
    if bid_price is None or ask_price is None:
        return pb.ComputeMidPricesResponse()
    encoded, missing_side = compute_mids(bid_price, ask_price, bid_amount, ask_amount)
    mids = array("d")
    mids.frombytes(encoded)
    return pb.ComputeMidPricesResponse(mid_price=mids, missing_side=missing_side)
