"""The exchange's own rules are checked here first, with the numbers: what it would refuse never leaves."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.binance.markets import Market as BinanceMarket
from services.orders.errors import reason_of
from services.orders.guards.filters import check_notional, check_open_orders, check_quantity
from services.orders.messages import instrument_message
from services.runtime.errors import MidstreamError
from services.simulators.binance.exchange_info import ORDERS_MAX, exchange_info
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.listings import binance_listings
from tests.support.exchange_rules import BINANCE
from tests.support.scripted_market import instrument

NOW_NS = 1_764_000_000_000_000_000
LISTED = instrument(
    "binance",
    "spot",
    "BTC/USDT",
    quantity_max=D(9000),
    market_quantity_min=D("0.01"),
    market_quantity_max=D(900),
    notional_max=D(9_000_000),
    notional_max_for_market=False,
    open_orders_max=200,
)


def refusal(work: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """Return the word and the sentence of a denial; empty when it passes."""
    try:
        work(*arguments, **options)
    except MidstreamError as exc:
        return reason_of(exc), exc.message
    return "", ""


@pytest.mark.quick
@pytest.mark.parametrize(
    ("quantity", "market_order", "says"),
    [
        ("5000", True, "`quantity` is 5000, the maximum of MARKET orders of BTC/USDT is 900"),
        ("900", True, ""),
        ("5000", False, ""),
        ("9001", False, "`quantity` is 9001, the maximum of BTC/USDT is 9000"),
        ("0.002", True, "`quantity` is 0.002, the minimum of MARKET orders of BTC/USDT is 0.01"),
        ("0.002", False, ""),
    ],
)
def test_market_orders_have_bounds_of_their_own(quantity: str, market_order: bool, says: str) -> None:
    assert refusal(check_quantity, LISTED, D(quantity), market_order=market_order)[1] == says


@pytest.mark.quick
@pytest.mark.parametrize(
    ("quantity", "options", "says"),
    [
        ("1000", {}, "makes 10000000 USDT, the maximum of BTC/USDT is 9000000"),
        ("1000", {"reduce_only": True}, "the maximum of BTC/USDT is 9000000"),
        ("1000", {"market_order": True}, ""),
        ("0.0001", {}, "makes 1 USDT, the minimum of BTC/USDT is 5"),
        ("0.0001", {"reduce_only": True}, ""),
        ("0.0001", {"market_order": True}, "the minimum of BTC/USDT is 5"),
    ],
)
def test_the_value_has_two_bounds(quantity: str, options: dict[str, bool], says: str) -> None:
    told = refusal(check_notional, LISTED, D(quantity), D(10_000), **options)[1]

    assert says in told
    assert bool(told) is bool(says)


def test_the_exchange_lets_so_many_orders_rest() -> None:
    assert refusal(check_open_orders, LISTED, 199) == ("", "")
    assert refusal(check_open_orders, LISTED, 200) == (
        "open-orders-limit",
        "200 orders are open in BTC/USDT, binance allows 200: cancel some first",
    )


def test_callers_are_told_the_bounds() -> None:
    able = BINANCE.capabilities(LISTED)
    told = instrument_message(LISTED, able)

    assert (told.market_quantity_min, told.market_quantity_max) == ("0.01", "900")
    assert (told.notional_max, told.open_orders_max) == ("9000000", 200)
    assert instrument_message(instrument("binance", "spot", "BTC/USDT"), able).market_quantity_max == ""


@pytest.mark.parametrize("market", MARKETS)
def test_every_rule_that_the_exchange_states_is_known(market: str) -> None:
    stated = exchange_info(market, binance_listings(NOW_NS), NOW_NS // 1_000_000, LimitOptions())
    found = {one.exchange_symbol: one for one in parse_instruments(the_market(market), stated)}

    assert len(found) == len(stated["symbols"])
    for row in stated["symbols"]:
        rules = {one["filterType"]: one for one in row["filters"]}
        known = found[row["symbol"]]
        assert known.market_quantity_max == D(rules["MARKET_LOT_SIZE"]["maxQty"])
        assert known.open_orders_max == ORDERS_MAX
        if "NOTIONAL" in rules:
            assert known.notional_max == D(rules["NOTIONAL"]["maxNotional"])
            assert (known.notional_min_for_market, known.notional_max_for_market) == (True, False)


def the_market(name: str) -> BinanceMarket:
    """Return a market by its name."""
    found: BinanceMarket = MARKETS[name]
    return found


@pytest.mark.parametrize(
    ("notional", "expected"),
    [
        ({"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": False}, (D(10), False, None)),
        ({"filterType": "MIN_NOTIONAL", "notional": "5"}, (D(5), True, None)),
        (
            {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": False, "maxNotional": "0"},
            (D(5), False, None),
        ),
    ],
)
def test_older_and_other_spellings_are_read(notional: dict[str, Any], expected: tuple[D, bool, D | None]) -> None:
    stated = exchange_info("spot", binance_listings(NOW_NS), NOW_NS // 1_000_000, LimitOptions())
    row = {**stated["symbols"][0], "filters": [notional, {"filterType": "MAX_NUM_ORDERS", "limit": 7}]}
    known = parse_instruments(the_market("spot"), {"symbols": [row]})[0]

    assert (known.notional_min, known.notional_min_for_market, known.notional_max) == expected
    assert (known.open_orders_max, known.market_quantity_max) == (7, None)
