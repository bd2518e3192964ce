"""O13: the journal alone makes the state of every order; nothing in it is a secret."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.errors import CallerMustAct
from clients.resilience.outcome import Outcome
from services.orders.domain import BrokenJournal, Cause, OrderState, fold
from services.orders.journal.ledger import cleaned
from services.orders.ports import Ports
from services.runtime.logs import correlation
from tests.support.order_desk import TRADER, order, trading, virtual
from tests.support.scripted_orders import Fault
from tests.support.virtual_time import VirtualLoop

CANARY = "s3cr3t-canary-0123456789"


@pytest.mark.quick
@virtual
async def test_the_fold_of_the_journal_is_the_state(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.script("place", Fault(lose=True))
        placed = await desk.place(quantity=Decimal(1))
        await desk.settled(placed.order_id)
        booked = desk.venue.by_client_id(placed.venue_client_order_id)
        assert booked is not None
        desk.venue.fill(booked, Decimal("0.4"))
        await desk.until(placed.order_id, lambda now: now.filled > 0)
        await desk.desk.cancel(placed.order_id, TRADER)

        events = [kept.event async for kept in desk.desk.audit(order_id=placed.order_id)]
        folded = fold(events)

        assert folded == await desk.desk.ledger.get(placed.order_id)
        assert folded is not None
        assert folded.state is OrderState.CANCELED
        assert events[0].cause is Cause.CALLER
        assert events[0].actor == "trader"


@virtual
async def test_a_journal_with_a_hole_is_refused(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        events = [kept.event async for kept in desk.desk.audit(order_id=placed.order_id)]

        with pytest.raises(BrokenJournal):
            fold([events[0], replace(events[1], revision=3)])
        with pytest.raises(BrokenJournal):
            fold(events[1:])
        with pytest.raises(BrokenJournal):
            fold([events[0], replace(events[0], revision=2)])


@virtual
async def test_the_correlation_id_of_the_request_is_in_every_event_that_it_causes(
    ports: Ports, loop: VirtualLoop
) -> None:
    async with trading(ports) as desk:
        desk.venue.stream_mute = True
        desk.venue.script("place", Fault(lose=True))
        with correlation("request-4711"):
            placed = await desk.desk.place(order(), TRADER)
        await desk.settled(placed.order.order_id)

        events = [kept.event async for kept in desk.desk.audit(order_id=placed.order.order_id)]

        assert [event.kind for event in events] == ["intended", "answer-lost", "stated"]
        assert {event.correlation_id for event in events} == {"request-4711"}


@virtual
async def test_raw_answers_are_kept_short_and_without_secrets(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        raw = f'{{"msg":"bad","signature":"{CANARY}","listenKey": "{CANARY}"}}'.encode() + b"x" * 10_000
        refusal = CallerMustAct("binance", "place", Outcome.REJECTED, "bad", code="-1", raw=raw)
        desk.venue.script("place", Fault(error=refusal))

        await desk.place()

        kept = desk.store.kept[-1].event.raw
        assert '"msg":"bad"' in kept
        assert CANARY not in kept
        assert len(kept) <= 4096


@pytest.mark.parametrize(
    "text",
    [
        f"apiKey={CANARY}&symbol=X",
        f'"api-signature": "{CANARY}"',
        f"api_secret={CANARY}",
        f"Authorization: {CANARY}",
        f"X-MBX-APIKEY: {CANARY}",
        f'{{"token":"{CANARY}"}}',
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert CANARY not in cleaned(text.encode())
