"""Quantities are told in the exchange's unit and in base currency, or not at all: 1000 is never mistaken."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.model import Instrument, Payout
from clients.exchanges.trading import OrderType, Side
from services.orders.domain import Order, OrderState
from services.orders.guards.positions import Held
from services.orders.journal.store import FillRow
from services.orders.messages import fill_message, instrument_message, order_message, position_message
from services.simulators.binance.exchange_info import exchange_info
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.listings import binance_listings
from tests.support.exchange_rules import BINANCE
from tests.unit.clients.bitmex.stage import XBT_USDT, XBTUSD, XBTUSDT
from tests.unit.clients.bitmex.stage import instrument as of_bitmex
from tests.unit.clients.bybit.stage import INVERSE, LINEAR, SPOT
from tests.unit.orders.test_fold import INTENT, after

D = Decimal
NOW_NS: Final = 1_764_000_000_000_000_000


def of_binance(market: str, exchange_symbol: str) -> Instrument:
    """Return an instrument as Binance lists it."""
    listed = exchange_info(market, binance_listings(NOW_NS), NOW_NS // 1_000_000, LimitOptions())
    found = parse_instruments(MARKETS[market], listed)
    return next(one for one in found if one.exchange_symbol == exchange_symbol)


COINM: Final = of_binance("coinm", "BTCUSD_PERP")
"""Contracts of 100 USD; those of BitMEX and Bybit are of 1 USD."""
EVERYWHERE: Final = {
    "binance-spot": (of_binance("spot", "BTCUSDT"), "1000", "1000"),
    "binance-usdm": (of_binance("usdm", "BTCUSDT"), "1000", "1000"),
    "binance-coinm": (COINM, "1000", "2"),
    "bitmex-spot": (of_bitmex(XBT_USDT), "1000", "1000"),
    "bitmex-linear": (of_bitmex(XBTUSDT), "1000", "0.001"),
    "bitmex-inverse": (of_bitmex(XBTUSD), "1000", "0.02"),
    "bybit-spot": (SPOT, "1000", "1000"),
    "bybit-linear": (LINEAR, "1000", "1000"),
    "bybit-inverse": (INVERSE, "1000", "0.02"),
}
everywhere = pytest.mark.parametrize(("made", "quantity", "base"), EVERYWHERE.values(), ids=EVERYWHERE)


def order(**changes: Any) -> Order:
    """Return an order to buy 1000 of something at 50,000."""
    return replace(after(), quantity=D(1000), price=D(50_000), filled=D(0), **changes)


def told(made: Instrument | None, one: Order) -> tuple[str, str]:
    """Return what callers are told of an order in base: its quantity, and what of that is executed."""
    message = order_message(one, lambda exchange, symbol: made)
    return message.quantity_base, message.filled_quantity_base


@pytest.mark.quick
@everywhere
def test_an_order_at_50000_says_what_1000_are(made: Instrument, quantity: str, base: str) -> None:
    assert told(made, replace(order(), quantity=D(quantity))) == (base, "0")


@everywhere
def test_a_position_entered_at_50000_says_what_it_is(made: Instrument, quantity: str, base: str) -> None:
    held = Held(-D(quantity), D(50_000), 0)
    message = position_message((made.exchange, made.market, made.symbol), held, NOW_NS, lambda *_: made)

    assert (message.quantity, message.quantity_base) == (f"-{quantity}", f"-{base}")


@everywhere
def test_an_execution_at_50000_says_what_it_was(made: Instrument, quantity: str, base: str) -> None:
    fill = FillRow(
        made.exchange, made.market, made.symbol, "t", "o", "", "x", Side.BUY, D(quantity), D(50_000), None, "", NOW_NS
    )

    assert fill_message(fill, lambda *_: made).quantity_base == base


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # 1000 * 100 USD / 40,000, and half of that executed at 32,000: 50,000 USD / 32,000.
        ({"price": D(40_000), "filled": D(500), "average_price": D(32_000)}, ("2.5", "1.5625")),
        ({"price": D(40_000), "filled": D(500)}, ("2.5", "")),
        ({"price": None, "type": OrderType.MARKET}, ("", "0")),
        (
            {"price": None, "type": OrderType.MARKET, "filled": D(500), "average_price": D(32_000)},
            ("", "1.5625"),
        ),
        (
            {"price": None, "filled": D(1000), "average_price": D(32_000), "state": OrderState.FILLED},
            ("3.125", "3.125"),
        ),
        ({"quantity": None}, ("", "0")),
        ({"price": D(30_000)}, ("3.333333333333333333333333333", "0")),
    ],
    ids=["working", "price-untold", "market", "market-partly", "market-filled", "found", "a-third"],
)
def test_inverse_contracts_are_told_at_a_known_price_or_not_at_all(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert told(COINM, replace(order(), **changes)) == expected


def test_an_inverse_position_without_an_entry_price_is_not_guessed() -> None:
    key = (COINM.exchange, COINM.market, COINM.symbol)

    assert position_message(key, Held(D(10), None, 0), NOW_NS, lambda *_: COINM).quantity_base == ""
    assert position_message(key, Held(D(0), None, 0), NOW_NS, lambda *_: COINM).quantity_base == "0"


@pytest.mark.parametrize("made", [None, replace(INVERSE, payout=Payout.QUANTO)], ids=["not-loaded", "quanto"])
def test_without_a_meaning_in_base_nothing_is_told(made: Instrument | None) -> None:
    assert told(made, order()) == ("", "")


def test_the_instrument_is_that_of_the_orders_own_exchange() -> None:
    asked: list[tuple[str, str]] = []

    order_message(order(), lambda exchange, symbol: asked.append((exchange, symbol)))

    assert asked == [(INTENT.exchange, INTENT.symbol)]


def test_the_list_of_instruments_tells_its_bounds_in_base_where_they_have_one() -> None:
    linear, inverse = of_bitmex(XBTUSDT), of_bitmex(XBTUSD)
    of_linear = instrument_message(linear, BINANCE.capabilities(linear))
    of_inverse = instrument_message(inverse, BINANCE.capabilities(inverse))

    assert (of_linear.lot_size, of_linear.lot_size_base) == ("1000", "0.001")
    assert (of_linear.quantity_min_base, of_linear.quantity_max_base) == ("0.001", "1000")
    assert (of_inverse.lot_size, of_inverse.lot_size_base, of_inverse.quantity_max_base) == ("100", "", "")
