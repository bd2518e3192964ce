"""The interface that every exchange client has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from clients.exchanges.errors import CallerMustAct, Sent
from clients.exchanges.model import Instrument, Price, Quote, ServerTime
from clients.exchanges.quote_relay import QuoteSink
from clients.resilience.call import CallSpec
from clients.resilience.outcome import Outcome


@dataclass(frozen=True)
class ExchangeRequest:
    """One REST call in the exchange's own terms. `parameters` keep their order; values are text as they go out."""

    market: str
    method: str
    path: str
    spec: CallSpec
    parameters: Sequence[tuple[str, str]] = ()
    signed: bool = False
    json_body: Mapping[str, Any] | None = None
    """BitMEX bodies; numbers as Decimal keep their spelling."""


@dataclass(frozen=True)
class ExchangeResponse:
    """A successful answer, parsed with exact decimals (numbers with a fraction become Decimal)."""

    status: int
    payload: Any
    raw: bytes = field(repr=False)
    """At most 4 KiB of the body, for the journal."""
    sent: Sent
    received_wall_ns: int
    request_id: str = ""


class ExchangeClient(ABC):
    """One exchange, all its markets. An async context manager; `close` is safe to call twice.

    Two concurrent calls for the same thing are one request. Every error is an `ExchangeError` or a `ResilienceError`.
    Unified symbols are those of `Instrument.symbol`; an unknown one raises CallerMustAct (NOT_FOUND) naming near matches.
    """

    name: str
    markets: Sequence[str]
    streams_quotes: ClassVar[bool] = True
    """Whether it has the two methods about streams; without them prices are asked for, one by one."""

    @abstractmethod
    async def get_price(self, symbol: str) -> Price: ...

    @abstractmethod
    async def get_quote(self, symbol: str) -> Quote: ...

    @abstractmethod
    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        """Return all instruments of all markets by unified symbol; cached until `refresh` or an hour has passed."""
        ...

    def known_instrument(self, symbol: str) -> Instrument | None:
        """Return an instrument without asking anybody; None before it was asked for. One that is not listed any more stays known."""
        return None

    @abstractmethod
    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        """Tell the names of an instrument that was listed once, so that statements about it are understood although it is not any more."""
        ...

    @abstractmethod
    async def get_server_time(self, market: str | None = None) -> ServerTime:
        """Measure the clock offset; signed requests apply the last measurement."""
        ...

    @abstractmethod
    async def ping(self, market: str | None = None) -> float:
        """Return the round trip in seconds."""
        ...

    def stream_quotes(self, symbols: Sequence[str]) -> AsyncIterator[Quote]:
        """Yield quotes as they arrive, over reconnects, until closed. A consumer that is slow gets the newest quote per symbol."""
        raise self._no_stream("stream_quotes")

    async def follow_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        """Put every quote into `sink`, none conflated, until cancelled; over reconnects, which the sink is told of."""
        raise self._no_stream("follow_quotes")

    def _no_stream(self, operation: str) -> CallerMustAct:
        return CallerMustAct(self.name, operation, Outcome.REJECTED, "this client streams no quotes", code="NO_STREAM")

    @abstractmethod
    async def request(self, request: ExchangeRequest, *, deadline_s: float | None = None) -> ExchangeResponse:
        """Make one call under all policies: the primitive that everything else here uses, and orders too."""
        ...

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
