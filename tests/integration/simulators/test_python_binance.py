"""python-binance as a client of the simulated Binance: REST, market streams, user streams."""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.simulators.binance import DEMO_ACCOUNT
from tests.support.simulator_process import SimulatorProcess

with warnings.catch_warnings():
    # It imports a name that websockets has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    library: Any = pytest.importorskip("binance")

WAIT_S = 10


@pytest.fixture
async def client(binance: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(library.AsyncClient, "API_URL", f"{binance.url}/api")
    monkeypatch.setattr(library.AsyncClient, "FUTURES_URL", f"{binance.url}/fapi")
    monkeypatch.setattr(library.AsyncClient, "FUTURES_COIN_URL", f"{binance.url}/dapi")
    monkeypatch.setattr(library.AsyncClient, "WS_API_URL", f"{binance.ws_url}/ws-api/v3")
    for name, path in (("STREAM_URL", "/"), ("FSTREAM_URL", "/fstream/"), ("DSTREAM_URL", "/dstream/")):
        monkeypatch.setattr(library.BinanceSocketManager, name, binance.ws_url + path)
    # Its reader looks only this often whether it shall end.
    monkeypatch.setattr(library.ws.reconnecting_websocket.ReconnectingWebsocket, "TIMEOUT", 0.2)
    made = await library.AsyncClient.create(DEMO_ACCOUNT.api_key, DEMO_ACCOUNT.secret)
    yield made
    await made.close_connection()


async def take(socket: Any, count: int) -> list[Any]:
    return [await asyncio.wait_for(socket.recv(), WAIT_S) for _ in range(count)]


async def test_market_streams_of_all_markets(client: Any) -> None:
    manager = library.BinanceSocketManager(client)

    async with manager.symbol_book_ticker_socket("BTCUSDT") as socket:
        spot = (await take(socket, 1))[0]
    async with manager.futures_multiplex_socket(["btcusdt@bookTicker"], category="public") as socket:
        usdm = (await take(socket, 1))[0]
    async with manager.futures_multiplex_socket(
        ["btcusd_perp@bookTicker"], futures_type=library.enums.FuturesType.COIN_M
    ) as socket:
        coinm = (await take(socket, 1))[0]

    assert spot["s"] == "BTCUSDT"
    assert (usdm["data"]["e"], usdm["data"]["st"]) == ("bookTicker", 1)
    assert (coinm["data"]["s"], coinm["data"]["st"]) == ("BTCUSD_PERP", 2)


async def test_spot_order_with_its_events(client: Any) -> None:
    manager = library.BinanceSocketManager(client)

    async with manager.user_socket() as socket:
        placed = await client.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")
        events = [event for event in await take(socket, 4) if event["e"] == "executionReport"]

    assert placed["status"] == "FILLED"
    assert [(event["x"], event["X"]) for event in events] == [("NEW", "NEW"), ("TRADE", "FILLED")]
    assert {event["i"] for event in events} == {placed["orderId"]}


async def test_futures_order_with_its_events(client: Any) -> None:
    manager = library.BinanceSocketManager(client)

    async with manager.futures_user_socket() as socket:
        placed = await client.futures_create_order(
            symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="60000"
        )
        canceled = await client.futures_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
        events = await take(socket, 2)

    assert (placed["status"], canceled["status"]) == ("NEW", "CANCELED")
    assert [event["o"]["x"] for event in events] == ["NEW", "CANCELED"]


async def test_errors_carry_the_exchanges_codes(client: Any) -> None:
    with pytest.raises(library.exceptions.BinanceAPIException) as refused:
        await client.create_order(
            symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="1"
        )

    assert refused.value.code == -1013


async def test_candles_averages_and_configuration(client: Any) -> None:
    spot = await client.get_historical_klines("BTCUSDT", "1h", "3 days ago UTC")
    futures = await client.futures_historical_klines("BTCUSDT", "1h", "1 day ago UTC")
    average = await client.get_avg_price(symbol="BTCUSDT")
    trades = await client.get_aggregate_trades(symbol="BTCUSDT", limit=10)
    leverage = await client.futures_change_leverage(symbol="ETHUSDC", leverage=3)
    rates = await client.futures_funding_rate(symbol="BTCUSDT", limit=5)

    assert [later[0] - row[0] for row, later in itertools.pairwise(spot)] == [3_600_000] * (len(spot) - 1)
    assert len(spot) >= 72
    assert len(futures) >= 24
    assert float(average["price"]) > 0
    assert len(trades) == 10
    assert leverage["leverage"] == 3
    assert len(rates) == 5


@pytest.mark.parametrize("name", ["spot", "usdm"])
async def test_its_own_book_is_the_book(client: Any, name: str) -> None:
    """It follows the exchange's procedure of snapshot and changes, and begins again by itself where a change is missing."""
    spot = name == "spot"
    manager = (
        library.DepthCacheManager(client, "BTCUSDT", ws_interval=100)
        if spot
        else library.FuturesDepthCacheManager(client, "BTCUSDT")
    )

    async with manager as socket:
        for _ in range(20):
            cache = await asyncio.wait_for(socket.recv(), WAIT_S)
            bids, asks = cache.get_bids(), cache.get_asks()
            assert bids[0][0] < asks[0][0]
        assert len(bids) == len(asks) == (20 if spot else 10)


async def test_candle_sockets_of_all_markets(client: Any) -> None:
    manager = library.BinanceSocketManager(client)

    async with manager.kline_socket("BTCUSDT", "1m") as socket:
        spot = (await take(socket, 1))[0]
    async with manager.kline_futures_socket("BTCUSDT", "1m") as socket:
        futures = (await take(socket, 1))[0]

    assert (spot["e"], spot["k"]["i"]) == ("kline", "1m")
    assert (futures["e"], futures["ct"]) == ("continuous_kline", "PERPETUAL")
