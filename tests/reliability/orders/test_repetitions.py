"""What a caller without an answer does: ask again. A repetition says the same as the first time, and sends nothing more."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.orders.domain import OrderState
from services.orders.engine.commands import AmendCommand
from services.orders.errors import reason_of
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded, FailedPrecondition
from tests.support.exchange_rules import BINANCE, BITMEX, BYBIT, TOY
from tests.support.order_desk import ADMIN, TRADER, trading, virtual, virtual_at
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

EVERYWHERE = (BINANCE, BITMEX, BYBIT, TOY)
SYMBOLS = ("BTC/USDT", "BTC/USDT:USDT")


def to(order_id: str, quantity: str | None = None, price: str | None = None) -> AmendCommand:
    return AmendCommand(order_id, Decimal(quantity) if quantity else None, Decimal(price) if price else None, 10_000)


@virtual_at(*EVERYWHERE)
async def test_the_same_amend_twice_has_the_same_answer(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        for symbol in SYMBOLS:
            placed = await desk.place(symbol=symbol)
            for command in (
                to(placed.order_id, "0.7"),
                to(placed.order_id, None, "98.5"),
                to(placed.order_id, "0.6", "98"),
            ):
                first = await desk.desk.amend(command, TRADER)
                sent = len(venue.calls)
                second = await desk.desk.amend(command, TRADER)

                assert (first.already, second.already) == (False, True)
                assert second.order == first.order
                assert [call.operation for call in venue.calls[sent:] if call.operation in ("amend", "cancel")] == []


@virtual_at(*EVERYWHERE)
async def test_an_amend_without_an_answer_is_waited_for_by_its_repetition(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        venue.stream_mute = True
        venue.script("amend", Fault(delay_s=2.0))
        command = to(placed.order_id, None, "98.5")
        with pytest.raises(DeadlineExceeded):
            await desk.desk.amend(command, TRADER, wait_s=0.5)

        repeated = await desk.desk.amend(command, TRADER)

        assert repeated.order.price == Decimal("98.5")
        assert len(venue.sent("amend")) == 1


@virtual_at(*EVERYWHERE)
async def test_a_repetition_after_the_order_was_executed_still_says_that_it_was_amended(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        placed, other = await desk.place(), await desk.place()
        command = to(placed.order_id, None, "98.5")
        amended = (await desk.desk.amend(command, TRADER)).order
        for order in (amended, other):
            booked = venue.by_client_id(order.venue_client_order_id)
            assert booked is not None
            venue.fill(booked, booked.quantity)
            await desk.until(order.order_id, lambda now: now.state is OrderState.FILLED)

        repeated = await desk.desk.amend(command, TRADER)
        with pytest.raises(FailedPrecondition) as refused:
            await desk.desk.amend(to(other.order_id, None, "99"), TRADER)

        assert (repeated.already, repeated.order.state) == (True, OrderState.FILLED)
        assert reason_of(refused.value) == "order-closed", "it never was amended"


@virtual_at(*EVERYWHERE)
async def test_another_target_while_one_is_on_its_way_is_no_repetition(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        venue.stream_mute = True
        venue.script("amend", Fault(delay_s=2.0))
        first = asyncio.create_task(desk.desk.amend(to(placed.order_id, None, "98.5"), TRADER))
        await asyncio.sleep(0.1)

        for command in (
            to(placed.order_id, None, "98"),
            to(placed.order_id, "0.6", "98.5"),
            to(placed.order_id, None, "99"),
        ):
            with pytest.raises(FailedPrecondition) as refused:
                await desk.desk.amend(command, TRADER)
            assert reason_of(refused.value) == "order-busy"
        await first


@virtual_at(*EVERYWHERE)
async def test_the_same_cancel_twice_has_the_same_answer(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        booked = venue.by_client_id(placed.venue_client_order_id)
        assert booked is not None
        venue.script("cancel", Fault(delay_s=0.5))
        running = asyncio.create_task(desk.desk.cancel(placed.order_id, TRADER))
        await asyncio.sleep(0.001)
        venue.fill(booked, Decimal("0.2"))

        first, second = await running, await desk.desk.cancel(placed.order_id, TRADER)

        assert first.filled_during_cancel == Decimal("0.2")
        assert second == first


@virtual
async def test_the_same_switch_twice_is_one_change(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        for engaged in (True, False):
            first = await desk.desk.set_switch(engaged, "looking", ADMIN)
            await asyncio.sleep(1.0)
            assert await desk.desk.set_switch(engaged, "looking", ADMIN) == first
