"""Instruments, quotes and prices, the same for every exchange. Money and quantities are Decimal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique


@unique
class InstrumentKind(StrEnum):
    """What is traded."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    DELIVERY = "delivery"


@unique
class Payout(StrEnum):
    """How a contract pays; SPOT has no contract."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    QUANTO = "quanto"


@dataclass(frozen=True)
class Instrument:
    """One tradable instrument.

    `symbol` is the unified one: `BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC`, `BTC/USDT:USDT-261225` (base/quote:settle-expiry).
    `exchange_symbol` is unique only together with `market`.
    Quantities in `lot_size`, `quantity_min`, `quantity_max` are in the unit that orders of this API use: base currency for spot and
    linear contracts of Binance, contracts where the exchange counts contracts. `contract_size` is what one such unit is worth: base
    units (spot, linear), quote units (inverse).
    None means that the exchange states no such limit.
    """

    exchange: str
    market: str
    exchange_symbol: str
    symbol: str
    kind: InstrumentKind
    payout: Payout
    base: str
    quote: str
    settle: str
    price_tick: Decimal
    lot_size: Decimal
    quantity_min: Decimal
    quantity_max: Decimal | None
    market_lot_size: Decimal | None
    """Lot of MARKET orders where it differs."""
    price_min: Decimal | None
    price_max: Decimal | None
    notional_min: Decimal | None
    contract_size: Decimal
    multiplier: Decimal
    """As the exchange states it; quanto contracts need it."""
    expiry_time_ns: int | None
    tradable: bool
    exchange_quantity_scale: Decimal = Decimal(1)
    """Exchange units per unit of this API (BitMEX spot counts satoshi): quantity on the wire = quantity * scale."""
    market_quantity_min: Decimal | None = None
    """Smallest quantity of MARKET orders where it is above `quantity_min`."""
    market_quantity_max: Decimal | None = None
    """Largest quantity of MARKET orders where it is below `quantity_max`."""
    notional_max: Decimal | None = None
    notional_min_for_market: bool = True
    """Whether `notional_min` holds for MARKET orders too, by the market's price; `notional_max` below likewise."""
    notional_max_for_market: bool = True
    open_orders_max: int | None = None
    """How many orders an account may have open in this instrument."""
    listed: bool = True
    """Whether the exchange lists it; what it does not list any more has ended or was taken off, and can only be asked about."""

    def over(self, now_ns: int) -> bool:
        """Whether it has ended: it is not listed any more, or its term is over."""
        return not self.listed or (self.expiry_time_ns is not None and self.expiry_time_ns <= now_ns)

    def base_quantity(self, quantity: Decimal, price: Decimal | None) -> Decimal | None:
        """Return what a quantity in this instrument's unit is in its base currency, at a price; a quotient has 28 digits.

        1000 are 1000 BTC, 0.001 BTC or 1000 dollars' worth, and only the instrument knows. None for quanto contracts, which are no
        quantity of anything, for inverse ones without a price: they are worth something else in base at each, and where the size of a
        contract that has ended is not known any more.
        """
        if not self.contract_size:
            return None
        match self.payout:
            case Payout.SPOT | Payout.LINEAR:
                return quantity * self.contract_size
            case Payout.INVERSE if not quantity:
                return Decimal(0)
            case Payout.INVERSE:
                return quantity * self.contract_size / price if price is not None and price > 0 else None
            case Payout.QUANTO:
                return None


@dataclass(frozen=True)
class Quote:
    """Best bid and ask at one moment. A side that the exchange does not give is None.

    `event_time_ns` is the exchange's time, None where it gives none (Binance spot bookTicker): age counts from `receive_time_ns` then.
    `update_id` orders the quotes of one symbol where the exchange numbers them.
    """

    exchange: str
    market: str
    symbol: str
    bid_price: Decimal | None
    bid_quantity: Decimal | None
    ask_price: Decimal | None
    ask_quantity: Decimal | None
    event_time_ns: int | None
    receive_time_ns: int
    """UTC, taken when the bytes arrived."""
    update_id: int | None = None
    source: str = "rest"
    """`rest` or `stream`."""


@dataclass(frozen=True)
class Price:
    """A price and how old it is: the mid of the quote, or the last trade where a side is missing (`basis` says which)."""

    exchange: str
    market: str
    symbol: str
    price: Decimal
    basis: str
    """`mid` or `last`."""
    event_time_ns: int | None
    receive_time_ns: int
    source: str
    """`stream`, `rest` or `cache`."""
    stale: bool = False


def mid_of(bid: Decimal, ask: Decimal) -> Decimal:
    """Return what lies half-way between two prices."""
    return (bid + ask) * Decimal("0.5")


def mid_price(quote: Quote, *, source: str) -> Price | None:
    """Return the mid of a two-sided quote; None where a side is missing."""
    if quote.bid_price is None or quote.ask_price is None:
        return None
    return Price(
        exchange=quote.exchange,
        market=quote.market,
        symbol=quote.symbol,
        price=mid_of(quote.bid_price, quote.ask_price),
        basis="mid",
        event_time_ns=quote.event_time_ns,
        receive_time_ns=quote.receive_time_ns,
        source=source,
    )


@dataclass(frozen=True)
class ServerTime:
    """What is known of the exchange's clock: server time = local wall clock + offset, within +- `error_ns`."""

    offset_ns: int
    error_ns: int
    measured_ns: int
    """Monotonic time of the measurement."""
