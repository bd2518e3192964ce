"""An order that nobody can find out about is ended by an operator's word, and believed against it when it shows."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from clients.exchanges.endings import EndedBy
from services.orders.domain import Cause, OrderState
from services.orders.domain.events import Settled
from services.orders.engine.commands import SettleCommand
from services.orders.errors import reason_of
from services.orders.guards.limits import Limits
from services.orders.metrics import OrdersMetrics
from services.orders.ports import Ports
from services.runtime.errors import FailedPrecondition, InvalidRequest, MidstreamError, NotFound
from tests.support.exchange_rules import BINANCE, BITMEX
from tests.support.memory_journal import MemoryJournal
from tests.support.order_audit import check_books
from tests.support.order_desk import ADMIN, STRANGER, TRADER, Told, Trading, trading, virtual_at
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue

UNPROVABLE = (BITMEX,)
SENT_S = 11.0
"""After so long nothing of an order with the usual time to be sent goes out any more."""


def not_there(order_id: str) -> SettleCommand:
    return SettleCommand(order_id, "looked at the order history")


class Returned(Told):
    def __init__(self) -> None:
        super().__init__()
        self.returned: list[str] = []

    def came_back(self, order: object) -> None:
        self.returned.append(order.order_id)  # type: ignore[attr-defined]


async def lost(desk: Trading, fault: Fault) -> str:
    """Place an order that no question finds; return its id."""
    desk.venue.script("place", fault)
    return (await desk.place()).order_id


@virtual_at(*UNPROVABLE)
async def test_an_operators_word_ends_it_and_frees_its_room(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store, limits=Limits(open_orders_max=1)) as desk:
        name = await lost(desk, Fault(vanish=True))
        await asyncio.sleep(SENT_S)
        with pytest.raises(MidstreamError, match="orders are open"):
            await desk.place()

        first = await desk.desk.settle(not_there(name), ADMIN)
        second = await desk.desk.settle(not_there(name), ADMIN)

        assert (first.order.state, first.already) == (OrderState.NOT_PLACED, False)
        assert (second.order, second.already) == (first.order, True)
        (event,) = [kept.event for kept in store.kept if kept.event.kind == "settled"]
        assert (event.actor, event.cause) == ("admin", Cause.OPERATOR)
        assert "looked at the order history" in first.order.reason
        assert (await desk.place()).state is OrderState.NEW
        assert desk.desk.follower.following == 0
    check_books(store, [venue])


@pytest.mark.parametrize("there", [False, True], ids=["unknown", "open"])
def test_at_an_exchange_that_is_not_in_use_any_more_the_word_alone_counts(there: bool) -> None:
    @virtual_at(BITMEX)
    async def scenario(ports: Ports, venue: ScriptedVenue) -> None:
        store, metrics = MemoryJournal(), OrdersMetrics(CollectorRegistry())
        async with trading(ports, venue, store=store) as desk:
            name = (await desk.place(price=Decimal(98))).order_id if there else await lost(desk, Fault(vanish=True))
        async with trading(
            ports, ScriptedVenue(BINANCE, ports), store=store, limits=Limits(open_orders_max=1), observer=metrics
        ) as desk:
            await asyncio.sleep(SENT_S)
            with pytest.raises(MidstreamError, match="orders are open"):
                await desk.place()
            with pytest.raises(InvalidRequest, match="bitmex closed for good on 2026-09-23"):
                await desk.desk.settle(SettleCommand(name, "seen", "x1"), ADMIN)
            metrics.refresh(desk.desk, ports)
            assert counted(metrics) == (1, not there, not there)

            command = SettleCommand(name, "statement of the account", evidence="ticket 4711")
            settled = await desk.desk.settle(command, ADMIN)

            metrics.refresh(desk.desk, ports)
            assert counted(metrics) == (0, False, False), "the alert ends"
            assert settled.order.state is (OrderState.EXPIRED if there else OrderState.NOT_PLACED)
            assert settled.order.ended_by is (EndedBy.EXCHANGE if there else None)
            assert "bitmex closed for good on 2026-09-23, and was not asked" in settled.order.reason
            (event,) = [kept.event for kept in store.kept if kept.event.kind == "settled"]
            assert isinstance(event.body, Settled)
            assert (event.actor, event.cause, event.body.evidence) == ("admin", Cause.OPERATOR, "ticket 4711")
            assert (await desk.desk.settle(command, ADMIN)).already
            assert (await desk.place()).state is OrderState.NEW

    scenario(BITMEX)


def counted(metrics: OrdersMetrics, exchange: str = "bitmex") -> tuple[float, bool, bool]:
    """Return open orders, whether one is unknown, and whether the alert about its age can go off."""
    open_, unknown, age = (
        gauge.labels(exchange)._value.get() for gauge in (metrics.open, metrics.unknown, metrics.unknown_age)
    )
    return open_, unknown == 1, age > SENT_S


@virtual_at(*UNPROVABLE)
async def test_what_may_still_go_out_is_not_settled(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        name = await lost(desk, Fault(vanish=True))

        with pytest.raises(FailedPrecondition, match="settle it in") as refused:
            await desk.desk.settle(not_there(name), ADMIN)

        assert reason_of(refused.value) == "order-busy"


@virtual_at(BINANCE)
async def test_where_arrival_is_bounded_the_bound_is_waited_for(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        name = await lost(desk, Fault(vanish=True))
        venue.script("query", *[Fault(error=venue.down_error())] * 1000)
        await asyncio.sleep(SENT_S)
        with pytest.raises(FailedPrecondition, match="settle it in"):
            await desk.desk.settle(not_there(name), ADMIN)
        await asyncio.sleep(venue.rules.proof_s)

        settled = await desk.desk.settle(not_there(name), ADMIN)

        assert settled.order.state is OrderState.NOT_PLACED
        assert "could not be asked" in settled.order.reason


@virtual_at(*UNPROVABLE)
async def test_the_exchange_is_believed_more_than_the_operator(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        venue.stream_mute = True
        name = await lost(desk, Fault(late_s=30.0))
        venue.script("open_orders", *[Fault(error=venue.down_error())] * 1000)
        # The last question before its arrival: the next one is the operator's.
        venue.script("query", *[Fault(error=venue.down_error())] * 1000)
        await asyncio.sleep(40.0)
        venue.faults.clear()
        known = await desk.desk.ledger.get(name)
        assert known is not None
        assert known.state is OrderState.UNKNOWN

        with pytest.raises(FailedPrecondition, match="has it after all") as refused:
            await desk.desk.settle(not_there(name), ADMIN)

        found = await desk.desk.ledger.get(name)
        assert found is not None
        assert (reason_of(refused.value), found.state) == ("order-known", OrderState.NEW)


@pytest.mark.parametrize("restarted", [False, True], ids=["same-process", "after-a-restart"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["wanted", "cancelled"])
def test_an_order_that_shows_after_all_is_found_and_said(restarted: bool, cancelled: bool) -> None:
    @virtual_at(*UNPROVABLE)
    async def scenario(ports: Ports, venue: ScriptedVenue) -> None:
        store, told = MemoryJournal(), Returned()
        async with trading(ports, venue, store=store, observer=told) as desk:
            name = await lost(desk, Fault(late_s=90.0))
            await asyncio.sleep(SENT_S)
            if cancelled:
                await desk.desk.cancel(name, TRADER, wait_s=1.0)
            assert (await desk.desk.settle(not_there(name), ADMIN)).order.state is OrderState.NOT_PLACED
            if not restarted:
                await asyncio.sleep(150.0)
        if restarted:
            async with trading(ports, venue, store=store, observer=told) as desk:
                await asyncio.sleep(150.0)
        assert told.returned == [name]
        assert store.orders[name].state is (OrderState.CANCELED if cancelled else OrderState.NEW)
        check_books(store, [venue])

    scenario(BITMEX)


@virtual_at(*UNPROVABLE)
async def test_an_order_can_be_settled_by_the_id_that_it_has_there(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        venue.stream_mute = True
        name = await lost(desk, Fault(vanish=True))
        other = venue.external(quantity="0.5", price="99")
        other.client_order_id = ""
        stranger = venue.external(quantity="0.7", price="99")
        named = venue.external(quantity="0.5", price="99")
        venue.script("open_orders", *[Fault(error=venue.down_error())] * 1000)
        await asyncio.sleep(SENT_S)

        for wrong in (stranger, named):
            with pytest.raises(InvalidRequest, match="another order"):
                await desk.desk.settle(SettleCommand(name, "seen", wrong.exchange_order_id), ADMIN)
        with pytest.raises(FailedPrecondition, match="does not show"):
            await desk.desk.settle(SettleCommand(name, "seen", "nothing"), ADMIN)
        settled = (await desk.desk.settle(SettleCommand(name, "seen", other.exchange_order_id), ADMIN)).order

        assert (settled.state, settled.exchange_order_id) == (OrderState.NEW, other.exchange_order_id)
        venue.fill(other, Decimal("0.5"))
        venue.stream_mute = False
        venue.tell(venue.report(other))
        assert (await desk.until(name, lambda now: now.state is OrderState.FILLED)).filled == Decimal("0.5")


@virtual_at(*UNPROVABLE)
async def test_only_what_is_unknown_can_be_settled(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        placed = await desk.place()
        with pytest.raises(FailedPrecondition, match="only what is UNKNOWN"):
            await desk.desk.settle(not_there(placed.order_id), ADMIN)
        with pytest.raises(NotFound):
            await desk.desk.settle(not_there(placed.order_id), STRANGER)
        await desk.desk.cancel(placed.order_id, TRADER)

        with pytest.raises(FailedPrecondition) as refused:
            await desk.desk.settle(not_there(placed.order_id), ADMIN)

        assert reason_of(refused.value) == "order-closed"


@virtual_at(*UNPROVABLE)
async def test_a_cancel_of_an_unknown_order_says_what_can_be_done(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        name = await lost(desk, Fault(vanish=True))
        begun = asyncio.get_running_loop().time()

        first = await desk.desk.cancel(name, TRADER)
        between = asyncio.get_running_loop().time()
        second = await desk.desk.cancel(name, TRADER)

        assert between - begun > asyncio.get_running_loop().time() - between
        for answer in (first, second):
            with pytest.raises(FailedPrecondition, match="SettleOrder") as refused:
                answer.check_confirmed()
            assert reason_of(refused.value) == "order-unknown"
        await asyncio.sleep(600.0)
        sent = len(venue.sent("cancel"))
        await asyncio.sleep(600.0)
        assert len(venue.sent("cancel")) - sent <= 30, "one that stays unknown is asked about less often"
        await desk.desk.settle(not_there(name), ADMIN)
        assert (await desk.desk.cancel(name, TRADER)).confirmed
