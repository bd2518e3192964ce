"""Candles, trades, funding and leverage of the simulated Bybit."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BybitCalls, virtual_bybit
from tests.support.simulated_venues import connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bybit.test_public_stream import take, tell

D = Decimal
LIVELY = VenueOptions(volatility=20, touch_chance=0)
MINUTE_MS = 60_000
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


async def candles(calls: BybitCalls, route: str = "kline", **parameters: object) -> list[list[str]]:
    return (await calls.get(f"/v5/market/{route}", **{**LINEAR, "interval": "1", **parameters})).rows


@pytest.mark.quick
def test_candles_come_newest_first_without_a_hole_and_hold_the_past() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)

        rows = await candles(calls, limit=1000)
        hours = await candles(calls, interval="60", limit=3)
        answer = (await calls.get("/v5/market/kline", **LINEAR, interval="1")).result

        starts = [int(row[0]) for row in rows]
        assert starts == list(range(starts[0], starts[0] - 1000 * MINUTE_MS, -MINUTE_MS))
        assert starts[0] == loop.wall_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
        assert all(D(low) <= min(D(o), D(c)) <= max(D(o), D(c)) <= D(high) for _, o, high, low, c, *_ in rows)
        assert [int(row[0]) % 3_600_000 for row in hours] == [0, 0, 0]
        assert (answer["symbol"], answer["category"], len(answer["list"])) == ("BTCUSDT", "linear", 200)

    run_virtual(main)


def test_start_and_end_choose_the_newest_that_open_between_them() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        now = loop.wall_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS

        def openings(rows: list[list[str]]) -> list[int]:
            return [(int(row[0]) - now) // MINUTE_MS for row in rows]

        assert openings(await candles(calls, start=now - 5 * MINUTE_MS, end=now - 2 * MINUTE_MS)) == [-2, -3, -4, -5]
        assert openings(await candles(calls, start=now - 5 * MINUTE_MS, end=now, limit=2)) == [0, -1]
        assert openings(await candles(calls, start=now - 5 * MINUTE_MS, limit=2)) == [-4, -5]
        assert openings(await candles(calls, end=now - 5 * MINUTE_MS, limit=2)) == [-5, -6]
        assert openings(await candles(calls, start=now + MINUTE_MS)) == []
        assert (await calls.get("/v5/market/kline", **LINEAR, interval="2")).ret[0] == 10001

    run_virtual(main)


def test_mark_and_index_have_candles_of_prices_alone() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)

        (trade,), (mark,), (index,) = [
            await candles(calls, route, limit=1) for route in ("kline", "mark-price-kline", "index-price-kline")
        ]
        spot = await calls.get("/v5/market/mark-price-kline", category="spot", symbol="BTCUSDT", interval="1")

        assert (len(trade), len(mark), len(index)) == (7, 5, 5)
        assert D(index[4]) < D(mark[4]) == pytest.approx(D(trade[4]), rel=D("0.0001"))
        assert spot.ret[0] == 10001

    run_virtual(main)


@pytest.mark.quick
def test_topic_tells_the_candle_under_way_and_confirms_each_that_ended_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "kline.1.BTCUSDT")
            await take(socket)
            rows = [frame["data"][0] for frame in await take(socket, 700)]
            rest = {int(row[0]): row for row in await candles(calls, limit=5)}

        closed = [row for row in rows if row["confirm"]]
        starts = [row["start"] for row in closed]
        assert len(starts) == len(set(starts)) >= 2
        assert all(row["end"] - row["start"] == MINUTE_MS - 1 for row in rows)
        for row in closed:
            names = ("open", "high", "low", "close", "volume", "turnover")
            assert [row[name] for name in names] == rest[row["start"]][1:]

    run_virtual(main)


def test_every_trade_is_told_once_those_of_accounts_among_them() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "publicTrade.BTCUSDT")
            await take(socket)
            await asyncio.sleep(1)
            await calls.create(orderType="Market", qty="0.777")
            await asyncio.sleep(2)
            told = []
            while not socket.is_idle:
                told += [row for frame in await take(socket) for row in frame["data"]]
            listed = (await calls.get("/v5/market/recent-trade", **LINEAR, limit=100)).rows
            fills = (await calls.signed("GET", "/v5/execution/list", category="linear")).rows

        assert len({row["i"] for row in told}) == len(told)
        ids = [row["execId"] for row in reversed(listed)]
        first = ids.index(told[0]["i"])
        assert [row["i"] for row in told] == ids[first : first + len(told)]
        traded = {(row["p"], row["v"]) for row in told}
        assert {(fill["execPrice"], fill["execQty"]) for fill in fills} <= traded

    run_virtual(main)


def test_funding_of_perpetuals_is_told_by_eight_hours() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        path = "/v5/market/funding/history"
        rows = (await calls.get(path, **LINEAR, limit=3)).rows
        dated = next(
            row["symbol"]
            for row in (await calls.get("/v5/market/instruments-info", category="linear")).rows
            if row["contractType"] == "LinearFutures"
        )

        times = [int(row["fundingRateTimestamp"]) for row in rows]
        assert [times[0] - time for time in times] == [0, 28_800_000, 57_600_000]
        assert all(time % 28_800_000 == 0 for time in times)
        assert (await calls.get(path, category="linear", symbol=dated)).ret[0] == 10001
        assert (await calls.get(path, **LINEAR, startTime=times[2], endTime=times[1])).rows == rows[1:]

    run_virtual(main)


@pytest.mark.quick
def test_funding_is_paid_by_longs_and_has_a_row_among_the_executions_that_is_no_trade() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(orderType="Market", qty="0.5")
        await calls.create(symbol="ETHUSDT", side="Sell", orderType="Market", qty="10")
        await asyncio.sleep(1)
        path = "/v5/execution/list"
        before = D(await usdt(calls))
        mark = D((await calls.get("/v5/market/tickers", **LINEAR)).rows[0]["markPrice"])
        await asyncio.sleep(8 * 3600)
        await calls.get("/v5/market/time")
        await asyncio.sleep(1)

        rows = (await calls.signed("GET", path, category="linear", execType="Funding")).rows
        trades = (await calls.signed("GET", path, category="linear", execType="Trade")).rows
        everything = (await calls.signed("GET", path, category="linear")).rows
        paid = {row["symbol"]: D(row["execFee"]) for row in rows}

        assert {(row["execType"], row["orderType"], row["orderQty"]) for row in rows} == {
            ("Funding", "UNKNOWN", "0.000"),
            ("Funding", "UNKNOWN", "0.00"),
        }
        assert {row["symbol"]: row["execQty"] for row in rows} == {"BTCUSDT": "0.500", "ETHUSDT": "10.00"}
        assert paid["BTCUSDT"] == pytest.approx(mark * D("0.5") * D("0.0001"), abs=D("1e-6"))
        assert paid["ETHUSDT"] < 0, "the short receives"
        assert D(await usdt(calls)) == pytest.approx(before - sum(paid.values()), abs=D("1e-6"))
        assert len(everything) == len(rows) + len(trades)
        assert await calls.orders("history", orderId=rows[0]["orderId"]) == []

    run_virtual(main)


def test_margin_mode_is_of_the_whole_account_and_isolated_leaves_totals_empty() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        path = "/v5/account/set-margin-mode"

        portfolio = await calls.signed("POST", path, {"setMarginMode": "PORTFOLIO_MARGIN"})
        unknown = await calls.signed("POST", path, {"setMarginMode": "MINE"})
        isolated = await calls.signed("POST", path, {"setMarginMode": "ISOLATED_MARGIN"})
        info = (await calls.signed("GET", "/v5/account/info")).result
        (wallet,) = (await calls.signed("GET", "/v5/account/wallet-balance", accountType="UNIFIED")).rows

        assert (portfolio.ret[0], unknown.ret[0]) == (3400045, 10001)
        assert isolated.result == {"reasons": []}
        assert info["marginMode"] == "ISOLATED_MARGIN"
        assert wallet["totalAvailableBalance"] == ""
        assert D(wallet["totalEquity"]) > 0

    run_virtual(main)


def test_tiers_and_open_interest_of_contracts() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)

        tiers = (await calls.get("/v5/market/risk-limit", **LINEAR)).rows
        all_tiers = (await calls.get("/v5/market/risk-limit", category="inverse")).rows
        interest = (await calls.get("/v5/market/open-interest", **LINEAR, intervalTime="1h", limit=3)).rows
        (ticker,) = (await calls.get("/v5/market/tickers", **LINEAR)).rows

        assert [one["symbol"] for one in tiers] == ["BTCUSDT"]
        assert len(all_tiers) == 9
        assert {one["openInterest"] for one in interest} == {ticker["openInterest"]}
        times = [int(one["timestamp"]) for one in interest]
        assert [times[0] - time for time in times] == [0, 3_600_000, 7_200_000]
        assert (await calls.get("/v5/market/open-interest", **LINEAR, intervalTime="2h")).ret[0] == 10001

    run_virtual(main)


async def usdt(calls: BybitCalls) -> str:
    (row,) = (await calls.signed("GET", "/v5/account/wallet-balance", accountType="UNIFIED", coin="USDT")).rows
    balance: str = row["coin"][0]["walletBalance"]
    return balance


@pytest.mark.quick
def test_leverage_decides_what_a_position_holds_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        path = "/v5/position/set-leverage"

        def chosen(buys: str, sells: str = "") -> dict[str, str]:
            return {**LINEAR, "buyLeverage": buys, "sellLeverage": sells or buys}

        before = await calls.create(qty="30", price="64000")
        refused = await calls.create(qty="300", price="64000")
        same = await calls.signed("POST", path, chosen("20"))
        uneven = await calls.signed("POST", path, chosen("10", "20"))
        high = await calls.signed("POST", path, chosen("101"))
        higher = await calls.signed("POST", path, chosen("100"))
        accepted = await calls.create(qty="300", price="64000")
        (row,) = (await calls.signed("GET", "/v5/position/list", **LINEAR)).rows

        assert (before.ret[0], refused.ret[0]) == (0, 110007)
        assert [one.ret[0] for one in (same, uneven, high, higher)] == [110043, 10001, 110013, 0]
        assert accepted.ret[0] == 0
        assert row["leverage"] == "100"

    run_virtual(main)
