"""O04: the same key with the same body is one order, however often and however concurrently it is asked for."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.orders.domain import OrderState
from services.orders.errors import reason_of
from services.orders.ports import Ports
from services.runtime.errors import AlreadyExists, Unavailable
from tests.support.exchange_rules import BINANCE
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import STRANGER, TRADER, order, trading, virtual
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

DAY_S = 24 * 3600.0


@pytest.mark.quick
@virtual
async def test_a_hundred_at_once_are_one_request_and_one_answer(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        command = order()

        placed = await asyncio.gather(*(desk.desk.place(command, TRADER) for _ in range(100)))

        assert len(desk.venue.sent("place")) == 1
        assert len({one.order.order_id for one in placed}) == 1
        assert {one.order.state for one in placed} == {OrderState.NEW}
        assert sum(not one.repeated for one in placed) == 1


@virtual
async def test_the_same_key_with_another_body_is_refused_while_and_after(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        first, other = order(idempotency_key="k"), order(idempotency_key="k", quantity=Decimal("0.6"))
        running = asyncio.create_task(desk.desk.place(first, TRADER))
        await asyncio.sleep(0)

        with pytest.raises(AlreadyExists):
            await desk.desk.place(other, TRADER)
        await running
        with pytest.raises(AlreadyExists) as refused:
            await desk.desk.place(other, TRADER)

        assert reason_of(refused.value) == "idempotency-key-reused"
        assert len(desk.venue.sent("place")) == 1


@virtual
async def test_a_key_outlives_the_process_and_ends_after_a_day(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    command = order()
    async with trading(ports, venue, store=store) as desk:
        first = await desk.desk.place(command, TRADER)
    async with trading(ports, venue, store=store, reconcile_s=290.0) as desk:
        again = await desk.desk.place(command, TRADER)
        await ports.sleep(DAY_S + 1)
        later = await desk.desk.place(command, TRADER)

    assert again.repeated
    assert again.order.order_id == first.order.order_id
    assert not later.repeated
    assert later.order.order_id != first.order.order_id


@virtual
async def test_keys_of_different_owners_do_not_meet(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        command = order()

        mine = await desk.desk.place(command, TRADER)
        theirs = await desk.desk.place(command, STRANGER)

        assert mine.order.order_id != theirs.order.order_id


@virtual
async def test_a_denied_request_leaves_its_key_free(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        command = order()
        desk.venue.quote_age_ns = 60_000_000_000
        with pytest.raises(Exception, match="old"):
            await desk.desk.place(command, TRADER)

        desk.venue.quote_age_ns = 0
        placed = await desk.desk.place(command, TRADER)

        assert placed.order.state is OrderState.NEW


@virtual
async def test_a_caller_that_goes_away_does_not_stop_the_order(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.script("place", Fault(delay_s=2.0))
        command = order()
        running = asyncio.create_task(desk.desk.place(command, TRADER))
        await ports.sleep(0.5)
        running.cancel()
        await asyncio.wait((running,))

        again = await desk.desk.place(command, TRADER)

        assert again.repeated
        assert again.order.state is OrderState.NEW
        assert len(desk.venue.sent("place")) == 1


@virtual
async def test_a_broken_journal_lets_nothing_out(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        assert isinstance(desk.store, MemoryJournal)
        desk.store.broken = True

        with pytest.raises(Unavailable) as refused:
            await desk.place()

        assert reason_of(refused.value) == "journal-unavailable"
        assert desk.venue.sent("place") == []


@virtual
async def test_a_client_order_id_is_used_once_for_ever(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        await desk.place(client_order_id="mine-1")

        with pytest.raises(AlreadyExists) as refused:
            await desk.place(client_order_id="mine-1")

        assert reason_of(refused.value) == "client-order-id-taken"
        assert len(desk.venue.sent("place")) == 1


@virtual
async def test_what_came_of_it_is_journalled_as_soon_as_the_journal_is_back(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        assert isinstance(desk.store, MemoryJournal)
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(delay_s=1.0))
        running = asyncio.create_task(desk.place())
        await ports.sleep(0.5)
        desk.store.broken = True
        await ports.sleep(20.0)
        assert not running.done()

        desk.store.broken = False
        placed = await running

        assert placed.state is OrderState.NEW
        assert desk.desk.ledger.trouble == ""
