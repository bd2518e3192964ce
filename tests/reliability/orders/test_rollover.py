"""A quarterly ends while an order rests and a position stands on it: what the desk says is right before, during and after.

The same is expected whether the desk saw it happen, was killed and came back at any moment of it, or learned of it afterwards alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import pytest

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import Side
from services.orders.domain import Order, OrderState
from services.orders.errors import Reason, reason_of
from services.runtime.errors import MidstreamError
from tests.support.order_desk import TRADER
from tests.support.simulated_desk import SimulatedStage, StagedDesk, day_of, simulated
from tests.support.virtual_time import VirtualLoop, run_virtual

FAMILIES = {
    "binance-usdm": ("binance", "BTC/USDT:USDT", "0.01"),
    "binance-coinm": ("binance", "BTC/USD:BTC", "5"),
    "bybit-linear": ("bybit", "BTC/USDT:USDT", "0.01"),
    "bybit-usdc": ("bybit", "BTC/USDC:USDC", "0.01"),
    "bybit-inverse": ("bybit", "BTC/USD:BTC", "500"),
}
BEFORE_S, AFTER_S = 90.0, 90.0
SECOND_NS = 1_000_000_000

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


@dataclass
class Story:
    """The contracts of one family, and what was ordered on the one that ends."""

    stage: SimulatedStage
    family: str
    quantity: str
    old: str = ""
    following: str = ""
    end_ns: int = 0
    bought: Order | None = None
    resting: Order | None = None

    async def begin(self) -> None:
        """Go to a minute and a half before the end."""
        async with self.stage.desk() as desk:
            self.old, self.following = await desk.contracts(self.family)
            end_ns = (await desk.client.get_instruments())[self.old].expiry_time_ns
        assert end_ns is not None
        self.end_ns = end_ns
        self.stage.travel_to(end_ns - round(BEFORE_S * SECOND_NS))
        # To have jumped so far is no part of the story.
        self.stage.journal.kept.clear()
        self.stage.heard.alarms.clear()

    async def order(self, desk: StagedDesk) -> None:
        """Buy, and leave another order resting."""
        self.bought = await desk.place(self.old, self.quantity)
        self.resting = await desk.place(self.old, self.quantity, "0.96")
        assert self.bought.state is OrderState.FILLED

    async def check_before(self, desk: StagedDesk) -> None:
        """It rests, and what was bought is held."""
        assert self.resting is not None
        assert (await desk.get(self.resting)).state is OrderState.NEW
        await desk.until(lambda: desk.held(self.old) == Decimal(self.quantity), "the position")
        assert await desk.contracts(self.family) == [self.old, self.following]

    async def check_after(self, desk: StagedDesk) -> None:
        """All of it has ended, for its cause, once; the next quarter is traded, and nothing rings."""
        assert self.resting is not None
        assert self.bought is not None
        resting = await desk.get(self.resting)
        told = (resting.state, resting.ended_by, resting.filled, resting.exchange_symbol)
        assert told == (OrderState.EXPIRED, EndedBy.DELISTING, 0, self.resting.exchange_symbol)
        assert await desk.get(self.bought) == self.bought

        orders = await desk.all_of(self.old)
        closing = [order for order in orders if order.external]
        assert {order.order_id for order in orders if not order.external} == {resting.order_id, self.bought.order_id}
        assert [(one.state, one.ended_by, one.side, one.filled) for one in closing] == [
            (OrderState.FILLED, EndedBy.DELISTING, Side.SELL, Decimal(self.quantity))
        ]
        assert desk.held(self.old) == 0
        assert desk.desk.active(TRADER) == []
        assert desk.desk.follower.following == 0
        assert desk.desk.blocked() == {}
        assert self.stage.heard.alarms == []

    async def check_trading(self, desk: StagedDesk) -> None:
        """What has ended is refused, saying so; what is listed instead is traded."""
        current, fresh = await desk.contracts(self.family)
        assert current == self.following
        assert day_of(fresh) > day_of(self.following)
        for _ in range(20):
            with pytest.raises(MidstreamError, match=f"{self.old}: it ended on {day_of(self.old)}") as caught:
                await desk.place(self.old, self.quantity, "")
            assert reason_of(caught.value) == Reason.NOT_TRADABLE
        placed = await desk.place(fresh, self.quantity, "0.96")
        assert placed.state is OrderState.NEW
        assert (await desk.desk.cancel(placed.order_id, TRADER)).confirmed


def told(family: tuple[str, str, str], killed: str = "") -> None:
    """Let a quarter end; the desk is killed and started again where that is said."""
    exchange, name, quantity = family

    async def main(loop: VirtualLoop) -> None:
        async with simulated(loop, exchange) as stage:
            story = Story(stage, name, quantity)
            await story.begin()
            async with stage.desk(killed=bool(killed)) as desk:
                await story.order(desk)
                await story.check_before(desk)
                if not killed or killed == "after":
                    await desk.until_ns(story.end_ns + round(AFTER_S * SECOND_NS))
                    await story.check_after(desk)
                    await story.check_trading(desk)
                if killed == "during":
                    await desk.until_ns(story.end_ns - SECOND_NS)
            if killed == "before":
                async with stage.desk(killed=True) as desk:
                    await story.check_before(desk)
                    await desk.until_ns(story.end_ns + round(AFTER_S * SECOND_NS))
                    await story.check_after(desk)
            if killed == "during":
                await asyncio.sleep(2)
            if killed:
                async with stage.desk() as desk:
                    # Rows about what has just happened are late at some exchanges: the next comparison has them.
                    await desk.until_ns(story.end_ns + round(AFTER_S * SECOND_NS))
                    await story.check_after(desk)
                    await story.check_trading(desk)

    run_virtual(main)


@pytest.mark.quick
@families
def test_a_quarterly_ends_before_the_eyes_of_the_desk(family: tuple[str, str, str]) -> None:
    told(family)


@pytest.mark.cases(4)
@families
@pytest.mark.parametrize("killed", ["before", "during", "after"])
def test_a_desk_that_is_killed_says_the_same_when_it_is_back(family: tuple[str, str, str], killed: str) -> None:
    told(family, killed)
