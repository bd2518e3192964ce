"""Bybit moves futures prices that are beyond its limit, and says nothing of it: what was placed or amended so is told as it is."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clients.exchanges.trading import Side
from services.orders.domain import Order, OrderState
from services.orders.engine.commands import AmendCommand
from tests.support.order_desk import TRADER
from tests.support.simulated_desk import StagedDesk, simulated
from tests.support.virtual_time import VirtualLoop, run_virtual

SYMBOL = "BTC/USDT:USDT"
BEYOND = {Side.BUY: Decimal("1.2"), Side.SELL: Decimal("0.8")}
REST = {Side.BUY: "0.98", Side.SELL: "1.02"}


async def amended(desk: StagedDesk, order: Order, price: Decimal, quantity: str | None = None) -> Order:
    """Amend an order, and return it."""
    wanted = None if quantity is None else Decimal(quantity)
    return (await desk.desk.amend(AmendCommand(order.order_id, wanted, price, 10_000), TRADER)).order


@pytest.mark.quick
@pytest.mark.parametrize("side", list(Side))
def test_an_amend_beyond_the_limit_is_done_at_the_limit_and_says_so(side: Side) -> None:
    async def main(loop: VirtualLoop) -> None:
        async with simulated(loop, "bybit") as stage, stage.desk() as desk:
            resting = await desk.place(SYMBOL, "0.01", REST[side], side)
            market = (await desk.client.get_price(SYMBOL)).price
            beyond = (market * BEYOND[side]).quantize(Decimal(1))
            begun_ns = loop.monotonic_ns()

            after = await amended(desk, resting, beyond)
            took_ns = loop.monotonic_ns() - begun_ns
            await desk.until(lambda: desk.desk.active(TRADER) == [], "an end at a price that takes")
            ended = await desk.get(after)

            assert after.price is not None
            assert after.price not in (resting.price, beyond)
            assert (after.price < beyond) is (side is Side.BUY)
            assert (after.amending, after.amend_problem, after.halted) == (None, "", "")
            assert after.reason == f"bybit moved the price from {beyond} to {after.price}, its limit"
            # Nobody had to wait for the end of its time to learn that.
            assert took_ns < 1_000_000_000
            assert (ended.state, ended.price, ended.reason) == (OrderState.FILLED, after.price, after.reason)

    run_virtual(main)
