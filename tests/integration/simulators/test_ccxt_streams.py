"""ccxt.pro as a listener of the simulated Binance: a third party's own choice of streams, addresses and fields."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.simulators.binance import DEMO_ACCOUNT
from tests.support.simulator_process import SimulatorProcess

pytest.importorskip("ccxt")
pytest.importorskip("aiohttp")

SYMBOLS = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": "BTC/USD:BTC"}
WAIT_S = 30


@pytest.fixture
async def listener(binance: SimulatorProcess) -> AsyncIterator[Any]:
    exchange = importlib.import_module("ccxt.pro").binance(
        {"apiKey": DEMO_ACCOUNT.api_key, "secret": DEMO_ACCOUNT.secret, "enableRateLimit": False}
    )
    streams = binance.url.replace("http", "ws")
    exchange.urls["api"] = {
        key: binance.url + urlsplit(url).path if isinstance(url, str) else url
        for key, url in exchange.urls["api"].items()
    }
    exchange.urls["api"]["ws"] |= {
        # ccxt tells spot from contracts by `/stream` in the address, which is in the exchange's host name.
        "spot": f"{streams.replace('//', '//stream@')}/ws",
        "future": f"{streams}/fstream/ws",
        "delivery": f"{streams}/dstream/ws",
        "ws-api": {
            "spot": f"{streams}/ws-api/v3",
            "future": f"{streams}/ws-fapi/v1",
            "delivery": f"{streams}/ws-dapi/v1",
        },
    }
    yield exchange
    await exchange.close()


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["miniTicker", "ticker"])
@pytest.mark.parametrize("symbol", SYMBOLS.values(), ids=SYMBOLS)
async def test_ticker_is_watched(listener: Any, symbol: str, name: str) -> None:
    told = await asyncio.wait_for(listener.watch_ticker(symbol, {"name": name}), WAIT_S)

    assert told["symbol"] == symbol
    assert told["low"] <= told["last"] <= told["high"]
    assert told["low"] <= told["open"] <= told["high"]
    assert told["baseVolume"] > 0
    assert told["quoteVolume"] > 0
    if name == "ticker":
        assert told["change"] == pytest.approx(told["last"] - told["open"])


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "watch",
    [
        lambda exchange: exchange.watch_ticker("BTC/USDT"),
        lambda exchange: exchange.watch_tickers(),
        lambda exchange: exchange.watch_trades("BTC/USDT"),
        lambda exchange: exchange.watch_trades("BTC/USDT:USDT"),
        lambda exchange: exchange.watch_trades("BTC/USD:BTC"),
        lambda exchange: exchange.watch_bids_asks(["BTC/USDT:USDT"]),
        lambda exchange: exchange.watch_mark_price("BTC/USDT:USDT"),
        lambda exchange: exchange.watch_mark_prices(None, {"type": "swap", "subType": "linear"}),
        lambda exchange: exchange.watch_tickers(None, {"type": "swap", "subType": "linear"}),
    ],
    ids=["default", "all", "trades", "trades-usdm", "trades-coinm", "quotes-usdm", "mark", "marks", "all-usdm"],
)
async def test_what_ccxt_asks_for_by_default_arrives(listener: Any, watch: Callable[[Any], Any]) -> None:
    assert await asyncio.wait_for(watch(listener), WAIT_S)


@pytest.mark.parametrize("symbol", SYMBOLS.values(), ids=SYMBOLS)
async def test_the_book_is_watched_by_snapshot_and_changes(listener: Any, symbol: str) -> None:
    for _ in range(8):
        book = await asyncio.wait_for(listener.watch_order_book(symbol), WAIT_S)
        bids, asks = [price for price, _ in book["bids"]], [price for price, _ in book["asks"]]
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        assert (len(bids), len(asks)) == (20, 20), "a level that is gone is still held, or one is missing"


@pytest.mark.parametrize("symbol", SYMBOLS.values(), ids=SYMBOLS)
async def test_candles_are_watched(listener: Any, symbol: str) -> None:
    candles = await asyncio.wait_for(listener.watch_ohlcv(symbol, "1m"), WAIT_S)
    fetched = await listener.fetch_ohlcv(symbol, "1m", limit=3)

    assert {candles[-1][0]} <= {row[0] for row in fetched}
    assert candles[-1][3] <= candles[-1][1] <= candles[-1][2]


AMOUNTS = {"spot": 0.001, "usdm": 0.01, "coinm": 2}
TYPES = {"spot": "spot", "usdm": "future", "coinm": "delivery"}


@pytest.mark.parametrize("market", SYMBOLS)
async def test_orders_are_placed_and_cancelled_over_the_websocket_api(listener: Any, market: str) -> None:
    symbol = SYMBOLS[market]
    price = (await listener.fetch_ticker(symbol))["last"]
    limit = float(listener.price_to_precision(symbol, price * 0.95))

    placed = await listener.create_order_ws(symbol, "limit", "buy", AMOUNTS[market], limit)
    canceled = await listener.cancel_order_ws(placed["id"], symbol)
    found = await listener.fetch_order(placed["id"], symbol)

    assert placed["status"] == "open"
    assert (canceled["id"], found["status"]) == (placed["id"], "canceled")


@pytest.mark.parametrize("market", SYMBOLS)
async def test_balances_and_own_trades_are_watched(listener: Any, market: str) -> None:
    symbol, kind = SYMBOLS[market], {"type": TYPES[market]}
    await listener.load_markets()
    balance = asyncio.create_task(listener.watch_balance(kind))
    trades = asyncio.create_task(listener.watch_my_trades(symbol))
    await asyncio.sleep(2)
    bought = await listener.create_order(symbol, "market", "buy", AMOUNTS[market])

    told = await asyncio.wait_for(balance, WAIT_S)
    [trade, *_] = await asyncio.wait_for(trades, WAIT_S)
    fetched = await listener.fetch_balance(kind)

    asset = "BTC" if market == "coinm" else "USDT"
    assert told[asset]["total"] == pytest.approx(fetched[asset]["total"], rel=1e-3)
    assert trade["order"] == bought["id"]


async def test_what_is_not_simulated_is_an_error_at_once(listener: Any) -> None:
    with pytest.raises(Exception, match="ticker_1h"):
        await asyncio.wait_for(listener.watch_ticker("BTC/USDT", {"name": "ticker_1h"}), WAIT_S)
