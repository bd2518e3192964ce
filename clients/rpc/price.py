"""Typed client of the price server's exchange prices, for programs that are not asynchronous."""

from __future__ import annotations

from types import TracebackType

from clients.rpc.channel import ChannelSettings, Line
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub


class PriceClient:
    """Asks for prices of exchanges. Methods raise grpc.RpcError, and UnusableChannel for certificates that cannot be used."""

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
