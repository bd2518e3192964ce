"""What remains of the desk: finding orders, starting under another mode, getting out while the journal is broken."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from clients.exchanges.model import Quote
from clients.exchanges.trading import AmendWay, OrderType, Side
from services.orders.domain import Cause, OrderState, TradingMode
from services.orders.engine.commands import AmendCommand
from services.orders.errors import reason_of
from services.orders.journal.store import OrderFilter
from services.orders.metrics import OrdersMetrics
from services.orders.ports import Ports
from services.runtime.errors import FailedPrecondition, InvalidRequest, NotFound, StartRefused, Unavailable
from tests.support.exchange_rules import BINANCE, BITMEX
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import ADMIN, TRADER, kill, trading, virtual
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop


@virtual
async def test_a_cancel_goes_out_although_the_journal_is_broken(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        assert isinstance(desk.store, MemoryJournal)
        placed = await desk.place()
        desk.store.broken = True

        with pytest.raises(Unavailable) as refused:
            await desk.desk.cancel(placed.order_id, TRADER)
        assert reason_of(refused.value) == "journal-unavailable"
        assert desk.venue.open_booked() == []

        desk.store.broken = False
        assert (await desk.until(placed.order_id, lambda now: now.state.terminal)).state is OrderState.CANCELED


@virtual
async def test_orders_of_another_mode_refuse_the_start(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store) as desk:
        await desk.place()
        await kill(desk.desk)

    for mode in (TradingMode.DRY_RUN, TradingMode.TESTNET, TradingMode.LIVE):
        with pytest.raises(StartRefused, match="MIDSTREAM_DATABASE_URL"):
            async with trading(ports, venue, store=store, mode=mode, ready=False):
                pass
    async with trading(ports, venue, store=store) as desk:
        assert desk.desk.ledger.open_count == 1


@virtual
async def test_an_order_is_found_by_each_of_its_ids(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place(client_order_id="mine")

        for ids in ({"order_id": placed.order_id}, {"client_order_id": "mine"},
                    {"exchange_order_id": placed.exchange_order_id, "exchange": "binance"}):  # fmt: skip
            assert (await desk.desk.get(TRADER, **ids)).order_id == placed.order_id  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            await desk.desk.get(TRADER, client_order_id="other")
        with pytest.raises(InvalidRequest):
            await desk.desk.get(TRADER)
        with pytest.raises(InvalidRequest):
            await desk.desk.get(TRADER, order_id="a", client_order_id="b")


@virtual
async def test_refreshing_asks_the_exchange_and_falls_back_to_what_is_known(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        desk.venue.stream_mute = True
        booked = desk.venue.open_booked()[0]
        desk.venue.fill(booked, booked.quantity)

        assert (await desk.desk.get(TRADER, order_id=placed.order_id)).state is OrderState.NEW
        desk.venue.down = desk.venue.down_error()
        assert (await desk.desk.get(TRADER, order_id=placed.order_id, refresh=True)).state is OrderState.NEW
        desk.venue.down = None
        assert (await desk.desk.get(TRADER, order_id=placed.order_id, refresh=True)).state is OrderState.FILLED


@virtual
async def test_active_orders_are_there_while_exchange_and_journal_are_down_and_say_how_old_they_are(
    ports: Ports, loop: VirtualLoop
) -> None:
    async with trading(ports) as desk:
        assert isinstance(desk.store, MemoryJournal)
        placed = await desk.place()
        before = desk.desk.sources()[0]
        desk.venue.down = desk.venue.down_error()
        desk.venue.cut_stream()
        desk.store.broken = True
        await ports.sleep(120.0)

        active = desk.desk.active(TRADER)
        after = desk.desk.sources()[0]

        assert [order.order_id for order in active] == [placed.order_id]
        assert (before.source, before.reachable) == ("stream", True)
        assert not after.reachable
        assert after.age_ms >= 90_000
        assert after.problem


@virtual
async def test_an_unknown_order_is_not_amended(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.script("place", Fault(vanish=True))
        placed = await desk.place()

        with pytest.raises(FailedPrecondition, match="UNKNOWN"):
            await desk.desk.amend(AmendCommand(placed.order_id, None, Decimal(98), 1000), TRADER)
        resting = await desk.place()
        with pytest.raises(FailedPrecondition, match="UNKNOWN"):
            await desk.desk.amend(AmendCommand(placed.order_id, None, Decimal(99), 1000), TRADER)

        same = await desk.desk.amend(AmendCommand(resting.order_id, None, Decimal(99), 1000), TRADER)

        assert (same.already, same.order) == (True, resting)
        assert desk.venue.sent("amend") == []


@virtual
async def test_what_a_market_cannot_amend_is_said_before_anything_is_sent(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, ScriptedVenue(replace(BINANCE, amend_spot=AmendWay.NONE), ports)) as desk:
        placed = await desk.place()
        told = {one.symbol: can for one, can in await desk.desk.instruments()}

        with pytest.raises(InvalidRequest, match="cancel and place anew"):
            await desk.desk.amend(AmendCommand(placed.order_id, Decimal(1), None, 1000), TRADER)
        after = (await desk.desk.amend(AmendCommand(placed.order_id, Decimal("0.4"), None, 1000), TRADER)).order

        assert told["BTC/USDT"].amend_quantity_up is AmendWay.NONE
        assert (after.quantity, after.queue_place) == (Decimal("0.4"), "kept")
        assert len(desk.venue.sent("amend")) == 1


@virtual
async def test_a_book_with_one_side_has_the_last_price(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        real = desk.venue.get_quote

        async def one_sided(symbol: str) -> Quote:
            return replace(await real(symbol), ask_price=None)

        desk.venue.get_quote = one_sided  # type: ignore[method-assign]

        assert (await desk.place()).state is OrderState.NEW


@virtual
async def test_figures_tell_what_is_open_and_what_is_unknown(ports: Ports, loop: VirtualLoop) -> None:
    registry = CollectorRegistry()
    metrics = OrdersMetrics(registry)
    venue = ScriptedVenue(BITMEX, ports)
    async with trading(ports, venue, observer=metrics, symbols=("BTC/USDT",)) as desk:
        venue.script("place", Fault(vanish=True))
        await desk.place(exchange="bitmex")
        await desk.place(exchange="bitmex", type=OrderType.MARKET)
        venue.external()
        await ports.sleep(40.0)
        metrics.refresh(desk.desk, ports)

        def figure(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"midstream_orders_{name}", {"exchange": "bitmex", **labels})

        assert figure("open") == 2.0
        assert figure("unknown") == 1.0
        assert (figure("unknown_age_seconds") or 0) >= 40.0
        assert figure("placements_total", outcome="lost") == 1.0
        assert figure("placements_total", outcome="accepted") == 1.0
        assert figure("ended_total", state="FILLED") == 1.0
        assert figure("external_total") == 1.0
        assert (figure("reconciliations_total", result="ok") or 0) >= 1.0
        assert figure("ack_seconds_count") == 2.0


@virtual
async def test_what_was_on_its_way_at_a_kill_is_unknown_for_a_reason(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store) as desk:
        venue.script("place", Fault(delay_s=5.0))
        running = asyncio.create_task(desk.place())
        await ports.sleep(0.005)
        await kill(desk.desk)
        running.cancel()

    async with trading(ports, venue, store=store) as desk:
        known = (await desk.desk.find(TRADER, OrderFilter()))[0]
        events = [kept.event async for kept in desk.desk.audit(order_id=known.order_id)]

        assert [event.kind for event in events][:2] == ["intended", "answer-lost"]
        assert events[1].cause is Cause.RESTART
        assert not known.sending


@virtual
async def test_spot_positions_outlive_the_process(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store) as desk:
        await desk.place(type=OrderType.MARKET, quantity=Decimal(2))
        await desk.place(type=OrderType.MARKET, quantity=Decimal("0.5"), side=Side.SELL)

    async with trading(ports, venue, store=store) as desk:
        assert desk.desk.positions.quantity("binance", "spot", "BTC/USDT") == Decimal("1.5")


@virtual
async def test_a_drain_ends_in_time_with_placements_on_the_wire(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store) as desk:
        venue.script("place", Fault(delay_s=50.0))
        running = asyncio.create_task(desk.place(valid_for_ms=60_000))
        await ports.sleep(0.5)
        begun_ns = ports.monotonic_ns()
    took_s = (ports.monotonic_ns() - begun_ns) / 1e9
    await asyncio.wait((running,))

    async with trading(ports, venue, store=store) as desk:
        found = await desk.desk.find(ADMIN, OrderFilter())
        ended = await desk.settled(found[0].order_id)

    assert took_s < 5.0
    assert ended.state is OrderState.NEW
    assert sum(venue.placed.values()) == 1
