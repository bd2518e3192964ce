"""What has to hold between our books and an exchange's once everything has settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from clients.exchanges.errors import ExchangeError
from clients.exchanges.trading import VenueState
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome
from services.orders.domain import Order, OrderState, fold
from services.orders.journal.codec import decode, encode
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_orders import Call
from tests.support.scripted_venue import ScriptedVenue

CERTAIN = (Outcome.RETRYABLE, Outcome.THROTTLED, Outcome.MAINTENANCE)


def check_books(journal: MemoryJournal, venues: Iterable[ScriptedVenue]) -> None:
    """Assert everything at once; the message names what differs."""
    problems: list[str] = []
    orders = journal.orders
    problems += _fold_problems(journal, orders)
    for venue in venues:
        ours = [order for order in orders.values() if order.exchange == venue.exchange]
        problems += _order_problems(venue, ours)
        problems += _fill_problems(venue, journal)
        problems += _resend_problems(venue)
    assert not problems, "\n".join(problems[:20])


def _fold_problems(journal: MemoryJournal, orders: dict[str, Order]) -> list[str]:
    """The journal makes the state, every revision once, every change with its one cause."""
    events = defaultdict(list)
    for kept in journal.kept:
        events[kept.event.order_id].append(kept.event)
    problems = [f"{name}: no events" for name in orders.keys() - events.keys()]
    for order_id, own in events.items():
        if [event.revision for event in own] != list(range(1, len(own) + 1)):
            problems.append(f"{order_id}: revisions {[event.revision for event in own]}")
        elif decode(Order, encode(orders[order_id])) != orders[order_id]:
            problems.append(f"{order_id}: it is not read as it was written")
        elif fold(own) != orders[order_id]:
            problems.append(f"{order_id}: the fold of its events is not its state")
        if not all(event.cause for event in own):
            problems.append(f"{order_id}: a change without a cause")
        states = [fold(own[: index + 1]) for index in range(len(own))]
        for before, after in pairwise(states):
            assert before is not None
            assert after is not None
            evidence = before.exchange_order_id or before.state in (OrderState.CANCELED, OrderState.EXPIRED)
            if before.state.terminal and evidence and before.state is not after.state:
                problems.append(f"{order_id}: {before.state} became {after.state}")
            if after.filled < before.filled:
                problems.append(f"{order_id}: executed quantity fell")
    return problems


def _order_problems(venue: ScriptedVenue, ours: list[Order]) -> list[str]:
    problems = [f"{name}: placed {count} times" for name, count in venue.placed.items() if count > 1]
    problems += [f"{name}: two were open at the same time" for name in venue.two_open]
    by_id = {order.exchange_order_id: order for order in ours if order.exchange_order_id}
    before = {leg.exchange_order_id: leg for order in ours for leg in order.replaced}
    for booked in venue.book.values():
        leg = before.pop(booked.exchange_order_id, None)
        if leg is not None:
            if not booked.state.terminal or booked.filled != leg.filled:
                problems.append(f"{leg}: it was replaced, and the exchange has {booked.state} {booked.filled}")
            continue
        order = by_id.pop(booked.exchange_order_id, None)
        if order is None:
            problems.append(f"{venue.exchange} {booked.exchange_order_id} ({booked.client_order_id}): forgotten")
            continue
        partly = booked.state is VenueState.NEW and order.filled_before
        state = VenueState.PARTIALLY_FILLED if partly else booked.state
        if (order.state.value, order.filled - order.filled_before) != (state.value, booked.filled):
            problems.append(
                f"{order.order_id}: {order.state} {order.filled}, the exchange has {booked.state} {booked.filled}"
            )
        if order.quantity is not None and order.filled > order.quantity:
            problems.append(f"{order.order_id}: {order.filled} of {order.quantity} is executed")
        if (order.leg_quantity, order.price) != (
            booked.quantity,
            booked.price,
        ) and booked.state is not VenueState.CANCELED:
            problems.append(f"{order.order_id}: terms differ: {order.quantity} at {order.price}, {booked}")
        if order.halted:
            problems.append(f"{order.order_id}: halted: {order.halted}")
        if order.unsettled:
            problems.append(f"{order.order_id}: not settled: {order}")
    problems += [f"{order.order_id}: invented" for order in by_id.values()]
    problems += [f"{leg}: invented" for leg in before.values()]
    for order in ours:
        if not order.exchange_order_id and order.state not in (
            OrderState.NOT_PLACED, OrderState.REJECTED, OrderState.UNKNOWN,
        ):  # fmt: skip
            problems.append(f"{order.order_id}: {order.state} without an id of the exchange")
        if order.state is OrderState.UNKNOWN and venue.rules.arrival is not None:
            problems.append(f"{order.order_id}: still unknown: {order}")
    return problems


def _fill_problems(venue: ScriptedVenue, journal: MemoryJournal) -> list[str]:
    ours = {row.trade_id: row for row in journal.fill_rows.values() if row.exchange == venue.exchange}
    theirs = {fill.trade_id: fill for fill in venue.trades}
    problems = [f"{venue.exchange}: execution {name} is missing" for name in sorted(theirs.keys() - ours.keys())]
    problems += [f"{venue.exchange}: execution {name} was invented" for name in sorted(ours.keys() - theirs.keys())]
    return problems


def _resend_problems(venue: ScriptedVenue) -> list[str]:
    """Nothing is sent again before proof: the attempt before certainly did not arrive, or can no longer and was asked for."""
    problems = []
    sent: defaultdict[str, list[Call]] = defaultdict(list)
    for call in venue.sent("place"):
        sent[call.client_order_id].append(call)
    for name, calls in sent.items():
        for before, after in pairwise(calls):
            if before.refused or _certain(before.fault.error):
                continue
            # Where arrival has no bound nothing ever comes after that.
            proven_ns = before.at_ns + venue.rules.proof_s * 1e9
            asked = [
                call
                for call in venue.sent("query")
                if call.client_order_id == name and proven_ns < call.at_ns < after.at_ns
            ]
            if len(asked) < 2:
                problems.append(f"{venue.exchange} {name}: sent again after {len(asked)} proofs")
    return problems


def _certain(error: Exception | None) -> bool:
    return isinstance(error, ResilienceError) or (isinstance(error, ExchangeError) and error.outcome in CERTAIN)
