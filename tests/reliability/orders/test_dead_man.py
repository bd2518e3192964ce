"""O08: when our process is gone, the exchange cancels what we left open within a minute."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from clients.exchanges.trading import DeadManScope
from services.orders.ports import Ports
from tests.support.exchange_rules import BINANCE, BITMEX, BYBIT, TIMED, TOY
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import TRADER, Told, kill, trading, virtual_at
from tests.support.scripted_market import instrument
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue

PERPETUAL = "BTC/USDT:USDT"


@virtual_at(*TIMED)
async def test_open_orders_do_not_outlive_a_killed_process_by_more_than_a_minute(
    ports: Ports, venue: ScriptedVenue
) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        await desk.place(symbol=PERPETUAL)
        await ports.sleep(300.0)
        assert len(venue.open_booked()) == 1, "a living process keeps its orders"

        await kill(desk.desk)
        await ports.sleep(61.0)

        assert venue.open_booked() == []


@virtual_at(*TIMED)
async def test_it_is_refreshed_in_time_and_disarmed_when_nothing_is_open(ports: Ports, venue: ScriptedVenue) -> None:
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


@virtual_at(*TIMED)
async def test_a_failing_refresh_is_tried_again(ports: Ports, venue: ScriptedVenue) -> None:
    told = Told()
    async with trading(ports, venue, observer=told) as desk:
        await desk.place(symbol=PERPETUAL)
        venue.script("arm_dead_man", Fault(error=venue.down_error()), Fault(error=venue.down_error()))

        await ports.sleep(100.0)

        assert False in told.refreshes
        assert told.refreshes[-1]
        assert len(venue.open_booked()) == 1


@virtual_at(TOY, BITMEX)
async def test_an_accounts_timer_runs_on_while_any_order_of_ours_is_open(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        ended = await desk.place(symbol=PERPETUAL)
        await desk.place(symbol="BTC/USDT")
        await ports.sleep(20.0)

        await desk.desk.cancel(ended.order_id, TRADER)
        # The look that notices it, and nothing afterwards that would arm the timer again.
        await ports.sleep(16.0)
        await kill(desk.desk)
        await ports.sleep(61.0)

        assert venue.open_booked() == []


@virtual_at(BINANCE, replace(TOY, dead_man=DeadManScope.MARKET))
async def test_a_timer_that_covers_nothing_of_ours_any_more_is_disarmed(ports: Ports, venue: ScriptedVenue) -> None:
    other = "ETH/USDT:USDT"
    venue.instruments[other] = instrument(venue.exchange, "other", other)
    async with trading(ports, venue) as desk:
        ended = await desk.place(symbol=PERPETUAL)
        await desk.place(symbol=other)
        await ports.sleep(20.0)
        venue.external(PERPETUAL)

        await desk.desk.cancel(ended.order_id, TRADER)
        await ports.sleep(300.0)

        assert [booked.instrument.symbol for booked in venue.open_booked()] == [other, PERPETUAL]


@virtual_at(*TIMED)
async def test_a_timer_whose_arming_was_not_answered_is_disarmed_too(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        venue.script("arm_dead_man", Fault(lose=True))
        placed = await desk.place(symbol=PERPETUAL)
        await ports.sleep(20.0)
        await desk.desk.cancel(placed.order_id, TRADER)
        venue.external(PERPETUAL)

        await ports.sleep(120.0)

        assert len(venue.open_booked()) == 1, "what others placed is theirs"


@virtual_at(BYBIT)
async def test_where_there_is_no_timer_none_is_armed(ports: Ports, venue: ScriptedVenue) -> None:
    told = Told()
    async with trading(ports, venue, observer=told) as desk:
        await desk.place(symbol=PERPETUAL)
        await ports.sleep(120.0)

        assert venue.sent("arm_dead_man") == []
        assert len(venue.open_booked()) == 1
