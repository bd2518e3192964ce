"""Bybit's instruments: kinds, coins and units, each from the field that says it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bybit.instruments import parse_instrument, parse_instruments
from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import InstrumentKind, Payout
from tests.support.contracts import recorded
from tests.unit.clients.bybit.stage import BTC_USDT, DEC_26_MS, INVERSE_ROWS, LINEAR_ROWS, ROWS, contract, instrument

UNIFIED = {
    ("spot", "BTCUSDT"): "BTC/USDT",
    ("linear", "BTCUSDT"): "BTC/USDT:USDT",
    ("linear", "BTCUSDT-25DEC26"): "BTC/USDT:USDT-261225",
    ("linear", "BTCPERP"): "BTC/USDC:USDC",
    ("linear", "BTC-25DEC26"): "BTC/USDC:USDC-261225",
    ("linear", "ETHUSDT"): "ETH/USDT:USDT",
    ("inverse", "BTCUSD"): "BTC/USD:BTC",
    ("inverse", "BTCUSDZ26"): "BTC/USD:BTC-261225",
}


@pytest.mark.quick
def test_every_kind_has_its_unified_symbol() -> None:
    found = {
        (market, made.exchange_symbol): made.symbol
        for market, rows in ROWS.items()
        for made in parse_instruments(MARKETS[market], rows)
    }

    assert found == UNIFIED


def test_unified_symbols_are_those_of_ccxt() -> None:
    ccxt = pytest.importorskip("ccxt")
    exchange = ccxt.bybit()
    answers = {
        market: {"retCode": 0, "result": {"category": market, "list": rows, "nextPageCursor": ""}}
        for market, rows in ROWS.items()
    }
    exchange.publicGetV5MarketInstrumentsInfo = lambda request: (
        answers[request["category"]] if "status" not in request else {"result": {"list": []}}
    )
    theirs = {
        (row["info"]["contractType"], row["id"]): row["symbol"]
        for market in ("linear", "inverse")
        for row in exchange.fetch_future_markets({"category": market})
    }
    ours = {
        (row["contractType"], row["symbol"]): instrument(row, market).symbol
        for market in ("linear", "inverse")
        for row in ROWS[market]
        # It reads the older quote as it stands: BTC/USD:USDC.
        if row["quoteCoin"] != "USD" or market == "inverse"
    }

    assert len(ours) == 6
    assert {name: theirs[name] for name in ours} == ours


def test_spot_counts_base_currency_and_is_bounded_by_value() -> None:
    made = instrument(BTC_USDT, "spot")

    assert (made.kind, made.payout, made.settle) == (InstrumentKind.SPOT, Payout.SPOT, "USDT")
    assert (made.price_tick, made.lot_size) == (Decimal("0.1"), Decimal("0.000001"))
    # The listed smallest quantity is not checked any more.
    assert (made.quantity_min, made.notional_min) == (Decimal("0.000001"), Decimal(5))
    assert (made.quantity_max, made.market_quantity_max) == (Decimal(90), Decimal(45))
    assert (made.price_min, made.price_max, made.expiry_time_ns) == (None, None, None)
    assert (made.contract_size, made.multiplier, made.open_orders_max) == (1, 1, 500)


def test_an_older_spot_row_says_its_largest_quantity_by_its_older_name() -> None:
    lot = {name: value for name, value in BTC_USDT["lotSizeFilter"].items() if not name.startswith("maxLimit")}

    assert instrument(BTC_USDT | {"lotSizeFilter": lot}, "spot").quantity_max == Decimal("71.5")


def test_linear_counts_base_currency_and_inverse_contracts_of_one_dollar() -> None:
    linear, inverse = instrument(LINEAR_ROWS[0], "linear"), instrument(INVERSE_ROWS[0], "inverse")

    assert (linear.kind, linear.payout, linear.contract_size) == (InstrumentKind.PERPETUAL, Payout.LINEAR, 1)
    assert (linear.lot_size, linear.quantity_min, linear.notional_min) == (Decimal("0.001"), Decimal("0.001"), 5)
    assert (linear.quantity_max, linear.market_quantity_max) == (Decimal("1190.000"), Decimal("119.000"))
    assert (linear.price_min, linear.price_max) == (Decimal("0.10"), Decimal("1999999.80"))
    assert (inverse.payout, inverse.settle, inverse.contract_size) == (Payout.INVERSE, "BTC", 1)
    assert (inverse.lot_size, inverse.quantity_min, inverse.notional_min) == (1, 1, None)


def test_an_expiry_is_read_from_its_field_and_never_from_the_symbol() -> None:
    dated = instrument(contract("ANYTHING", "LinearFutures", "BTC", "USDT", "USDT", deliveryTime=DEC_26_MS), "linear")
    perpetual = instrument(
        contract("BTC-25DEC26", "LinearPerpetual", "BTC", "USDT", "USDT", deliveryTime=DEC_26_MS), "linear"
    )

    assert (dated.kind, dated.symbol) == (InstrumentKind.DELIVERY, "BTC/USDT:USDT-261225")
    assert dated.expiry_time_ns == int(DEC_26_MS) * 1_000_000
    # The time of a perpetual is the one at which it is taken off.
    assert (perpetual.kind, perpetual.symbol, perpetual.expiry_time_ns) == (
        InstrumentKind.PERPETUAL,
        "BTC/USDT:USDT",
        None,
    )


def test_the_tick_is_not_the_scale() -> None:
    assert instrument(LINEAR_ROWS[0] | {"priceScale": "7"}, "linear").price_tick == Decimal("0.10")


@pytest.mark.parametrize("status", ["PreLaunch", "Delivering", "Closed", "", None])
def test_only_what_trades_is_tradable(status: Any) -> None:
    assert instrument(LINEAR_ROWS[0], "linear").tradable
    assert not instrument(LINEAR_ROWS[0] | {"status": status}, "linear").tradable


def test_of_two_with_one_symbol_the_one_that_trades_has_it() -> None:
    closed = LINEAR_ROWS[0] | {"status": "Closed", "symbol": "BTCUSDTOLD"}

    for rows in ([closed, LINEAR_ROWS[0]], [LINEAR_ROWS[0], closed]):
        (made,) = parse_instruments(MARKETS["linear"], rows)
        assert made.exchange_symbol == "BTCUSDT"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"contractType": "LinearOption"}, "contractType"),
        ({"contractType": None}, "contractType"),
        ({"contractType": "LinearFutures"}, "deliveryTime"),
        ({"contractType": "LinearFutures", "deliveryTime": "soon"}, "deliveryTime"),
        ({"baseCoin": ""}, "baseCoin"),
        ({"quoteCoin": None}, "quoteCoin"),
        ({"settleCoin": ""}, "settleCoin"),
        ({"symbol": ""}, "symbol"),
        ({"priceFilter": None}, "priceFilter"),
        ({"priceFilter": {"tickSize": "0"}}, "tickSize"),
        ({"priceFilter": {"tickSize": "-1"}}, "tickSize"),
        ({"priceFilter": {"tickSize": "NaN"}}, "tickSize"),
        ({"lotSizeFilter": "x"}, "lotSizeFilter"),
        ({"lotSizeFilter": {}}, "qtyStep"),
        ({"lotSizeFilter": {"qtyStep": "1e999"}}, "qtyStep|beyond"),
    ],
    ids=str,
)
def test_a_broken_row_names_its_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedAnswer, match=named):
        parse_instrument(MARKETS["linear"], LINEAR_ROWS[0] | changes)


@pytest.mark.parametrize(
    ("market", "file"),
    [
        ("spot", "bybit/rest/instruments_spot.2025-capture.json"),
        ("linear", "bybit/rest/instruments_linear.2025-capture.json"),
        ("inverse", "bybit/rest/instruments_inverse.2025-capture.json"),
        ("inverse", "bybit/rest/instruments_inverse.2026-capture.json"),
        ("spot", "bybit/rest/docs/market_instrument.3.json"),
        ("linear", "bybit/rest/docs/market_instrument.1.json"),
        ("spot", "bybit/rest/nautilus/http_get_instruments_spot.json"),
        ("linear", "bybit/rest/nautilus/http_get_instruments_linear.json"),
        ("inverse", "bybit/rest/nautilus/http_get_instruments_inverse.json"),
        ("linear", "bybit/rest/bybitnet/GetLinearInverseSymbolsPreListing.json"),
    ],
)
@pytest.mark.needs("recordings")
def test_recorded_rows_are_read(market: str, file: str) -> None:
    rows = recorded(file).exact["result"]["list"]

    made = parse_instruments(MARKETS[market], rows)

    assert len(made) == len(rows) > 0
    for row, one in zip(rows, made, strict=True):
        assert one.exchange_symbol == row["symbol"]
        assert str(one.price_tick) == row["priceFilter"]["tickSize"]
        assert one.symbol.startswith(f"{row['baseCoin']}/{row['quoteCoin']}")
        assert (one.kind is InstrumentKind.DELIVERY) is row.get("contractType", "").endswith("Futures")


@pytest.mark.needs("recordings")
def test_the_recorded_quarterly_expires_on_its_last_friday() -> None:
    rows = recorded("bybit/rest/instruments_inverse.2026-capture.json").exact["result"]["list"]

    symbols = [made.symbol for made in parse_instruments(MARKETS["inverse"], rows)]

    assert symbols == ["BTC/USD:BTC", "BTC/USD:BTC-261225"]


def test_what_a_row_says_besides_makes_no_difference() -> None:
    plain = instrument(LINEAR_ROWS[0], "linear")

    assert instrument(LINEAR_ROWS[0] | {"symbolId": 7, "isPreListing": True, "new": [1]}, "linear") == replace(plain)
