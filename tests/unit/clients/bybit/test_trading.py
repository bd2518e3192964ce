"""Bybit's order entry: bodies, acknowledgements that say nothing, questions, lists, positions."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.base import RAW_BYTES_MAX
from clients.exchanges.bybit import BybitTrading
from clients.exchanges.bybit.lookup import UNSHOWN_MAX, WAITS_S
from clients.exchanges.bybit.orders import placed
from clients.exchanges.bybit.signing import message, signature
from clients.exchanges.endings import EndedBy
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown, TryLater
from clients.exchanges.model import Instrument
from clients.exchanges.trading import (
    AmendWay,
    ArrivalBound,
    OrderReport,
    OrderType,
    Side,
    TimeInForce,
    VenueOrder,
    VenueState,
)
from clients.http.transport import NotSent, ResponseLost
from clients.resilience.call import Cost, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.outcome import Outcome
from tests.support.contracts import recorded
from tests.support.exchange_stage import OneAttempt, Reply, Seen
from tests.unit.clients.bybit.stage import (
    INVERSE,
    KEY,
    LINEAR,
    NOW_MS,
    SPOT,
    envelope,
    execution_row,
    order_row,
    page,
    refusal,
    trading,
)

ID = order_row()["orderId"]
ACK = {"orderId": ID, "orderLinkId": "ours-1"}
MS = 1_000_000


def answers(**routes: Reply | Callable[[Seen], Reply]) -> Callable[[Seen], Reply]:
    """Answer by the last word of the path; changes are acknowledged, and lists are empty, unless told otherwise."""

    def answer(seen: Seen) -> Reply:
        name = seen.path.rpartition("/")[2].replace("-", "_")
        told = routes.get(name)
        if told is not None:
            return told(seen) if callable(told) else told
        return Reply(envelope(ACK)) if name in ("create", "amend", "cancel") else page([])

    return answer


def limit(made: Instrument = LINEAR, **changes: Any) -> VenueOrder:
    """Return an order to place."""
    words: dict[str, Any] = {
        "instrument": made,
        "client_order_id": "ours-1",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": Decimal("0.010"),
        "price": Decimal("60000.10"),
        "time_in_force": TimeInForce.GTC,
    }
    return VenueOrder(**words | changes)


async def amend(desk: BybitTrading, **changes: Any) -> OrderReport:
    """Amend the order of the stage."""
    words: dict[str, Any] = {
        "client_order_id": "ours-1",
        "exchange_order_id": "",
        "side": Side.BUY,
        "quantity": Decimal("0.020"),
        "price": Decimal("60001.10"),
        "deadline_s": 5.0,
    }
    return await desk.amend(LINEAR, **words | changes)


async def cancel(desk: BybitTrading, **changes: Any) -> OrderReport:
    """Cancel the order of the stage."""
    return await desk.cancel(
        LINEAR, **{"client_order_id": "ours-1", "exchange_order_id": "", "deadline_s": 5.0} | changes
    )


# Placing.


@pytest.mark.quick
async def test_an_order_is_placed_and_what_became_of_it_is_looked_up() -> None:
    desk, transport = trading(answers(realtime=page([order_row()])))

    report = await desk.place(limit(), deadline_s=5.0)

    create, look = transport.of("/v5/order/create", "POST")[0], transport.of("/v5/order/realtime")[0]
    assert create.json == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.01",
        "price": "60000.1",
        "timeInForce": "GTC",
        "orderLinkId": "ours-1",
        "positionIdx": 0,
        "reduceOnly": False,
    }
    assert look.target == "/v5/order/realtime?category=linear&symbol=BTCUSDT&orderLinkId=ours-1"
    assert (report.state, report.exchange_order_id, report.client_order_id) == (VenueState.NEW, ID, "ours-1")
    assert (report.quantity, report.price, report.side) == (Decimal("0.010"), Decimal("60000.10"), Side.BUY)
    assert report.source == "query"


async def test_every_request_about_orders_is_signed_over_what_is_sent() -> None:
    desk, transport = trading(answers(realtime=page([order_row()])))
    await desk.place(limit(), deadline_s=5.0)

    for seen in transport.of("/create") + transport.of("/realtime"):
        payload = seen.body.decode() or seen.target.partition("?")[2]
        text = message(int(seen.headers["X-BAPI-TIMESTAMP"]), KEY.key_id, 5000, payload)
        assert seen.headers["X-BAPI-SIGN"] == signature(KEY.secret, text)


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.LIMIT])
async def test_a_quantity_of_spot_is_always_base_currency(kind: OrderType) -> None:
    """Without saying so, a market buy of 10 would buy for 10 dollars."""
    desk, transport = trading(answers(realtime=page([order_row()])))

    await desk.place(limit(SPOT, type=kind, price=None if kind is OrderType.MARKET else Decimal(1)), deadline_s=5.0)

    body = transport.of("/create")[0].json
    assert (body["marketUnit"], body["isLeverage"]) == ("baseCoin", 0)
    assert not {"positionIdx", "reduceOnly"} & set(body)


async def test_a_market_order_has_no_price_and_no_time_in_force() -> None:
    desk, transport = trading(answers(realtime=page([order_row(symbol="BTCUSD", orderStatus="Filled")])))

    await desk.place(
        limit(INVERSE, type=OrderType.MARKET, price=None, time_in_force=None, quantity=Decimal(100), reduce_only=True),
        deadline_s=5.0,
    )

    body = transport.of("/create")[0].json
    assert body == {
        "category": "inverse",
        "symbol": "BTCUSD",
        "side": "Buy",
        "orderType": "Market",
        "qty": "100",
        "orderLinkId": "ours-1",
        "positionIdx": 0,
        "reduceOnly": True,
    }


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"post_only": True}, "PostOnly"),
        ({"time_in_force": TimeInForce.IOC}, "IOC"),
        ({"time_in_force": TimeInForce.FOK}, "FOK"),
        ({"time_in_force": None}, "GTC"),
    ],
    ids=str,
)
async def test_the_time_in_force_has_the_exchanges_word(changes: dict[str, Any], word: str) -> None:
    desk, transport = trading(answers(realtime=page([order_row()])))

    await desk.place(limit(**changes), deadline_s=5.0)

    assert transport.of("/create")[0].json["timeInForce"] == word


@pytest.mark.parametrize("name", ["", "a" * 37, "a b", "ä", "a/b"])
async def test_a_client_id_that_the_exchange_would_not_keep_is_refused_before_anything_is_sent(name: str) -> None:
    desk, transport = trading(answers())

    with pytest.raises((CallerMustAct, ValueError)):
        await desk.place(limit(client_order_id=name), deadline_s=5.0)

    assert transport.seen == []


async def test_spot_has_no_reduce_only() -> None:
    desk, transport = trading(answers())

    with pytest.raises(CallerMustAct, match="reduce-only"):
        await desk.place(limit(SPOT, reduce_only=True), deadline_s=5.0)

    assert transport.seen == []


async def test_an_acknowledged_order_that_ends_at_once_is_reported_as_it_ended() -> None:
    row = order_row(orderStatus="Cancelled", rejectReason="EC_PostOnlyWillTakeLiquidity")
    desk, _ = trading(answers(realtime=page([row])))

    report = await desk.place(limit(post_only=True), deadline_s=5.0)

    assert (report.state, report.reason) == (VenueState.CANCELED, "EC_PostOnlyWillTakeLiquidity")


async def test_a_row_that_takes_a_moment_to_show_is_asked_for_again() -> None:
    empty = [page([]), page([]), page([order_row()])]
    desk, transport = trading(answers(realtime=lambda seen: empty.pop(0)))

    assert (await desk.place(limit(), deadline_s=5.0)).state is VenueState.NEW
    assert len(transport.of("/realtime")) == 3
    # What is not among the open ones may have ended already.
    assert len(transport.of("/history")) == 2
    assert len(transport.of("/create")) == 1


@pytest.mark.parametrize(
    "changes",
    [{"type": OrderType.MARKET, "price": None}, {"time_in_force": TimeInForce.IOC}, {"time_in_force": TimeInForce.FOK}],
    ids=str,
)
async def test_an_order_that_cannot_rest_is_reported_when_it_has_ended(changes: dict[str, Any]) -> None:
    shown = [order_row(), order_row(orderStatus="Filled", cumExecQty="0.010")]
    desk, _ = trading(answers(realtime=lambda seen: page([shown.pop(0)])))

    assert (await desk.place(limit(**changes), deadline_s=5.0)).state is VenueState.FILLED

    desk, _ = trading(answers(realtime=page([order_row()])))
    assert (await desk.place(limit(**changes), deadline_s=5.0)).state is VenueState.NEW


async def test_an_order_that_only_the_history_knows_is_found_there() -> None:
    desk, _ = trading(answers(history=page([order_row(orderStatus="Filled", cumExecQty="0.010", avgPrice="1")])))

    assert (await desk.place(limit(), deadline_s=5.0)).state is VenueState.FILLED


async def test_an_acknowledged_order_that_does_not_show_is_unknown_and_never_not_there() -> None:
    desk, transport = trading(answers())

    with pytest.raises(OutcomeUnknown, match=f"acknowledged the request as {ID}") as unknown:
        await desk.place(limit(), deadline_s=5.0)

    assert unknown.value.sent is not None
    timestamp_ms = int(transport.of("/create")[0].headers["X-BAPI-TIMESTAMP"])
    assert unknown.value.sent.expires_server_time_ns == (timestamp_ms + 5000) * MS
    assert len(transport.of("/realtime")) == len(WAITS_S)
    # Nor is that proof later: the exchange has said that it accepted it.
    with pytest.raises(OutcomeUnknown, match="does not show it"):
        await desk.query(LINEAR, client_order_id="ours-1")
    transport.answer = answers(realtime=page([order_row()]))
    assert (await desk.query(LINEAR, client_order_id="ours-1")).state is VenueState.NEW
    transport.answer = answers()
    with pytest.raises(CallerMustAct) as missing:
        await desk.query(LINEAR, client_order_id="ours-1")
    assert missing.value.outcome is Outcome.NOT_FOUND


async def test_the_memory_of_what_was_acknowledged_is_bounded() -> None:
    desk, _ = trading(answers())
    for number in range(UNSHOWN_MAX + 1):
        desk._lookup.acknowledged(f"o-{number}")

    with pytest.raises(CallerMustAct):
        await desk.query(LINEAR, client_order_id="o-0")
    with pytest.raises(OutcomeUnknown):
        await desk.query(LINEAR, client_order_id="o-1")


@pytest.mark.parametrize("trouble", [Reply(status=503), refusal(10006), refusal(10003), Reply(b"no json")], ids=str)
async def test_trouble_with_the_question_is_no_answer_to_the_order(trouble: Reply) -> None:
    desk, transport = trading(answers(realtime=trouble))

    with pytest.raises(OutcomeUnknown, match="does not show what it did"):
        await desk.place(limit(), deadline_s=5.0)

    assert len(transport.of("/create")) == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (refusal(110007), Outcome.REJECTED),
        (refusal(110072, "OrderLinkedID is duplicate"), Outcome.DUPLICATE),
        (refusal(10016), Outcome.UNKNOWN),
        (refusal(10006), Outcome.THROTTLED),
        (refusal(10002), Outcome.CLOCK),
        (refusal(424242), Outcome.UNKNOWN),
        (Reply(b"<html>", status=502), Outcome.UNKNOWN),
        (Reply(b"no json"), Outcome.UNKNOWN),
        (Reply(envelope({})), Outcome.UNKNOWN),
        (Reply(envelope({"orderId": ID, "orderLinkId": "another"})), Outcome.UNKNOWN),
        (Reply(envelope(None)), Outcome.UNKNOWN),
    ],
    ids=str,
)
async def test_a_refusal_is_judged_and_nothing_is_asked_for(reply: Reply, outcome: Outcome) -> None:
    desk, transport = trading(answers(create=reply))

    with pytest.raises(ExchangeError) as refused:
        await desk.place(limit(), deadline_s=5.0)

    assert refused.value.outcome is outcome
    assert len(transport.of("/create")) == 1
    assert transport.of("/realtime") == []
    assert len(refused.value.raw) <= RAW_BYTES_MAX


async def test_an_account_in_hedge_mode_is_refused_with_the_way_out() -> None:
    desk, _ = trading(answers(create=refusal(10001, "position idx not match position mode")))

    with pytest.raises(OperatorMustAct, match=r"switch to one-way mode .*mode 0\)") as refused:
        await desk.place(limit(), deadline_s=5.0)

    assert refused.value.outcome is Outcome.AUTH


@pytest.mark.parametrize(("error", "outcome"), [(NotSent("dns"), "retryable"), (ResponseLost("reset"), "unknown")])
async def test_a_lost_answer_is_unknown_and_what_was_not_sent_is_not(error: Exception, outcome: str) -> None:
    def lost(seen: Seen) -> Reply:
        raise error

    desk, transport = trading(answers(create=lost))

    with pytest.raises(ExchangeError) as failed:
        await desk.place(limit(), deadline_s=5.0)

    assert failed.value.outcome == outcome
    assert len(transport.of("/create")) == 1


async def test_there_is_one_window_for_every_attempt() -> None:
    """A wider one for a repetition would move the moment at which an order can no longer arrive."""
    desk, transport = trading(answers(create=refusal(10002)))
    for _ in range(3):
        with pytest.raises(OperatorMustAct):
            await desk.place(limit(), deadline_s=5.0)

    assert {seen.headers["X-BAPI-RECV-WINDOW"] for seen in transport.of("/create")} == {"5000"}
    # Each complaint made the next attempt measure the clock again.
    assert len(transport.of("/v5/market/time")) == 3


# Amending.


async def test_an_amend_is_absolute_and_done_when_it_shows() -> None:
    shown = [order_row(), order_row(qty="0.020", price="60001.10")]
    desk, transport = trading(answers(realtime=lambda seen: page([shown.pop(0)])))

    report = await amend(desk)

    assert transport.of("/amend")[0].json == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderLinkId": "ours-1",
        "qty": "0.02",
        "price": "60001.1",
    }
    assert (report.quantity, report.price) == (Decimal("0.020"), Decimal("60001.10"))
    assert len(transport.of("/realtime")) == 2


async def test_an_amend_is_done_at_the_limit_when_a_row_of_later_shows_it() -> None:
    before = order_row(qty="0.020", updatedTime=str(NOW_MS - 60_000))
    moved = order_row(qty="0.020", price="60000.50", updatedTime=str(NOW_MS + 60_000))
    shown = [before, before, moved]
    desk, transport = trading(answers(realtime=lambda seen: page([shown.pop(0)])))
    # A signed request of before has measured the clock.
    await desk.query(LINEAR, client_order_id="ours-1")

    report = await amend(desk)

    assert (report.quantity, report.price) == (Decimal("0.020"), Decimal("60000.50"))
    assert len(transport.of("/realtime")) == 3


async def test_of_two_names_only_the_exchanges_is_sent() -> None:
    desk, transport = trading(answers(realtime=page([order_row(qty="0.020", price="60001.10")])))

    await amend(desk, exchange_order_id=ID)

    body = transport.of("/amend")[0].json
    assert (body["orderId"], "orderLinkId" in body) == (ID, False)
    assert transport.of("/realtime")[0].parameters["orderId"] == ID


async def test_an_amend_that_does_not_show_is_unknown() -> None:
    desk, _ = trading(answers(realtime=page([order_row()])))

    with pytest.raises(OutcomeUnknown, match="does not show what it did") as unknown:
        await amend(desk)

    assert unknown.value.sent is not None
    assert unknown.value.sent.expires_server_time_ns is not None


async def test_an_order_that_ended_while_it_was_amended_is_reported_so() -> None:
    desk, _ = trading(answers(realtime=page([order_row(orderStatus="Filled", cumExecQty="0.010")])))

    assert (await amend(desk)).state is VenueState.FILLED


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (refusal(110001, "order not exists or too late to replace"), Outcome.NOT_FOUND),
        (refusal(34040, "order not modified"), Outcome.DUPLICATE),
        (refusal(10001, "order not modified"), Outcome.DUPLICATE),
        (refusal(110064), Outcome.REJECTED),
        (refusal(110079), Outcome.UNKNOWN),
    ],
    ids=str,
)
async def test_a_refused_amend_is_judged(reply: Reply, outcome: Outcome) -> None:
    desk, _ = trading(answers(amend=reply))

    with pytest.raises(ExchangeError) as refused:
        await amend(desk)

    assert refused.value.outcome is outcome


async def test_nothing_is_replaced_where_everything_is_amended() -> None:
    desk, transport = trading(answers())

    with pytest.raises(CallerMustAct) as refused:
        await desk.replace(limit(), client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)

    assert refused.value.code == "AMEND_UNSUPPORTED"
    assert transport.seen == []


# Cancelling.


async def test_a_cancel_is_done_when_the_order_has_ended() -> None:
    shown = [order_row(), order_row(orderStatus="Cancelled", cumExecQty="0.004", cancelType="CancelByUser")]
    desk, transport = trading(answers(realtime=lambda seen: page([shown.pop(0)])))

    report = await cancel(desk)

    assert transport.of("/cancel")[0].json == {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "ours-1"}
    # Cancelled is not unfilled.
    assert (report.state, report.filled_quantity) == (VenueState.CANCELED, Decimal("0.004"))


async def test_an_order_that_is_still_open_after_its_cancel_is_reported_open() -> None:
    desk, _ = trading(answers(realtime=page([order_row()])))

    assert (await cancel(desk)).state is VenueState.NEW


async def test_a_cancel_that_came_too_late_is_not_found_and_says_nothing_of_the_end() -> None:
    for code in (110001, 110008, 110010, 170139, 170142, 170190, 170213):
        desk, _ = trading(answers(cancel=refusal(code)))
        with pytest.raises(CallerMustAct) as refused:
            await cancel(desk)
        assert refused.value.outcome is Outcome.NOT_FOUND


async def test_a_cancel_of_an_order_that_filled_reports_the_fill() -> None:
    row = order_row(
        orderStatus="Filled", cumExecQty="0.010", cancelType="CancelByUser", rejectReason="EC_OrigClOrdIDDoesNotExist"
    )
    desk, _ = trading(answers(realtime=page([row])))

    report = await cancel(desk)

    assert (report.state, report.reason, report.ended_by) == (VenueState.FILLED, "", None)


async def test_a_cancel_without_a_name_is_a_bug() -> None:
    desk, _ = trading(answers())

    with pytest.raises(ValueError, match="client_order_id"):
        await cancel(desk, client_order_id="")


async def test_everything_of_one_symbol_is_cancelled_with_one_request() -> None:
    desk, transport = trading(answers())

    assert await desk.cancel_all(INVERSE, deadline_s=5.0) == []

    assert [seen.json for seen in transport.of("/cancel-all")] == [{"category": "inverse", "symbol": "BTCUSD"}]


async def test_everything_is_cancelled_market_by_market_and_coin_by_coin() -> None:
    desk, transport = trading(answers())

    await desk.cancel_all(None, deadline_s=5.0)

    assert [seen.json for seen in transport.of("/cancel-all")] == [
        {"category": "spot"},
        {"category": "linear", "settleCoin": "USDC"},
        {"category": "linear", "settleCoin": "USDT"},
        {"category": "inverse", "settleCoin": "BTC"},
    ]


async def test_a_market_that_refuses_does_not_keep_the_others_from_being_cancelled() -> None:
    desk, transport = trading(
        answers(cancel_all=lambda seen: refusal(10016) if seen.json["category"] == "spot" else page([]))
    )

    with pytest.raises(OutcomeUnknown):
        await desk.cancel_all(None, deadline_s=5.0)

    assert len(transport.of("/cancel-all")) == 4


async def test_more_orders_than_one_request_cancels_take_several() -> None:
    full = page([{"orderId": str(number)} for number in range(500)])
    given = [full, full, page([{"orderId": "last"}])]
    desk, transport = trading(answers(cancel_all=lambda seen: given.pop(0)))

    await desk.cancel_all(LINEAR, deadline_s=5.0)

    assert len(transport.of("/cancel-all")) == 3


# Asking.


async def test_not_found_is_an_empty_list_in_both_places() -> None:
    desk, transport = trading(answers())

    with pytest.raises(CallerMustAct, match="no order with this id") as missing:
        await desk.query(LINEAR, client_order_id="nobody")

    assert missing.value.outcome is Outcome.NOT_FOUND
    assert missing.value.sent is not None
    assert [seen.path for seen in transport.seen[-3:]] == [
        "/v5/order/realtime",
        "/v5/order/history",
        "/v5/system/status",
    ]
    assert "X-BAPI-SIGN" not in transport.seen[-1].headers


@pytest.mark.parametrize(
    ("row", "proof"),
    [
        ({"state": "ongoing", "serviceTypes": [1, 2, 3, 4, 5], "title": "engine restart"}, False),
        ({"state": "ongoing", "serviceTypes": [2]}, False),
        ({"state": "ongoing"}, False),
        ({"state": "ongoing", "serviceTypes": [3, 4, 5]}, True),
        ({"state": "completed", "serviceTypes": [1]}, True),
        ({"state": "scheduled", "serviceTypes": [1]}, True),
    ],
    ids=str,
)
async def test_while_the_exchange_announces_trouble_no_such_order_is_no_proof(row: dict[str, Any], proof: bool) -> None:
    desk, _ = trading(answers(status=page([row])))

    with pytest.raises(ExchangeError) as missing:
        await desk.query(LINEAR, client_order_id="nobody")

    assert missing.value.outcome is (Outcome.NOT_FOUND if proof else Outcome.MAINTENANCE)
    assert proof or str(row.get("title", "an incident")) in missing.value.text


@pytest.mark.parametrize("trouble", [Reply(status=503), refusal(10016), Reply(envelope(None))], ids=str)
async def test_nor_is_it_where_nobody_says_whether_there_is_trouble(trouble: Reply) -> None:
    desk, _ = trading(answers(status=trouble))

    with pytest.raises(TryLater):
        await desk.query(LINEAR, client_order_id="nobody")


@pytest.mark.needs("recordings")
async def test_recorded_announcements_of_the_past_are_no_trouble() -> None:
    desk, _ = trading(answers(status=Reply(recorded("bybit/rest/docs/system-status.1.json").plain)))

    with pytest.raises(CallerMustAct):
        await desk.query(LINEAR, client_order_id="nobody")


async def test_rows_about_other_orders_are_no_answer() -> None:
    rows = [order_row(orderLinkId="other"), order_row(symbol="ETHUSDT")]
    desk, _ = trading(answers(realtime=page(rows)))

    with pytest.raises(CallerMustAct):
        await desk.query(LINEAR, client_order_id="ours-1")


@pytest.mark.parametrize(
    ("rows", "state", "filled"),
    [
        (
            [order_row(updatedTime="9"), order_row(updatedTime="8", orderStatus="Filled", cumExecQty="0.010")],
            VenueState.NEW,
            "0.000",
        ),
        (
            [order_row(cumExecQty="0.002"), order_row(cumExecQty="0.003", orderStatus="PartiallyFilled")],
            VenueState.PARTIALLY_FILLED,
            "0.003",
        ),
        ([order_row(orderStatus="Cancelled"), order_row()], VenueState.CANCELED, "0.000"),
    ],
    ids=["later", "more executed", "the end"],
)
async def test_of_several_rows_the_one_to_believe_is_chosen(
    rows: list[dict[str, Any]], state: VenueState, filled: str
) -> None:
    for order in (rows, rows[::-1]):
        desk, _ = trading(answers(realtime=page(order)))
        report = await desk.query(LINEAR, exchange_order_id=ID)
        assert (report.state, report.filled_quantity) == (state, Decimal(filled))


async def test_a_question_that_cannot_be_read_is_repeatable_trouble() -> None:
    desk, _ = trading(answers(realtime=page([order_row(orderStatus="Sleeping")])))

    with pytest.raises(TryLater, match="orderStatus"):
        await desk.query(LINEAR, client_order_id="ours-1")


async def test_cancels_and_questions_may_use_what_is_kept_for_recovery() -> None:
    desk, _ = trading(answers(realtime=page([order_row(orderStatus="Cancelled")])))
    await desk.place(limit(), deadline_s=5.0)
    await cancel(desk)
    await desk.cancel_all(LINEAR, deadline_s=5.0)

    executor = desk._client.ports.executor
    assert isinstance(executor, OneAttempt)
    specs = {spec.operation: spec for spec in executor.specs}
    assert {name for name, spec in specs.items() if spec.priority is Priority.RECOVERY} == {
        "query_order",
        "cancel_order",
        "cancel_all",
    }
    assert {name for name, spec in specs.items() if not spec.idempotent} == {"place_order"}
    assert specs["place_order"].costs == (Cost("bybit:requests", 1), Cost("bybit:create:futures", 1))
    assert specs["cancel_order"].group != specs["place_order"].group
    assert {spec.target for spec in specs.values() if spec.operation.endswith("order")} == {"bybit:linear"}


# Lists.


async def test_open_orders_are_asked_for_market_by_market_and_linear_ones_by_coin() -> None:
    def realtime(seen: Seen) -> Reply:
        if seen.parameters["category"] == "inverse":
            return page([order_row(symbol="BTCUSD", qty="100", orderId="i")])
        if seen.parameters.get("settleCoin") == "USDT":
            return page([order_row(), order_row(orderId="gone", orderStatus="Filled")])
        return page([])

    desk, transport = trading(answers(realtime=realtime))

    reports = await desk.open_orders()

    assert [seen.target.partition("?")[2] for seen in transport.of("/realtime")] == [
        "category=spot&limit=50",
        "category=linear&settleCoin=USDC&limit=50",
        "category=linear&settleCoin=USDT&limit=50",
        "category=inverse&limit=50",
    ]
    assert [(report.market, report.symbol, report.exchange_order_id) for report in reports] == [
        ("linear", "BTC/USDT:USDT", ID),
        ("inverse", "BTC/USD:BTC", "i"),
    ]


async def test_a_list_goes_on_until_a_page_is_short_although_each_names_a_cursor() -> None:
    full = [order_row(orderId=f"o{number}") for number in range(50)]
    given = [page(full, "p%3D1"), page(full[:3], "p%3D2")]
    desk, transport = trading(answers(realtime=lambda seen: given.pop(0)))

    assert len(await desk.open_orders(LINEAR)) == 53
    assert [seen.target for seen in transport.of("/realtime")] == [
        "/v5/order/realtime?category=linear&symbol=BTCUSDT&limit=50",
        "/v5/order/realtime?category=linear&symbol=BTCUSDT&limit=50&cursor=p%3D1",
    ]


async def test_an_order_of_an_instrument_that_is_not_listed_any_more_is_not_lost() -> None:
    desk, _ = trading(answers(realtime=page([order_row(symbol="GONEUSDT")])))

    (report,) = await desk.open_orders(LINEAR)

    assert report.symbol == "GONEUSDT"


async def test_orders_of_a_time_are_asked_for_in_weeks() -> None:
    day_ms = 86_400_000
    start_ms, end_ms = NOW_MS - 10 * day_ms, NOW_MS
    old = order_row(orderId="old", orderStatus="Cancelled", createdTime=str(start_ms + 5))
    early = order_row(orderId="early", orderStatus="Filled", createdTime=str(start_ms - 1))

    desk, transport = trading(
        answers(
            realtime=page([order_row(createdTime=str(end_ms - 1))]),
            history=lambda seen: page([old, early] if seen.parameters["startTime"] == str(start_ms) else [order_row()]),
        )
    )

    reports = await desk.orders_between(LINEAR, start_ns=start_ms * MS, end_ns=end_ms * MS)

    spans = [(seen.parameters["startTime"], seen.parameters["endTime"]) for seen in transport.of("/history")]
    assert spans == [
        (str(start_ms), str(start_ms + 7 * day_ms - 1)),
        (str(start_ms + 7 * day_ms), str(end_ms)),
    ]
    assert {report.exchange_order_id for report in reports} == {ID, "old"}
    assert len(reports) == 2


async def test_fills_are_executions_and_nothing_else_each_once_oldest_first() -> None:
    rows = [
        execution_row(execId="b", execTime=str(NOW_MS + 2)),
        execution_row(execId="f", execType="Funding", orderType="UNKNOWN", orderQty="0.000"),
        execution_row(execId="a", execTime=str(NOW_MS + 1)),
        execution_row(execId="a", execTime=str(NOW_MS + 1)),
        execution_row(execId="liq", execType="BustTrade", execTime=str(NOW_MS + 3)),
        *(
            execution_row(execId=kind, execType=kind)
            for kind in ("Delivery", "Settle", "MovePosition", "FutureSpread", "CorporateAction", "")
        ),
        execution_row(execId="late", execTime=str(NOW_MS + 10_000)),
    ]
    desk, transport = trading(answers(list=page(rows)))

    fills = await desk.fills(LINEAR, start_ns=NOW_MS * MS, end_ns=(NOW_MS + 100) * MS)

    assert transport.of("/execution/list")[0].parameters["limit"] == "100"
    assert [fill.trade_id for fill in fills] == ["a", "b"]
    assert fills[0].fee == Decimal("0.132")
    assert fills[0].fee_currency == "USDT"
    assert (fills[0].quantity, fills[0].price) == (Decimal("0.004"), Decimal("60000.00"))


async def test_what_the_exchange_closed_by_itself_comes_with_the_orders() -> None:
    rows = [
        execution_row(execId=kind, execType=kind, orderId=f"of-{kind}", orderLinkId="", leavesQty="0")
        for kind in ("Trade", "Delivery", "BustTrade", "AdlTrade", "Funding")
    ]

    def answer(seen: Seen) -> Reply:
        wanted = seen.parameters.get("execType")
        found = [row for row in rows if seen.path.endswith("/execution/list") and row["execType"] == wanted]
        return page(found)

    desk, transport = trading(answer)

    orders = await desk.orders_between(LINEAR, start_ns=0, end_ns=(NOW_MS + 100) * MS)
    await desk.orders_between(SPOT, start_ns=0, end_ns=(NOW_MS + 100) * MS)

    assert {order.exchange_order_id: order.ended_by for order in orders} == {
        "of-Delivery": EndedBy.DELISTING,
        "of-BustTrade": EndedBy.LIQUIDATION,
        "of-AdlTrade": EndedBy.DELEVERAGING,
    }
    assert {seen.parameters["category"] for seen in transport.of("/execution/list")} == {"linear"}


async def test_a_fee_of_spot_is_in_what_the_row_says() -> None:
    rows = [execution_row(feeCurrency="BTC", execFee="-0.000001", execId="a"), execution_row(execId="b")]
    desk, _ = trading(answers(list=page(rows)))

    said, silent = await desk.fills(SPOT, start_ns=NOW_MS * MS, end_ns=(NOW_MS + 100) * MS)

    assert (said.fee, said.fee_currency) == (Decimal("-0.000001"), "BTC")
    assert silent.fee_currency == ""


@pytest.mark.parametrize(
    "changes", [{"execTime": ""}, {"execId": ""}, {"side": "None"}, {"execQty": ""}, {"execPrice": None}], ids=str
)
async def test_an_execution_that_cannot_be_read_is_trouble(changes: dict[str, Any]) -> None:
    desk, _ = trading(answers(list=page([execution_row(**changes)])))

    with pytest.raises(TryLater, match="not as documented"):
        await desk.fills(LINEAR, start_ns=NOW_MS * MS, end_ns=(NOW_MS + 100) * MS)


# Positions.


def position_row(**changes: Any) -> dict[str, Any]:
    """Return a position's row."""
    return {
        "symbol": "BTCUSDT",
        "side": "Sell",
        "size": "0.5",
        "positionIdx": 0,
        "avgPrice": "60000",
    } | changes


async def test_positions_have_the_sign_of_their_side() -> None:
    def positions(seen: Seen) -> Reply:
        if seen.parameters["category"] == "inverse":
            return page([position_row(symbol="BTCUSD", side="Buy", size="300")])
        if seen.parameters["settleCoin"] == "USDT":
            return page(
                [position_row(), position_row(side="", size="0", avgPrice="0"), position_row(side="None", size="")]
            )
        return page([])

    desk, transport = trading(answers(list=positions))

    found = await desk.positions()

    assert {seen.parameters["category"] for seen in transport.of("/position/list")} == {"linear", "inverse"}
    assert [(one.symbol, one.quantity, one.entry_price) for one in found] == [
        ("BTC/USDT:USDT", Decimal("-0.5"), Decimal(60000)),
        ("BTC/USD:BTC", Decimal(300), Decimal(60000)),
    ]


@pytest.mark.parametrize("index", [1, 2])
async def test_a_position_of_hedge_mode_is_refused_by_name_with_the_way_out(index: int) -> None:
    desk, _ = trading(answers(list=page([position_row(positionIdx=index, size="0")])))

    with pytest.raises(OperatorMustAct, match="BTCUSDT: the account is in hedge mode") as refused:
        await desk.positions()

    assert (refused.value.code, refused.value.outcome) == ("HEDGE_MODE", Outcome.AUTH)


async def test_a_position_without_a_side_that_holds_something_is_trouble() -> None:
    desk, _ = trading(answers(list=page([position_row(side="")])))

    with pytest.raises(TryLater, match="`side`"):
        await desk.positions()


# Facts.


@pytest.mark.parametrize("made", [SPOT, LINEAR, INVERSE], ids=lambda made: made.market)
async def test_the_facts_that_safety_rests_on(made: Instrument) -> None:
    desk, transport = trading(answers())
    facts = desk.capabilities(made)

    assert facts.time_in_force == frozenset(TimeInForce)
    assert facts.post_only
    assert facts.reduce_only is (made is not SPOT)
    assert {facts.amend_price, facts.amend_quantity_up, facts.amend_quantity_down} == {AmendWay.IN_PLACE}
    assert facts.dead_man is None
    assert facts.arrival == ArrivalBound(5.0, 10.0)
    # Its timer is for institutions: nothing is sent, and nobody is told that one runs.
    assert await desk.arm_dead_man(timeout_s=60.0, instruments=[made]) is False
    assert transport.seen == []


async def test_a_limit_that_is_reached_before_anything_is_sent_is_passed_on() -> None:
    desk, _ = trading(answers())

    class Full(OneAttempt):
        async def call(self, spec: Any, attempt: Any, *, deadline_s: float | None = None) -> Any:
            if spec.operation == "cancel_all":
                raise LimitReached("full")
            return await super().call(spec, attempt, deadline_s=deadline_s)

    desk._client.ports = type(desk._client.ports)(desk._client.ports.transport, Full(), KEY)

    with pytest.raises(LimitReached):
        await desk.cancel_all(LINEAR, deadline_s=5.0)


def test_bodies_are_exact_texts() -> None:
    made = limit(quantity=Decimal("1E-3"), price=Decimal("6E+4"))

    assert json.loads(json.dumps(placed(made)))["qty"] == "0.001"
    assert placed(made)["price"] == "60000"
