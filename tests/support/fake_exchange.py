"""An exchange client that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal

from clients.exchanges.client import ExchangeClient, ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.model import Instrument, InstrumentKind, Payout, Price, Quote, ServerTime
from clients.resilience.outcome import Outcome


def instrument(exchange: str, symbol: str = "BTC/USDT", **changes: object) -> Instrument:
    """A spot instrument."""
    values: dict[str, object] = {
        "exchange": exchange,
        "market": "spot",
        "exchange_symbol": symbol.replace("/", ""),
        "symbol": symbol,
        "kind": InstrumentKind.SPOT,
        "payout": Payout.SPOT,
        "base": symbol.split("/")[0],
        "quote": symbol.split("/")[1].split(":")[0],
        "settle": symbol.split("/")[1].split(":")[0],
        "price_tick": Decimal("0.01"),
        "lot_size": Decimal("0.00001"),
        "quantity_min": Decimal("0.00001"),
        "quantity_max": Decimal(9000),
        "market_lot_size": None,
        "price_min": None,
        "price_max": None,
        "notional_min": Decimal(5),
        "contract_size": Decimal(1),
        "multiplier": Decimal(1),
        "expiry_time_ns": None,
        "tradable": True,
    } | changes
    return Instrument(**values)  # type: ignore[arg-type]  # a test names its fields


def quote(
    exchange: str, symbol: str, bid: str | None, ask: str | None, *, receive_time_ns: int, **changes: object
) -> Quote:
    """A quote of size 1 on both sides."""
    values: dict[str, object] = {
        "exchange": exchange,
        "market": "spot",
        "symbol": symbol,
        "bid_price": None if bid is None else Decimal(bid),
        "bid_quantity": Decimal(1),
        "ask_price": None if ask is None else Decimal(ask),
        "ask_quantity": Decimal(1),
        "event_time_ns": None,
        "receive_time_ns": receive_time_ns,
    } | changes
    return Quote(**values)  # type: ignore[arg-type]  # a test names its fields


class FakeExchange(ExchangeClient):
    """Lists `symbols`; quotes what `answer` says, or raises it; streams what `push` is given."""

    markets = ("spot",)

    def __init__(self, name: str, symbols: Sequence[str] = ("BTC/USDT",)) -> None:
        self.name = name
        self.listed: dict[str, Instrument] | ExchangeError = {symbol: instrument(name, symbol) for symbol in symbols}
        self.answer: Quote | BaseException | None = None
        self.last_price = Decimal(1)
        self.quotes_asked = 0
        self.subscriptions: list[tuple[str, ...]] = []
        self._pushed: asyncio.Queue[Quote | BaseException] = asyncio.Queue()

    def push(self, item: Quote | BaseException) -> None:
        """Bring a quote over the stream, or end it with an error."""
        self._pushed.put_nowait(item)

    def failure(self, outcome: Outcome = Outcome.RETRYABLE, text: str = "it is down") -> ExchangeError:
        """An error of this exchange."""
        return ExchangeError(self.name, "get_quote", outcome, text)

    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        if isinstance(self.listed, ExchangeError):
            raise self.listed
        return self.listed

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        pass

    async def get_quote(self, symbol: str) -> Quote:
        self.quotes_asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        assert isinstance(self.answer, Quote)
        return self.answer

    async def get_price(self, symbol: str) -> Price:
        seen = await self.get_quote(symbol)
        return Price(
            self.name,
            "spot",
            symbol,
            self.last_price,
            "last",
            None,
            receive_time_ns=seen.receive_time_ns,
            source="rest",
        )

    async def get_server_time(self, market: str | None = None) -> ServerTime:
        return ServerTime(0, 0, 0)

    async def ping(self, market: str | None = None) -> float:
        return 0.001

    async def stream_quotes(self, symbols: Sequence[str]) -> AsyncIterator[Quote]:
        self.subscriptions.append(tuple(symbols))
        while True:
            item = await self._pushed.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    async def request(self, request: ExchangeRequest, *, deadline_s: float | None = None) -> ExchangeResponse:
        raise CallerMustAct(self.name, request.spec.operation, Outcome.REJECTED, "a fake takes no requests")

    async def close(self) -> None:
        pass
