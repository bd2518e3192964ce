"""The market data of an exchange in this process: instruments, prices, its clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from clients.exchanges.errors import ExchangeError
from clients.exchanges.model import Instrument, InstrumentKind, Payout, Price, Quote, ServerTime
from services.orders.ports import Ports
from tests.support.exchange_rules import ExchangeRules


def instrument(exchange: str, market: str, symbol: str, **changes: Any) -> Instrument:
    """Return an instrument with ordinary filters."""
    base, rest = symbol.split("/")
    quote, _, settle = rest.partition(":")
    spot = not settle
    values: dict[str, Any] = {
        "exchange": exchange,
        "market": market,
        "exchange_symbol": symbol.replace("/", "").replace(":", "_"),
        "symbol": symbol,
        "kind": InstrumentKind.SPOT if spot else InstrumentKind.PERPETUAL,
        "payout": Payout.SPOT if spot else Payout.LINEAR,
        "base": base,
        "quote": quote,
        "settle": settle or quote,
        "price_tick": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "quantity_min": Decimal("0.001"),
        "quantity_max": Decimal(1000),
        "market_lot_size": None,
        "price_min": Decimal("0.1"),
        "price_max": Decimal(1_000_000),
        "notional_min": Decimal(5),
        "contract_size": Decimal(1),
        "multiplier": Decimal(1),
        "expiry_time_ns": None,
        "tradable": True,
    }
    return Instrument(**{**values, **changes})


class ScriptedMarket:
    """What orders need of an `ExchangeClient`, as tests want it to be."""

    def __init__(
        self, rules: ExchangeRules, ports: Ports, *, instruments: Sequence[Instrument] = (), latency_s: float = 0.01
    ) -> None:
        self.rules = rules
        self.exchange = exchange = rules.exchange
        self._ports = ports
        self.latency_s = latency_s
        listed = instruments or (
            instrument(exchange, "spot", "BTC/USDT"),
            instrument(exchange, "perp", "BTC/USDT:USDT"),
        )
        self.instruments: dict[str, Instrument] = {one.symbol: one for one in listed}
        self.mid: defaultdict[str, Decimal] = defaultdict(lambda: Decimal(100))
        self.spread = Decimal("0.2")
        self.quote_age_ns = 0
        self.quotes_error: ExchangeError | None = None
        self.offset_ns = 0
        self.down: Exception | None = None
        self.clock_error: Exception | None = None

    async def get_quote(self, symbol: str) -> Quote:
        if self.quotes_error is not None:
            raise self.quotes_error
        mid, half = self.mid[symbol], self.spread / 2
        at_ns = self._ports.wall_ns() - self.quote_age_ns
        return Quote(
            self.exchange, self.instruments[symbol].market, symbol, mid - half, Decimal(1), mid + half, Decimal(1), at_ns,
            at_ns,
        )  # fmt: skip

    async def get_price(self, symbol: str) -> Price:
        if self.quotes_error is not None:
            raise self.quotes_error
        at_ns = self._ports.wall_ns() - self.quote_age_ns
        return Price(
            self.exchange, self.instruments[symbol].market, symbol, self.mid[symbol], "mid", at_ns, at_ns, "rest"
        )

    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        return self.instruments

    def known_instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.get(symbol)

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        pass

    async def get_server_time(self, market: str | None = None) -> ServerTime:
        if self.down is not None or self.clock_error is not None:
            raise self.down or self.clock_error  # type: ignore[misc]
        return ServerTime(self.offset_ns, 1_000_000, self._ports.monotonic_ns())

    async def ping(self, market: str | None = None) -> float:
        if self.down is not None:
            raise self.down
        return self.latency_s
