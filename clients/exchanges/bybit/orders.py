"""What goes onto the wire about orders: bodies and parameters, in the exchange's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bybit.markets import MARKETS, NAME
from clients.exchanges.bybit.parsing import SIDE_WORDS, TYPE_WORDS
from clients.exchanges.bybit.rows import result_of
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.exact_json import MalformedAnswer, plain, to_word
from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, TimeInForce, VenueOrder
from clients.resilience.outcome import Outcome

_CLIENT_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,36}", re.ASCII)


def placed(order: VenueOrder) -> Mapping[str, Any]:
    """Return the body that places an order; refuse what cannot be said.

    Quantities are always in base currency or contracts: without `marketUnit` a market buy of spot would spend the quantity as money.
    """
    if not _CLIENT_ID.fullmatch(order.client_order_id):
        text = f"a client id is 1 to 36 of `0-9A-Za-z_-`, not {order.client_order_id[:48]!r}"
        raise CallerMustAct(NAME, "place_order", Outcome.REJECTED, text, code="CLIENT_ID")
    futures = MARKETS[order.instrument.market].futures
    if order.reduce_only and not futures:
        raise CallerMustAct(NAME, "place_order", Outcome.REJECTED, "spot has no reduce-only", code="UNSUPPORTED")
    body: dict[str, Any] = {
        **about(order.instrument),
        "side": SIDE_WORDS[order.side],
        "orderType": TYPE_WORDS[order.type],
        "qty": plain(order.quantity),
    }
    if order.type is OrderType.LIMIT:
        assert order.price is not None
        life = order.time_in_force or TimeInForce.GTC
        body |= {"price": plain(order.price), "timeInForce": "PostOnly" if order.post_only else life.value}
    body["orderLinkId"] = order.client_order_id
    if futures:
        # One-way mode: an account in hedge mode refuses this, and the error says how to change that.
        body |= {"positionIdx": 0, "reduceOnly": order.reduce_only}
    else:
        body |= {"marketUnit": "baseCoin", "isLeverage": 0}
    return body


def amended(instrument: Instrument, named: tuple[str, str], *, quantity: Decimal, price: Decimal) -> Mapping[str, Any]:
    """Return the body that sets total quantity and price of an order: absolute, so that repeating it does no harm."""
    return {**about(instrument), named[0]: named[1], "qty": plain(quantity), "price": plain(price)}


def canceled(instrument: Instrument, named: tuple[str, str]) -> Mapping[str, Any]:
    """Return the body that cancels an order."""
    return {**about(instrument), named[0]: named[1]}


def identity(*, client_order_id: str, exchange_order_id: str) -> tuple[str, str]:
    """Return the one parameter that names an order; with both, the exchange would look at its own alone."""
    if exchange_order_id:
        return "orderId", exchange_order_id
    if client_order_id:
        return "orderLinkId", client_order_id
    raise ValueError("an order needs `client_order_id` or `exchange_order_id`")


def about(instrument: Instrument) -> dict[str, str]:
    """Return what names an instrument: a symbol is unique only within its category."""
    return {"category": instrument.market, "symbol": instrument.exchange_symbol}


def acknowledged_id(payload: Any, named: tuple[str, str]) -> str:
    """Return the exchange's id of the order that an acknowledgement is about; one about another order is MalformedAnswer."""
    result = result_of(payload)
    if result.get(named[0]) not in (named[1], "", None):
        raise MalformedAnswer("the acknowledgement is about another order")
    return to_word(result, "orderId")
