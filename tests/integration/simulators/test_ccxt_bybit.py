"""ccxt and ccxt.pro on the simulated Bybit: what a third party, written against the real exchange, makes of it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.simulators.bybit import DEMO_ACCOUNT
from tests.support.cli import until
from tests.support.simulator_process import SimulatorProcess

ccxt: Any = pytest.importorskip("ccxt")

KEYS = {"apiKey": DEMO_ACCOUNT.api_key, "secret": DEMO_ACCOUNT.secret}
WAIT_S = 20
CASES = pytest.mark.parametrize(
    ("symbol", "amount"),
    [("BTC/USDT", 0.001), ("BTC/USDT:USDT", 0.01), ("BTC/USDC:USDC", 0.01), ("BTC/USD:BTC", 300)],
    ids=["spot", "linear", "usdc", "inverse"],
)


@pytest.fixture(scope="module")
def client(bybit: SimulatorProcess) -> Iterator[Any]:
    exchange = importlib.import_module("ccxt").bybit({**KEYS, "options": {"recvWindow": 20_000}})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], bybit.url)
    exchange.load_markets()
    yield exchange
    exchange.session.close()


def test_markets_have_the_unified_symbols_of_all_seven_kinds(client: Any) -> None:
    for base in ("BTC", "ETH", "SOL"):
        own = [market for market in client.markets.values() if market["base"] == base]
        assert {(market["type"], market["quote"], market["settle"]) for market in own} == {
            ("spot", "USDT", None),
            ("spot", "USDC", None),
            ("swap", "USDT", "USDT"),
            ("future", "USDT", "USDT"),
            ("swap", "USDC", "USDC"),
            ("future", "USDC", "USDC"),
            ("swap", "USD", base),
            ("future", "USD", base),
        }
    dated = [market for market in client.markets.values() if market["type"] == "future"]
    assert all(market["expiry"] > client.milliseconds() for market in dated)
    assert all(market["contractSize"] == 1 for market in client.markets.values() if market["inverse"])


@CASES
def test_prices_agree_with_each_other(client: Any, symbol: str, amount: float) -> None:
    ticker = client.fetch_ticker(symbol)
    book = client.fetch_order_book(symbol, 5)

    assert ticker["bid"] < ticker["ask"]
    assert ticker["last"] == pytest.approx(ticker["bid"], rel=0.01)
    assert book["bids"][0][0] == pytest.approx(ticker["bid"], rel=0.01)
    assert abs(client.fetch_time() - client.milliseconds()) < 5000
    assert amount >= client.markets[symbol]["limits"]["amount"]["min"]


@CASES
def test_an_order_from_placing_to_cancel_and_a_trade(client: Any, symbol: str, amount: float) -> None:
    price = float(client.price_to_precision(symbol, client.fetch_ticker(symbol)["last"] * 0.9))

    placed = client.create_order(symbol, "limit", "buy", amount, price)
    until(lambda: placed["id"] in {one["id"] for one in client.fetch_open_orders(symbol)}, what="the open order")
    client.edit_order(placed["id"], symbol, "limit", "buy", amount, price - 10)
    until(lambda: client.fetch_open_order(placed["id"], symbol)["price"] == price - 10, what="the new price")
    client.cancel_order(placed["id"], symbol)
    until(
        lambda: placed["id"] in {one["id"] for one in client.fetch_canceled_orders(symbol)}, what="the canceled order"
    )
    bought = client.create_order(symbol, "market", "buy", amount, price / 0.9)
    until(lambda: _trades(client, symbol, bought["id"]) != [], what="its trades")
    trades = _trades(client, symbol, bought["id"])

    # A market buy on spot is made for its cost.
    assert sum(one["amount"] for one in trades) == pytest.approx(amount, rel=0.03)
    assert trades[0]["price"] == pytest.approx(price / 0.9, rel=0.02)
    assert {one["fee"]["currency"] for one in trades} == {symbol.split(":")[-1] if ":" in symbol else "BTC"}


def _trades(client: Any, symbol: str, order_id: str) -> list[Any]:
    return [one for one in client.fetch_my_trades(symbol) if one["order"] == order_id]


def test_balances_positions_and_fees(client: Any) -> None:
    client.create_order("SOL/USDT:USDT", "market", "buy", 1)

    balance = client.fetch_balance()
    position = client.fetch_position("SOL/USDT:USDT")

    assert balance["BTC"]["total"] > 0
    assert balance["USDT"]["used"] > 0
    assert (position["contracts"], position["side"]) == (1, "long")
    assert client.fetch_trading_fee("BTC/USDT:USDT")["taker"] == 0.00055


def test_candles_funding_and_leverage(client: Any) -> None:
    symbol = "BTC/USDT:USDT"

    rows = client.fetch_ohlcv(symbol, "5m", limit=10)
    funding = client.fetch_funding_rate_history(symbol, limit=3)
    client.set_leverage(10, symbol)

    assert [after[0] - before[0] for before, after in itertools.pairwise(rows)] == [300_000] * 9
    assert [one["fundingRate"] for one in funding] == [0.0001] * 3
    assert client.fetch_leverage(symbol)["longLeverage"] == 10


def test_refusals_and_troubles_are_understood(client: Any, bybit: SimulatorProcess) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order("BTC/USDT:USDT", "limit", "buy", 1000, 64000)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("5f6c16df-4706-4548-f47d-25f2f915f149", "BTC/USDT:USDT")
    for fault, error in (
        ("skew=-90", ccxt.InvalidNonce),
        ("error=too-many-visits,count=1", ccxt.RateLimitExceeded),
        ("error=unavailable,count=1", ccxt.ExchangeNotAvailable),
        ("drop,count=5", ccxt.NetworkError),
    ):
        bybit.admin("PUT", "/sim/faults", fault)
        with pytest.raises(error):
            client.fetch_open_orders("BTC/USDT")
        bybit.admin("DELETE", "/sim/faults")


@pytest.fixture
async def listener(bybit: SimulatorProcess) -> AsyncIterator[Any]:
    exchange = importlib.import_module("ccxt.pro").bybit({**KEYS, "options": {"recvWindow": 20_000}})
    exchange.urls["api"] = {key: value if key == "ws" else bybit.url for key, value in exchange.urls["api"].items()} | {
        "ws": _addresses(exchange.urls["api"]["ws"], bybit.ws_url)
    }
    await exchange.load_markets()
    yield exchange
    await exchange.close()


def _addresses(urls: Any, base: str) -> Any:
    if isinstance(urls, dict):
        return {key: _addresses(value, base) for key, value in urls.items()}
    return base + urls[urls.index("/v5") :] if "/v5" in urls else urls


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
async def test_streams_bring_books_tickers_and_trades(listener: Any, symbol: str) -> None:
    book = await asyncio.wait_for(listener.watch_order_book(symbol), WAIT_S)
    ticker = await asyncio.wait_for(listener.watch_ticker(symbol), WAIT_S)
    trades = await asyncio.wait_for(listener.watch_trades(symbol), WAIT_S)

    assert book["bids"][0][0] < book["asks"][0][0]
    assert ticker["last"] == pytest.approx(book["bids"][0][0], rel=0.01)
    assert trades[0]["price"] == pytest.approx(ticker["last"], rel=0.01)


async def test_orders_fills_and_positions_come_by_the_private_stream(listener: Any) -> None:
    symbol = "ETH/USDT:USDT"
    watching = [
        asyncio.create_task(listener.watch_orders(symbol)),
        asyncio.create_task(listener.watch_my_trades(symbol)),
    ]
    await asyncio.sleep(0)
    until_open = asyncio.get_running_loop().time() + WAIT_S
    placed: Any = None
    while not all(task.done() for task in watching) and asyncio.get_running_loop().time() < until_open:
        placed = await listener.create_order(symbol, "market", "buy", 0.1)
        await asyncio.wait(watching, timeout=1)

    orders, trades = [task.result() for task in watching]
    assert placed is not None
    assert {one["symbol"] for one in [*orders, *trades]} == {symbol}
