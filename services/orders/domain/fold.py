"""Fold the events of an order into its state: pure, total, deterministic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import VenueState
from services.orders.domain.altered import altered
from services.orders.domain.events import (
    AmendAsked,
    AmendDropped,
    AmendUncertain,
    AnswerLost,
    Body,
    CancelAsked,
    Discovered,
    Event,
    Executed,
    FillBody,
    Halted,
    Intended,
    NotPlaced,
    PlacementRefused,
    ReplacementFailed,
    Replacing,
    Rerouted,
    SendingAgain,
    Settled,
    Stated,
)
from services.orders.domain.legs import adopted, begun, given_up, in_total, with_past_leg
from services.orders.domain.order import ZERO, AmendTarget, Order
from services.orders.domain.states import STATE_OF, OrderState


class BrokenJournal(Exception):
    """The events of an order do not follow each other."""


@dataclass(frozen=True)
class Folded:
    """What happened, with the order after it, which only lacks the event's number and time: found out while it was looked at."""

    body: Body
    after: Order


def fold(events: Iterable[Event]) -> Order | None:
    """Return the order that the events make; None for no events. Raises BrokenJournal."""
    order: Order | None = None
    for event in events:
        order = apply(order, event)
    return order


def apply(order: Order | None, event: Event, folded: Folded | None = None) -> Order:
    """Return the order after one more event; `folded` is what its body is known to make of this very order."""
    body = event.body
    if order is None:
        if event.revision != 1:
            raise BrokenJournal(f"order {event.order_id} begins with revision {event.revision}")
        if isinstance(body, Intended):
            return _intended(event, body)
        if isinstance(body, Discovered):
            return _discovered(event, body)
        raise BrokenJournal(f"order {event.order_id} begins with {event.kind}")
    if event.order_id != order.order_id or event.revision != order.revision + 1:
        raise BrokenJournal(
            f"order {order.order_id} at revision {order.revision} got revision {event.revision} of {event.order_id}"
        )
    changed = _changed(order, event) if folded is None else folded.after
    return altered(changed, revision=event.revision, updated_ns=event.at_ns)


def _changed(order: Order, event: Event) -> Order:
    body = event.body
    match body:
        case Stated():
            return merged(order, body)
        case Executed():
            shown = order.replacing is not None and body.leg == order.replacing.venue_client_order_id
            return with_fill(adopted(order) if shown else order, body.fill)
        case AnswerLost():
            return altered(order, sending=False, expires_server_ns=body.expires_server_ns, reason=body.text)
        case PlacementRefused():
            cause = EndedBy.TIME_IN_FORCE if body.unfilled else body.ended_by
            expired = cause is EndedBy.TIME_IN_FORCE
            return _ended(order, OrderState.EXPIRED if expired else OrderState.REJECTED, body.text, cause)
        case NotPlaced():
            return _ended(order, OrderState.NOT_PLACED, body.text)
        case Settled():
            return _settled(altered(order, settled=body.text), body)
        case SendingAgain():
            return _sending(order, send_until_ns=body.send_until_ns)
        case Rerouted():
            moved = altered(
                order,
                exchange=body.exchange,
                market=body.market,
                symbol=body.symbol,
                exchange_symbol=body.exchange_symbol,
                quantity=body.quantity,
            )
            return _sending(moved, send_until_ns=order.send_until_ns)
        case CancelAsked():
            return altered(order, canceling=True, cancel_asked_ns=event.at_ns, filled_at_cancel=order.filled)
        case AmendAsked():
            target = AmendTarget(body.quantity, body.price, body.until_ns, queue_place=body.queue_place)
            return altered(order, amending=target, amend_problem="")
        case Replacing():
            return begun(order, body)
        case ReplacementFailed():
            return _not_replaced(order, body.text)
        case AmendUncertain():
            if order.amending is None:
                return order
            return altered(
                order, amending=altered(order.amending, expires_server_ns=body.expires_server_ns, uncertain=True)
            )
        case AmendDropped():
            return altered(order, amending=None, amend_problem=body.text, replacing=given_up(order.replacing))
        case Halted():
            return altered(order, halted=body.text, amending=None)
        case Intended() | Discovered():
            raise BrokenJournal(f"order {order.order_id} begins twice")


def merged(order: Order, stated: Stated) -> Order:
    """Return what is known after one more statement of the exchange, however old or repeated it is.

    A statement about a replacement that is under way makes that the present leg. The end of the leg before is no end of the order
    until it is known that none has taken its place.

    A terminal state stays. Executed quantity only grows. Quantity and price follow the newest statement. What we concluded without
    the exchange (NOT_PLACED, a refusal without an order) gives way to a statement, because that is evidence.
    """
    if stated.leg and order.replacing is not None and stated.leg == order.replacing.venue_client_order_id:
        return merged(adopted(order), altered(stated, leg=""))
    known = with_fill(order, stated.fill) if stated.fill is not None else order
    if stated.leg:
        return with_past_leg(known, stated)
    stated = in_total(order, stated)
    filled = max(known.filled, stated.filled if stated.filled is not None else ZERO)
    older = (
        stated.update_time_ns is not None
        and order.venue_update_ns is not None
        and stated.update_time_ns < order.venue_update_ns
    )
    quantity = known.quantity if older or stated.quantity is None else stated.quantity
    if stated.state is VenueState.FILLED and quantity is not None and not older:
        filled = max(filled, quantity)
    final = order.between_legs or (order.state.terminal and not _concluded_without_evidence(order))
    state = order.state if final else _state(stated, filled)
    average = stated.average_price if stated.filled is not None and stated.filled >= known.filled else None
    result = altered(
        known,
        state=state,
        filled=filled,
        quantity=quantity,
        price=known.price if older or stated.price is None else stated.price,
        average_price=average if average is not None else known.average_price,
        exchange_order_id=known.exchange_order_id or stated.exchange_order_id,
        venue_state=known.venue_state if older or final else stated.raw_state,
        venue_update_ns=known.venue_update_ns if older else stated.update_time_ns or known.venue_update_ns,
        reason=(stated.reason if not older and not final else "") or (known.reason if final else ""),
        ended_by=_cause(known.ended_by if final else None, stated, state),
        sending=False,
    )
    if order.replacement is not None and not final and state.terminal and state is not OrderState.FILLED:
        # Canceled in order to be replaced, or by somebody else: which one, the replacement tells.
        waiting = altered(order.replacement, ended=stated.state.value)
        return altered(result, state=OrderState.UNKNOWN, replacing=waiting)
    if state.terminal:
        return altered(result, canceling=False, amending=None, replacing=given_up(order.replacing))
    if order.state.terminal and not final and order.cancel_asked_ns:
        # It was taken for one that does not exist, and is there: what was wanted of it still is.
        result = altered(result, canceling=True)
    target = result.amending
    if target is not None and (
        stated.amend_moved or (result.quantity, result.price) == (target.quantity, target.price)
    ):
        over = given_up(order.replacing)
        return altered(result, amending=None, amend_problem="", queue_place=target.queue_place, replacing=over)
    return result


def with_fill(order: Order, fill: FillBody) -> Order:
    """Return the order with one more execution; one that is known already changes nothing."""
    if fill.trade_id in order.trade_ids:
        return order
    quantity = order.fills_quantity + fill.quantity
    notional = order.fills_notional + fill.quantity * fill.price
    filled = max(order.filled, quantity)
    state = order.state
    if state is OrderState.NEW and filled > ZERO:
        state = OrderState.PARTIALLY_FILLED
    return altered(
        order,
        trade_ids=order.trade_ids | {fill.trade_id},
        fills_quantity=quantity,
        fills_notional=notional,
        filled=filled,
        state=state,
        average_price=_average(notional, quantity) if quantity == filled else order.average_price,
    )


def _average(notional: Decimal, quantity: Decimal) -> Decimal | None:
    return (notional / quantity).normalize() if quantity else None


def _state(stated: Stated, filled: Decimal) -> OrderState:
    """Translate a statement; an open order is partly filled when we know better than an old statement."""
    if stated.state is VenueState.NEW and filled > ZERO:
        return OrderState.PARTIALLY_FILLED
    return STATE_OF[stated.state]


def _cause(known: EndedBy | None, stated: Stated, state: OrderState) -> EndedBy | None:
    """Return why an order ended: one statement may tell what another left open, of the same end."""
    said = stated.ended_by if state.terminal and STATE_OF[stated.state] is state else None
    return said or known if known in (None, EndedBy.EXCHANGE) else known


def _concluded_without_evidence(order: Order) -> bool:
    """Whether the terminal state is a conclusion of ours, and not a state that the exchange gave to an order."""
    refused = order.state in (OrderState.REJECTED, OrderState.EXPIRED) and not order.exchange_order_id
    return order.state is OrderState.NOT_PLACED or refused


def _settled(order: Order, body: Settled) -> Order:
    if body.exchange_order_id:
        # A statement about that one follows; without it, it is asked for by this id.
        return order if order.replacement is not None else altered(order, exchange_order_id=body.exchange_order_id)
    if order.state.live:
        # It was there, and its exchange is not any more: who ended it is known, if not when.
        return altered(
            order, state=OrderState.EXPIRED, reason=body.text, ended_by=EndedBy.EXCHANGE, canceling=False, amending=None
        )
    return _not_replaced(order, body.text) if order.between_legs else _ended(order, OrderState.NOT_PLACED, body.text)


def _not_replaced(order: Order, text: str) -> Order:
    replacing = order.replacement
    if replacing is None or not replacing.ended:
        return altered(order, replacing=given_up(order.replacing))
    return altered(
        order,
        state=OrderState(replacing.ended),
        reason=text,
        amend_problem=text,
        amending=None,
        canceling=False,
        replacing=given_up(replacing),
    )


def _ended(order: Order, state: OrderState, text: str, cause: EndedBy | None = None) -> Order:
    if order.state is not OrderState.UNKNOWN or order.exchange_order_id:
        # Evidence of the order came first; it is worth more than an error.
        return altered(order, sending=False)
    return altered(order, state=state, reason=text, ended_by=cause, sending=False, canceling=False, amending=None)


def _sending(order: Order, *, send_until_ns: int) -> Order:
    return altered(
        order,
        state=OrderState.UNKNOWN,
        sending=True,
        attempts=order.attempts + 1,
        expires_server_ns=None,
        send_until_ns=send_until_ns,
        reason="",
    )


def _intended(event: Event, body: Intended) -> Order:
    return Order(
        order_id=event.order_id,
        owner=body.owner,
        client_order_id=body.client_order_id,
        venue_client_order_id=body.venue_client_order_id,
        exchange=body.exchange,
        market=body.market,
        symbol=body.symbol,
        exchange_symbol=body.exchange_symbol,
        side=body.side,
        type=body.type,
        quantity=body.quantity,
        price=body.price,
        time_in_force=body.time_in_force,
        post_only=body.post_only,
        reduce_only=body.reduce_only,
        mode=body.mode,
        state=OrderState.UNKNOWN,
        created_ns=event.at_ns,
        updated_ns=event.at_ns,
        revision=1,
        resend_allowed=body.resend_allowed,
        any_exchange=body.any_exchange,
        send_until_ns=body.send_until_ns,
        attempts=1,
        sending=True,
    )


def _discovered(event: Event, body: Discovered) -> Order:
    filled = body.filled or ZERO
    return Order(
        order_id=event.order_id,
        owner="",
        client_order_id="",
        venue_client_order_id=body.venue_client_order_id,
        exchange=body.exchange,
        market=body.market,
        symbol=body.symbol,
        exchange_symbol=body.exchange_symbol,
        side=body.side,
        type=body.type,
        quantity=body.quantity,
        price=body.price,
        time_in_force=body.time_in_force,
        post_only=False,
        reduce_only=False,
        mode=body.mode,
        state=STATE_OF[body.state],
        created_ns=event.at_ns,
        updated_ns=event.at_ns,
        revision=1,
        external=True,
        filled=filled,
        average_price=body.average_price,
        exchange_order_id=body.exchange_order_id,
        venue_state=body.raw_state,
        venue_update_ns=body.update_time_ns,
        reason=body.reason,
        ended_by=body.ended_by,
    )
