"""Rows of orders, executions, positions and wallets, as REST and the streams both have them. All numbers are text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from services.simulators.bybit.funding import DELIVERY, EXECUTION_TYPE, FUNDING, RATE
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.marks import CREATE_TYPE, TRADE_TYPE
from services.simulators.bybit.sightings import RACED, Execution, Sighting
from services.simulators.bybit.spelling import plain, price_text, size_text
from services.simulators.venue.clearing import Position, profit
from services.simulators.venue.delivery import DELIVERED
from services.simulators.venue.forced import ADMINISTRATION, DELEVERAGING, LIQUIDATION, SETTLEMENT
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.matching import DEAD_MAN
from services.simulators.venue.orders import Lifetime, Order, OrderType, Reason, Side, Status
from services.simulators.venue.self_trade import PREVENTED

Shown = Callable[[int], int]
"""Engine time to the exchange's milliseconds."""

SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
ENDS: Final[Mapping[str, tuple[str, str]]] = {
    Reason.WOULD_TAKE.value: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    Reason.CANNOT_FILL.value: ("UNKNOWN", "EC_CancelForNoFullFill"),
    Reason.NOTHING_TO_REDUCE.value: ("CancelByReduceOnly", "EC_NoError"),
    Reason.INSUFFICIENT_FUNDS.value: ("UNKNOWN", "EC_NoEnoughBalance"),
    DEAD_MAN: ("CancelByDCP", "EC_NoError"),
    LIQUIDATION: ("CancelByPrepareLiq", "EC_NoError"),
    DELEVERAGING: ("CancelByPrepareAdl", "EC_NoError"),
    ADMINISTRATION: ("CancelByAdmin", "EC_NoError"),
    DELIVERED: ("CancelBySettle", "EC_NoError"),
    SETTLEMENT: ("CancelBySettle", "EC_NoError"),
    PREVENTED: ("CancelBySmp", "EC_NoError"),
}
"""Who ended an order and why, by the engine's word for it; what is not here was cancelled by its owner."""
TRADE: Final = "Trade"
CREATED_BY_USER: Final = "CreateByUser"
REJECTED: Final = frozenset({Reason.INSUFFICIENT_FUNDS.value})


def status_of(order: Order) -> str:
    """Return the state as the exchange calls it: there is no word for expired."""
    if order.status is Status.NEW:
        return "Untriggered" if order.waiting else "New"
    if order.status is Status.PARTIALLY_FILLED:
        return "PartiallyFilled"
    if order.status is Status.FILLED:
        # Bought for an amount of quote coin, some cents of it are always left over.
        return "PartiallyFilledCanceled" if _amount_left(order) > 0 else "Filled"
    if order.waiting:
        return "Deactivated"
    if order.why in REJECTED or (order.why == Reason.WOULD_TAKE.value and order.listing.market == SPOT):
        return "Rejected"
    return "PartiallyFilledCanceled" if order.filled and order.listing.market == SPOT else "Cancelled"


def end_of(order: Order) -> tuple[str, str]:
    """Return `cancelType` and `rejectReason`."""
    if RACED in order.marks:
        return "CancelByUser", "EC_OrigClOrdIDDoesNotExist"
    if order.status is Status.CANCELED and order.why not in ENDS:
        return "CancelByUser", "EC_NoError"
    if order.status is Status.CANCELED or order.status is Status.EXPIRED:
        if order.why in ENDS:
            return ENDS[order.why]
        return "UNKNOWN", "EC_NoEnoughQtyToFill" if order.type is OrderType.MARKET else "EC_NoImmediateQtyToFill"
    return "UNKNOWN", "EC_NoError"


def average_price(order: Order) -> str:
    """Return the average price; empty without a fill."""
    if not order.filled:
        return ""
    if order.listing.payout is Payout.INVERSE:
        return plain(order.filled / order.coin_value)
    return plain(order.average_price)


def order_row(sighting: Sighting, shown: Shown) -> dict[str, Any]:
    """Return an order."""
    order, listing = sighting.order, sighting.order.listing
    cancel_type, reject_reason = end_of(order)
    spent = order.coin_value if listing.payout is Payout.INVERSE else order.value
    left = order.remaining if order.status.is_open else Decimal(0)
    price = order.price or Decimal(0)
    amount = order.marks.get("amount")
    return {
        "orderId": order.marks["orderId"],
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "symbol": listing.symbol,
        "price": price_text(listing, price) if order.price is not None else "0",
        "qty": amount or size_text(listing, order.quantity),
        "side": SIDES[order.side],
        "isLeverage": "0" if listing.market == SPOT else "",
        "positionIdx": int(order.marks.get("positionIdx", "0")),
        "orderStatus": status_of(order),
        "createType": order.marks.get(CREATE_TYPE, CREATED_BY_USER),
        "cancelType": cancel_type,
        "rejectReason": reject_reason,
        "avgPrice": average_price(order),
        "leavesQty": "0" if amount else size_text(listing, left),
        "leavesValue": plain(_amount_left(order) if amount else _value(listing, price, left)),
        "cumExecQty": size_text(listing, order.filled),
        "cumExecValue": plain(spent),
        "cumExecFee": plain(sum(sighting.fees.values(), Decimal(0))),
        "cumFeeDetail": {coin: plain(fee) for coin, fee in sighting.fees.items()},
        "timeInForce": _time_in_force(order),
        "orderType": "Limit" if order.type is OrderType.LIMIT else "Market",
        "stopOrderType": "Stop" if order.trigger is not None else "",
        "orderIv": "",
        "marketUnit": order.marks.get("marketUnit", ""),
        "triggerPrice": price_text(listing, order.trigger.price) if order.trigger is not None else "",
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": _trigger_direction(order),
        "triggerBy": _trigger_by(order),
        "lastPriceOnCreated": order.marks.get("last", ""),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "smpType": order.marks.get("smpType", "None"),
        "smpGroup": 0,
        "smpOrderId": "",
        "tpslMode": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "placeType": "",
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "",
        "createdTime": str(shown(order.created_ns)),
        "updatedTime": str(shown(order.updated_ns)),
        "extraFees": "",
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
    }


def _trigger_direction(order: Order) -> int:
    if order.trigger is None or order.listing.market == SPOT:
        return 0
    return 1 if order.trigger.rising else 2


def _trigger_by(order: Order) -> str:
    if order.trigger is None or order.listing.market == SPOT:
        return ""
    return "MarkPrice" if order.trigger.by_mark else "LastPrice"


def streamed_order_row(sighting: Sighting, shown: Shown) -> dict[str, Any]:
    """Return an order as the stream has it."""
    order = sighting.order
    fee_coins = list(sighting.fees)
    return {
        "category": order.listing.market,
        **order_row(sighting, shown),
        "feeCurrency": fee_coins[0] if order.listing.market == SPOT and fee_coins else "",
        "closedPnl": "0",
    }


def execution_row(execution: Execution, shown: Shown) -> dict[str, Any]:
    """Return a fill. The fee is in what was received: on spot the base coin of a buy."""
    order, fill = execution.event.order, execution.event.fill
    assert fill is not None
    listing = order.listing
    spot, type_ = listing.market == SPOT, order.marks.get(EXECUTION_TYPE) or order.marks.get(TRADE_TYPE, TRADE)
    funding = type_ == FUNDING
    return {
        "symbol": listing.symbol,
        "orderId": order.marks["orderId"],
        # What the exchange places has no client id, and in the engine one that no client may send.
        "orderLinkId": "" if type_ == DELIVERY else order.client_id,
        "side": SIDES[order.side],
        "orderPrice": price_text(listing, order.price) if order.price is not None else "0",
        "orderQty": order.marks.get("amount") or size_text(listing, order.quantity),
        "leavesQty": size_text(listing, order.remaining),
        "createType": order.marks.get(CREATE_TYPE, CREATED_BY_USER),
        "orderType": "UNKNOWN" if funding else "Limit" if order.type is OrderType.LIMIT else "Market",
        "stopOrderType": "UNKNOWN",
        "execFee": plain(fill.fee),
        "execId": execution_id(listing, fill.trade_id, funding=funding),
        "execPrice": price_text(listing, fill.price),
        "execQty": size_text(listing, fill.quantity),
        "execType": type_,
        "execValue": plain(_value(listing, fill.price, fill.quantity)),
        "execTime": str(shown(fill.time_ns)),
        "feeCurrency": fill.fee_asset,
        "isMaker": fill.maker,
        "feeRate": plain(RATE if funding else listing.maker_fee if fill.maker else listing.taker_fee),
        "tradeIv": "",
        "markIv": "",
        "markPrice": "" if spot else price_text(listing, execution.mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "" if spot else size_text(listing, execution.closed),
        "extraFees": "",
        "seq": execution.number,
    }


def streamed_execution_row(execution: Execution, shown: Shown) -> dict[str, Any]:
    """Return a fill as the stream has it."""
    order, fill = execution.event.order, execution.event.fill
    assert fill is not None
    return {
        "category": order.listing.market,
        **execution_row(execution, shown),
        "isLeverage": "0",
        "marketUnit": order.marks.get("marketUnit", ""),
        "execPnl": plain(fill.realized),
        "extraFees": [],
    }


def fast_execution_row(execution: Execution, shown: Shown) -> dict[str, Any]:
    """Return a fill as `execution.fast` has it: few fields, and no id of a maker's client."""
    row = execution_row(execution, shown)
    names = ("symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId", "side", "execTime", "seq")
    fast = {"category": execution.event.order.listing.market, **{name: row[name] for name in names}}
    return fast | ({"orderLinkId": ""} if row["isMaker"] else {})


def public_trade_id(listing: Listing, number: int) -> str:
    """Return the id of a trade as everybody sees it."""
    if listing.market == SPOT:
        return str(2_200_000_000_000_000_000 + number)
    return str(UUID(int=(0x20F43950_D8DD_5B31_9112 << 48) + number))


def execution_id(listing: Listing, trade_id: int, *, funding: bool = False) -> str:
    """Return the id of a fill: a number on spot, a UUID elsewhere."""
    if listing.market == SPOT:
        return str(2_100_000_000_000_000_000 + trade_id)
    kind = 0xF0DD1E00_0F18_5866_9415 if funding else 0xE0CBE81D_0F18_5866_9415
    return str(UUID(int=(kind << 48) + trade_id))


def position_row(
    listing: Listing, position: Position, mark: Decimal, *, leverage: Decimal, index: int, number: int, shown: Shown
) -> dict[str, Any]:
    """Return a position; `index` says which of a hedged one."""
    quantity, entry = position.quantity, position.entry
    value = listing.settlement_value(entry, abs(quantity)) if quantity else Decimal(0)
    margin = plain(value / leverage)
    held = plain(value / leverage / 2)
    updated = str(shown(position.updated_ns)) if position.updated_ns else ""
    return {
        "positionIdx": index,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": listing.symbol,
        "side": SIDES[Side.BUY if quantity > 0 else Side.SELL] if quantity else "",
        "size": size_text(listing, abs(quantity)),
        "avgPrice": plain(entry),
        "positionValue": plain(value),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if quantity else 0,
        "leverage": plain(leverage),
        "breakEvenPrice": plain(entry),
        "positionBalance": margin,
        "markPrice": price_text(listing, mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionMM": held,
        "positionMMByMp": held,
        "positionIM": margin,
        "positionIMByMp": margin,
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(profit(listing, quantity, entry, mark)) if quantity else "0",
        "curRealisedPnl": plain(position.realized),
        "cumRealisedPnl": plain(position.realized),
        "seq": number,
        "isReduceOnly": False,
        "mmrSysUpdateTime": "",
        "leverageSysUpdatedTime": "",
        "sessionAvgPrice": "",
        "createdTime": updated,
        "updatedTime": updated,
    }


def streamed_position_row(row: Mapping[str, Any], category: str) -> dict[str, Any]:
    """Return a position as the stream has it."""
    renamed = {"avgPrice": "entryPrice", "mmrSysUpdateTime": "mmrSysUpdatedTime"}
    return {"category": category, **{renamed.get(name, name): value for name, value in row.items()}}


def _value(listing: Listing, price: Decimal, quantity: Decimal) -> Decimal:
    return listing.settlement_value(price, quantity) if price and quantity else Decimal(0)


def _amount_left(order: Order) -> Decimal:
    """Return what is left of the quote coin that a market buy was for."""
    amount = order.marks.get("amount")
    return Decimal(0) if amount is None else Decimal(amount) - order.value


def _time_in_force(order: Order) -> str:
    if order.type is OrderType.MARKET:
        return "IOC"
    return (
        "PostOnly"
        if order.post_only
        else {Lifetime.GTC: "GTC", Lifetime.IOC: "IOC", Lifetime.FOK: "FOK"}[order.lifetime]
    )
