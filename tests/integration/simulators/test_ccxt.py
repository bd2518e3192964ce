"""ccxt as a client of the simulators: what a third party, written against the real exchanges, makes of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.simulators.binance import DEMO_ACCOUNT as BINANCE_DEMO
from services.simulators.bitmex import DEMO_ACCOUNT as BITMEX_DEMO
from tests.support.simulator_process import SimulatorProcess

ccxt: Any = pytest.importorskip("ccxt")


def client(name: str, simulator: SimulatorProcess, api_key: str, secret: str) -> Any:
    """Return a ccxt exchange whose every address is the simulator's."""
    if name not in ccxt.exchanges:
        pytest.skip(f"ccxt {ccxt.__version__} has no {name} (releases up to 4.5.77 have; the exchange has closed)")
    exchange = getattr(importlib.import_module("ccxt"), name)({"apiKey": api_key, "secret": secret})
    exchange.urls["api"] = {
        key: simulator.url + (urlsplit(url).path if name == "binance" else "")
        for key, url in exchange.urls["api"].items()
        if isinstance(url, str)
    }
    exchange.load_markets()
    return exchange


@pytest.fixture(scope="module")
def on_binance(binance: SimulatorProcess) -> Iterator[Any]:
    exchange = client("binance", binance, BINANCE_DEMO.api_key, BINANCE_DEMO.secret)
    yield exchange
    exchange.session.close()


@pytest.fixture(scope="module")
def on_bitmex(bitmex: SimulatorProcess) -> Iterator[Any]:
    exchange = client("bitmex", bitmex, BITMEX_DEMO.api_key, BITMEX_DEMO.secret)
    yield exchange
    exchange.session.close()


def test_binance_markets_have_the_unified_symbols_of_all_kinds(on_binance: Any) -> None:
    for base in ("BTC", "ETH", "SOL"):
        own = [market for market in on_binance.markets.values() if market["base"] == base]
        kinds = {(market["type"], market["settle"]) for market in own}
        assert kinds == {
            ("spot", None),
            ("swap", "USDT"),
            ("swap", "USDC"),
            ("swap", base),
            ("future", "USDT"),
            ("future", base),
        }
    dated = [market for market in on_binance.markets.values() if market["type"] == "future"]
    assert all(market["expiry"] > on_binance.milliseconds() for market in dated)
    assert on_binance.markets["BTC/USD:BTC"]["contractSize"] == 100


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_binance_prices_agree_with_each_other(on_binance: Any, symbol: str) -> None:
    ticker = on_binance.fetch_ticker(symbol)
    best = on_binance.fetch_bids_asks([symbol])[symbol]
    book = on_binance.fetch_order_book(symbol, 5)

    assert best["bid"] < best["ask"]
    assert ticker["last"] == pytest.approx(best["bid"], rel=0.01)
    assert book["bids"][0][0] == pytest.approx(best["bid"], rel=0.01)
    assert abs(on_binance.fetch_time() - on_binance.milliseconds()) < 5000


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_binance_candles_and_trades_reach_into_the_past(on_binance: Any, symbol: str) -> None:
    week = on_binance.fetch_ohlcv(symbol, "1h", limit=168)
    since = week[100][0]
    again = on_binance.fetch_ohlcv(symbol, "1h", since, 10)
    trades = on_binance.fetch_trades(symbol, limit=50)
    older = on_binance.fetch_trades(symbol, since, 20)

    assert len(week) == 168
    assert [row[0] - week[0][0] for row in week] == [hour * 3_600_000 for hour in range(168)]
    assert again == week[100:110]
    assert len(trades) == 50
    assert [trade["timestamp"] for trade in older] == sorted(trade["timestamp"] for trade in older)
    assert since <= older[0]["timestamp"] < since + 60_000
    assert all(row[3] <= row[1] <= row[2] and row[5] > 0 for row in week[:-1])


@pytest.mark.parametrize(
    ("symbol", "amount"),
    [("BTC/USDT", 0.001), ("BTC/USDT:USDT", 0.01), ("BTC/USD:BTC", 3)],
    ids=["spot", "usdm", "coinm"],
)
def test_binance_order_from_placing_to_cancel_and_a_trade(on_binance: Any, symbol: str, amount: float) -> None:
    price = float(on_binance.price_to_precision(symbol, on_binance.fetch_ticker(symbol)["last"] * 0.9))

    placed = on_binance.create_order(symbol, "limit", "buy", amount, price)
    found = on_binance.fetch_order(placed["id"], symbol)
    open_ids = [order["id"] for order in on_binance.fetch_open_orders(symbol)]
    canceled = on_binance.cancel_order(placed["id"], symbol)
    bought = on_binance.create_order(symbol, "market", "buy", amount)
    bought = on_binance.fetch_order(bought["id"], symbol)
    trades = [trade for trade in on_binance.fetch_my_trades(symbol) if trade["order"] == bought["id"]]

    assert (placed["status"], found["status"], canceled["status"]) == ("open", "open", "canceled")
    assert placed["id"] in open_ids
    assert (bought["status"], bought["filled"]) == ("closed", amount)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(amount)
    assert bought["average"] == pytest.approx(price / 0.9, rel=0.02)


def test_binance_futures_edit_keeps_the_order(on_binance: Any) -> None:
    symbol = "ETH/USDT:USDT"
    price = float(on_binance.price_to_precision(symbol, on_binance.fetch_ticker(symbol)["last"] * 0.9))
    placed = on_binance.create_order(symbol, "limit", "buy", 1, price)

    edited = on_binance.edit_order(placed["id"], symbol, "limit", "buy", 2, price - 1)
    on_binance.cancel_order(placed["id"], symbol)

    assert (edited["id"], edited["amount"], edited["price"]) == (placed["id"], 2, pytest.approx(price - 1))


def test_binance_balances_and_positions(on_binance: Any) -> None:
    on_binance.create_order("SOL/USDT:USDT", "market", "buy", 1)

    spot, futures = on_binance.fetch_balance(), on_binance.fetch_balance({"type": "swap"})
    coin = on_binance.fetch_balance({"type": "swap", "subType": "inverse"})
    position = on_binance.fetch_positions(["SOL/USDT:USDT"])[0]

    assert spot["BTC"]["total"] > 0
    assert futures["USDT"]["used"] > 0
    assert coin["BTC"]["total"] > 0
    assert (position["contracts"], position["side"]) == (1, "long")


def test_binance_leverage_margin_and_fees(on_binance: Any) -> None:
    for symbol in ("SOL/USDC:USDC", "SOL/USD:SOL"):
        assert int(on_binance.set_leverage(3, symbol)["leverage"]) == 3
        on_binance.set_margin_mode("isolated", symbol)
        with pytest.raises(ccxt.NoChange):
            on_binance.set_margin_mode("isolated", symbol)
        on_binance.create_order(symbol, "market", "buy", 1)
        kind = {"subType": "inverse"} if symbol.endswith(":SOL") else {}
        [position] = [one for one in on_binance.fetch_positions([symbol], kind) if one["contracts"]]
        assert (position["leverage"], position["marginMode"]) == (3, "isolated")
        assert on_binance.fetch_trading_fee(symbol)["taker"] == 0.0005
    assert on_binance.fetch_trading_fee("BTC/USDT")["taker"] == 0.001
    assert on_binance.fetch_trading_fees()["ETH/USDT"]["maker"] == 0.001
    assert on_binance.fetch_status()["status"] == "ok"
    assert on_binance.fetch_leverage_tiers(["BTC/USDT:USDT"])["BTC/USDT:USDT"][0]["maxLeverage"] == 20


def test_binance_refusals_are_understood(on_binance: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        on_binance.create_order("BTC/USDT", "limit", "buy", 100, 60000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        on_binance.create_order("BTC/USDT", "limit", "buy", 0.01, 70000, {"postOnly": True})
    with pytest.raises(ccxt.OrderNotFound):
        on_binance.fetch_order("1", "BTC/USDT")
    with pytest.raises(ccxt.OrderNotFound):
        on_binance.cancel_order("1", "BTC/USDT")


def test_binance_troubles_are_understood(on_binance: Any, binance: SimulatorProcess) -> None:
    for fault, error in (
        ("skew=30", ccxt.InvalidNonce),
        ("error=too-many-requests,count=1", ccxt.DDoSProtection),
        ("error=unavailable,count=1", ccxt.OperationFailed),
        ("drop,count=5", ccxt.NetworkError),
    ):
        binance.admin("PUT", "/sim/faults", fault)
        with pytest.raises(error):
            on_binance.fetch_open_orders("BTC/USDT")


def test_bitmex_markets_prices_and_units(on_bitmex: Any) -> None:
    for symbol, kind in (
        ("BTC/USDT", "spot"),
        ("BTC/USDT:USDT", "swap"),
        ("BTC/USD:BTC", "swap"),
        ("ETH/USD:BTC", "swap"),
    ):
        market = on_bitmex.markets[symbol]
        ticker = on_bitmex.fetch_ticker(symbol)
        assert (market["type"], market["active"]) == (kind, True)
        assert ticker["bid"] < ticker["ask"]
    assert any(market["type"] == "future" and market["inverse"] for market in on_bitmex.markets.values())
    assert on_bitmex.markets["BTC/USDT:USDT"]["contractSize"] == 0.000001


@pytest.mark.parametrize(
    ("symbol", "amount"),
    [("BTC/USDT", 0.0002), ("BTC/USDT:USDT", 2000), ("BTC/USD:BTC", 300)],
    ids=["spot", "linear", "inverse"],
)
def test_bitmex_order_from_placing_to_cancel_and_a_trade(on_bitmex: Any, symbol: str, amount: float) -> None:
    price = float(on_bitmex.price_to_precision(symbol, on_bitmex.fetch_ticker(symbol)["last"] * 0.9))

    placed = on_bitmex.create_order(symbol, "limit", "buy", amount, price)
    found = on_bitmex.fetch_order(placed["id"], symbol)
    edited = on_bitmex.edit_order(placed["id"], symbol, "limit", "buy", amount, price - 10)
    canceled = on_bitmex.cancel_order(placed["id"], symbol)
    bought = on_bitmex.create_order(symbol, "market", "buy", amount)
    trades = [trade for trade in on_bitmex.fetch_my_trades(symbol) if trade["order"] == bought["id"]]

    assert (placed["status"], found["status"], canceled["status"]) == ("open", "open", "canceled")
    assert edited["price"] == price - 10
    assert bought["status"] == "closed"
    assert sum(trade["amount"] for trade in trades) == pytest.approx(amount)


def test_bitmex_balances_positions_and_refusals(on_bitmex: Any) -> None:
    on_bitmex.create_order("BTC/USD:BTC", "market", "buy", 100)

    assert 19 < on_bitmex.fetch_balance()["BTC"]["total"] < 21
    assert any(one["symbol"] == "BTC/USD:BTC" and one["side"] == "long" for one in on_bitmex.fetch_positions())
    with pytest.raises(ccxt.InsufficientFunds):
        on_bitmex.create_order("BTC/USDT", "limit", "buy", 100, 60000)
    with pytest.raises(ccxt.ExchangeError, match="Not Found"):
        on_bitmex.cancel_order("5f6c16df-4706-4548-f47d-25f2f915f149", "BTC/USD:BTC")
