"""Orders that wait for a price: which price, and from which side."""

from __future__ import annotations

from typing import Final

from services.simulators.bybit.call import Call
from services.simulators.bybit.errors import BybitError, parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.spelling import price_text
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, Trigger

WAITING_MAX: Final = {SPOT: 30}
WAITING_MAX_OTHER: Final = 10
TRIGGERED_BY: Final = {"LastPrice": False, "MarkPrice": True}
FILTERS: Final = ("Order", "StopOrder", "tpslOrder")


def read_trigger(venue: BybitExchange, call: Call, listing: Listing) -> Trigger | None:
    """Return what an order waits for; None for one that does not."""
    price = call.decimal("triggerPrice")
    if not price:
        return None
    if price < 0 or price % listing.tick:
        raise parameter("params error: triggerPrice invalid")
    named = call.get("triggerBy") or "LastPrice"
    if named not in TRIGGERED_BY:
        raise parameter(f"params error: triggerBy must be one of {', '.join(TRIGGERED_BY)}: others are not simulated")
    by_mark = TRIGGERED_BY[named]
    if listing.market == SPOT:
        if order_filter(call) not in ("StopOrder", "tpslOrder"):
            raise parameter("params error: triggerPrice needs orderFilter StopOrder or tpslOrder")
        return Trigger(price, rising=price > venue.engine.triggers.price(listing, by_mark=False))
    direction = call.number("triggerDirection", 0, least=0)
    if direction not in (1, 2):
        raise parameter("params error: triggerDirection invalid")
    return Trigger(price, rising=direction == 1, by_mark=by_mark)


def order_filter(call: Call) -> str | None:
    """Return which kind of orders is meant; None where nothing is said."""
    named = call.get("orderFilter")
    if named is not None and named not in FILTERS:
        raise parameter("params error: orderFilter invalid")
    return named


def is_meant(order: Order, named: str | None) -> bool:
    """Whether an order is of the kind: one whose trigger is reached is like any other."""
    return named is None or (named == "Order") is not order.waiting


def check_room(listing: Listing, open_orders: list[Order]) -> None:
    """Raise what one more order that waits gets where there are enough."""
    if sum(order.waiting for order in open_orders) < WAITING_MAX.get(listing.market, WAITING_MAX_OTHER):
        return
    if listing.market == SPOT:
        raise BybitError(170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders.")
    raise BybitError(110009, "The number of stop orders exceeds the maximum allowable limit.")


def triggered_at_once(venue: BybitExchange, listing: Listing, trigger: Trigger) -> BybitError:
    """Return what an order gets whose trigger is reached when it comes."""
    now = price_text(listing, venue.engine.triggers.price(listing, by_mark=trigger.by_mark))
    asked = price_text(listing, trigger.price)
    if trigger.rising:
        return BybitError(110092, f"expect Rising, but trigger_price[{asked}] <= current[{now}]")
    return BybitError(110093, f"expect Falling, but trigger_price[{asked}] >= current[{now}]")
