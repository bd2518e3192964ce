"""Trades, candles and averages of the simulated Binance: one truth over every route and stream."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BinanceCalls, virtual_binance
from tests.support.simulated_venues import connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

LIVELY = VenueOptions(volatility=20, touch_chance=0.3)
SYMBOLS = {SPOT: "BTCUSDT", USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
ADDRESSES = {SPOT: "/ws", USDM: "/fstream/market/ws", COINM: "/dstream/ws"}
MINUTE_MS = 60_000
KLINE = ["t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"]
"""The members of the stream's candle in the order of the routes' rows."""
marketwise = pytest.mark.parametrize("market", [SPOT, USDM, COINM])


async def trade(calls: BinanceCalls, market: str) -> None:
    """Buy at the market, so that the tape has fills of an account."""
    quantity = "7" if market == COINM else "0.003"
    order = {"symbol": SYMBOLS[market], "side": "BUY", "type": "MARKET", "quantity": quantity}
    assert (await calls.signed("POST", f"{PREFIXES[market]}/order", **order)).status == 200


async def every_trade(calls: BinanceCalls, market: str, start_ms: int, end_ms: int) -> list[Any]:
    """Return the aggregates of that time by paging, as a client does."""
    asked = {"symbol": SYMBOLS[market], "limit": 1000}
    path = f"{PREFIXES[market]}/aggTrades"
    found: list[Any] = (await calls.get(path, **asked, startTime=start_ms, endTime=end_ms)).payload
    while found and found[-1]["T"] <= end_ms:
        more = (await calls.get(path, **asked, fromId=found[-1]["a"] + 1)).payload
        if not more:
            break
        found += more
    return [one for one in found if start_ms <= one["T"] <= end_ms]


def recomputed(market: str, trades: Sequence[Any]) -> list[Any]:
    """Return a row of the candles' route, made of trades."""
    prices, sizes = [Decimal(one["p"]) for one in trades], [Decimal(one["q"]) for one in trades]
    values = [
        size * 100 / price if market == COINM else size * price for size, price in zip(sizes, prices, strict=True)
    ]
    bought = [not one["m"] for one in trades]
    return [
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(sizes),
        sum(values),
        len(trades),
        sum(size for size, one in zip(sizes, bought, strict=True) if one),
        sum(value for value, one in zip(values, bought, strict=True) if one),
    ]


@pytest.mark.quick
@marketwise
@pytest.mark.parametrize("age_ms", [0, 3600 * 1000], ids=["live", "past"])
def test_candles_are_those_of_the_trades_that_are_told(market: str, age_ms: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            for _ in range(5):
                await asyncio.sleep(31)
                await trade(calls, market)
            start = calls.venue.wall_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS - 2 * MINUTE_MS - age_ms
            trades = await every_trade(calls, market, start, start + MINUTE_MS - 1)
            reply = await calls.get(
                f"{PREFIXES[market]}/klines", symbol=SYMBOLS[market], interval="1m", startTime=start, limit=1
            )

        [row] = reply.payload
        assert len(trades) > 3
        assert [one["a"] for one in trades] == list(range(trades[0]["a"], trades[0]["a"] + len(trades)))
        told = [Decimal(row[number]) for number in (1, 2, 3, 4, 5, 7, 8, 9, 10)]
        assert [row[0], row[6]] == [start, start + MINUTE_MS - 1]
        assert all(
            abs(one - other) < Decimal("1e-7") for one, other in zip(told, recomputed(market, trades), strict=True)
        )

    run_virtual(main)


@marketwise
def test_streams_candles_are_closed_once_and_are_then_those_of_the_routes(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        name = f"{SYMBOLS[market].lower()}@kline_1m"
        async with moving(calls.venue):
            socket = connect(calls.venue, f"{ADDRESSES[market]}/{name}")
            frames = []
            until = loop.time() + 200
            while loop.time() < until:
                frames.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
            rows = (await calls.get(f"{PREFIXES[market]}/klines", symbol=SYMBOLS[market], interval="1m")).payload

        candles = [one["k"] for one in frames]
        closed = [one for one in candles if one["x"]]
        assert len(closed) == 3
        assert [one["t"] for one in candles] == sorted(one["t"] for one in candles)
        told = {row[0]: row for row in rows}
        assert [[one[key] for key in KLINE] for one in closed] == [told[one["t"]] for one in closed]
        assert all(one["L"] - one["f"] + 1 == one["n"] for one in closed)
        pace_s = 2 if market == SPOT else 0.25
        assert 200 / pace_s - 5 <= len(candles) <= 200 / pace_s + 5

    run_virtual(main)


@pytest.mark.cases(6)
@marketwise
@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d", "1w", "1M"])
def test_candles_of_the_past_are_there_at_the_start_without_holes(market: str, interval: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        asked = {"symbol": SYMBOLS[market], "interval": interval}
        path = f"{PREFIXES[market]}/klines"
        rows = (await calls.get(path, **asked)).payload
        again = (await calls.get(path, **asked, startTime=rows[3][0], endTime=rows[7][0])).payload
        limited = (await calls.get(path, **asked, limit=5)).payload

        assert len(rows) >= {"1d": 410, "1w": 59, "1M": 14}.get(interval, 490)
        assert all(row[6] + 1 == following[0] for row, following in itertools.pairwise(rows))
        assert all(Decimal(row[3]) <= Decimal(row[1]) <= Decimal(row[2]) for row in rows)
        assert all(len(row) == 12 for row in rows)
        assert again == rows[3:8]
        assert limited == rows[-5:]
        price = (await calls.get(f"{PREFIXES[market]}/ticker/price", symbol=SYMBOLS[market])).payload
        assert (price[0] if market == COINM else price)["price"] == rows[-1][4]

    run_virtual(main)


def test_candles_from_the_beginning_of_time_begin_with_the_first_trade() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        [first] = (await calls.get("/api/v3/klines", symbol="ETHUSDT", interval="1d", startTime=0, limit=1)).payload
        trades = (await calls.get("/api/v3/historicalTrades", symbol="ETHUSDT", fromId=0, limit=1)).payload

        assert first[0] <= trades[0]["time"] <= first[6]
        assert first[1] == trades[0]["price"]

    run_virtual(main)


def test_an_hour_is_sixty_minutes() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        hour = (await calls.get("/api/v3/klines", symbol="ETHUSDT", interval="1h", limit=3)).payload[0]
        minutes = (
            await calls.get("/api/v3/klines", symbol="ETHUSDT", interval="1m", startTime=hour[0], limit=60)
        ).payload

        assert [hour[1], hour[4], hour[8]] == [minutes[0][1], minutes[-1][4], sum(row[8] for row in minutes)]
        assert Decimal(hour[2]) == max(Decimal(row[2]) for row in minutes)
        for place in (5, 7, 9, 10):
            assert Decimal(hour[place]) == sum(Decimal(row[place]) for row in minutes)

    run_virtual(main)


@pytest.mark.parametrize("path", ["/fapi/v1", "/dapi/v1"])
def test_candles_of_mark_and_index_end_with_the_prices_of_now(path: str) -> None:
    symbol, pair = ("BTCUSDT", "BTCUSDT") if path == "/fapi/v1" else ("BTCUSD_PERP", "BTCUSD")

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            await asyncio.sleep(100)
            marks = (await calls.get(f"{path}/markPriceKlines", symbol=symbol, interval="1m")).payload
            index = (await calls.get(f"{path}/indexPriceKlines", pair=pair, interval="1m")).payload
            now = (await calls.get(f"{path}/premiumIndex", symbol=symbol)).payload
            asked = {"pair": pair, "contractType": "CURRENT_QUARTER", "interval": "5m"}
            dated = (await calls.get(f"{path}/continuousKlines", **asked)).payload

        now = now[0] if isinstance(now, list) else now
        assert (len(marks), len(index), len(dated)) == (500, 500, 500)
        assert Decimal(marks[-1][4]) == Decimal(now["markPrice"])
        assert Decimal(index[-1][4]) == Decimal(now["indexPrice"])
        assert Decimal(dated[-1][4]) > Decimal(marks[-1][4]) > Decimal(index[-1][4])

    run_virtual(main)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "NOSUCH", "interval": "1m"}, -1121),
    ],
    ids=["no interval", "no such interval", "no such symbol"],
)
@pytest.mark.parametrize("path", ["/api/v3", "/fapi/v1", "/dapi/v1"])
def test_candles_asked_for_wrongly_are_refused(path: str, query: dict[str, str], code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        asked = {**query, "symbol": "BTCUSD_PERP"} if path == "/dapi/v1" and query["symbol"] == "BTCUSDT" else query
        assert (await virtual_binance(loop).get(f"{path}/klines", **asked)).code == code

    run_virtual(main)


@marketwise
def test_trades_by_id_by_time_and_by_stream_are_the_same(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        name = SYMBOLS[market].lower()
        async with moving(calls.venue):
            single = connect(calls.venue, f"{ADDRESSES[market].replace('market', 'public')}/{name}@trade")
            aggregate = connect(calls.venue, f"{ADDRESSES[market]}/{name}@aggTrade")
            for _ in range(3):
                await asyncio.sleep(5)
                await trade(calls, market)
            await asyncio.sleep(1)
            told = [json.loads(await single.recv()) for _ in range(single._socket.waiting)]
            summed = [json.loads(await aggregate.recv()) for _ in range(aggregate._socket.waiting)]
            asked = {"symbol": SYMBOLS[market]}
            key = PREFIXES[market]
            newest = (await calls.get(f"{key}/trades", **asked, limit=200)).payload
            older = await calls.keyed("GET", f"{key}/historicalTrades", symbol=SYMBOLS[market], fromId=told[0]["t"])
            by_time = await every_trade(calls, market, told[0]["T"], told[-1]["T"])
            mine = (
                await calls.signed("GET", f"{key}/{'myTrades' if market == SPOT else 'userTrades'}", **asked)
            ).payload

        ids = [one["t"] for one in told]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        rows = {row["id"]: row for row in newest}
        for one in told:
            row = rows[one["t"]]
            assert [row["price"], row["qty"], row["time"], row["isBuyerMaker"]] == [one[name] for name in "pqTm"]
        assert [row["id"] for row in older.payload][: len(ids)] == ids
        assert [one["a"] for one in by_time] == ids == [one["a"] for one in summed]
        assert [[one[name] for name in "pqTm"] for one in by_time] == [[one[name] for name in "pqTm"] for one in told]
        public = {(one["p"], one["q"]) for one in told}
        assert {(row["price"], row["qty"]) for row in mine if market == SPOT} <= public
        assert len(mine) >= 3

    run_virtual(main)


def test_the_average_is_that_of_five_minutes() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/ws/btcusdt@avgPrice")
            await asyncio.sleep(700)
            end = calls.venue.wall_ns() // 1_000_000
            said = (await calls.get("/api/v3/avgPrice", symbol="BTCUSDT")).payload
            trades = await every_trade(calls, SPOT, end // MINUTE_MS * MINUTE_MS - 4 * MINUTE_MS, end)
            streamed = [json.loads(await socket.recv()) for _ in range(socket._socket.waiting)][-1]

        value = sum(Decimal(one["p"]) * Decimal(one["q"]) for one in trades)
        volume = sum(Decimal(one["q"]) for one in trades)
        assert abs(Decimal(said["price"]) - value / volume) < Decimal("1e-7")
        assert (said["mins"], said["closeTime"]) == (5, trades[-1]["T"])
        assert set(streamed) == {"e", "E", "s", "i", "w", "T"}

    run_virtual(main)


@pytest.mark.parametrize(("size", "minutes"), [("1m", 1), ("15m", 15), ("2h", 120), ("1d", 1440)])
def test_a_ticker_of_a_window_is_of_its_minutes(size: str, minutes: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            await asyncio.sleep(100)
            row = (await calls.get("/api/v3/ticker", symbol="BTCUSDT", windowSize=size)).payload
            start = row["openTime"]
            rows = (await calls.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=start)).payload
            while len(rows) < minutes + 1:
                asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": rows[-1][6] + 1}
                rows += (await calls.get("/api/v3/klines", **asked)).payload

        assert row["closeTime"] - start - minutes * MINUTE_MS < MINUTE_MS
        assert len(rows) == minutes + 1
        assert [row["openPrice"], row["lastPrice"], row["count"]] == [
            rows[0][1],
            rows[-1][4],
            sum(one[8] for one in rows),
        ]
        assert Decimal(row["volume"]) == sum(Decimal(one[5]) for one in rows)
        assert Decimal(row["quoteVolume"]) == sum(Decimal(one[7]) for one in rows)
        assert Decimal(row["highPrice"]) == max(Decimal(one[2]) for one in rows)

    run_virtual(main)


def test_the_trading_day_begins_at_midnight_and_windows_that_there_are_not_are_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        day = (await calls.get("/api/v3/ticker/tradingDay", symbols='["BTCUSDT","ETHUSDT"]')).payload
        candle = (await calls.get("/api/v3/klines", symbol="ETHUSDT", interval="1d", limit=1)).payload[0]
        mini = (await calls.get("/api/v3/ticker", symbol="BTCUSDT", type="MINI")).payload
        refused = [
            (await calls.get("/api/v3/ticker", symbol="BTCUSDT", windowSize=size)).code for size in ("60m", "8d", "x")
        ]

        assert [day[1]["openTime"], day[1]["openPrice"], day[1]["lastPrice"]] == [candle[0], candle[1], candle[4]]
        assert set(day[1]) - set(mini) == {"priceChange", "priceChangePercent", "weightedAvgPrice"}
        assert refused == [-1102, -1102, -1102]

    run_virtual(main)


@pytest.mark.parametrize("market", [USDM, COINM])
@pytest.mark.parametrize("contract", ["perpetual", "current_quarter", "next_quarter"])
def test_candles_of_a_type_of_contract_are_those_of_the_contract(market: str, contract: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        pair = "BTCUSDT" if market == USDM else "BTCUSD"
        async with moving(calls.venue):
            socket = connect(calls.venue, f"{ADDRESSES[market]}/{pair.lower()}_{contract}@continuousKline_1m")
            await asyncio.sleep(130)
            asked = {"pair": pair, "contractType": contract.upper(), "interval": "1m"}
            rows = (await calls.get(f"{PREFIXES[market]}/continuousKlines", **asked)).payload
            events = [json.loads(await socket.recv()) for _ in range(socket._socket.waiting)]

        told = {row[0]: row for row in rows}
        closed = [event["k"] for event in events if event["k"]["x"]]
        assert len(closed) == 2
        assert [[one[key] for key in KLINE] for one in closed] == [told[one["t"]] for one in closed]
        assert {(event["e"], event["ps"], event["ct"]) for event in events} == {
            ("continuous_kline", pair, contract.upper())
        }
        assert "s" not in closed[0]

    run_virtual(main)
