"""An order is one trace from placing to proof, also where its answer was lost."""

from __future__ import annotations

from services.orders.domain import OrderState
from services.orders.ports import Ports
from tests.support.exchange_rules import BOUNDED
from tests.support.order_desk import trading, virtual_at
from tests.support.recorded_spans import recorded_spans
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue

SPARE_S = 15.0


@virtual_at(*BOUNDED)
async def test_a_lookup_after_a_lost_answer_is_in_the_trace_of_its_order(ports: Ports, venue: ScriptedVenue) -> None:
    with recorded_spans() as tracer:
        async with trading(ports, venue) as desk:
            desk.venue.stream_mute = True
            desk.venue.script("place", Fault(lose=True))
            placed = await desk.place()
            found = await desk.settled(placed.order_id, venue.rules.proof_s + SPARE_S)
            other = await desk.place()

    assert (placed.state, found.state) == (OrderState.UNKNOWN, OrderState.NEW)
    first, second = tracer.named("place order")
    asked = tracer.named("ask for order")
    assert first.attributes["midstream.order_id"] == placed.order_id
    assert first.attributes["midstream.order_state"] == "UNKNOWN"
    assert second.attributes["midstream.order_id"] == other.order_id
    assert asked
    assert {(span.trace, span.attributes["midstream.order_id"]) for span in asked} == {(first.trace, placed.order_id)}
    assert asked[-1].attributes["midstream.order_state"] == "NEW"
    assert second.trace != first.trace
