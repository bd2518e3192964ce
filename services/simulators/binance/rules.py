"""Check an order as Binance does before the engine sees it: parameters and symbol filters."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from services.simulators.binance.call import Call
from services.simulators.binance.errors import BinanceError, illegal, missing
from services.simulators.binance.exchange_info import (
    BAND_DOWN,
    BAND_UP,
    PRICE_MAX,
    SPOT_BAND_DOWN,
    SPOT_BAND_UP,
    SPOT_NOTIONAL_MAX,
)
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.spelling import decimals, plain
from services.simulators.binance.stops import STOP_TYPES, check_stop_parameters, trigger_of
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Leg, Lifetime, OrderType, SelfTrade, Side, Ticket

NUMBER: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
NUMBER_RULE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
CLIENT_ID_RULE: Final = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"


def read_decimal(call: Call, name: str) -> Decimal | None:
    """Return an optional number, strictly."""
    text = call.get(name)
    if text is None:
        return None
    if not NUMBER.fullmatch(text):
        raise illegal(name, NUMBER_RULE)
    return Decimal(text)


def read_client_id(call: Call, name: str, default: str) -> str:
    """Return an optional client id."""
    text = call.get(name)
    if text is None:
        return default
    if not CLIENT_ID.fullmatch(text):
        raise illegal(name, CLIENT_ID_RULE)
    return text


def read_side(call: Call) -> Side:
    """Return the side."""
    try:
        return Side(call.need("side"))
    except ValueError:
        raise BinanceError(400, -1117, "Invalid side.") from None


def read_ticket(call: Call, listing: Listing, mark: Decimal, client_id: str, *, dual: bool) -> Ticket:
    """Return what an order call asks for, with all filters passed; raise what the exchange answers otherwise.

    `dual` says that the account holds long and short apart.
    """
    assert call.account is not None
    side = read_side(call)
    kind = call.need("type")
    types = ("LIMIT", "MARKET", "LIMIT_MAKER", *STOP_TYPES) if listing.market == SPOT else ("LIMIT", "MARKET")
    if kind not in types:
        if listing.market != SPOT and kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"):
            raise BinanceError(400, -4120, "Order type not supported for this endpoint. Please use the Algo Order API.")
        raise BinanceError(400, -1116, "Invalid orderType.")
    quantity, price = read_decimal(call, "quantity"), read_decimal(call, "price")
    value = read_decimal(call, "quoteOrderQty") if listing.market == SPOT else None
    _check_presence(call, listing, kind, quantity, price, value)
    if listing.market == SPOT:
        check_stop_parameters(call, kind)
    trigger = trigger_of(kind, side, read_decimal(call, "stopPrice"), listing)
    lifetime, post_only = _read_lifetime(call, listing, kind)
    leg = _read_leg(call, dual=dual)
    reduce_only = _read_reduce_only(call, listing, side, leg)
    order_type = OrderType.LIMIT if STOP_TYPES.get(kind, kind != "MARKET") else OrderType.MARKET
    check_filters(listing, order_type, side, quantity, price, value, mark, reduce_only=reduce_only)
    return Ticket(
        listing=listing,
        account=call.account.name,
        client_id=client_id,
        side=side,
        type=order_type,
        quantity=quantity or Decimal(0),
        price=price if order_type is OrderType.LIMIT else None,
        lifetime=lifetime,
        post_only=post_only,
        reduce_only=reduce_only,
        quote_quantity=value,
        marks={"type": kind, "timeInForce": call.get("timeInForce") or "GTC"},
        leg=leg,
        self_trade=_read_self_trade(call),
        trigger=trigger,
    )


def _check_presence(
    call: Call, listing: Listing, kind: str, quantity: Decimal | None, price: Decimal | None, value: Decimal | None
) -> None:
    if kind == "MARKET" or STOP_TYPES.get(kind) is False:
        for name in ("price", "timeInForce"):
            if call.get(name):
                raise BinanceError(400, -1106, f"Parameter '{name}' sent when not required.")
        if quantity is None and (value is None or kind in STOP_TYPES):
            raise missing("quantity")
        if quantity is not None and value is not None:
            raise BinanceError(400, -1128, "Combination of optional parameters invalid.")
        return
    if kind != "LIMIT_MAKER" and not call.get("timeInForce"):
        raise missing("timeInForce")
    if kind == "LIMIT_MAKER" and call.get("timeInForce"):
        raise BinanceError(400, -1106, "Parameter 'timeInForce' sent when not required.")
    if quantity is None:
        raise missing("quantity")
    if price is None:
        raise missing("price")


def _read_lifetime(call: Call, listing: Listing, kind: str) -> tuple[Lifetime, bool]:
    text = call.get("timeInForce") or "GTC"
    if text == "GTX" and listing.market != SPOT:
        return Lifetime.GTC, True
    if text == "GTD" and listing.market != SPOT:
        raise BinanceError(400, -1115, "Invalid timeInForce: GTD is not simulated.")
    try:
        return Lifetime(text), kind == "LIMIT_MAKER"
    except ValueError:
        raise BinanceError(400, -1115, "Invalid timeInForce.") from None


def _read_self_trade(call: Call) -> SelfTrade:
    named = call.get("selfTradePreventionMode") or SelfTrade.EXPIRE_MAKER
    if named == SelfTrade.NONE and call.market == SPOT:
        raise BinanceError(400, -2010, "This symbol does not allow the specified self-trade prevention mode.")
    if named not in tuple(SelfTrade):
        raise BinanceError(400, -1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    return SelfTrade(named)


def _read_leg(call: Call, *, dual: bool) -> Leg:
    named = call.get("positionSide") or "BOTH"
    if named not in tuple(Leg):
        raise BinanceError(400, -4060, "Invalid position side.")
    if (named == "BOTH") is dual:
        raise BinanceError(400, -4061, "Order's position side does not match user's setting.")
    return Leg(named)


def _read_reduce_only(call: Call, listing: Listing, side: Side, leg: Leg) -> bool:
    if listing.market == SPOT:
        return False
    if leg is not Leg.BOTH:
        if call.get("reduceOnly"):
            raise BinanceError(400, -1106, "Parameter 'reduceonly' sent when not required.")
        # What closes a position of its own side can do nothing else.
        return (leg is Leg.LONG) is (side is Side.SELL)
    return (call.get("reduceOnly") or "false").lower() == "true"


def check_filters(
    listing: Listing,
    kind: OrderType,
    side: Side,
    quantity: Decimal | None,
    price: Decimal | None,
    value: Decimal | None,
    mark: Decimal,
    *,
    reduce_only: bool,
) -> None:
    """Raise what a filter answers."""
    if listing.market == SPOT:
        _check_spot(listing, kind, side, quantity, price, value, mark)
    else:
        _check_futures(listing, kind, quantity, price, mark, reduce_only=reduce_only)


def _failure(name: str) -> BinanceError:
    return BinanceError(400, -1013, f"Filter failure: {name}")


def _check_spot(
    listing: Listing,
    kind: OrderType,
    side: Side,
    quantity: Decimal | None,
    price: Decimal | None,
    value: Decimal | None,
    mark: Decimal,
) -> None:
    for number in (quantity, price, value):
        if number is not None and decimals(number) > 8:
            raise BinanceError(400, -1111, "Parameter has too much precision.")
    if price is not None:
        if not listing.tick <= price <= PRICE_MAX[listing.base] or price % listing.tick:
            raise _failure("PRICE_FILTER")
        if not mark * SPOT_BAND_DOWN <= price <= mark * SPOT_BAND_UP:
            raise _failure("PERCENT_PRICE_BY_SIDE")
    if quantity is not None:
        if not listing.quantity_min <= quantity <= listing.quantity_max or quantity % listing.lot:
            raise _failure("LOT_SIZE")
        if kind is OrderType.MARKET and quantity > listing.quantity_max / 10:
            raise _failure("MARKET_LOT_SIZE")
        value = quantity * (mark if price is None else price)
    if value is not None and value < listing.notional_min:
        raise _failure("NOTIONAL")
    # The list of instruments says that the maximum is not for MARKET orders.
    if value is not None and value > SPOT_NOTIONAL_MAX and kind is not OrderType.MARKET:
        raise _failure("NOTIONAL")


def _check_futures(
    listing: Listing,
    kind: OrderType,
    quantity: Decimal | None,
    price: Decimal | None,
    mark: Decimal,
    *,
    reduce_only: bool,
) -> None:
    assert quantity is not None
    if quantity <= 0:
        raise BinanceError(400, -4003, "Quantity less than or equal to zero.")
    if decimals(quantity) > decimals(listing.lot):
        raise BinanceError(400, -1111, "Precision is over the maximum defined for this asset.")
    if quantity % listing.lot:
        raise BinanceError(400, -4023, "Qty not increased by step size.")
    if quantity < listing.quantity_min:
        raise BinanceError(400, -4004, "Quantity less than min quantity.")
    if quantity > (listing.quantity_max / 10 if kind is OrderType.MARKET else listing.quantity_max):
        raise BinanceError(400, -4005, "Quantity greater than max quantity.")
    if price is not None:
        if price <= 0:
            raise BinanceError(400, -4001, "Price less than 0.")
        if price % listing.tick:
            raise BinanceError(400, -4014, "Price not increased by tick size.")
        if price > min(PRICE_MAX[listing.base], mark * BAND_UP):
            raise BinanceError(400, -4016, f"Limit price can't be higher than {plain(round(mark * BAND_UP, 2))}.")
        if price < mark * BAND_DOWN:
            raise BinanceError(400, -4024, f"Limit price can't be lower than {plain(round(mark * BAND_DOWN, 2))}.")
    if listing.market != COINM and not reduce_only:
        notional = listing.notional(mark if price is None else price, quantity)
        if notional < listing.notional_min:
            text = f"Order's notional must be no smaller than {plain(listing.notional_min)} (unless you choose reduce only)."
            raise BinanceError(400, -4164, text)
