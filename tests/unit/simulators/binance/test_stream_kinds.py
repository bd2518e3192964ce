"""What the simulated Binance acknowledges is served, and what it does not serve is refused by name."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.stream_names import KINDS, MARKET, PUBLIC
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import virtual_binance
from tests.support.simulated_venues import SimulatedSocket, connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

LIVELY = VenueOptions(volatility=20, touch_chance=0)
SYMBOLS = {SPOT: "btcusdt", USDM: "ethusdt", COINM: "solusd_perp"}
PAIRS = {USDM: "ethusdt", COINM: "solusd"}
ADDRESSES = {SPOT: ["/ws"], USDM: ["/fstream/public/ws", "/fstream/market/ws"], COINM: ["/dstream/ws"]}
STEPS_MAX = 20
"""Made quotes within which the first message of any stream has come."""


def names(market: str) -> list[str]:
    """Return every stream name that the table of kinds makes on a market."""
    found = []
    for kind, meant in KINDS.items():
        for speed in meant.speeds.get(market, {}):
            suffix = f"@{speed}" if speed else ""
            endings = [f"_{one}" for one in sorted(meant.intervals - {"1s"})][:3] or sorted(meant.levels)
            front = f"{PAIRS[market]}_perpetual" if meant.by_contract else SYMBOLS[market]
            found += [f"{front}@{kind}{ending}{suffix}" for ending in endings]
            if market in meant.all_on:
                found.append(f"!{kind}{'@arr' if meant.arr else ''}{suffix}")
    return found


async def answer(socket: SimulatedSocket, *streams: str) -> Any:
    """Subscribe, and return what that was answered with."""
    await socket.send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))
    while "id" not in (frame := json.loads(await socket.recv())):
        pass
    return frame


@pytest.mark.quick
@pytest.mark.parametrize(
    ("path", "market", "name"),
    [(path, market, name) for market, paths in ADDRESSES.items() for path in paths for name in names(market)],
)
def test_every_stream_is_refused_or_brings_messages(path: str, market: str, name: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, path)
            said = await answer(socket, name)
            if "error" in said:
                assert market == USDM
                assert name in said["error"]["msg"]
                assert path.split("/")[2] in said["error"]["msg"]
                return
            before = calls.venue.walk.step
            frame = json.loads(await asyncio.wait_for(socket.recv(), 30))
            assert calls.venue.walk.step - before <= STEPS_MAX
            assert frame

    run_virtual(main)


def test_every_kind_of_usdm_is_carried_by_a_part_and_trades_by_both() -> None:
    assert {kind for kind, meant in KINDS.items() if USDM in meant.speeds} == PUBLIC | MARKET
    assert {"trade"} == PUBLIC & MARKET


@pytest.mark.quick
@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("/ws", "btcusdt@kline", "not simulated"),
        ("/ws", "btcusdt@kline_7m", "not simulated"),
        ("/dstream/ws", "btcusd_perp@kline_1s", "not simulated"),
        ("/ws", "btcusdt@trade_1m", "not simulated"),
        ("/dstream/ws", "btcusd_perp@continuousKline_1m", "not simulated"),
        ("/dstream/ws", "btcusd_next_month@continuousKline_1m", "no symbol"),
        ("/ws", "btcusdt@depth@250ms", "not simulated"),
        ("/ws", "btcusdt@depth7", "not simulated"),
        ("/ws", "btcusdt@depth5@7ms", "not simulated"),
        ("/ws", "btcusdt@miniTickers", "not simulated"),
        ("/ws", "btcusdt@miniticker", "not simulated"),
        ("/ws", "btcusdt@markPrice", "not simulated"),
        ("/ws", "!bookTicker", "not simulated"),
        ("/ws", "!miniTicker", "not simulated"),
        ("/dstream/ws", "!forceOrder@arr", "not simulated"),
        ("/dstream/ws", "btcusdt@trade", "no symbol"),
        ("/ws", "BTCUSDT@trade", "lower case"),
        ("/ws", "btcusdtt@trade", "did you mean `btcusdt`"),
        ("/ws", "listenkey", "listen key"),
        ("/fstream/private/ws", "nokey", "listen key"),
        ("/fstream/private/ws", "btcusdt@trade", "/public"),
        ("/fstream/market/ws", "btcusdt@depth5", "/public"),
        ("/fstream/public/ws", "btcusdt@ticker", "/market"),
    ],
)
def test_what_is_not_served_is_refused_and_nothing_of_that_request_is_taken(path: str, name: str, says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, path)
        served = {"/dstream/ws": ["btcusd_perp@trade"], "/ws": ["btcusdt@trade"]}.get(path, [])

        said = await answer(socket, *served, name)
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 2}))

        assert said["error"]["code"] == 2
        assert name in said["error"]["msg"]
        assert says in said["error"]["msg"]
        assert json.loads(await socket.recv()) == {"result": [], "id": 2}

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/ws/btcusdt@kline_7m", ""),
        ("/stream", "streams=ethusdt@trade/btcusdt@kline_7m"),
        ("/fstream/public/ws/btcusdt@aggTrade", ""),
        ("/ws/BTCUSDT@bookTicker", ""),
    ],
)
def test_address_that_names_what_is_not_served_is_told_so(path: str, query: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        async with moving(calls.venue):
            socket = connect(calls.venue, path, query)
            assert "@" in json.loads(await socket.recv())["error"]["msg"]
            if query:
                assert json.loads(await asyncio.wait_for(socket.recv(), 5))["stream"] == "ethusdt@trade"

    run_virtual(main)


MINI = {"e", "E", "s", "c", "o", "h", "l", "v", "q"}
TICKER = MINI | {"p", "P", "w", "Q", "O", "C", "F", "L", "n"}


PACES = {"/ws": 1, "/fstream/market/ws": 2, "/dstream/ws": 0.5}
"""Seconds between two tickers of one symbol."""


@pytest.mark.parametrize(
    ("path", "name", "fields"),
    [
        ("/ws", "btcusdt@miniTicker", MINI),
        ("/fstream/market/ws", "btcusdt@miniTicker", MINI),
        ("/dstream/ws", "btcusd_perp@miniTicker", MINI | {"ps"}),
        ("/ws", "btcusdt@ticker", TICKER | set("xbBaA")),
        ("/fstream/market/ws", "btcusdt@ticker", TICKER),
        ("/dstream/ws", "btcusd_perp@ticker", TICKER | {"ps"}),
    ],
)
def test_tickers_come_at_the_markets_pace_with_figures_that_agree_with_the_trades(
    path: str, name: str, fields: set[str]
) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        trades, tickers = [], []
        async with moving(calls.venue):
            socket = connect(calls.venue, path)
            both = connect(calls.venue, path.replace("market", "public"))
            await answer(socket, name)
            await answer(both, f"{name.partition('@')[0]}@trade")
            until = loop.time() + 10
            while loop.time() < until:
                tickers.append(json.loads(await asyncio.wait_for(socket.recv(), 5)))
            while not both.is_idle:
                trades.append(json.loads(await both.recv()))

        assert 10 <= len(tickers) * PACES[path] <= 12
        periods = [int(one["E"] / 1000 / PACES[path]) for one in tickers]
        assert periods == list(range(periods[0], periods[0] + len(periods)))
        assert len(trades) > 30
        last = tickers[-1]
        assert set(last) == fields
        own = [one for one in trades if one["T"] <= last["E"]]
        prices = [Decimal(one["p"]) for one in own]
        assert Decimal(last["c"]) == prices[-1]
        assert Decimal(last["l"]) <= min(prices)
        assert max(prices) <= Decimal(last["h"])
        assert Decimal(last["l"]) <= Decimal(last["o"]) <= Decimal(last["h"])
        if "n" in fields:
            assert (last["L"], last["n"]) == (own[-1]["t"], last["L"] - last["F"] + 1)
            assert last["Q"] == own[-1]["q"]
            first = next(one for one in tickers if one["E"] >= trades[0]["T"])
            between = [Decimal(one["q"]) for one in own if first["L"] < one["t"]]
            # No minute has left the window: what came is what was traded.
            if first["F"] == last["F"]:
                assert Decimal(last["v"]) - Decimal(first["v"]) == sum(between)
            assert Decimal(last["p"]) == Decimal(last["c"]) - Decimal(last["o"])
            assert last["C"] - last["O"] == 86_400_000

    run_virtual(main)


@pytest.mark.parametrize("market", [SPOT, USDM, COINM])
def test_day_over_rest_is_the_day_of_the_stream(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        prefix = {SPOT: "/api/v3", USDM: "/fapi/v1", COINM: "/dapi/v1"}[market]
        async with moving(calls.venue):
            socket = connect(calls.venue, ADDRESSES[market][-1])
            await answer(socket, f"{SYMBOLS[market]}@ticker")
            told = json.loads(await asyncio.wait_for(socket.recv(), 5))
            row = (await calls.get(f"{prefix}/ticker/24hr", symbol=SYMBOLS[market].upper())).payload
        row = row[0] if isinstance(row, list) else row

        value = row["baseVolume" if market == COINM else "quoteVolume"]
        assert [row["openPrice"], row["highPrice"], row["lowPrice"], row["lastPrice"], row["volume"], value] == [
            told[name] for name in "ohlcvq"
        ]
        assert [row["firstId"], row["lastId"], row["count"]] == [told["F"], told["L"], told["n"]]

    run_virtual(main)
