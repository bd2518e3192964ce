"""Read an order out of a request, and refuse what the exchange refuses before its engine sees it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from services.simulators.bybit.call import Call
from services.simulators.bybit.conditional import read_trigger
from services.simulators.bybit.errors import BybitError, parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import OPTION, SPOT
from services.simulators.bybit.price_limits import moved
from services.simulators.bybit.spelling import plain, price_text
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orders import Leg, Lifetime, OrderType, SelfTrade, Side, Ticket

LINK_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")
LINK_ID_MAX: Final = 45
TIMES_IN_FORCE: Final = {"GTC": Lifetime.GTC, "PostOnly": Lifetime.GTC, "IOC": Lifetime.IOC, "FOK": Lifetime.FOK}
NOT_SIMULATED: Final = ("takeProfit", "stopLoss", "orderIv", "bboSideType", "slippageTolerance")
LEGS: Final = (Leg.BOTH, Leg.LONG, Leg.SHORT)
"""By `positionIdx`."""
SELF_TRADES: Final = {
    "None": SelfTrade.NONE,
    "CancelMaker": SelfTrade.EXPIRE_MAKER,
    "CancelTaker": SelfTrade.EXPIRE_TAKER,
    "CancelBoth": SelfTrade.EXPIRE_BOTH,
}


def read_ticket(venue: BybitExchange, call: Call) -> Ticket:
    """Return what is to be placed, at the price that it gets."""
    listing = venue.listing(tradable(call), call.get("symbol"))
    if (listing.market, listing.symbol) in venue.closed:
        raise BybitError(110074, "This contract is not live")
    side = _side(call)
    type_ = _type(call)
    for name in NOT_SIMULATED:
        if (call.decimal(name) or 0) if name != "bboSideType" else call.get(name):
            raise parameter(f"params error: `{name}` is not simulated")
    trigger = read_trigger(venue, call, listing)
    by_amount = _is_by_amount(call, listing, side, type_)
    if by_amount and trigger is not None:
        raise parameter("params error: a conditional order by amount is not simulated: send marketUnit baseCoin")
    quantity = call.decimal("qty")
    if quantity is None or quantity <= 0:
        raise _bad_quantity(listing)
    price = None
    if type_ is OrderType.LIMIT:
        price = read_price(venue, call, listing, side, limited=trigger is None)
    if by_amount:
        check_value(listing, quantity)
    else:
        check_quantity(venue, listing, quantity, type_)
        check_value(listing, listing.notional(price or venue.liquidity.mark(listing), quantity))
    time_in_force = call.get("timeInForce") or "GTC"
    if time_in_force not in TIMES_IN_FORCE:
        raise parameter("params error: timeInForce invalid")
    reduce_only = call.flag("reduceOnly")
    index = _position_index(venue, call, listing)
    if index:
        # A sell of the buy side's row, or a buy of the sell side's, only closes.
        reduce_only = reduce_only or (index == 1) is not (side is Side.BUY)
    marks = {"orderId": venue.new_order_id(listing), "positionIdx": str(index), "last": _last(venue, listing)}
    if listing.market == SPOT:
        marks["marketUnit"] = call.get("marketUnit") or ""
    if by_amount:
        marks["amount"] = plain(quantity)
    smp_type = call.get("smpType") or "None"
    if smp_type not in SELF_TRADES:
        raise parameter("params error: smpType invalid")
    marks["smpType"] = smp_type
    limit = type_ is OrderType.LIMIT
    return Ticket(
        listing=listing,
        account=call.owner,
        client_id=_link_id(call) or (venue.new_order_id(listing) if listing.market == SPOT else ""),
        side=side,
        type=type_,
        quantity=Decimal(0) if by_amount else quantity,
        price=price,
        lifetime=TIMES_IN_FORCE[time_in_force] if limit else Lifetime.IOC,
        post_only=limit and time_in_force == "PostOnly",
        reduce_only=reduce_only and listing.market != SPOT,
        leg=LEGS[index],
        self_trade=SELF_TRADES[smp_type],
        quote_quantity=quantity if by_amount else None,
        marks=marks,
        trigger=trigger,
    )


def tradable(call: Call) -> str:
    """Return the category; there are no options to trade."""
    category = call.category
    if category == OPTION:
        raise BybitError(110074, "This contract is not live")
    return category


def read_price(venue: BybitExchange, call: Call, listing: Listing, side: Side, *, limited: bool = True) -> Decimal:
    """Return the price that an order gets: beyond the limit it is refused, or moved there without a word.

    One that waits for its trigger is far from the market as it pleases.
    """
    price = call.decimal("price")
    if price is None or price <= 0:
        raise (
            BybitError(170130, "Data sent for paramter 'price' is not valid.")
            if listing.market == SPOT
            else parameter("params error: price err")
        )
    if price % listing.tick:
        if listing.market == SPOT:
            raise BybitError(170134, "Order price has too many decimals.")
        raise parameter("params error: price err")
    if not limited:
        return price
    limits = venue.price_limits(listing)
    allowed = moved(side, price, limits)
    switches = venue.switches(call.owner)
    if allowed != price and listing.market == SPOT and not switches.spot_adjusts:
        word, code = ("higher", 170372) if side is Side.BUY else ("lower", 170371)
        text = f"Order price cannot be {word} than {price_text(listing, allowed)}, the price limitation."
        raise BybitError(code, text)
    if allowed != price and listing.market != SPOT and switches.futures_reject:
        raise BybitError(110003, "Order price exceeds the allowable range.")
    return allowed


def check_quantity(venue: BybitExchange, listing: Listing, quantity: Decimal, type_: OrderType) -> None:
    """Raise what a quantity off the step, or out of bounds, gets."""
    at_market = type_ is OrderType.MARKET
    most = venue.terms(listing).quantity_market_max if at_market else listing.quantity_max
    if quantity % listing.lot:
        if listing.market == SPOT:
            raise BybitError(170137, "Order quantity has too many decimals.")
        raise parameter("params error: qty err")
    if quantity < listing.quantity_min:
        if listing.market == SPOT:
            raise BybitError(170136, "Order quantity exceeded lower limit.")
        raise parameter("The number of contracts exceeds minimum limit allowed")
    if quantity > most:
        if listing.market == SPOT:
            raise BybitError(170124, "Order quantity exceeded upper limit.")
        raise parameter("The number of contracts exceeds maximum limit allowed: " + ("too large" if at_market else ""))


def check_value(listing: Listing, value: Decimal) -> None:
    """Raise what an order of too little value gets; inverse contracts know no least value."""
    if listing.payout is not Payout.INVERSE and value < listing.notional_min:
        if listing.market == SPOT:
            raise BybitError(170140, "Order value exceeded lower limit.")
        raise BybitError(
            110094, f"Order does not meet minimum order value {plain(listing.notional_min)}{listing.settle}"
        )


def _side(call: Call) -> Side:
    given = call.get("side")
    if given not in ("Buy", "Sell"):
        raise parameter("params error: side invalid")
    return Side.BUY if given == "Buy" else Side.SELL


def _type(call: Call) -> OrderType:
    given = call.get("orderType")
    if given not in ("Limit", "Market"):
        raise parameter("params error: orderType invalid")
    return OrderType.LIMIT if given == "Limit" else OrderType.MARKET


def _is_by_amount(call: Call, listing: Listing, side: Side, type_: OrderType) -> bool:
    """Whether `qty` counts quote coin: a market buy on spot does where nothing else is said."""
    if listing.market != SPOT or type_ is not OrderType.MARKET:
        return False
    unit = call.get("marketUnit")
    if unit not in (None, "baseCoin", "quoteCoin"):
        raise parameter("params error: marketUnit invalid")
    return unit == "quoteCoin" or (unit is None and side is Side.BUY)


def _position_index(venue: BybitExchange, call: Call, listing: Listing) -> int:
    index = call.number("positionIdx", 0, least=-1) if listing.market != SPOT else 0
    if index not in ((1, 2) if venue.is_hedged(call.owner, listing) else (0,)):
        raise parameter("position idx not match position mode")
    return index


def _link_id(call: Call) -> str:
    given = call.get("orderLinkId") or ""
    if len(given) > LINK_ID_MAX:
        raise parameter(f"The length of orderLinkId is longer than {LINK_ID_MAX}")
    if given and not LINK_ID.fullmatch(given):
        raise parameter("params error: orderLinkId invalid: at most 36 of letters, digits, - and _")
    return given


def _last(venue: BybitExchange, listing: Listing) -> str:
    return price_text(listing, venue.tape.of(listing).last().price)


def _bad_quantity(listing: Listing) -> BybitError:
    if listing.market == SPOT:
        return BybitError(170130, "Data sent for paramter 'qty' is not valid.")
    return parameter("params error: qty err")
