"""O08: when our process is gone, the exchange cancels what we left open within a minute."""

from __future__ import annotations

from itertools import pairwise

from services.orders.ports import Ports
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import kill, trading, virtual
from tests.support.scripted_venue import Fault, ScriptedVenue
from tests.support.virtual_time import VirtualLoop

PERPETUAL = "BTC/USDT:USDT"


@virtual
async def test_open_orders_do_not_outlive_a_killed_process_by_more_than_a_minute(
    ports: Ports, loop: VirtualLoop
) -> None:
    store, venue = MemoryJournal(), ScriptedVenue("binance", ports)
    async with trading(ports, venue, store=store) as desk:
        await desk.place(symbol=PERPETUAL)
        await ports.sleep(300.0)
        assert len(venue.open_booked()) == 1, "a living process keeps its orders"

        await kill(desk.desk)
        await ports.sleep(61.0)

        assert venue.open_booked() == []


@virtual
async def test_it_is_refreshed_in_time_and_disarmed_when_nothing_is_open(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue("binance", ports)
    async with trading(ports, venue) as desk:
        placed = await desk.place(symbol=PERPETUAL)
        await ports.sleep(200.0)
        times = [call.at_ns for call in venue.sent("arm_dead_man")]
        gaps_s = [(later - earlier) / 1e9 for earlier, later in pairwise(times)]

        assert max(gaps_s) <= 16.0

        venue.end(next(iter(venue.open_booked())))
        await desk.settled(placed.order_id)
        await ports.sleep(20.0)
        armed = len(venue.sent("arm_dead_man"))
        venue.external(PERPETUAL)
        await ports.sleep(120.0)

        assert len(venue.sent("arm_dead_man")) == armed
        assert len(venue.open_booked()) == 1, "what others placed is theirs"


@virtual
async def test_a_failing_refresh_is_tried_again(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue("binance", ports)
    async with trading(ports, venue) as desk:
        results: list[bool] = []
        desk.desk.dead_men["binance"].on_result = lambda exchange, well: results.append(well)
        await desk.place(symbol=PERPETUAL)
        venue.script("arm_dead_man", Fault(error=venue.down_error()), Fault(error=venue.down_error()))

        await ports.sleep(100.0)

        assert False in results
        assert results[-1]
        assert len(venue.open_booked()) == 1
