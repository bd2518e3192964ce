"""Typed client of the price server, for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import grpc

from clients.rpc.channel import ChannelSettings, Line
from clients.rpc.delivery import DEFAULT_DELIVERY, Delivery
from clients.rpc.following import Follower, Start
from protos.common.v1.market_pb2 import MidBatch
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub


class PriceClient:
    """Asks for prices of exchanges, and follows the mids of a session.

    Methods raise grpc.RpcError, and UnusableChannel for certificates that cannot be used.
    """

    def __init__(self, address: str, *, timeout_s: float = 15.0, channel: ChannelSettings | None = None) -> None:
        self._line = Line(address, channel)
        self._timeout_s = timeout_s

    def __enter__(self) -> PriceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()

    def price(self, symbol: str, *, exchange: str = "any", max_age_ms: int = 0) -> pb.ExchangePrice:
        """Return the price of one symbol; 0 leaves the oldest acceptable age to the server."""
        request = pb.GetPriceRequest(symbol=symbol, exchange=exchange, max_age_ms=max_age_ms)
        return self._line.call(
            lambda channel: PriceServiceStub(channel).GetPrice, request, timeout_s=self._timeout_s
        ).price

    def mids(
        self,
        start: Start,
        *,
        session: str = "",
        tickers: Sequence[str] = (),
        delivery: Delivery = DEFAULT_DELIVERY,
        partition: int | None = None,
    ) -> Follower[pb.StreamMidPricesResponse, MidBatch]:
        """Follow a session's mids over lost connections: of all partitions, each under its own numbers, or of one `partition`."""

        def stream(channel: grpc.Channel, at: Start) -> grpc._CallIterator[pb.StreamMidPricesResponse]:
            request = pb.StreamMidPricesRequest(
                session=session, tickers=tickers, partition=partition, after=at.positions
            )
            delivery.ask(request)
            if at.after is not None:
                request.after_sequence, request.epoch = at.after, at.epoch
            elif at.latest:
                request.latest_per_ticker = True
            elif at.arrival_time_ns is not None:
                request.from_arrival_time_ns = at.arrival_time_ns
            elif at.oldest:
                request.from_oldest = True
            return PriceServiceStub(channel).StreamMidPrices(request, metadata=self._line.settings.metadata)

        return Follower(self._line, stream, lambda answer: answer.batch, start)
