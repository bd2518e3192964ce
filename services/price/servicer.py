"""Translates PriceService calls. Mids are streamed as the bytes that lie in Redis, behind the head of the response."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import redis

from fastpath.mids import compute_mids, select_mids
from protos.common.v1.market_pb2 import MidBatch
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceServicer, add_PriceServiceServicer_to_server
from services.price.exchanges.answers import ExchangePrices
from services.price.mids_tail import FellBehind, MidsEntry, MidsTail, Position
from services.runtime.errors import (
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from services.runtime.metrics import Metrics
from services.runtime.raw_stream import register_with_raw_stream
from services.runtime.session.columns import keep_records
from services.runtime.session.keys import check_session_name

QUOTES_MAX: Final = 100_000
QUOTES_INLINE_MAX: Final = 4_096
"""More than these are computed outside of the event loop."""
TICKERS_MAX: Final = 10_000
SUBSCRIBERS_MAX: Final = 1_000
LAST_SEQUENCE_TRAILER: Final = "midstream-last-sequence"

Context = grpc.aio.ServicerContext[Any, Any]


class PriceServicer(PriceServiceServicer):
    """The price methods of one session. `tail` is None when the mids stream is off."""

    def __init__(
        self, *, session: str, tail: MidsTail | None, metrics: Metrics, exchange_prices: ExchangePrices
    ) -> None:
        self._session = session
        self._exchange_prices = exchange_prices
        self._tail = tail
        self._metrics = metrics
        self._subscribers = 0
        self.committed_sequence = 0
        """The last sequence that the engine reported."""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register; StreamMidPrices yields encoded bytes instead of messages."""
        register_with_raw_stream(server, add_PriceServiceServicer_to_server, self, raw_methods=("StreamMidPrices",))

    async def GetMidPrice(self, request: pb.GetMidPriceRequest, context: Context) -> pb.GetMidPriceResponse:
        self._check_session(request.session)
        if not request.ticker:
            raise InvalidRequest("ticker", "must name a ticker, exactly as in the data (got '')")
        latest = self._followed().latest(request.ticker)
        if latest is None:
            raise NotFound(f"ticker `{request.ticker[:200]}` has no mid price yet in session `{self._session}`")
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

    async def StreamMidPrices(  # type: ignore[override]  # bytes on purpose: see add_to
        self, request: pb.StreamMidPricesRequest, context: Context
    ) -> AsyncIterator[bytes]:
        self._check_session(request.session)
        if len(request.tickers) > TICKERS_MAX:
            raise InvalidRequest("tickers", f"must name at most {TICKERS_MAX} tickers (got {len(request.tickers)})")
        tail = self._followed()
        if self._subscribers >= SUBSCRIBERS_MAX:
            raise ResourceExhausted(f"{SUBSCRIBERS_MAX} subscribers are connected already")
        tickers = frozenset(request.tickers)
        self._count_subscribers(1)
        try:
            position, cut = await self._start(tail, request)
            if cut is not None:
                rest = _selected(_after(cut.payload, request.after_sequence), tickers)
                if rest is not None:
                    yield _response(rest)
            async for entry in tail.follow(position):
                fresh = _after(entry.payload, entry.first_sequence - 1) if entry.overlaps else entry.payload
                payload = _selected(fresh, tickers)
                if payload is not None:
                    yield _response(payload)
        except FellBehind as exc:
            self._metrics.add("midstream_subscribers_disconnected_total")
            raise ResourceExhausted(
                f"the client fell behind what is retained: the last sequence sent is {exc.last_sequence}, the oldest "
                f"retained is {exc.oldest_sequence}; subscribe again `from_oldest` or from now",
                metadata=((LAST_SEQUENCE_TRAILER, str(exc.last_sequence)),),
            ) from exc
        except (redis.RedisError, OSError) as exc:
            raise Unavailable("the mids stream cannot be read at the moment; resume after the last sequence") from exc
        finally:
            self._count_subscribers(-1)

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

    def _check_session(self, session: str) -> None:
        name = check_session_name(session) if session else "default"
        if name != self._session:
            raise NotFound(f"session `{name}` is not served here; this server prices session `{self._session}`")

    def _followed(self) -> MidsTail:
        if self._tail is None:
            raise FailedPrecondition("the mids stream is off (MIDSTREAM_MIDS=off); start the price server with it on")
        if not self._tail.ready:
            raise Unavailable("the mids stream has not been read yet; try again")
        return self._tail

    async def _start(self, tail: MidsTail, request: pb.StreamMidPricesRequest) -> tuple[Position, MidsEntry | None]:
        """Find where to begin, and the batch that this position cuts."""
        match request.WhichOneof("position"):
            case "from_oldest" if request.from_oldest:
                return await tail.oldest(), None
            case "after_sequence":
                newest = max(tail.end.sequence, self.committed_sequence)
                if request.after_sequence > newest:
                    raise OutOfRange(
                        f"`after_sequence` {request.after_sequence} is beyond the newest sequence, {newest}"
                    )
                try:
                    return await tail.position_after(request.after_sequence)
                except FellBehind as exc:
                    raise OutOfRange(
                        f"mids after {request.after_sequence} are no longer retained; the oldest retained is "
                        f"{exc.oldest_sequence}"
                    ) from exc
            case _:
                return tail.end, None

    def _count_subscribers(self, change: int) -> None:
        self._subscribers += change
        self._metrics.set("midstream_subscribers", self._subscribers)


def _response(batch: bytes) -> bytes:
    """Wrap an encoded MidBatch as the first field of a StreamMidPricesResponse."""
    prefix = bytearray(b"\x0a")
    length = len(batch)
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + batch


def _selected(payload: bytes | None, tickers: frozenset[str]) -> bytes | None:
    return select_mids(payload, tickers) if tickers and payload is not None else payload


def _after(payload: bytes, sequence: int) -> bytes | None:
    """Drop the mids up to `sequence`; None when nothing is left. Rare, so the slow runtime does."""
    batch = MidBatch.FromString(payload)
    keep = [index for index, number in enumerate(batch.sequence) if number > sequence]
    if not keep:
        return None
    keep_records(batch, keep)
    batch.first_sequence = max(batch.first_sequence, sequence + 1)
    return batch.SerializeToString(deterministic=True)


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
