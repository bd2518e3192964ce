"""O09: our books become the exchange's, whatever happened while nobody listened; before that nothing is traded."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.trading import Fill, OrderReport, OrderType, Side, VenueState
from services.orders.domain import Cause, Order, OrderState
from services.orders.engine.intake import ReportIntake
from services.orders.errors import reason_of
from services.orders.journal.store import FillFilter, OrderFilter
from services.orders.ports import Ports
from services.runtime.errors import FailedPrecondition
from tests.support.exchange_rules import BINANCE
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import ADMIN, TRADER, Told, kill, trading, virtual
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

PERPETUAL = "BTC/USDT:USDT"


@pytest.mark.quick
@virtual
async def test_trading_is_off_until_the_first_comparison_succeeded(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue(BINANCE, ports)
    venue.script("positions", Fault(error=venue.down_error()), Fault(error=venue.down_error()))
    async with trading(ports, venue, ready=False) as desk:
        await ports.sleep(0.2)
        with pytest.raises(FailedPrecondition) as refused:
            await desk.place()
        assert reason_of(refused.value) == "not-reconciled"
        assert venue.sent("place") == []

        await ports.sleep(10.0)
        placed = await desk.place()

        assert placed.state is OrderState.NEW


@virtual
async def test_trading_stops_when_comparisons_fail_for_too_long_and_cancels_still_pass(
    ports: Ports, loop: VirtualLoop
) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        desk.venue.script("positions", *[Fault(error=desk.venue.down_error())] * 1000)
        await ports.sleep(301.0)

        with pytest.raises(FailedPrecondition) as refused:
            await desk.place()
        cancelled = await desk.desk.cancel(placed.order_id, TRADER)

        assert reason_of(refused.value) == "not-reconciled"
        assert cancelled.confirmed


@virtual
async def test_orders_of_others_are_found_and_followed(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue(BINANCE, ports)
    before = venue.external()
    async with trading(ports, venue) as desk:
        venue.stream_mute = True
        during = venue.external(price="91")
        await ports.sleep(31.0)
        found = await desk.desk.find(ADMIN, OrderFilter())
        assert {order.exchange_order_id for order in found} == {before.exchange_order_id, during.exchange_order_id}
        assert all(order.external and order.owner == "" for order in found)
        assert desk.desk.active(TRADER) == [], "they are nobody's of ours"

        venue.fill(during, Decimal("0.2"))
        venue.end(before)
        await ports.sleep(31.0)

        states = {order.exchange_order_id: order for order in await desk.desk.find(ADMIN, OrderFilter())}
        assert states[during.exchange_order_id].state is OrderState.PARTIALLY_FILLED
        assert states[during.exchange_order_id].filled == Decimal("0.2")
        assert states[before.exchange_order_id].state is OrderState.CANCELED


@virtual
async def test_what_ended_is_taken_once_and_what_changes_again(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue(BINANCE, ports)
    ended, live = venue.external(), venue.external(price="91")
    venue.fill(ended, ended.quantity)
    async with trading(ports, venue, symbols=("BTC/USDT",)) as desk:
        await ports.sleep(1.0)
        taken = _watched(desk.desk.intake)
        await ports.sleep(65.0)
        assert set(taken) == {live.exchange_order_id}, "of what has ended nothing is new in two comparisons"

        venue.stream_mute = True
        venue.fill(live, live.quantity)
        await ports.sleep(31.0)

        states = {order.exchange_order_id: order for order in await desk.desk.find(ADMIN, OrderFilter())}
        assert states[live.exchange_order_id].state is OrderState.FILLED
        assert len(await desk.desk.fills(ADMIN, FillFilter())) == 2
        await ports.sleep(31.0)
        taken.clear()
        await ports.sleep(31.0)
        assert taken == []


def _watched(intake: ReportIntake) -> list[str]:
    """Return a list to which the exchange's id goes of whatever is taken in from now on."""
    taken: list[str] = []
    take, take_fill = intake.take, intake.take_fill

    async def noted(report: OrderReport, cause: Cause) -> Order:
        taken.append(report.exchange_order_id)
        return await take(report, cause)

    async def noted_fill(fill: Fill, cause: Cause) -> Order | None:
        taken.append(fill.exchange_order_id)
        return await take_fill(fill, cause)

    intake.take, intake.take_fill = noted, noted_fill  # type: ignore[method-assign]
    return taken


@virtual
async def test_an_order_of_others_that_came_and_went_unheard_is_found(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, symbols=("BTC/USDT",)) as desk:
        desk.venue.stream_mute = True
        await ports.sleep(35.0)
        booked = desk.venue.external()
        desk.venue.fill(booked, booked.quantity)

        await ports.sleep(31.0)

        found = await desk.desk.find(ADMIN, OrderFilter())
        assert [order.state for order in found] == [OrderState.FILLED]
        assert len(await desk.store.fills(FillFilter())) == 1


@virtual
async def test_fills_missed_while_the_process_was_dead_are_found_each_once(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store, dead_man=False) as desk:
        part = await desk.place(symbol=PERPETUAL, quantity=Decimal(1))
        whole = await desk.place(symbol=PERPETUAL, quantity=Decimal(1), price=Decimal(98))
        ended = await desk.place(symbol=PERPETUAL, quantity=Decimal(1), price=Decimal(97))
        await kill(desk.desk)
    for placed, quantities in ((part, ("0.25", "0.25")), (whole, ("0.5", "0.5")), (ended, ("0.1",))):
        booked = venue.by_client_id(placed.venue_client_order_id)
        assert booked is not None
        for quantity in quantities:
            venue.fill(booked, Decimal(quantity))
    venue.end(next(one for one in venue.open_booked() if one.price == Decimal(97)))
    await ports.sleep(3600.0)

    async with trading(ports, venue, store=store) as desk:
        orders = {order.order_id: order for order in await desk.desk.find(TRADER, OrderFilter())}

        assert (orders[part.order_id].state, orders[part.order_id].filled) == (
            OrderState.PARTIALLY_FILLED,
            Decimal("0.5"),
        )
        assert (orders[whole.order_id].state, orders[whole.order_id].filled) == (OrderState.FILLED, Decimal(1))
        assert (orders[ended.order_id].state, orders[ended.order_id].filled) == (OrderState.CANCELED, Decimal("0.1"))
        assert len(await store.fills(FillFilter())) == 5
        assert desk.desk.positions.quantity("binance", "perp", PERPETUAL) == venue.position(PERPETUAL) == Decimal("1.6")


@virtual
async def test_repeated_and_reordered_statements_change_nothing_twice(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.stream_mute = True
        placed = await desk.place(quantity=Decimal(1))
        booked = desk.venue.by_client_id(placed.venue_client_order_id)
        assert booked is not None
        statements = [desk.venue.report(booked)]
        for quantity in ("0.2", "0.3", "0.5"):
            fill = desk.venue.fill(booked, Decimal(quantity))
            statements.append(replace(desk.venue.report(booked), fill=fill, source="stream"))
        desk.venue.stream_mute = False
        for statement in [*reversed(statements), *statements, *statements]:
            desk.venue.tell(statement)
        await ports.sleep(1.0)

        newest = await desk.settled(placed.order_id)
        assert (newest.state, newest.filled, newest.fills_quantity) == (OrderState.FILLED, Decimal(1), Decimal(1))
        assert len(await desk.store.fills(FillFilter())) == 3
        assert desk.desk.positions.quantity("binance", "spot", "BTC/USDT") == Decimal(1)


@virtual
async def test_an_order_absent_from_open_orders_is_asked_for_by_its_id(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.stream_mute = True
        filled, ended = await desk.place(), await desk.place()
        for placed in (filled, ended):
            booked = desk.venue.by_client_id(placed.venue_client_order_id)
            assert booked is not None
            if placed is filled:
                desk.venue.fill(booked, booked.quantity)
            else:
                desk.venue.end(booked, VenueState.EXPIRED)

        assert (await desk.until(filled.order_id, lambda now: now.state.terminal, 31.0)).state is OrderState.FILLED
        assert (await desk.until(ended.order_id, lambda now: now.state.terminal, 31.0)).state is OrderState.EXPIRED


@virtual
async def test_the_end_of_an_old_order_is_noticed_although_nobody_spoke_of_it(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        desk.venue.stream_mute = True
        await ports.sleep(1000.0)
        desk.venue.end(desk.venue.open_booked()[0])

        # Created long before the range that is swept: only its absence tells.
        assert (await desk.until(placed.order_id, lambda now: now.state.terminal, 31.0)).state is OrderState.CANCELED


@virtual
async def test_a_gap_of_the_stream_asks_at_once(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        booked = desk.venue.by_client_id(placed.venue_client_order_id)
        assert booked is not None
        desk.venue.cut_stream()
        desk.venue.fill(booked, booked.quantity)

        found = await desk.until(placed.order_id, lambda now: now.state.terminal, 5.0)

        assert found.state is OrderState.FILLED
        assert desk.store.kept[-1].event.cause in (Cause.QUERY, Cause.RECONCILIATION)


@virtual
async def test_a_position_that_nobody_can_explain_is_told_and_taken_over(ports: Ports, loop: VirtualLoop) -> None:
    told = Told()
    async with trading(ports, observer=told) as desk:
        # A position that no execution made: a transfer, a liquidation, a bug.
        desk.venue.extra_positions[PERPETUAL] = Decimal(3)
        # At the next comparison, which looks again before it says so.
        await ports.sleep(36.0)

        assert told.differences == [f"{PERPETUAL}: expected 0, exchange has 3"]
        assert desk.desk.positions.quantity("binance", "perp", PERPETUAL) == Decimal(3)


@virtual
async def test_our_own_executions_are_no_difference(ports: Ports, loop: VirtualLoop) -> None:
    told = Told()
    async with trading(ports, observer=told) as desk:
        for side in (Side.BUY, Side.SELL, Side.BUY):
            await desk.place(symbol=PERPETUAL, type=OrderType.MARKET, side=side)
            await ports.sleep(17.0)

        assert told.differences == []
        assert desk.desk.positions.quantity("binance", "perp", PERPETUAL) == Decimal("0.5")
