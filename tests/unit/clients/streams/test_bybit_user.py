"""Bybit's `order` and `execution` topics: login, statements, gaps; and what they do to an order here."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bybit import BybitTrading
from clients.exchanges.bybit.signing import signature
from clients.exchanges.bybit.stream_requests import PING, acknowledged
from clients.exchanges.trading import OrderReport, OrderType, Side, StreamGap, VenueOrder, VenueState
from clients.sockets import AuthRefused, OpenFailed
from tests.support.contracts import recorded
from tests.support.exchange_stage import Reply, Seen
from tests.support.socket_links import ScriptedDialer, ScriptedLink
from tests.support.virtual_time import START_NS, VirtualLoop, run_virtual
from tests.unit.clients.bybit.stage import KEY, LINEAR, NOW_MS, envelope, execution_row, order_row, page
from tests.unit.clients.streams.stage import Consumer, bybit, settle, text
from tests.unit.clients.streams.test_bybit_quotes import acknowledge, welcome

ID = order_row()["orderId"]
Got = list[OrderReport | StreamGap]


def frame(topic: str, *rows: dict[str, Any]) -> str:
    """Return a frame of the account's own topics."""
    return text({"id": "f-1", "topic": topic, "creationTime": NOW_MS, "data": list(rows)})


def order(**changes: Any) -> str:
    """Return a frame about an order."""
    return frame("order", order_row(category="linear", **changes))


def play(act: Callable[[VirtualLoop, ScriptedDialer], Any], plan: Any = welcome) -> Got:
    """Log in, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> Got:
        dialer = ScriptedDialer(loop, plan)
        consumer = Consumer(BybitTrading(bybit(loop, dialer)).user_events())
        await dialer.link(1)
        await settle()
        await act(loop, dialer)
        await settle()
        await consumer.stop()
        return consumer.got

    return run_virtual(main)


@pytest.mark.quick
def test_the_login_is_signed_with_the_servers_time_before_anything_is_subscribed() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        login, subscription = (json.loads(sent) for sent in link.sent)
        key_id, expires_ms, signed = login["args"]
        assert link.target.url == "wss://stream.bybit.invalid/v5/private"
        assert (login["op"], key_id) == ("auth", KEY.key_id)
        assert START_NS // 1_000_000 + 9_000 <= expires_ms <= START_NS // 1_000_000 + 11_000
        assert signed == signature(KEY.secret, f"GET/realtime{expires_ms}")
        # All in one: never together with the topics of one market.
        assert (subscription["op"], subscription["args"]) == ("subscribe", ["order", "execution"])

    assert play(act) == [StreamGap(None)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"success": False, "ret_msg": "error:USVC1111", "op": "auth", "conn_id": "c"}, AuthRefused),
        ({"success": False, "retCode": 10003, "retMsg": "Invalid apikey", "op": "auth", "connId": "c"}, AuthRefused),
        ({"retCode": 10004, "retMsg": "sign", "op": "auth", "connId": "c"}, AuthRefused),
        ({"success": False, "retCode": 10429, "retMsg": "busy", "op": "auth", "connId": "c"}, OpenFailed),
        ({"success": True, "ret_msg": "", "op": "auth", "conn_id": "c"}, None),
        ({"success": True, "retCode": 0, "retMsg": "", "op": "auth", "connId": "c"}, None),
        ({"retCode": 0, "retMsg": "OK", "op": "auth", "connId": "c"}, None),
    ],
    ids=str,
)
def test_a_login_is_answered_in_either_spelling(answer: dict[str, Any], error: type[Exception] | None) -> None:
    match = acknowledged("auth")
    if error is None:
        assert match(text(answer).encode()) is True
        return
    with pytest.raises(error) as refused:
        match(text(answer).encode())
    assert isinstance(refused.value, AuthRefused) is (error is AuthRefused)


@pytest.mark.needs("recordings")
def test_recorded_logins_are_read() -> None:
    assert acknowledged("auth")(recorded("bybit/ws/nautilus/ws_auth_success.json").text.encode()) is True
    assert acknowledged("auth")(recorded("bybit/ws/docs/websocket_wss-authentication.2.json").text.encode()) is True
    with pytest.raises(AuthRefused, match="Invalid apikey"):
        acknowledged("auth")(recorded("bybit/ws/nautilus/ws_auth_failure.json").text.encode())


@pytest.mark.parametrize(
    "payload", ["no json", "[]", '{"op":"subscribe","success":true}', '{"topic":"order","op":"auth"}']
)
def test_anything_else_is_no_answer_to_a_login(payload: str) -> None:
    assert acknowledged("auth")(payload.encode()) is None


def test_a_refused_key_is_tried_again_after_half_a_minute() -> None:
    def refusing(link: ScriptedLink) -> None:
        link.answers = lambda sent: [text({"success": False, "ret_msg": "no", "op": "auth", "conn_id": "c"})]

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        before_ns = loop.monotonic_ns()
        await dialer.link(2)
        assert loop.monotonic_ns() - before_ns >= 29_000_000_000

    assert play(act, refusing) == []


def test_without_a_key_there_is_no_login() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, welcome)
        consumer = Consumer(BybitTrading(bybit(loop, dialer, key=False)).user_events())
        link = await dialer.link(1)
        await settle()
        assert link.sent == []
        await consumer.stop()

    run_virtual(main)


def test_orders_and_executions_are_statements() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        link.receive(order())
        link.receive(
            frame("execution", execution_row(category="linear"), execution_row(category="linear", execId="e-2"))
        )
        link.receive(
            frame("order", order_row(category="spot", orderId="s"), order_row(category="inverse", symbol="BTCUSD"))
        )

    gap, *reports = play(act)

    assert gap == StreamGap(None)
    made = [one for one in reports if isinstance(one, OrderReport)]
    assert [(one.market, one.symbol, one.fill.trade_id if one.fill else "") for one in made] == [
        ("linear", "BTC/USDT:USDT", ""),
        ("linear", "BTC/USDT:USDT", "e-1"),
        ("linear", "BTC/USDT:USDT", "e-2"),
        ("spot", "BTC/USDT", ""),
        ("inverse", "BTC/USD:BTC", ""),
    ]
    assert all(one.source == "stream" and one.raw for one in made)


def test_funding_options_and_other_topics_say_nothing_of_our_orders() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        link.receive(frame("execution", execution_row(category="linear", execType="Funding")))
        link.receive(frame("order", order_row(category="option", symbol="BTC-27MAR26-70000-P-USDT")))
        link.receive(frame("order", order_row(category="linear", symbol="GONEUSDT")))
        link.receive(frame("wallet", {"coin": []}))
        link.receive(text({"op": "pong", "args": ["1"], "conn_id": "c"}))

    assert play(act) == [StreamGap(None)]


@pytest.mark.parametrize(
    "broken",
    [
        "no json",
        "[]",
        text({"topic": "order", "data": {}}),
        text({"topic": "execution", "data": ["row"]}),
        order(orderStatus="Sleeping"),
        order(orderId=""),
        frame("execution", execution_row(category="linear", execTime="")),
    ],
    ids=str,
)
def test_a_frame_that_cannot_be_read_is_a_gap_since_the_one_before(broken: str) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(order())
        await settle()
        dialer.links[0].receive(broken)

    first, told, gap = play(act)

    assert first == StreamGap(None)
    assert isinstance(told, OrderReport)
    assert isinstance(gap, StreamGap)
    assert gap.since_wall_ns is not None
    assert gap.since_wall_ns >= START_NS


def test_after_a_reset_there_is_a_gap_and_a_new_login() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(order())
        await settle()
        dialer.links[0].drop()
        link = await dialer.link(2)
        await settle()
        first, second = (json.loads(one.sent[0])["args"] for one in dialer.links)
        assert second[1] >= first[1]
        assert json.loads(link.sent[1])["args"] == ["order", "execution"]

    gap, _, again = play(act)

    assert gap == StreamGap(None)
    assert isinstance(again, StreamGap)
    assert again.since_wall_ns is not None


def test_a_peer_that_answers_no_text_ping_is_replaced_within_fifteen_seconds() -> None:
    def deaf(link: ScriptedLink) -> None:
        link.answers = lambda sent: [] if sent == PING else acknowledge(sent)

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        before_ns = loop.monotonic_ns()
        await dialer.link(2)
        assert loop.monotonic_ns() - before_ns <= 15_500_000_000
        assert dialer.links[0].sent.count(PING) == 1

    play(act, deaf)


# What is told needs not be asked for.


def test_what_the_stream_tells_about_a_placement_is_not_asked_for() -> None:
    asked: list[str] = []

    def answer(seen: Seen) -> Reply:
        asked.append(seen.path)
        return Reply(envelope({"orderId": ID, "orderLinkId": "ours-1"})) if seen.method == "POST" else page([])

    async def main(loop: VirtualLoop) -> tuple[OrderReport, OrderReport]:
        dialer = ScriptedDialer(loop, welcome)
        desk = BybitTrading(bybit(loop, dialer, answer))
        consumer = Consumer(desk.user_events())
        link = await dialer.link(1)
        await settle()
        made = VenueOrder(LINEAR, "ours-1", Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
        loop.call_later(0.1, lambda: link.receive(order(rejectReason="EC_NoError")))
        placed = await desk.place(made, deadline_s=5.0)
        loop.call_later(0.05, lambda: link.receive(frame("execution", execution_row(category="linear"))))
        loop.call_later(0.1, lambda: link.receive(order(orderStatus="Cancelled", cumExecQty="0.004")))
        canceled = await desk.cancel(LINEAR, client_order_id="ours-1", exchange_order_id=ID, deadline_s=5.0)
        await consumer.stop()
        return placed, canceled

    placed, canceled = run_virtual(main)

    assert (placed.state, placed.source) == (VenueState.NEW, "stream")
    assert (canceled.state, canceled.filled_quantity) == (VenueState.CANCELED, Decimal("0.004"))
    assert [path for path in asked if path != "/v5/market/time"] == ["/v5/order/create", "/v5/order/cancel"]


def test_what_the_stream_does_not_tell_in_time_is_asked_for() -> None:
    def answer(seen: Seen) -> Reply:
        return Reply(envelope({"orderId": ID})) if seen.method == "POST" else page([order_row()])

    async def main(loop: VirtualLoop) -> OrderReport:
        dialer = ScriptedDialer(loop, welcome)
        desk = BybitTrading(bybit(loop, dialer, answer))
        consumer = Consumer(desk.user_events())
        await dialer.link(1)
        await settle()
        made = VenueOrder(LINEAR, "ours-1", Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
        placed = await desk.place(made, deadline_s=5.0)
        await consumer.stop()
        return placed

    assert run_virtual(main).source == "query"
