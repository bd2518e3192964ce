"""O02: what counts as proof follows from what each exchange states, for placements, for amends, and over a killed process."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from services.orders.domain import OrderState
from services.orders.engine.commands import AmendCommand
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded
from tests.support.exchange_rules import BOUNDED
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import TRADER, kill, order, trading, virtual_at
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue

SPARE_S = 15.0


@virtual_at(*BOUNDED)
async def test_what_a_killed_process_sent_is_awaited_for_the_whole_window(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        venue.stream_mute = True
        # It arrives in the last moment of its window; the process ends before it can tell when it was signed.
        venue.script("place", Fault(late_s=venue.rules.window_s - 0.5, delay_s=5.0))
        running = asyncio.create_task(desk.desk.place(order(exchange=venue.exchange, valid_for_ms=1_000), TRADER))
        await asyncio.sleep(0.05)
        await kill(desk.desk)
        running.cancel()
    (placed,) = store.orders.values()
    assert placed.expires_server_ns is None

    # Reconciliation would find it as well; here it is the question by its id that counts.
    venue.script("open_orders", *[Fault(error=venue.down_error())] * 1000)
    async with trading(ports, venue, store=store, ready=False) as desk:
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

    assert found.state is OrderState.NEW
    assert venue.placed[placed.venue_client_order_id] == 1


@virtual_at(*BOUNDED)
async def test_what_a_killed_process_never_sent_is_given_up_after_window_and_processing(
    ports: Ports, venue: ScriptedVenue
) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        venue.script("place", Fault(vanish=True))
        running = asyncio.create_task(desk.desk.place(order(exchange=venue.exchange, valid_for_ms=1_000), TRADER))
        await asyncio.sleep(0.005)
        await kill(desk.desk)
        running.cancel()
    (placed,) = store.orders.values()

    async with trading(ports, venue, store=store) as desk:
        ended = await desk.settled(placed.order_id, 1.0 + venue.rules.proof_s + SPARE_S)

    assert ended.state is OrderState.NOT_PLACED
    assert (ended.updated_ns - placed.send_until_ns) / 1e9 >= venue.rules.proof_s


@virtual_at(*BOUNDED)
async def test_an_amend_that_may_still_arrive_is_not_given_up(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        venue.stream_mute = True
        venue.script("amend", Fault(late_s=venue.rules.window_s - 0.5), *[Fault(error=venue.down_error())] * 50)

        change = AmendCommand(placed.order_id, None, Decimal("98.5"), 1_000)
        try:
            await desk.desk.amend(change, TRADER, wait_s=1.0)
        except DeadlineExceeded:
            ended = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

    assert (ended.price, ended.amend_problem) == (Decimal("98.5"), "")
