"""Funding of perpetual contracts: what is told of the rates, and that it is paid."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BinanceCalls, virtual_binance
from tests.support.simulated_venues import moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_account import SYMBOLS, arrived, futures_socket, market_order

D = Decimal
PERIOD_MS = 8 * 3600 * 1000
STEPPING = VenueOptions(volatility=0, touch_chance=0, step_s=30)
futureswise = pytest.mark.parametrize("market", [USDM, COINM])


async def wallet(calls: BinanceCalls, market: str) -> dict[str, Decimal]:
    rows = (await calls.signed("GET", f"{PREFIXES[market]}/balance")).payload
    return {row["asset"]: D(row["balance"]) for row in rows}


@pytest.mark.quick
@futureswise
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_what_is_due_is_paid_once_told_and_listed(market: str, side: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, STEPPING)
        asset = "BTC" if market == COINM else "USDT"
        async with moving(calls.venue):
            socket = await futures_socket(calls, market)
            await market_order(calls, market, side)
            await arrived(socket)
            before = await wallet(calls, market)
            # Fourteen hours, in which one payment is due.
            for _ in range(14):
                await asyncio.sleep(3500)
                await calls.keyed("PUT", f"{PREFIXES[market]}/listenKey")
            after = await wallet(calls, market)
            updates = await arrived(socket)
            rates = (await calls.get(f"{PREFIXES[market]}/fundingRate", symbol=SYMBOLS[market])).payload
            income = (await calls.signed("GET", f"{PREFIXES[market]}/income", incomeType="FUNDING_FEE")).payload
            everything = (await calls.signed("GET", f"{PREFIXES[market]}/income")).payload

        quantity = D(5) * 100 if market == COINM else D("0.01")
        rate, mark = D(rates[-1]["fundingRate"]), D(rates[-1]["markPrice"])
        worth = quantity / mark if market == COINM else quantity * mark
        due = round(-worth * rate * (1 if side == "BUY" else -1), 8)
        assert rate == D("0.0001")
        assert after[asset] - before[asset] == due
        [update] = updates
        assert (update["e"], update["a"]["m"], update["a"]["P"]) == ("ACCOUNT_UPDATE", "FUNDING_FEE", [])
        assert (D(update["a"]["B"][0]["bc"]), D(update["a"]["B"][0]["wb"])) == (due, after[asset])
        [row] = income
        assert (row["symbol"], row["asset"], D(row["income"])) == (SYMBOLS[market], asset, due)
        assert row["time"] == rates[-1]["fundingTime"]
        assert row["time"] % PERIOD_MS == 0
        assert [one["incomeType"] for one in everything] == ["COMMISSION", "FUNDING_FEE"]
        start = {"BTC": D(20), "USDT": D(1_000_000)}[asset]
        assert round(start + sum(D(one["income"]) for one in everything), 7) == round(after[asset], 7)

    run_virtual(main)


@futureswise
def test_rates_of_the_past_are_there_by_the_page(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        async def rates(**asked: Any) -> Any:
            return (await calls.get(f"{PREFIXES[market]}/fundingRate", symbol=SYMBOLS[market], **asked)).payload

        newest = await rates()
        page = await rates(startTime=newest[10]["fundingTime"], limit=5)
        bounded = await rates(startTime=newest[10]["fundingTime"], endTime=newest[12]["fundingTime"])
        oldest = await rates(startTime=0, limit=2)
        dated = (await calls.get(f"{PREFIXES[market]}/fundingInfo")).payload

        assert len(newest) == 100
        assert [row["fundingTime"] - newest[0]["fundingTime"] for row in newest] == [PERIOD_MS * n for n in range(100)]
        assert newest[-1]["fundingTime"] <= calls.venue.wall_ns() // 1_000_000
        assert page == newest[10:15]
        assert bounded == newest[10:13]
        assert oldest[1]["fundingTime"] - oldest[0]["fundingTime"] == PERIOD_MS
        assert set(newest[0]) == {"symbol", "fundingTime", "fundingRate", "markPrice"}
        assert dated == []

    run_virtual(main)


@futureswise
def test_open_interest_is_what_accounts_hold(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await market_order(calls, market, "SELL")
        said = (await calls.get(f"{PREFIXES[market]}/openInterest", symbol=SYMBOLS[market])).payload

        assert said["openInterest"] == ("5" if market == COINM else "0.01")

    run_virtual(main)


def test_income_is_listed_as_asked() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        for side in ("BUY", "SELL"):
            await market_order(calls, USDM, side)

        async def income(**asked: str) -> Any:
            return (await calls.signed("GET", "/fapi/v1/income", at_ms=None, **asked)).payload

        everything = await income()
        assert [row["incomeType"] for row in everything] == ["COMMISSION", "REALIZED_PNL", "COMMISSION"]
        assert await income(symbol="ETHUSDT") == []
        assert await income(incomeType="TRANSFER") == []
        assert (await income(incomeType="NOSUCH"))["code"] == -1130
        assert await income(limit="2", page="2") == everything[2:]
        assert json.dumps(everything)

    run_virtual(main)
