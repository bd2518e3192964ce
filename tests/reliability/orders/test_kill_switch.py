"""O07: nothing new goes out once the switch is thrown; cancels pass; it survives a restart."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import pytest

from services.orders.domain import Cause, OrderState
from services.orders.engine.commands import AmendCommand
from services.orders.errors import reason_of
from services.orders.guards.limits import Limits
from services.orders.ports import Ports
from services.runtime.errors import FailedPrecondition, MidstreamError, Unavailable
from tests.support.exchange_rules import BINANCE
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import ADMIN, TRADER, order, trading, virtual, virtual_ports
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

PLENTY = Limits(open_orders_max=5000, orders_per_second=1e6)
EFFECTIVE_NS = 100_000_000


@pytest.mark.parametrize(("how", "burst_size"), [("call", 1000), ("file", 300), ("signal", 300)])
def test_in_a_burst_nothing_leaves_after_it_was_thrown(how: str, burst_size: int, tmp_path: Path) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        venue = ScriptedVenue(BINANCE, ports, latency_s=0.05)
        file = tmp_path / "stop"
        async with trading(ports, venue, limits=PLENTY, kill_file=file) as desk:
            thrown_ns = 0
            denied: set[str] = set()

            async def burst(number: int) -> None:
                await ports.sleep(number / burst_size)
                try:
                    await desk.desk.place(order(), TRADER)
                except MidstreamError as exc:
                    denied.add(reason_of(exc))

            async def throw() -> None:
                nonlocal thrown_ns
                await ports.sleep(0.4)
                thrown_ns = ports.wall_ns()
                if how == "call":
                    await desk.desk.set_switch(True, "too fast", ADMIN)
                elif how == "file":
                    file.touch()
                else:
                    desk.desk.switch.trip("the signal SIGUSR1 was received", "signal")

            await asyncio.gather(throw(), *(burst(number) for number in range(burst_size)))
            sent = [call.at_ns for call in venue.sent("place")]
            slack_ns = EFFECTIVE_NS if how == "file" else 0

            assert denied <= {"kill-switch", "overloaded"}
            assert len(sent) > burst_size / 10
            assert max(sent) <= thrown_ns + slack_ns
            # Those that were on the wire are asked for, and each has an end.
            for kept in list(desk.store.kept):
                await desk.settled(kept.event.order_id, 60.0)
            open_ = {booked.client_order_id for booked in venue.open_booked()}
            assert open_ == {one.venue_client_order_id for one in desk.desk.ledger.open_orders}
            results = await desk.desk.cancel_many(TRADER, all_=True, wait_s=60.0)
            assert all(result.confirmed for result in results)
            assert venue.open_booked() == []

    run_virtual(main)


@pytest.mark.quick
@virtual
async def test_cancels_pass_and_amends_do_not(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        await desk.desk.set_switch(True, "enough", ADMIN)

        with pytest.raises(FailedPrecondition) as refused:
            await desk.desk.amend(AmendCommand(placed.order_id, None, Decimal(98), 10_000), TRADER)
        cancelled = await desk.desk.cancel(placed.order_id, TRADER)

        assert reason_of(refused.value) == "kill-switch"
        assert cancelled.confirmed
        assert desk.venue.sent("amend") == []


@virtual
async def test_it_survives_a_restart_and_is_released_by_an_admin(ports: Ports, loop: VirtualLoop) -> None:
    store, venue = MemoryJournal(), ScriptedVenue(BINANCE, ports)
    async with trading(ports, venue, store=store) as desk:
        await desk.desk.set_switch(True, "holiday", ADMIN)
    async with trading(ports, venue, store=store, ready=False) as desk:
        await ports.sleep(5.0)
        with pytest.raises(FailedPrecondition, match="holiday"):
            await desk.place()

        row = await desk.desk.set_switch(False, "back", ADMIN)
        placed = await desk.place()

    assert (row.engaged, row.actor) == (False, "admin")
    assert placed.state is OrderState.NEW


@virtual
async def test_a_trip_that_cannot_be_written_yet_holds_and_becomes_durable(ports: Ports, loop: VirtualLoop) -> None:
    store = MemoryJournal()
    async with trading(ports, store=store) as desk:
        store.broken = True
        with pytest.raises(Unavailable, match="engaged, but not durable"):
            await desk.desk.set_switch(True, "now", ADMIN)
        assert desk.desk.switch.engaged
        with pytest.raises(Unavailable, match="not released"):
            await desk.desk.set_switch(False, "back", ADMIN)
        assert desk.desk.switch.engaged

        store.broken = False
        await ports.sleep(2.0)

        assert store.switches[-1].engaged


@virtual
async def test_an_order_caught_between_journal_and_wire_is_not_placed(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        # Thrown by the journal's own write, at the last moment at which it can be.
        desk.desk.ledger.listen(
            lambda change: desk.desk.switch.trip("in between", "test") if change.event.revision == 1 else None
        )

        placed = await desk.place()

        assert placed.state is OrderState.NOT_PLACED
        assert desk.venue.sent("place") == []
        assert desk.store.kept[-1].event.cause is Cause.KILL_SWITCH


def test_a_file_that_is_still_there_engages_it_again(tmp_path: Path) -> None:
    file = tmp_path / "stop"
    file.touch()

    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        async with trading(ports, kill_file=file, ready=False) as desk:
            await desk.desk.set_switch(False, "ignored", ADMIN)
            assert desk.desk.switch.engaged
            os.unlink(file)
            await desk.desk.set_switch(False, "gone", ADMIN)
            await ports.sleep(1.0)
            assert not desk.desk.switch.engaged

    run_virtual(main)


@virtual
async def test_an_order_that_waits_for_a_limit_does_not_leave_any_more(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        await desk.place()
        desk.venue.queue_s = 0.5
        waiting = asyncio.create_task(desk.place())
        await ports.sleep(0.2)
        await desk.desk.set_switch(True, "stop", ADMIN)
        desk.venue.queue_s = 0.0

        placed = await waiting
        ended = await desk.settled(placed.order_id)

        assert placed.state is OrderState.UNKNOWN
        assert ended.state is OrderState.NOT_PLACED
        assert len(desk.venue.sent("place")) == 1


@virtual
async def test_too_great_a_loss_throws_it(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, loss_max=Decimal(10)) as desk:
        placed = await desk.place(quantity=Decimal(1), price=Decimal(101))
        assert placed.state is OrderState.FILLED
        await ports.sleep(3.0)
        assert not desk.desk.switch.engaged

        desk.venue.mid["BTC/USDT"] = Decimal(89)
        await ports.sleep(3.0)

        assert desk.desk.switch.engaged
        assert desk.desk.switch.row.actor == "limits"


@virtual
async def test_prices_that_stay_away_throw_it(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, stale_kill_s=10.0) as desk:
        await desk.place()
        desk.venue.quote_age_ns = 60_000_000_000
        await ports.sleep(8.0)
        assert not desk.desk.switch.engaged

        await ports.sleep(6.0)

        assert desk.desk.switch.engaged
        assert desk.desk.switch.row.actor == "prices"
