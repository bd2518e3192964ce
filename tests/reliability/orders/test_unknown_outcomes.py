"""O02, O03, R15: a lost answer is not a failure. Nothing is sent again before proof, and the truth is found."""

from __future__ import annotations

import pytest

from clients.exchanges.errors import CallerMustAct
from clients.exchanges.trading import OrderType
from clients.resilience.outcome import Outcome
from services.orders.domain import Cause, OrderState
from services.orders.ports import Ports
from tests.support.exchange_rules import BITMEX, BOUNDED
from tests.support.order_desk import Told, trading, virtual, virtual_at, virtual_ports
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

SPARE_S = 15.0
"""What may pass between the first moment of proof and its end: rounds of asking, two answers a second apart."""


@pytest.mark.quick
@virtual_at(*BOUNDED)
async def test_an_executed_order_whose_answer_was_lost_is_found_by_asking(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(lose=True))

        placed = await desk.place()
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert placed.state is OrderState.UNKNOWN
        assert found.state is OrderState.NEW
        assert len(desk.venue.sent("place")) == 1
        assert desk.store.kept[-1].event.cause is Cause.QUERY


@virtual_at(*BOUNDED)
async def test_an_order_that_never_arrived_is_not_placed_only_after_its_deadline(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.script("place", Fault(vanish=True))
        sent_ns = ports.wall_ns()

        placed = await desk.place()
        ended = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert ended.state is OrderState.NOT_PLACED
        after_s = (ended.updated_ns - sent_ns) / 1e9
        # Receive window, processing, two answers a second apart; and within what O02 allows.
        assert venue.rules.proof_s + 1.0 <= after_s <= venue.rules.proof_s + SPARE_S
        late = [call for call in desk.venue.sent("query") if call.at_ns - sent_ns > venue.rules.proof_s * 1e9]
        assert len(late) >= 2
        assert len(desk.venue.sent("place")) == 1


@virtual_at(*BOUNDED)
async def test_an_order_that_arrives_late_within_its_window_is_found(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(late_s=venue.rules.window_s - 1.0))

        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert found.state is OrderState.NEW
        assert desk.venue.placed[placed.venue_client_order_id] == 1
        assert found.attempts == 1


@virtual_at(*BOUNDED)
async def test_a_fill_whose_answer_was_lost_is_executed_once_although_the_exchange_takes_the_id_again(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(lose=True))

        placed = await desk.place(type=OrderType.MARKET, resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert found.state is OrderState.FILLED
        assert len(desk.venue.trades) == 1
        assert desk.venue.placed[placed.venue_client_order_id] == 1


@virtual_at(*BOUNDED)
async def test_after_proof_it_is_sent_again_with_the_same_id_when_the_caller_asked(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.script("place", Fault(vanish=True))

        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert found.state is OrderState.NEW
        assert found.attempts == 2
        first, second = desk.venue.sent("place")
        assert first.client_order_id == second.client_order_id
        assert (second.at_ns - first.at_ns) / 1e9 > venue.rules.proof_s


@virtual_at(*BOUNDED)
async def test_without_being_asked_or_in_time_nothing_is_sent_again(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.script("place", Fault(vanish=True), Fault(vanish=True))

        silent = await desk.place()
        late = await desk.place(resend_if_not_placed=True, valid_for_ms=10_000)

        assert (await desk.settled(silent.order_id)).state is OrderState.NOT_PLACED
        assert (await desk.settled(late.order_id)).state is OrderState.NOT_PLACED
        assert len(desk.venue.sent("place")) == 2


@virtual
async def test_where_arrival_has_no_bound_it_stays_unknown_until_there_is_evidence(
    ports: Ports, loop: VirtualLoop
) -> None:
    venue = ScriptedVenue(BITMEX, ports)
    async with trading(ports, venue) as desk:
        venue.script("place", Fault(late_s=3600.0))

        placed = await desk.place(exchange="bitmex", resend_if_not_placed=True, valid_for_ms=60_000)
        await ports.sleep(3000.0)
        newest = await desk.desk.ledger.get(placed.order_id)
        assert newest is not None
        assert newest.state is OrderState.UNKNOWN
        assert len(venue.sent("place")) == 1

        found = await desk.settled(placed.order_id, 700.0)
        assert found.state is OrderState.NEW
        assert venue.placed[placed.venue_client_order_id] == 1


@virtual_at(*BOUNDED)
async def test_a_stream_event_ends_the_waiting_at_once(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_delay_s = 0.3
        desk.venue.script("query", *[Fault(error=_not_found())] * 50)
        desk.venue.script("place", Fault(lose=True))

        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, 1.0)
        asked = len(desk.venue.sent("query"))
        await ports.sleep(60.0)

        assert found.state is OrderState.NEW
        assert desk.store.kept[-1].event.cause is Cause.STREAM
        # Reconciliation sees it among the open orders, so nobody asks for it by its id any more.
        assert len(desk.venue.sent("query")) == asked
        assert len(desk.venue.sent("place")) == 1


@virtual_at(*BOUNDED)
async def test_an_exchange_that_forgets_for_a_while_is_not_believed_before_the_deadline(
    ports: Ports, venue: ScriptedVenue
) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.stream_mute = True
        # Replication lag: "no such order" although it is there, several times.
        desk.venue.script("query", *[Fault(error=_not_found())] * 6)
        desk.venue.script("place", Fault(lose=True))

        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)

        assert found.state is OrderState.NEW
        assert desk.venue.placed[placed.venue_client_order_id] == 1


@virtual_at(*BOUNDED)
async def test_without_the_exchanges_clock_there_is_no_proof(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        desk.venue.script("place", Fault(vanish=True))
        desk.venue.clock_error = desk.venue.down_error()
        placed = await desk.place()

        await ports.sleep(120.0)
        newest = await desk.desk.ledger.get(placed.order_id)
        assert newest is not None
        assert newest.state is OrderState.UNKNOWN

        desk.venue.clock_error = None
        assert (await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)).state is OrderState.NOT_PLACED


@virtual_at(*BOUNDED)
async def test_a_clock_that_is_behind_moves_the_deadline_along(ports: Ports, venue: ScriptedVenue) -> None:
    venue.offset_ns = -20_000_000_000
    async with trading(ports, venue) as desk:
        venue.script("place", Fault(late_s=venue.rules.window_s - 0.1))
        venue.stream_mute = True

        placed = await desk.place(resend_if_not_placed=True, valid_for_ms=60_000)
        found = await desk.settled(placed.order_id, 60.0)

        assert found.state is OrderState.NEW
        assert venue.placed[placed.venue_client_order_id] == 1


@pytest.mark.parametrize("error", [ValueError("unparsable 200"), ConnectionResetError(), TimeoutError()], ids=repr)
def test_whatever_nobody_expected_is_treated_as_unknown_and_never_repeated(error: Exception) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        async with trading(ports) as desk:
            desk.venue.script("place", Fault(error=error))

            placed = await desk.place()
            ended = await desk.settled(placed.order_id)

            assert placed.state is OrderState.UNKNOWN
            assert ended.state is OrderState.NOT_PLACED
            assert len(desk.venue.sent("place")) == 1

    run_virtual(main)


@virtual_at(*BOUNDED)
async def test_a_duplicate_is_adopted_after_it_was_compared(ports: Ports, venue: ScriptedVenue) -> None:
    async with trading(ports, venue) as desk:
        # The first attempt arrived, was answered with an error that says it did not, and the second one meets it.
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(late_s=0.0), Fault())
        placed = await desk.place()
        found = await desk.settled(placed.order_id)

        assert found.state is OrderState.NEW
        assert not found.halted


@virtual_at(*BOUNDED)
async def test_a_duplicate_that_is_another_order_halts_it_loudly(ports: Ports, venue: ScriptedVenue) -> None:
    told = Told()
    async with trading(ports, venue, observer=told) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(error=_duplicate()))

        placed = await desk.place()
        stranger = desk.venue.external(quantity="0.7", price="98")
        stranger.client_order_id = placed.venue_client_order_id
        found = await desk.until(placed.order_id, lambda now: bool(now.halted))
        await ports.sleep(60.0)

        assert "quantity" in found.halted
        assert told.halts == [placed.order_id]
        assert len(desk.venue.sent("place")) == 1


def _not_found() -> CallerMustAct:
    return CallerMustAct("binance", "query", Outcome.NOT_FOUND, "Order does not exist.", code="-2013")


def _duplicate() -> CallerMustAct:
    return CallerMustAct("binance", "place", Outcome.DUPLICATE, "Duplicate order sent.", code="-2010")
