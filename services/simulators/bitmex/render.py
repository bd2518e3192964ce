"""Instruments, orders, executions, positions and balances in BitMEX's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from services.simulators.bitmex.listings import NAMES, SCALES, Terms, scaled
from services.simulators.venue.clearing import Position, profit
from services.simulators.venue.delivery import DELIVERED
from services.simulators.venue.forced import ADMINISTRATION, DELEVERAGING, LIQUIDATION, SETTLEMENT
from services.simulators.venue.liquidity import Book
from services.simulators.venue.listing import Kind, Listing, Payout
from services.simulators.venue.orders import Event, EventKind, Lifetime, Order, OrderType, Reason, Side, Status
from services.simulators.venue.self_trade import PREVENTED

Shown = Callable[[int], int]
"""Engine time to the exchange's milliseconds."""

ACCOUNT_NUMBER: Final = 2_273_415
STATUS: Final = {
    Status.NEW: "New",
    Status.PARTIALLY_FILLED: "PartiallyFilled",
    Status.FILLED: "Filled",
    Status.CANCELED: "Canceled",
    Status.EXPIRED: "Canceled",
}
ENDS: Final[Mapping[str, str]] = {
    Reason.WOULD_TAKE.value: "Order had execInst of ParticipateDoNotInitiate",
    Reason.NOTHING_TO_REDUCE.value: "Order had execInst of ReduceOnly",
    LIQUIDATION: "Liquidation",
    DELEVERAGING: "Deleveraging",
    ADMINISTRATION: "Administrator",
    SETTLEMENT: "Instrument settled",
    DELIVERED: "Instrument settled",
    PREVENTED: "Self-trade prevention",
}
"""Why an order ended, by the engine's word for it. Those about the exchange's own doing are on no record: the client reads the same."""
SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
LIFETIMES: Final = {
    Lifetime.GTC: "GoodTillCancel",
    Lifetime.IOC: "ImmediateOrCancel",
    Lifetime.FOK: "FillOrKill",
}


def iso(milliseconds: int) -> str:
    """Spell a time."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def asset_name(asset: str) -> str:
    """Return BTC as XBT."""
    return SCALES[asset][0] if asset in SCALES else asset


def unit_name(asset: str) -> str:
    """Return the name of the smallest unit."""
    return SCALES[asset][1]


# -- instruments ------------------------------------------------------------------------------------------------------


def instrument_row(
    listing: Listing, terms: Terms, book: Book, mark: Decimal, last: Decimal, now_ms: int, *, closed: bool = False
) -> dict[str, Any]:
    """Return a row of `instrument`."""
    spot = listing.kind is Kind.SPOT
    bid = book.bids[0].price if book.bids else None
    ask = book.asks[0].price if book.asks else None
    expiry = iso(listing.expiry_ns // 1_000_000) if listing.expiry_ns else None
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "rootSymbol": terms.root,
        "state": "Settled" if closed else "Open",
        "typ": NAMES[listing.kind],
        "listing": "2022-05-17T04:00:00.000Z",
        "front": None if spot else "2022-05-17T04:00:00.000Z",
        "expiry": expiry,
        "settle": expiry,
        "positionCurrency": "USD" if listing.payout is Payout.INVERSE else ("" if spot else asset_name(listing.base)),
        "underlying": asset_name(listing.base),
        "quoteCurrency": listing.quote,
        "underlyingSymbol": f"{asset_name(listing.base)}=",
        "reference": "BMEX",
        "referenceSymbol": f".B{asset_name(listing.base)}T"
        if listing.quote == "USDT"
        else f".B{asset_name(listing.base)}",
        "maxOrderQty": listing.quantity_max,
        "maxPrice": 1_000_000,
        "lotSize": listing.lot,
        "tickSize": listing.tick,
        "multiplier": terms.multiplier,
        "settlCurrency": None if spot else unit_name(listing.settle),
        "underlyingToPositionMultiplier": terms.to_position,
        "underlyingToSettleMultiplier": terms.to_settle,
        "quoteToSettleMultiplier": terms.quote_to_settle,
        "isQuanto": listing.payout is Payout.QUANTO,
        "isInverse": listing.payout is Payout.INVERSE,
        "initMargin": 1 / listing.leverage,
        "maintMargin": 1 / listing.leverage / 2,
        "taxed": True,
        "deleverage": not spot,
        "makerFee": listing.maker_fee,
        "takerFee": listing.taker_fee,
        "settlementFee": 0,
        "fundingInterval": "2000-01-01T08:00:00.000Z" if listing.kind is Kind.PERPETUAL else None,
        "fundingRate": Decimal("0.0001") if listing.kind is Kind.PERPETUAL else None,
        "prevPrice24h": last,
        "volume24h": listing.typical_quantity * 1000,
        "turnover24h": listing.typical_quantity * 1000,
        "homeNotional24h": 1000,
        "foreignNotional24h": 1000 * last,
        "vwap": last,
        "highPrice": last + listing.tick,
        "lowPrice": last - listing.tick,
        "lastPrice": last,
        "lastPriceProtected": last,
        "lastTickDirection": "PlusTick",
        "lastChangePcnt": 0,
        "bidPrice": bid,
        "midPrice": None if bid is None or ask is None else (bid + ask) / 2,
        "askPrice": ask,
        "hasLiquidity": True,
        "openInterest": 0 if spot else 1_000_000,
        "openValue": 0 if spot else 1_000_000,
        "markMethod": "LastPrice" if spot else "FairPrice",
        "markPrice": last if spot else mark,
        "instantPnl": not spot,
        "timestamp": iso(now_ms),
    }
    return {name: value for name, value in row.items() if value is not None} if spot else row


def quote_row(listing: Listing, book: Book, now_ms: int) -> dict[str, Any]:
    """Return a row of `quote`."""
    return {
        "timestamp": iso(now_ms),
        "symbol": listing.symbol,
        "bidSize": book.bids[0].quantity if book.bids else None,
        "bidPrice": book.bids[0].price if book.bids else None,
        "askPrice": book.asks[0].price if book.asks else None,
        "askSize": book.asks[0].quantity if book.asks else None,
    }


def level_rows(listing: Listing, book: Book, depth: int, now_ms: int) -> list[dict[str, Any]]:
    """Return the rows of `orderBookL2`, asks from the highest, then bids."""
    rows = []
    for side, levels in (("Sell", list(book.asks[:depth])[::-1]), ("Buy", list(book.bids[:depth]))):
        for level in levels:
            rows.append(
                {
                    "symbol": listing.symbol,
                    "id": int(level.price / listing.tick),
                    "side": side,
                    "size": level.quantity,
                    "price": level.price,
                    "timestamp": iso(now_ms),
                }
            )
    return rows


# -- orders -----------------------------------------------------------------------------------------------------------


def average(order: Order) -> Decimal | None:
    """Return the average price; None without a fill."""
    if not order.filled:
        return None
    if order.listing.payout is Payout.INVERSE:
        return round(order.filled / order.coin_value, 4)
    return round(order.average_price, 4)


def execution_instructions(order: Order) -> str:
    """Return `execInst`."""
    parts = ["ParticipateDoNotInitiate"] if order.post_only else []
    return ",".join([*parts, "ReduceOnly"] if order.reduce_only else parts)


def text_of(order: Order) -> str:
    """Return `text`: the reason of an end before what the order was submitted with."""
    submitted = order.marks.get("text") or "Submitted via API."
    if order.why in ENDS:
        return f"Canceled: {ENDS[order.why]}\n{submitted}"
    if order.status is Status.CANCELED:
        return f"Canceled: Canceled via API.\n{submitted}"
    if order.status is Status.EXPIRED:
        kind = "timeInForce of " + LIFETIMES[order.lifetime] if order.type is OrderType.LIMIT else "no more liquidity"
        return f"Canceled: Order had {kind}\n{submitted}"
    return submitted


def order_row(order: Order, shown: Shown) -> dict[str, Any]:
    """Return a row of `order`; spot answers leave out what is null."""
    listing, spot = order.listing, order.listing.kind is Kind.SPOT
    still_open = order.status.is_open
    row: dict[str, Any] = {
        "orderID": order.marks["orderID"],
        "clOrdID": order.client_id or ("" if not spot else None),
        "clOrdLinkID": None,
        "account": ACCOUNT_NUMBER,
        "symbol": listing.symbol,
        "side": SIDES[order.side],
        "orderQty": order.quantity,
        "price": order.price,
        "displayQty": None,
        "stopPx": None,
        "pegOffsetValue": None,
        "pegPriceType": None,
        "currency": listing.quote,
        "settlCurrency": None if spot else unit_name(listing.settle),
        "ordType": "Limit" if order.type is OrderType.LIMIT else "Market",
        "timeInForce": LIFETIMES[order.lifetime] if order.type is OrderType.LIMIT else "ImmediateOrCancel",
        "execInst": execution_instructions(order) or None,
        "contingencyType": None,
        "ordStatus": STATUS[order.status],
        "triggered": None,
        "workingIndicator": still_open,
        "ordRejReason": None,
        "leavesQty": order.remaining if still_open else 0,
        "cumQty": order.filled,
        "avgPx": average(order),
        "text": text_of(order),
        "transactTime": iso(shown(order.updated_ns)),
        "timestamp": iso(shown(order.updated_ns)),
    }
    return {name: value for name, value in row.items() if value is not None} if spot else row


def execution_row(event: Event, execution_id: str, shown: Shown) -> dict[str, Any]:
    """Return a row of `execution`."""
    order, fill = event.order, event.fill
    kinds = {
        EventKind.NEW: "New",
        EventKind.TRADE: "Trade",
        EventKind.CANCELED: "Canceled",
        EventKind.EXPIRED: "Canceled",
        EventKind.AMENDED: "Replaced",
    }
    row = {"execID": execution_id, "execType": kinds[event.kind], **order_row(order, shown)}
    row["transactTime"] = row["timestamp"] = iso(shown(event.time_ns))
    if fill is None:
        return row
    listing = order.listing
    settle = listing.quote if listing.payout is Payout.SPOT else listing.settle
    value = listing.settlement_value(fill.price, fill.quantity)
    home = value if listing.payout is Payout.INVERSE else fill.quantity * listing.unit
    foreign = fill.quantity if listing.payout is Payout.INVERSE else home * fill.price
    return {
        **row,
        "lastQty": fill.quantity,
        "lastPx": fill.price,
        "lastMkt": "XBME",
        "lastLiquidityInd": "AddedLiquidity" if fill.maker else "RemovedLiquidity",
        "commission": listing.maker_fee if fill.maker else listing.taker_fee,
        "feeType": "Maker" if fill.maker else "Taker",
        "tradePublishIndicator": "PublishTrade",
        "trdMatchID": f"00000000-006d-1000-0000-{fill.trade_id:012x}",
        "execCost": scaled(settle, value) * -order.side.sign,
        "execComm": scaled(fill.fee_asset, fill.fee),
        "realisedPnl": scaled(listing.settle, fill.realized),
        "homeNotional": round(home * order.side.sign, 10),
        "foreignNotional": round(foreign * -order.side.sign, 10),
        "settlCurrency": unit_name(fill.fee_asset),
    }


# -- account ----------------------------------------------------------------------------------------------------------


def position_row(listing: Listing, position: Position, mark: Decimal, now_ms: int) -> dict[str, Any]:
    """Return a row of `position`."""
    gain = profit(listing, position.quantity, position.entry, mark)
    value = listing.settlement_value(mark, position.quantity)
    entry = round(position.entry, 4) if position.quantity else None
    return {
        "account": ACCOUNT_NUMBER,
        "symbol": listing.symbol,
        "currency": unit_name(listing.settle),
        "underlying": asset_name(listing.base),
        "quoteCurrency": listing.quote,
        "commission": listing.taker_fee,
        "initMarginReq": 1 / listing.leverage,
        "maintMarginReq": 1 / listing.leverage / 2,
        "leverage": listing.leverage,
        "crossMargin": True,
        "currentQty": position.quantity,
        "isOpen": bool(position.quantity),
        "markPrice": mark,
        "markValue": scaled(listing.settle, value),
        "homeNotional": value if listing.payout is Payout.INVERSE else position.quantity * listing.unit,
        "foreignNotional": -position.quantity * listing.unit * (1 if listing.payout is Payout.INVERSE else mark),
        "avgCostPrice": entry,
        "avgEntryPrice": entry,
        "breakEvenPrice": entry,
        "realisedPnl": scaled(listing.settle, position.realized),
        "unrealisedPnl": scaled(listing.settle, gain),
        "liquidationPrice": None,
        "timestamp": iso(now_ms),
    }
