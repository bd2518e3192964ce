"""The same cause is the same end on every exchange: state and cause, with the exchange's own word beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pytest

from clients.exchanges.binance.errors import TABLE
from clients.exchanges.binance.parsing import parse_order
from clients.exchanges.binance.stream_events import parse_order_event
from clients.exchanges.bitmex import parsing as bitmex
from clients.exchanges.bybit import parsing as bybit
from clients.exchanges.bybit.errors import TABLE as BYBIT_TABLE
from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.endings import EndedBy
from clients.exchanges.error_table import ErrorTable, Signal, error_class
from clients.exchanges.names import EXCHANGES
from clients.exchanges.trading import OrderReport, OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Cause, Event, Order, OrderState, TradingMode, apply, fold
from services.orders.domain.events import Discovered, Intended, PlacementRefused, Stated
from services.orders.domain.statements import ended_by, news
from services.orders.engine.outcomes import judge
from services.orders.journal.codec import decode
from services.orders.messages import order_message
from services.orders.rest.plain import plain
from services.orders.venues import Venues
from tests.unit.clients.bitmex.stage import XBTUSD, instrument
from tests.unit.clients.bybit.stage import order_row
from tests.unit.clients.streams.stage import listed

D = Decimal
nobody: Final = Venues([]).known_instrument
PLACED_NS: Final = 1_760_000_000_000_000_000
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
EXPIRED, REJECTED = OrderState.EXPIRED, OrderState.REJECTED

TERMS: Final[Mapping[EndedBy, Mapping[str, Any]]] = {
    EndedBy.TIME_IN_FORCE: {"time_in_force": IOC},
    EndedBy.POST_ONLY: {"post_only": True},
    EndedBy.REDUCE_ONLY: {"reduce_only": True},
}
"""What an order has to be for a cause to end it; all others end any order."""
STATES: Final = {cause: REJECTED if cause is EndedBy.POST_ONLY else EXPIRED for cause in EndedBy}


@dataclass(frozen=True)
class Said:
    """What an exchange says of an end."""

    place: str
    cause: EndedBy
    said: OrderReport | PlacementRefused
    word: str
    """Its own word, which has to be kept in `venue_state` or `reason`."""


def spot(cause: EndedBy, word: str, **fields: Any) -> Said:
    event = {
        "s": "BTCUSDT", "c": "ms-1", "i": 7, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "5", "p": "50", "z": "0", "X": "EXPIRED",
        "x": "EXPIRED", "r": "NONE", "T": PLACED_NS // 1_000_000, "l": "0", **fields,
    }  # fmt: skip
    return Said("binance spot", cause, parse_order_event(event, listed("BTC/USDT", "BTCUSDT", "spot"), raw=b""), word)


def futures(cause: EndedBy, word: str, **fields: Any) -> list[Said]:
    event = {
        "s": "BTCUSDT", "c": "ms-1", "i": 7, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "5", "p": "50", "z": "0", "X": "EXPIRED",
        "x": "EXPIRED", "er": "0", "T": PLACED_NS // 1_000_000, "l": "0", **fields,
    }  # fmt: skip
    return [
        Said(
            f"binance {market}",
            cause,
            parse_order_event(event, listed("BTC/USDT:USDT", "BTCUSDT", market), raw=b""),
            word,
        )
        for market in ("usdm", "coinm")
    ]


def answered(cause: EndedBy, word: str, **fields: Any) -> Said:
    """An answer to a query of Binance futures, which gives no reason."""
    row = {
        "orderId": 7, "clientOrderId": "ms-1", "status": "EXPIRED", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "origQty": "5",
        "price": "50", "executedQty": "0", "time": PLACED_NS // 1_000_000, "updateTime": PLACED_NS // 1_000_000, **fields,
    }  # fmt: skip
    return Said("binance answer", cause, parse_order("usdm", "BTC/USDT:USDT", row), word)


def refused(exchange: str, market: str, table: ErrorTable, cause: EndedBy, code: str, text: str) -> Said:
    row = table.row_of(Signal(market, "place_order", False, 400, code, text))
    failure = judge(error_class(row.outcome)(exchange, "place_order", row.outcome, text, code, ended_by=row.ended_by))
    body = PlacementRefused(failure.text, failure.code, ended_by=failure.ended_by)
    return Said(f"{exchange} {market} refusal", cause, body, text)


def bitmex_row(cause: EndedBy, word: str) -> Said:
    row = {
        "orderID": "x7", "clOrdID": "ms-1", "symbol": "XBTUSD", "side": "Buy", "ordType": "Limit", "ordStatus": "Canceled",
        "orderQty": 5, "cumQty": 0, "price": 50, "timeInForce": "GoodTillCancel", "text": f"{word}\nSubmitted via API.",
        "timestamp": "2025-10-09T08:53:20.000Z",
    }  # fmt: skip
    return Said("bitmex", cause, bitmex.parse_order(row, instrument(XBTUSD), source="stream"), word)


def bybit_row(cause: EndedBy, word: str, *, market: str = "linear", **fields: Any) -> Said:
    times = {"createdTime": "", "updatedTime": str(PLACED_NS // 1_000_000)}
    row = order_row(**{"orderStatus": "Cancelled", **times, **fields})
    return Said(f"bybit {market}", cause, bybit.parse_order(MARKETS[market], "s", row, source="stream"), word)


SAID: Final[Mapping[str, list[Said]]] = {
    "binance": [
        spot(EndedBy.TIME_IN_FORCE, "UNFILLED_IOC_QUANTITY_EXPIRED", f="IOC", eR="UNFILLED_IOC_QUANTITY_EXPIRED"),
        spot(EndedBy.TIME_IN_FORCE, "UNFILLED_FOK_ORDER_EXPIRED", f="FOK", eR="UNFILLED_FOK_ORDER_EXPIRED"),
        spot(EndedBy.TIME_IN_FORCE, "INSUFFICIENT_LIQUIDITY", o="MARKET", eR="INSUFFICIENT_LIQUIDITY"),
        spot(EndedBy.SELF_TRADE, "EXPIRED_IN_MATCH", X="EXPIRED_IN_MATCH", x="TRADE_PREVENTION"),
        spot(EndedBy.EXCHANGE, "EXCHANGE_CANCELED", eR="EXCHANGE_CANCELED"),
        spot(EndedBy.EXCHANGE, "EXPIRED"),
        refused("binance", "spot", TABLE, EndedBy.POST_ONLY, "-2010", "Order would immediately match and take."),
        refused("binance", "usdm", TABLE, EndedBy.POST_ONLY, "-5022", "could not be executed as maker"),
        refused("binance", "usdm", TABLE, EndedBy.TIME_IN_FORCE, "-5021", "could not be filled immediately"),
        *futures(EndedBy.TIME_IN_FORCE, "2", f="IOC", er="2"),
        *futures(EndedBy.TIME_IN_FORCE, "9", o="MARKET", er="9"),
        *futures(EndedBy.TIME_IN_FORCE, "10", f="FOK", er="10"),
        *futures(EndedBy.POST_ONLY, "11", f="GTX", er="11"),
        *futures(EndedBy.POST_ONLY, "EXPIRED", f="GTX"),
        *futures(EndedBy.REDUCE_ONLY, "4", er="4"),
        *futures(EndedBy.SELF_TRADE, "1", er="1"),
        *futures(EndedBy.SELF_TRADE, "3", f="IOC", er="3"),
        *futures(EndedBy.SELF_TRADE, "EXPIRED_IN_MATCH", X="EXPIRED_IN_MATCH"),
        *futures(EndedBy.LIQUIDATION, "5", f="GTX", er="5"),
        *futures(EndedBy.DELISTING, "7", X="CANCELED", x="CANCELED", er="7"),
        *futures(EndedBy.EXCHANGE, "EXPIRED"),
        answered(EndedBy.SELF_TRADE, "EXPIRED_IN_MATCH", status="EXPIRED_IN_MATCH"),
        answered(EndedBy.POST_ONLY, "EXPIRED", timeInForce="GTX"),
        answered(EndedBy.EXCHANGE, "EXPIRED", timeInForce="GTX", updateTime=PLACED_NS // 1_000_000 + 3_600_000),
        answered(EndedBy.TIME_IN_FORCE, "EXPIRED", timeInForce="IOC"),
    ],
    "bitmex": [
        bitmex_row(EndedBy.TIME_IN_FORCE, "Canceled: Order had timeInForce of ImmediateOrCancel"),
        bitmex_row(EndedBy.TIME_IN_FORCE, "Canceled: Order had no more liquidity"),
        bitmex_row(EndedBy.POST_ONLY, "Canceled: Order had execInst of ParticipateDoNotInitiate"),
        bitmex_row(EndedBy.REDUCE_ONLY, "Canceled: Order had execInst of Close or ReduceOnly but current position is 0"),
        bitmex_row(EndedBy.SELF_TRADE, "Canceled: Self-trade prevention"),
        bitmex_row(EndedBy.LIQUIDATION, "Canceled: Liquidation"),
        bitmex_row(EndedBy.DELEVERAGING, "Canceled: Deleveraging"),
        bitmex_row(EndedBy.DELISTING, "Canceled: Instrument settled"),
        bitmex_row(EndedBy.EXCHANGE, "Canceled: Administrator"),
    ],
    "bybit": [
        *(
            bybit_row(cause, word, rejectReason=word, timeInForce=life)
            for cause, word, life in (
                (EndedBy.TIME_IN_FORCE, "EC_NoImmediateQtyToFill", "IOC"),
                (EndedBy.TIME_IN_FORCE, "EC_CancelForNoFullFill", "FOK"),
                (EndedBy.TIME_IN_FORCE, "EC_NoEnoughQtyToFill", "IOC"),
                (EndedBy.POST_ONLY, "EC_PostOnlyWillTakeLiquidity", "PostOnly"),
            )
        ),
        *(
            bybit_row(cause, word, cancelType=word)
            for cause, word in (
                (EndedBy.REDUCE_ONLY, "CancelByReduceOnly"),
                (EndedBy.SELF_TRADE, "CancelBySmp"),
                (EndedBy.LIQUIDATION, "CancelByPrepareLiq"),
                (EndedBy.LIQUIDATION, "CancelAllBeforeLiq"),
                (EndedBy.DELEVERAGING, "CancelByPrepareAdl"),
                (EndedBy.DELEVERAGING, "CancelAllBeforeAdl"),
                (EndedBy.DELISTING, "CancelBySettle"),
                (EndedBy.EXCHANGE, "CancelByAdmin"),
            )
        ),
        bybit_row(EndedBy.TIME_IN_FORCE, "PartiallyFilledCanceled", market="spot", orderType="Market", timeInForce="IOC",
            orderStatus="PartiallyFilledCanceled"),
        refused("bybit", "spot", BYBIT_TABLE, EndedBy.POST_ONLY, "170218", "the order would take"),
    ],
}  # fmt: skip
CASES: Final = [
    pytest.param(said, id=f"{said.place}-{said.cause}-{said.word[:30]}") for each in SAID.values() for said in each
]


def placed(exchange: str = "binance", **terms: Any) -> Order:
    values: dict[str, Any] = {
        "type": OrderType.LIMIT, "time_in_force": GTC, "post_only": False, "reduce_only": False, **terms,
    }  # fmt: skip
    body = Intended(
        owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange=exchange, market="m", symbol="s",
        exchange_symbol="s", side=Side.BUY, quantity=D(5), price=D(50), mode=TradingMode.SIMULATOR, send_until_ns=10, **values,
    )  # fmt: skip
    return apply(None, Event("1", 1, PLACED_NS, Cause.CALLER, body))


def told(order: Order, body: Any) -> Order:
    return apply(order, Event("1", order.revision + 1, PLACED_NS + 1, Cause.STREAM, body))


def heard(order: Order, report: OrderReport) -> Order:
    found = news(order, report)
    assert found is not None
    after = told(order, found.body)
    assert apply(order, Event("1", order.revision + 1, PLACED_NS + 1, Cause.STREAM, found.body), found) == after
    return after


def test_every_exchange_is_asked_for_every_end() -> None:
    assert set(SAID) == set(EXCHANGES)
    # Binance closes positions by orders of its own for somebody else's loss; others of the account go on.
    missing = {name: set(EndedBy) - {said.cause for said in each} for name, each in SAID.items()}
    assert missing == {name: {EndedBy.DELEVERAGING} if name == "binance" else set() for name in EXCHANGES}


@pytest.mark.quick
@pytest.mark.parametrize("case", CASES)
def test_the_same_cause_is_the_same_end(case: Said) -> None:
    terms = dict(TERMS.get(case.cause, {}))
    if isinstance(case.said, OrderReport) and case.said.type is not None:
        terms = {
            **terms,
            "type": case.said.type,
            "time_in_force": case.said.time_in_force or terms.get("time_in_force"),
        }
    order = placed(**terms)

    after = told(order, case.said) if isinstance(case.said, PlacementRefused) else heard(order, case.said)

    assert (after.state, after.ended_by) == (STATES[case.cause], case.cause)
    assert case.word.partition("\n")[0] in f"{after.venue_state} {after.reason}"
    shown = plain(order_message(after, nobody))
    assert shown["ended_by"] == case.cause.name


@pytest.mark.parametrize("word", ["CANCELED"])
def test_a_cancel_by_its_owner_has_no_cause(word: str) -> None:
    (said, _) = futures(EndedBy.EXCHANGE, word, X=word, x=word)
    assert isinstance(said.said, OrderReport)
    after = heard(placed(), said.said)

    assert (after.state, after.ended_by, plain(order_message(after, nobody))["ended_by"]) == (
        OrderState.CANCELED,
        None,
        "",
    )


@pytest.mark.parametrize(
    ("client_id", "cause"),
    [
        ("autoclose-1760000000", EndedBy.LIQUIDATION),
        ("adl_autoclose", EndedBy.DELEVERAGING),
        ("settlement_autoclose-1", EndedBy.DELISTING),
        ("delivery_autoclose-1", EndedBy.DELISTING),
        ("delivery-1", EndedBy.DELISTING),
        ("ms-1", None),
    ],
)
@pytest.mark.parametrize("state", ["FILLED", "EXPIRED", "NEW"])
def test_an_order_with_which_binance_closes_a_position_says_why(
    client_id: str, cause: EndedBy | None, state: str
) -> None:
    said = futures(EndedBy.EXCHANGE, "", c=client_id, X=state, z="5" if state == "FILLED" else "0")[0].said
    assert isinstance(said, OrderReport)
    expected = cause or (EndedBy.EXCHANGE if state == "EXPIRED" else None)

    assert ended_by(said) is (None if state == "NEW" else expected)


@pytest.mark.parametrize(
    ("text", "client_id", "cause"),
    [
        ("Liquidation", "", EndedBy.LIQUIDATION),
        ("Deleverage", "", EndedBy.DELEVERAGING),
        ("Settlement", "", EndedBy.DELISTING),
        ("Liquidation is what I fear", "mine", None),
        ("Liquidation\nSubmitted via API.", "", None),
    ],
)
def test_an_order_with_which_bitmex_closes_a_position_says_why(
    text: str, client_id: str, cause: EndedBy | None
) -> None:
    row = {
        "orderID": "x7", "clOrdID": client_id, "symbol": "XBTUSD", "side": "Sell", "ordType": "Market", "ordStatus": "Filled",
        "orderQty": 5, "cumQty": 5, "text": text, "timestamp": "2025-10-09T08:53:20.000Z",
    }  # fmt: skip

    assert bitmex.parse_order(row, instrument(XBTUSD), source="stream").ended_by is cause


@pytest.mark.parametrize(
    ("created", "cause"),
    [
        ("CreateByLiq", EndedBy.LIQUIDATION),
        ("CreateByTakeOver_PassThrough", EndedBy.LIQUIDATION),
        ("CreateByAdl_PassThrough", EndedBy.DELEVERAGING),
        ("CreateBySettle", EndedBy.DELISTING),
        ("CreateByUser", None),
    ],
)
@pytest.mark.parametrize("state", ["Filled", "New"])
def test_an_order_with_which_bybit_closes_a_position_says_why(created: str, cause: EndedBy | None, state: str) -> None:
    row = order_row(orderStatus=state, createType=created, orderLinkId="")

    said = bybit.parse_order(MARKETS["linear"], "s", row, source="stream")

    assert ended_by(said) is (cause if state == "Filled" else None)


def stated(state: VenueState, cause: EndedBy | None) -> Stated:
    return Stated(state, state.title(), "x1", ended_by=cause)


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [
        (None, EndedBy.LIQUIDATION, EndedBy.LIQUIDATION),
        (EndedBy.EXCHANGE, EndedBy.LIQUIDATION, EndedBy.LIQUIDATION),
        (EndedBy.LIQUIDATION, EndedBy.EXCHANGE, EndedBy.LIQUIDATION),
        (EndedBy.LIQUIDATION, EndedBy.DELISTING, EndedBy.LIQUIDATION),
        (EndedBy.EXCHANGE, None, EndedBy.EXCHANGE),
    ],
)
def test_a_query_may_say_less_than_the_stream_in_whichever_order_they_come(
    first: EndedBy | None, second: EndedBy | None, known: EndedBy
) -> None:
    after = told(told(placed(), stated(VenueState.EXPIRED, first)), stated(VenueState.EXPIRED, second))

    assert (after.state, after.ended_by) == (EXPIRED, known)


def test_what_ended_otherwise_is_not_said_to_have_a_cause() -> None:
    filled = told(told(placed(), stated(VenueState.FILLED, None)), stated(VenueState.EXPIRED, EndedBy.SELF_TRADE))
    evidence = told(
        told(placed(time_in_force=FOK), PlacementRefused("no", ended_by=EndedBy.TIME_IN_FORCE)),
        stated(VenueState.FILLED, None),
    )

    assert (filled.state, filled.ended_by) == (OrderState.FILLED, None)
    assert (evidence.state, evidence.ended_by) == (OrderState.FILLED, None)


def test_journals_from_before_there_were_causes_are_read() -> None:
    ended = '{"exchange_order_id":"x1","leg":"","raw_state":"Canceled","reason":"liquidated","state":"EXPIRED"}'
    refusal = '{"code":"-5021","text":"not filled","unfilled":true}'
    order = placed(time_in_force=FOK)

    assert told(order, decode(Stated, ended)).ended_by is None
    assert told(order, decode(PlacementRefused, refusal)).ended_by is EndedBy.TIME_IN_FORCE
    assert told(order, decode(PlacementRefused, refusal)).state is EXPIRED


def test_an_order_of_somebody_else_keeps_its_cause() -> None:
    report = futures(EndedBy.LIQUIDATION, "", c="autoclose-1", X="FILLED", z="5")[0].said
    assert isinstance(report, OrderReport)
    body = Discovered(
        exchange="binance", market="usdm", symbol="s", exchange_symbol="s", exchange_order_id="7", venue_client_order_id="autoclose-1",
        side=report.side, type=report.type, time_in_force=report.time_in_force, mode=TradingMode.SIMULATOR, state=report.state,
        raw_state=report.raw_state, quantity=D(5), price=None, filled=D(5), average_price=None, update_time_ns=1,
        ended_by=ended_by(report),
    )  # fmt: skip
    order = fold([Event("1", 1, 1, Cause.STREAM, body)])

    assert order is not None
    assert plain(order_message(order, nobody))["ended_by"] == "LIQUIDATION"
