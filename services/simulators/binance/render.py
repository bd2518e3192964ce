"""Orders, trades and events in Binance's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.reasons import futures_reason, spot_reason
from services.simulators.binance.spelling import eight, plain
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orders import Event, EventKind, Fill, Order
from services.simulators.venue.self_trade import PREVENTED

Shown = Callable[[int], int]
"""Engine time to the exchange's milliseconds."""


def average(order: Order) -> Decimal:
    """Return the average price, weighed as the contract pays."""
    if not order.filled:
        return Decimal(0)
    if order.listing.payout is Payout.INVERSE:
        return order.filled / order.coin_value
    return order.average_price


def order_type(order: Order) -> str:
    """Return the type as it was asked for."""
    return order.marks.get("type", order.type)


def lifetime(order: Order) -> str:
    """Return the time in force; post-only is one on futures."""
    if order.post_only and order.listing.market != SPOT:
        return "GTX"
    return order.lifetime


def status(order: Order) -> str:
    """Return the state; what met an order of its own account has a word of its own."""
    return "EXPIRED_IN_MATCH" if order.why == PREVENTED else order.status


def stop_price(order: Order) -> Decimal:
    """Return the price that an order waits for, or has waited for; 0 for any other."""
    return order.trigger.price if order.trigger is not None else Decimal(0)


def working_ms(order: Order, shown: Shown) -> int:
    """Return when an order came to the book; -1 where it has not."""
    return -1 if order.waiting else shown(order.triggered_ns or order.created_ns)


# -- spot -------------------------------------------------------------------------------------------------------------


def spot_core(order: Order) -> dict[str, Any]:
    """Return what every spot answer about an order shares."""
    return {
        "price": eight(order.price or Decimal(0)),
        "origQty": eight(order.quantity),
        "executedQty": eight(order.filled),
        "origQuoteOrderQty": eight(Decimal(order.marks.get("quoteOrderQty", "0"))),
        "cummulativeQuoteQty": eight(order.value),
        "status": status(order),
        "timeInForce": lifetime(order),
        "type": order_type(order),
        "side": order.side,
        "selfTradePreventionMode": order.self_trade,
    }


def spot_ack(order: Order, shown: Shown) -> dict[str, Any]:
    """Return the shortest answer of placing."""
    return {
        "symbol": order.listing.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": shown(order.updated_ns),
    }


def spot_placed(order: Order, fills: Iterable[Fill], detail: str, shown: Shown) -> dict[str, Any]:
    """Return the answer of placing: ACK, RESULT or FULL."""
    answer = spot_ack(order, shown)
    if detail == "ACK":
        return answer
    answer |= spot_core(order) | {"workingTime": working_ms(order, shown)}
    if detail == "FULL":
        answer["fills"] = [
            {
                "price": eight(fill.price),
                "qty": eight(fill.quantity),
                "commission": eight(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ]
    return answer


def spot_row(order: Order, shown: Shown) -> dict[str, Any]:
    """Return a query's answer."""
    row = {
        "symbol": order.listing.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **spot_core(order),
        "stopPrice": eight(stop_price(order)),
        "icebergQty": "0.00000000",
        "time": shown(order.created_ns),
        "updateTime": shown(order.updated_ns),
        "isWorking": not order.waiting,
        "workingTime": working_ms(order, shown),
    }
    if order.prevented:
        row |= {"preventedMatchId": order.prevention, "preventedQuantity": eight(order.prevented)}
    elif reason := spot_reason(order):
        row["expiryReason"] = reason
    return row


def spot_canceled(order: Order, request_id: str, shown: Shown) -> dict[str, Any]:
    """Return a cancel's answer: its own id in `clientOrderId`, the order's in `origClientOrderId`."""
    return {
        "symbol": order.listing.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": request_id,
        "transactTime": shown(order.updated_ns),
        **spot_core(order),
    }


def spot_amended(order: Order, original_id: str, execution_id: int, shown: Shown) -> dict[str, Any]:
    """Return a keep-priority amend's answer."""
    return {
        "transactTime": shown(order.updated_ns),
        "executionId": execution_id,
        "amendedOrder": {
            "symbol": order.listing.symbol,
            "orderId": order.id,
            "orderListId": -1,
            "origClientOrderId": original_id,
            "clientOrderId": order.client_id,
            "price": eight(order.price or Decimal(0)),
            "qty": eight(order.quantity),
            "executedQty": eight(order.filled),
            "preventedQty": eight(order.prevented),
            "quoteOrderQty": eight(Decimal(0)),
            "cumulativeQuoteQty": eight(order.value),
            "status": status(order),
            "timeInForce": lifetime(order),
            "type": order_type(order),
            "side": order.side,
            "workingTime": working_ms(order, shown),
            "selfTradePreventionMode": order.self_trade,
        },
    }


def spot_trade(fill: Fill, shown: Shown) -> dict[str, Any]:
    """Return a row of `myTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": eight(fill.price),
        "qty": eight(fill.quantity),
        "quoteQty": eight(fill.price * fill.quantity),
        "commission": eight(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": shown(fill.time_ns),
        "isBuyer": fill.side == "BUY",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def execution_report(event: Event, shown: Shown) -> dict[str, Any]:
    """Return the spot user stream's event. A cancel and an amend show their own id in `c` and the order's in `C`."""
    order, fill = event.order, event.fill
    # An order whose stop is reached is new once more, and works.
    kinds = {EventKind.AMENDED: "REPLACED", EventKind.TRIGGERED: "NEW"}
    prevented = order.why == PREVENTED
    own = event.request_id or order.client_id
    report = {
        "e": "executionReport",
        "E": shown(event.time_ns),
        "s": order.listing.symbol,
        "c": own if event.kind is EventKind.CANCELED else order.client_id,
        "S": order.side,
        "o": order_type(order),
        "f": lifetime(order),
        "q": eight(order.quantity),
        "p": eight(order.price or Decimal(0)),
        "P": eight(stop_price(order)),
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if event.kind is EventKind.CANCELED else "",
        "x": "TRADE_PREVENTION" if prevented else kinds.get(event.kind, event.kind),
        "X": status(order),
        "r": "NONE",
        "i": order.id,
        "l": eight(fill.quantity if fill else Decimal(0)),
        "z": eight(order.filled),
        "L": eight(fill.price if fill else Decimal(0)),
        "n": eight(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": shown(event.time_ns),
        "t": fill.trade_id if fill else -1,
        "I": event.number,
        "w": order.status.is_open and not order.waiting,
        "m": fill.maker if fill else False,
        "M": False,
        "O": shown(order.created_ns),
        "Z": eight(order.value),
        "Y": eight(fill.price * fill.quantity if fill else Decimal(0)),
        "Q": "0.00000000",
        "W": working_ms(order, shown),
        "V": order.self_trade,
    }
    if prevented:
        return {**report, **_met(order)}
    reason = spot_reason(order)
    return {**report, "eR": reason} if reason else report


def _met(order: Order) -> dict[str, Any]:
    """Return what a report says of an order that met one of its own account."""
    return {
        "v": order.prevention,
        "A": eight(order.prevented),
        "B": eight(order.prevented),
        "u": 1,
        "U": order.met_order,
        "Cs": order.listing.symbol,
    }


# -- futures ----------------------------------------------------------------------------------------------------------


def futures_row(order: Order, shown: Shown, *, query: bool) -> dict[str, Any]:
    """Return an order; acknowledgements lack the average and the cumulated value since July 2026, queries have them."""
    listing = order.listing
    row: dict[str, Any] = {
        "orderId": order.id,
        "symbol": listing.symbol,
        "pair": listing.base + listing.quote,
        "status": status(order),
        "clientOrderId": order.client_id,
        "price": plain(order.price or Decimal(0)),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.filled),
        "cumQty": plain(order.filled),
        "timeInForce": lifetime(order),
        "type": order_type(order),
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": order.leg,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order_type(order),
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.self_trade,
        "goodTillDate": 0,
        "updateTime": shown(order.updated_ns),
    }
    if listing.market == USDM:
        del row["pair"]
    if query:
        del row["cumQty"]
        row["avgPrice"] = f"{average(order):.5f}"
        row["time"] = shown(order.created_ns)
        name, value = cumulated(order)
        row[name] = plain(round(value, 8))
    return row


def cumulated(order: Order) -> tuple[str, Decimal]:
    """Return the cumulated value: quote on USD-M, coin on COIN-M."""
    if order.listing.market == COINM:
        return "cumBase", order.coin_value * order.listing.unit
    return "cumQuote", order.value


def futures_trade(fill: Fill, listing: Listing, shown: Shown) -> dict[str, Any]:
    """Return a row of `userTrades`."""
    row: dict[str, Any] = {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "price": plain(fill.price),
        "qty": plain(fill.quantity),
        "realizedPnl": plain(round(fill.realized, 8)),
        "commission": plain(round(fill.fee, 8)),
        "commissionAsset": fill.fee_asset,
        "time": shown(fill.time_ns),
        "positionSide": fill.leg,
        "buyer": fill.side == "BUY",
        "maker": fill.maker,
    }
    if listing.market == COINM:
        row |= {
            "pair": listing.base + listing.quote,
            "marginAsset": listing.settle,
            "baseQty": plain(round(listing.settlement_value(fill.price, fill.quantity), 8)),
        }
    else:
        row["quoteQty"] = plain(fill.price * fill.quantity)
    return row


def order_trade_update(event: Event, shown: Shown, resting: tuple[Decimal, Decimal]) -> dict[str, Any]:
    """Return the futures user stream's event; `resting` is what the account's open buys and sells of the symbol are worth."""
    order, fill = event.order, event.fill
    kinds = {EventKind.AMENDED: "AMENDMENT"}
    body: dict[str, Any] = {
        "s": order.listing.symbol,
        "c": order.client_id,
        "S": order.side,
        "o": order_type(order),
        "f": lifetime(order),
        "q": plain(order.quantity),
        "p": plain(order.price or Decimal(0)),
        "ap": plain(round(average(order), 8)),
        "sp": "0",
        "x": kinds.get(event.kind, event.kind),
        "X": status(order),
        "i": order.id,
        "l": plain(fill.quantity) if fill else "0",
        "z": plain(order.filled),
        "L": plain(fill.price) if fill else "0",
        "T": shown(event.time_ns),
        "t": fill.trade_id if fill else 0,
        "b": plain(round(resting[0], 8)),
        "a": plain(round(resting[1], 8)),
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order_type(order),
        "ps": order.leg,
        "cp": False,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": plain(round(fill.realized, 8)) if fill else "0",
        "V": order.self_trade,
        "pm": "NONE",
        "gtd": 0,
        "er": futures_reason(order),
    }
    if fill:
        body |= {"N": fill.fee_asset, "n": plain(round(fill.fee, 8))}
    if order.listing.market == COINM:
        body["ma"] = order.listing.settle
    update: dict[str, Any] = {
        "e": "ORDER_TRADE_UPDATE",
        "T": shown(event.time_ns),
        "E": shown(event.time_ns),
        "o": body,
    }
    if order.listing.market == COINM:
        update["i"] = "SfsR"
    return update


def trade_lite(event: Event, shown: Shown) -> dict[str, Any]:
    """Return the thin notice of a fill."""
    order, fill = event.order, event.fill
    assert fill is not None
    return {
        "e": "TRADE_LITE",
        "E": shown(event.time_ns),
        "T": shown(event.time_ns),
        "s": order.listing.symbol,
        "q": plain(order.quantity),
        "p": plain(order.price or Decimal(0)),
        "m": fill.maker,
        "c": order.client_id,
        "S": order.side,
        "L": plain(fill.price),
        "l": plain(fill.quantity),
        "t": fill.trade_id,
        "i": order.id,
    }
