"""O11: cancels and amends that cross fills, each other, and their own order; the exchange's truth is what remains."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from clients.exchanges.errors import CallerMustAct
from clients.resilience.outcome import Outcome
from services.orders.domain import OrderState
from services.orders.engine.commands import AmendCommand
from services.orders.errors import reason_of
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidRequest
from tests.support.exchange_rules import BINANCE, BOUNDED
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import TRADER, Trading, kill, trading, virtual, virtual_at
from tests.support.scripted_orders import Booked, Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop


def booked_of(desk: Trading, client_order_id: str) -> Booked:
    booked = desk.venue.by_client_id(client_order_id)
    assert booked is not None
    return booked


def amend(
    order_id: str, quantity: str | None = None, price: str | None = None, valid_for_ms: int = 10_000
) -> AmendCommand:
    return AmendCommand(
        order_id, Decimal(quantity) if quantity else None, Decimal(price) if price else None, valid_for_ms
    )


@pytest.mark.quick
@virtual_at(*BOUNDED)
async def test_a_fill_that_beats_the_cancel_is_an_outcome(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        booked = booked_of(desk, placed.venue_client_order_id)
        desk.venue.stream_mute = True
        desk.venue.fill(booked, booked.quantity)

        cancelled = await desk.desk.cancel(placed.order_id, TRADER)

        assert cancelled.confirmed
        assert cancelled.order is not None
        assert cancelled.order.state is OrderState.FILLED
        assert cancelled.filled_during_cancel == booked.quantity


@virtual_at(*BOUNDED)
async def test_a_partial_fill_during_the_cancel_is_told(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        booked = booked_of(desk, placed.venue_client_order_id)
        desk.venue.fill(booked, Decimal("0.1"))
        await desk.until(placed.order_id, lambda now: now.filled == Decimal("0.1"))
        desk.venue.script("cancel", Fault(delay_s=0.5))
        running = asyncio.create_task(desk.desk.cancel(placed.order_id, TRADER))
        await asyncio.sleep(0.001)
        desk.venue.fill(booked, Decimal("0.2"))

        cancelled = await running

        assert cancelled.order is not None
        assert (cancelled.order.state, cancelled.order.filled) == (OrderState.CANCELED, Decimal("0.3"))
        assert cancelled.filled_during_cancel == Decimal("0.2")


@virtual_at(*BOUNDED)
async def test_a_cancel_whose_answer_is_lost_is_repeated_until_a_terminal_state_is_seen(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        placed = await desk.place()
        desk.venue.script("cancel", Fault(vanish=True), Fault(vanish=True), Fault(lose=True))

        cancelled = await desk.desk.cancel(placed.order_id, TRADER, wait_s=30.0)

        assert cancelled.confirmed
        assert len(desk.venue.sent("cancel")) == 3
        assert booked_of(desk, placed.venue_client_order_id).state.terminal


@virtual_at(*BOUNDED)
async def test_an_answer_alone_is_no_confirmation(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        desk.venue.pending_cancels = True

        early = await desk.desk.cancel(placed.order_id, TRADER, wait_s=1.0)
        assert not early.confirmed
        assert early.order is not None
        assert early.order.canceling

        desk.venue.pending_cancels = False
        ended = await desk.settled(placed.order_id)
        assert ended.state is OrderState.CANCELED


@virtual_at(*BOUNDED)
async def test_a_cancel_that_overtakes_its_order_is_sent_again_when_the_order_is_there(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(late_s=3.0))
        placed = await desk.place()
        assert placed.state is OrderState.UNKNOWN

        cancelled = await desk.desk.cancel(placed.order_id, TRADER, wait_s=30.0)

        assert cancelled.confirmed
        assert cancelled.order is not None
        assert cancelled.order.state is OrderState.CANCELED
        assert desk.venue.open_booked() == []


@virtual_at(*BOUNDED)
async def test_a_cancel_of_an_order_that_never_was_ends_as_not_placed(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.script("place", Fault(vanish=True))
        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)

        cancelled = await desk.desk.cancel(placed.order_id, TRADER, wait_s=60.0)

        assert cancelled.order is not None
        assert cancelled.order.state is OrderState.NOT_PLACED
        assert len(desk.venue.sent("place")) == 1, "what shall be cancelled is not sent again"


@virtual_at(*BOUNDED)
async def test_a_cancel_outlives_the_process(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        placed = await desk.place()
        venue.down = venue.down_error()
        await desk.desk.cancel(placed.order_id, TRADER, wait_s=1.0)
        await kill(desk.desk)
    venue.down = None

    async with trading(ports, venue, store=store, ready=False) as desk:
        ended = await desk.settled(placed.order_id)

    assert ended.state is OrderState.CANCELED
    assert venue.open_booked() == []


@pytest.mark.parametrize("fault", ["lose", "vanish", "late", "refuse-first"])
def test_an_amend_is_confirmed_whatever_happened_to_its_answer(fault: str) -> None:
    faults = {
        "lose": [Fault(lose=True)],
        "vanish": [Fault(vanish=True)],
        "late": [Fault(late_s=2.0)],
        "refuse-first": [Fault(error=ScriptedVenue(BINANCE, Ports()).down_error())] * 2,
    }[fault]

    @virtual
    async def scenario(ports: Ports, loop: VirtualLoop) -> None:
        async with trading(ports) as desk:
            desk.venue.stream_mute = True
            placed = await desk.place()
            desk.venue.script("amend", *faults)

            after = (await desk.desk.amend(amend(placed.order_id, "0.7", "98.5"), TRADER)).order

            booked = booked_of(desk, after.venue_client_order_id)
            assert (after.quantity, after.price) == (Decimal("0.7"), Decimal("98.5"))
            assert (booked.quantity, booked.price) == (Decimal("0.7"), Decimal("98.5"))
            assert after.amending is None

    scenario()


@virtual_at(*BOUNDED)
async def test_an_amend_that_can_no_longer_arrive_is_given_up_and_said_so(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        desk.venue.script("amend", *[Fault(vanish=True)] * 20)

        with pytest.raises(DeadlineExceeded):
            await desk.desk.amend(amend(placed.order_id, None, "98.5", 5_000), TRADER, wait_s=5.0)
        ended = await desk.settled(placed.order_id, 60.0)

        assert ended.price == Decimal(99)
        assert "does not show" in ended.amend_problem
        desk.venue.faults.clear()
        assert (await desk.desk.amend(amend(placed.order_id, None, "98"), TRADER, wait_s=10.0)).order.price == Decimal(
            98
        )


@virtual_at(*BOUNDED)
async def test_a_refusal_because_nothing_changes_is_success(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        placed = await desk.place()
        booked = booked_of(desk, placed.venue_client_order_id)
        same = CallerMustAct("binance", "amend", Outcome.REJECTED, "No need to modify the order.", code="-5027")
        desk.venue.script("amend", Fault(error=same))
        booked.price = Decimal("98.5")
        booked.updated_ns += 1

        after = (await desk.desk.amend(amend(placed.order_id, None, "98.5"), TRADER)).order

        assert after.price == Decimal("98.5")


@virtual_at(*BOUNDED)
async def test_a_refused_amend_leaves_the_order_as_it_is(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        refusal = CallerMustAct("binance", "amend", Outcome.REJECTED, "Too many amends", code="-5026")
        desk.venue.script("amend", Fault(error=refusal))

        with pytest.raises(FailedPrecondition, match="Too many amends") as refused:
            await desk.desk.amend(amend(placed.order_id, None, "98.5"), TRADER)
        newest = await desk.settled(placed.order_id)

        assert reason_of(refused.value) == "amend-refused"
        assert (newest.state, newest.price) == (OrderState.NEW, Decimal(99))


@virtual_at(*BOUNDED)
async def test_an_amend_of_an_order_that_fills_meanwhile_says_what_became_of_it(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        booked = booked_of(desk, placed.venue_client_order_id)
        desk.venue.stream_mute = True
        desk.venue.fill(booked, booked.quantity)

        with pytest.raises(FailedPrecondition, match="FILLED") as refused:
            await desk.desk.amend(amend(placed.order_id, None, "98.5"), TRADER)

        assert reason_of(refused.value) == "order-closed"
        assert desk.desk.ledger.open_count == 0


@virtual_at(*BOUNDED)
async def test_an_amend_below_what_is_executed_is_denied_before_the_wire(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        desk.venue.fill(booked_of(desk, placed.venue_client_order_id), Decimal("0.3"))
        await desk.until(placed.order_id, lambda now: now.filled > 0)

        with pytest.raises(InvalidRequest, match="executed already"):
            await desk.desk.amend(amend(placed.order_id, "0.3"), TRADER)

        assert desk.venue.sent("amend") == []


@virtual_at(*BOUNDED)
async def test_a_second_amend_waits_its_turn_and_a_cancel_does_not(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        desk.venue.script("amend", Fault(delay_s=2.0))
        first = asyncio.create_task(desk.desk.amend(amend(placed.order_id, None, "98.5"), TRADER))
        await asyncio.sleep(0.005)

        with pytest.raises(FailedPrecondition) as refused:
            await desk.desk.amend(amend(placed.order_id, None, "98"), TRADER)
        cancelled = await desk.desk.cancel(placed.order_id, TRADER)
        await asyncio.wait((first,))

        assert reason_of(refused.value) == "order-busy"
        assert cancelled.confirmed


@virtual_at(*BOUNDED)
async def test_an_amend_under_way_at_a_kill_is_looked_at_before_anything_is_repeated(
    ports: Ports, venue: ScriptedVenue
) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        placed = await desk.place()
        venue.script("amend", Fault(delay_s=5.0))
        running = asyncio.create_task(desk.desk.amend(amend(placed.order_id, None, "98.5"), TRADER))
        await asyncio.sleep(0.1)
        await kill(desk.desk)
        running.cancel()

    async with trading(ports, venue, store=store) as desk:
        ended = await desk.settled(placed.order_id)

    assert ended.price == Decimal("98.5")
    assert len(venue.sent("amend")) == 1
