"""O11 where an exchange can only replace: at most one order is open, nothing is executed twice, and an end without an order is said."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.errors import CallerMustAct, TryLater
from clients.resilience.outcome import Outcome
from services.orders.domain import Order, OrderState
from services.orders.domain.client_ids import client_id, order_id_of
from services.orders.engine.commands import AmendCommand
from services.orders.errors import reason_of
from services.orders.journal.store import FillFilter
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidRequest
from tests.support.exchange_rules import BINANCE, TOY
from tests.support.memory_journal import MemoryJournal
from tests.support.order_audit import check_books
from tests.support.order_desk import ADMIN, TRADER, Trading, trading, virtual_at
from tests.support.scripted_orders import Booked, Fault
from tests.support.scripted_venue import ScriptedVenue

REPLACING = (BINANCE, TOY)
SYMBOL = {"binance": "BTC/USDT", "toy": "BTC/USDT:USDT"}
"""What each of them can only replace."""
BROKE = CallerMustAct(
    "venue", "amend", Outcome.REJECTED, "Account has insufficient balance for requested action.", code="-2010"
)


def amend(
    order_id: str, quantity: str | None = None, price: str | None = None, valid_for_ms: int = 10_000
) -> AmendCommand:
    return AmendCommand(
        order_id, Decimal(quantity) if quantity else None, Decimal(price) if price else None, valid_for_ms
    )


async def placed(desk: Trading, **changes: Any) -> Order:
    return await desk.place(symbol=SYMBOL[desk.venue.exchange], **changes)


def booked_of(venue: ScriptedVenue, order: Order, number: int = 0) -> Booked:
    booked = venue.by_client_id(client_id(order.order_id, number))
    assert booked is not None
    return booked


def open_of(venue: ScriptedVenue, order: Order) -> list[Booked]:
    return [one for one in venue.open_booked() if order_id_of(one.client_order_id) == order.order_id]


@virtual_at(*REPLACING)
async def test_another_price_is_another_order_there_and_the_same_one_here(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)

        after = (await desk.desk.amend(amend(order.order_id, "0.7", "98.5"), TRADER)).order

        new = booked_of(venue, order, 1)
        assert (after.order_id, after.state, after.queue_place) == (order.order_id, OrderState.NEW, "lost")
        assert (after.exchange_order_id, after.venue_client_order_id) == (new.exchange_order_id, new.client_order_id)
        assert [leg.exchange_order_id for leg in after.replaced] == [order.exchange_order_id]
        assert open_of(venue, order) == [new]
        kinds = [kept.event.kind for kept in store.kept]
        assert kinds.index("replacing") > kinds.index("amend-asked")
        venue.fill(new, Decimal("0.2"))
        venue.fill(new, Decimal("0.5"))
        ended = await desk.settled(order.order_id)
        filled = await desk.until(order.order_id, lambda now: now.state is OrderState.FILLED)
        assert (filled.filled, ended.order_id) == (Decimal("0.7"), order.order_id)
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_executions_of_both_count_to_the_same_order(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.fill(booked_of(venue, order), Decimal("0.2"))
        await desk.until(order.order_id, lambda now: now.filled == Decimal("0.2"))

        after = (await desk.desk.amend(amend(order.order_id, "0.7", "98"), TRADER)).order

        new = booked_of(venue, order, 1)
        assert (new.quantity, after.quantity, after.filled) == (Decimal("0.5"), Decimal("0.7"), Decimal("0.2"))
        assert after.state is OrderState.PARTIALLY_FILLED
        venue.fill(new, Decimal("0.5"))
        ended = await desk.until(order.order_id, lambda now: now.state is OrderState.FILLED)
        assert ended.average_price == (Decimal("0.2") * 99 + Decimal("0.5") * 98) / Decimal("0.7")
        rows = await store.fills(FillFilter(order_id=order.order_id))
        assert [row.exchange_order_id for row in rows] == [order.exchange_order_id, new.exchange_order_id]
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_a_part_executed_on_the_way_is_not_bought_twice(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.stream_mute = True
        venue.fill(booked_of(venue, order), Decimal("0.3"))

        after = (await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)).order

        assert [(one.quantity, one.price) for one in open_of(venue, order)] == [(Decimal("0.2"), Decimal("98.5"))]
        assert (after.quantity, after.filled) == (Decimal("0.5"), Decimal("0.3"))
    async with trading(ports, venue, store=store) as desk:
        await ports.sleep(60.0)
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_an_order_that_fills_meanwhile_is_not_placed_again(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        venue.stream_mute = True
        venue.fill(booked_of(venue, order), Decimal("0.5"))

        with pytest.raises(FailedPrecondition, match="FILLED") as refused:
            await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)

        assert reason_of(refused.value) == "order-closed"
        assert sum(venue.placed.values()) == 1


@virtual_at(*REPLACING)
async def test_a_refused_replacement_ends_the_order_and_says_why(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.refuse_new = BROKE

        with pytest.raises(
            FailedPrecondition, match=r"insufficient balance.*CANCELED.*nothing of it is open"
        ) as refused:
            await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)

        ended = await desk.settled(order.order_id)
        assert reason_of(refused.value) == "amend-refused"
        assert (ended.state, ended.price) == (OrderState.CANCELED, Decimal(99))
        assert "insufficient balance" in ended.reason
        assert venue.open_booked() == []
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_a_passing_refusal_of_the_new_one_is_placed_again_within_its_time(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        slow = TryLater(venue.exchange, "amend", Outcome.THROTTLED, "Too many new orders.", retry_after_s=2.0)
        venue.refuse_new = slow
        venue.script("place", Fault(error=slow))

        after = (await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)).order

        assert (after.state, after.price) == (OrderState.NEW, Decimal("98.5"))
        assert len(open_of(venue, order)) == 1


@virtual_at(*REPLACING)
async def test_a_ban_longer_than_the_amend_ends_it_at_once(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        venue.refuse_new = TryLater(venue.exchange, "amend", Outcome.THROTTLED, "banned", retry_after_s=120.0)

        with pytest.raises(FailedPrecondition, match="banned"):
            await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)

        assert (await desk.settled(order.order_id)).state is OrderState.CANCELED


@virtual_at(*REPLACING)
async def test_a_limit_before_anything_was_done_leaves_the_order_open_until_its_time_is_over(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        later = TryLater(venue.exchange, "amend", Outcome.THROTTLED, "slow down", retry_after_s=1.0)
        venue.script("amend", *[Fault(error=later)] * 50)

        with pytest.raises(DeadlineExceeded):
            await desk.desk.amend(amend(order.order_id, None, "98.5", 5_000), TRADER, wait_s=5.0)
        ended = await desk.settled(order.order_id)

        assert (ended.state, ended.price, ended.exchange_order_id) == (
            OrderState.NEW,
            Decimal(99),
            order.exchange_order_id,
        )
        assert ended.amend_problem
        assert len(venue.sent("amend")) <= 6


@virtual_at(*REPLACING)
async def test_what_was_lost_and_late_never_makes_two(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.script("amend", Fault(late_s=4.0), Fault(late_s=3.0), Fault(lose=True))

        after = (await desk.desk.amend(amend(order.order_id, None, "98.5", 30_000), TRADER, wait_s=30.0)).order
        await ports.sleep(60.0)

        assert after.price == Decimal("98.5")
        assert len(open_of(venue, order)) == 1
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_a_new_order_that_may_still_arrive_is_not_given_up(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.fill(booked_of(venue, order), Decimal("0.1"))
        await desk.until(order.order_id, lambda now: now.filled == Decimal("0.1"))
        venue.stream_mute = True
        venue.script("place", Fault(late_s=venue.rules.window_s - 0.5))

        with contextlib.suppress(DeadlineExceeded):
            await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)
        ended = await desk.settled(order.order_id, venue.rules.proof_s + 15.0)

        assert (ended.state, ended.price) == (OrderState.PARTIALLY_FILLED, Decimal("98.5"))
        assert "replacement-failed" not in [kept.event.kind for kept in store.kept]
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_an_old_statement_opens_no_order_that_has_ended(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        old = booked_of(venue, order)
        before = venue.report(old)
        venue.fill(old, Decimal("0.1"))
        await desk.until(order.order_id, lambda now: now.filled == Decimal("0.1"))
        venue.script("place", Fault(delay_s=5.0))
        venue.script("cancel", Fault(delay_s=0.5))
        running = asyncio.create_task(desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER))
        between = await desk.until(order.order_id, lambda now: now.between_legs)
        venue.tell(replace(before, source="stream"))
        await asyncio.sleep(0.3)

        after = await desk.desk.ledger.get(order.order_id)

        assert between.state is OrderState.UNKNOWN
        assert after is not None
        assert (after.state, after.between_legs) == (OrderState.UNKNOWN, True)
        assert (await running).order.price == Decimal("98.5")


@virtual_at(*REPLACING)
async def test_a_cancel_in_the_middle_ends_both(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.script("amend", Fault(lose=True))
        venue.script("query", *[Fault(error=venue.down_error())] * 3)
        running = asyncio.create_task(desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER))
        await asyncio.sleep(0.1)

        cancelled = await desk.desk.cancel(order.order_id, TRADER, wait_s=60.0)
        await asyncio.wait((running,))

        assert cancelled.order is not None
        assert cancelled.order.state is OrderState.CANCELED
        assert venue.open_booked() == []
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_the_kill_switch_between_the_two_leaves_nothing_open(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        venue.fill(booked_of(venue, order), Decimal("0.1"))
        await desk.until(order.order_id, lambda now: now.filled == Decimal("0.1"))
        venue.script("cancel", Fault(delay_s=1.0))
        running = asyncio.create_task(desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER))
        await asyncio.sleep(0.5)
        await desk.desk.set_switch(True, "stop", ADMIN)

        with pytest.raises(FailedPrecondition, match="kill switch"):
            await running

        ended = await desk.settled(order.order_id)
        assert (ended.state, ended.filled) == (OrderState.CANCELED, Decimal("0.1"))
        assert venue.open_booked() == []
    check_books(store, [venue])


@virtual_at(*REPLACING)
async def test_what_is_left_has_to_pass_the_filters_before_anything_is_sent(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        order = await placed(desk)
        venue.fill(booked_of(venue, order), Decimal("0.48"))
        await desk.until(order.order_id, lambda now: now.filled == Decimal("0.48"))

        with pytest.raises(InvalidRequest) as refused:
            await desk.desk.amend(amend(order.order_id, None, "98.5"), TRADER)

        assert reason_of(refused.value) == "notional-filter"
        assert venue.sent("amend") == []


@virtual_at(*REPLACING)
async def test_an_order_of_somebody_else_is_not_replaced(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        other = venue.external(SYMBOL[venue.exchange])
        await ports.sleep(1.0)
        (order,) = [one for one in desk.desk.active(ADMIN) if one.exchange_order_id == other.exchange_order_id]

        with pytest.raises(InvalidRequest, match="not placed here"):
            await desk.desk.amend(amend(order.order_id, None, "90.5"), ADMIN)

        assert not other.state.terminal


@virtual_at(*REPLACING)
async def test_statements_about_a_replaced_order_are_not_a_strangers(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        order = await placed(desk)
        for price in ("98.5", "98", "97.5"):
            await desk.desk.amend(amend(order.order_id, None, price), TRADER)
        await desk.desk.cancel(order.order_id, TRADER)
    # Another process, with nothing in memory of an order that has ended.
    async with trading(ports, venue, store=store) as desk:
        await ports.sleep(65.0)
        assert [one.order_id for one in store.orders.values()] == [order.order_id]
    check_books(store, [venue])
