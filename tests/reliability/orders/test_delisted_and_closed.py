"""An instrument is taken off an exchange, or an exchange is closed for a while: every order has an end, and the true one."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import Side
from services.orders.domain import Order, OrderState
from services.orders.errors import Reason, reason_of
from services.runtime.errors import MidstreamError
from tests.support.order_desk import TRADER
from tests.support.simulated_calls import admin, set_faults
from tests.support.simulated_desk import SimulatedStage, StagedDesk, simulated
from tests.support.virtual_time import VirtualLoop, run_virtual

PERPETUALS = {
    "binance-usdm": ("binance", "SOL/USDC:USDC", {"market": "usdm", "symbol": "SOLUSDC"}, "1"),
    "binance-coinm": ("binance", "SOL/USD:SOL", {"market": "coinm", "symbol": "SOLUSD_PERP"}, "5"),
    "bybit-linear": ("bybit", "SOL/USDC:USDC", {"market": "linear", "symbol": "SOLPERP"}, "1"),
    "bybit-inverse": ("bybit", "SOL/USD:SOL", {"market": "inverse", "symbol": "SOLUSD"}, "50"),
}
CREATE = {"binance": "POST /fapi/v1/order", "bybit": "POST /v5/order/create"}
UNAVAILABLE = {"binance": "unavailable", "bybit": "server-timeout"}
"""What the exchanges answer when they may have done it, or not."""
SYMBOL = "BTC/USDT:USDT"


async def check_delisted(
    stage: SimulatedStage, desk: StagedDesk, resting: Order, quantity: str, cause: EndedBy = EndedBy.DELISTING
) -> None:
    """All of it has ended, once, and nothing rings."""
    symbol = resting.symbol
    ended = await desk.get(resting)
    closing = [order for order in await desk.all_of(symbol) if order.external]
    assert (ended.state, ended.ended_by) == (OrderState.EXPIRED, cause)
    assert [(one.state, one.ended_by, one.side, one.filled) for one in closing] == [
        (OrderState.FILLED, EndedBy.DELISTING, Side.SELL, Decimal(quantity))
    ]
    assert desk.held(symbol) == 0
    assert desk.desk.active(TRADER) == []
    assert desk.desk.blocked() == {}
    assert stage.heard.alarms == []


@pytest.mark.parametrize("perpetual", PERPETUALS.values(), ids=list(PERPETUALS))
@pytest.mark.parametrize("away", [False, True], ids=["watched", "killed before it"])
def test_a_perpetual_is_taken_off_with_what_stands_on_it(
    perpetual: tuple[str, str, dict[str, str], str], away: bool
) -> None:
    exchange, symbol, listing, quantity = perpetual

    async def main(loop: VirtualLoop) -> None:
        async with simulated(loop, exchange) as stage:
            async with stage.desk(killed=True) as desk:
                await desk.place(symbol, quantity)
                resting = await desk.place(symbol, quantity, "0.96")
                await desk.until(lambda: desk.held(symbol) == Decimal(quantity), "the position")
                if not away:
                    admin(stage.venue, "POST", "/sim/listings/delist", listing)
                    await asyncio.sleep(60)
                    await check_delisted(stage, desk, resting, quantity)
            if away:
                admin(stage.venue, "POST", "/sim/listings/delist", listing)
                await asyncio.sleep(5)
            async with stage.desk() as desk:
                await asyncio.sleep(60)
                # Who missed the stream of Binance learns by asking that it expired, and not why.
                cause = EndedBy.EXCHANGE if away and exchange == "binance" else EndedBy.DELISTING
                await check_delisted(stage, desk, resting, quantity, cause)
                with pytest.raises(MidstreamError, match=f"{symbol}: it is not listed any more") as caught:
                    await desk.place(symbol, quantity)
                assert reason_of(caught.value) == Reason.NOT_TRADABLE

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("exchange", ["binance", "bybit"])
@pytest.mark.parametrize("executed", [True, False], ids=["taken", "not taken"])
def test_an_order_that_falls_into_an_interruption_is_unknown_and_then_what_it_is(exchange: str, executed: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        async with simulated(loop, exchange) as stage, stage.desk() as desk:
            before = await desk.place(SYMBOL, "0.01", "0.97")
            fate = f"error={UNAVAILABLE[exchange]}@{CREATE[exchange]},executed={'yes' if executed else 'no'},count=1"
            # Nobody can ask meanwhile, neither the streams nor the queries say anything.
            set_faults(stage.venue, f"{fate};error=503@GET *,for=40;silence,for=40")
            if exchange == "bybit":
                admin(stage.venue, "PUT", "/sim/system-status", {"state": "ongoing", "seconds": 60})
            during = (await desk.desk.place(desk.order(SYMBOL, "0.01", before.price), TRADER)).order
            assert during.state is OrderState.UNKNOWN

            await asyncio.sleep(30)
            known = await desk.get(during, refresh=False)
            assert known.state is OrderState.UNKNOWN
            assert (await desk.get(before)).state is OrderState.NEW

            if exchange == "bybit":
                # While it says so of itself, that it does not show an order is no proof that there is none.
                await asyncio.sleep(60)
                told = await desk.get(during)
                assert told.state is (OrderState.NEW if executed else OrderState.UNKNOWN)
                admin(stage.venue, "PUT", "/sim/system-status", {"state": "completed"})
            await asyncio.sleep(120)
            settled = await desk.get(during)
            assert settled.state is (OrderState.NEW if executed else OrderState.NOT_PLACED)
            assert (await desk.get(before)).state is OrderState.NEW
            assert desk.desk.follower.following == 0
            assert desk.desk.blocked() == {}
            assert set(stage.heard.alarms) <= {
                f"reconciliation of {exchange} failed",
                f"dead man of {exchange} not refreshed",
            }

    run_virtual(main)
