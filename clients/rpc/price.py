"""Typed client of the price server's exchange prices, for programs that are not asynchronous."""

from __future__ import annotations

from types import TracebackType

import grpc

from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub


class PriceClient:
    """Asks for prices of exchanges. Methods raise grpc.RpcError."""

    def __init__(self, address: str, *, timeout_s: float = 15.0) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stub = PriceServiceStub(self._channel)
        self._timeout_s = timeout_s

    def __enter__(self) -> PriceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def price(self, symbol: str, *, exchange: str = "any", max_age_ms: int = 0) -> pb.ExchangePrice:
        """Return the price of one symbol; 0 leaves the oldest acceptable age to the server."""
        request = pb.GetPriceRequest(symbol=symbol, exchange=exchange, max_age_ms=max_age_ms)
        return self._stub.GetPrice(request, timeout=self._timeout_s).price
