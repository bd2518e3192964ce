"""BitMEX's `order` and `execution` topics: login, snapshot, merging, gaps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bitmex import BitMEXTrading
from clients.exchanges.bitmex.signing import sign
from clients.exchanges.bitmex.tables import ROWS_MAX, Frame, KeyedTable
from clients.exchanges.trading import OrderReport, Side, StreamGap, VenueState
from tests.support.contracts import Document, documents, over
from tests.support.exchange_stage import NOW_S, StageKey
from tests.support.socket_links import ScriptedDialer, ScriptedLink
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.clients.bitmex.stage import order_row
from tests.unit.clients.streams.stage import Consumer, bitmex, settle, text
from tests.unit.clients.streams.test_bitmex_quotes import acknowledge, welcome

ID = order_row()["orderID"]
Got = list[OrderReport | StreamGap]


def table(action: str, *rows: dict[str, Any], name: str = "order") -> str:
    """Return a frame of a keyed table."""
    keys = {"order": ["orderID"], "execution": ["execID"]}[name]
    more = {"keys": keys, "filter": {"account": 1}} if action == "partial" else {}
    return text({"table": name, "action": action, "data": list(rows), **more})


def _play(act: Callable[[VirtualLoop, ScriptedDialer], Any]) -> Got:
    """Log in, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> Got:
        dialer = ScriptedDialer(loop, welcome)
        consumer = Consumer(BitMEXTrading(bitmex(loop, dialer)).user_events())
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
        login, subscription = (json.loads(sent) for sent in dialer.links[0].sent)
        key_id, expires_s, signature = login["args"]
        assert login["op"] == "authKeyExpires"
        assert key_id == StageKey().key_id
        assert NOW_S + 29 <= expires_s <= NOW_S + 32
        assert signature == sign(StageKey().reveal(), "GET", "/realtime", expires_s)
        assert subscription == {"op": "subscribe", "args": ["order", "execution"]}

    assert _play(act) == [StreamGap(None)]


def test_updates_are_merged_into_the_rows_of_the_snapshot() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        link.receive(table("partial", order_row()))
        link.receive(table("insert", order_row(orderID="b", clOrdID="ours-2", side="Sell")))
        link.receive(
            table(
                "update",
                {
                    "orderID": ID,
                    "ordStatus": "PartiallyFilled",
                    "cumQty": 40,
                    "avgPx": 90000.5,
                    "timestamp": "2025-10-09T08:53:21.000Z",
                },
            )
        )
        link.receive(table("update", {"orderID": ID, "ordStatus": "Canceled", "leavesQty": 0}))
        link.receive(table("delete", {"orderID": ID}))

    gap, *reports = _play(act)

    assert gap == StreamGap(None)
    orders = [made for made in reports if isinstance(made, OrderReport)]
    assert [(made.client_order_id, made.state, made.filled_quantity) for made in orders] == [
        ("ours-1", VenueState.NEW, Decimal(0)),
        ("ours-2", VenueState.NEW, Decimal(0)),
        ("ours-1", VenueState.PARTIALLY_FILLED, Decimal(40)),
        ("ours-1", VenueState.CANCELED, Decimal(40)),
    ]
    assert orders[1].side is Side.SELL
    assert orders[2].average_price == Decimal("90000.5")
    assert orders[2].update_time_ns is not None
    assert orders[0].update_time_ns is not None
    assert orders[2].update_time_ns > orders[0].update_time_ns
    assert all(made.source == "stream" and made.raw for made in orders)


def test_everything_before_the_snapshot_is_dropped() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("insert", order_row()))
        dialer.links[0].receive(table("update", {"orderID": ID, "ordStatus": "Canceled"}))
        dialer.links[0].receive(table("partial"))

    assert _play(act) == [StreamGap(None)]


def test_an_update_about_an_order_that_is_not_known_is_a_gap() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("partial"))
        dialer.links[0].receive(table("update", {"orderID": "never seen", "ordStatus": "Filled"}))

    got = _play(act)

    assert [type(made) for made in got] == [StreamGap, StreamGap]
    assert isinstance(got[1], StreamGap)
    assert got[1].since_wall_ns is not None


@over("bitmex/executions_frame")
def test_executions_are_reports_with_their_fill(document: Document) -> None:
    rows = document.exact["data"]

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("partial", name="execution"))
        dialer.links[0].receive(table("insert", *rows, name="execution"))

    _, new, trade = _play(act)

    assert isinstance(new, OrderReport)
    assert isinstance(trade, OrderReport)
    assert (new.state, new.fill) == (VenueState.NEW, None)
    assert trade.state is VenueState.FILLED
    assert trade.fill is not None
    assert (trade.fill.trade_id, trade.fill.quantity) == (rows[1]["execID"], rows[1]["lastQty"] / Decimal(10**8))
    assert trade.exchange_order_id == rows[1]["orderID"]


PAIRS = list(zip(documents("bitmex/order_row"), documents("bitmex/execution_row"), strict=True))


@pytest.mark.parametrize(("placed_row", "filled_row"), PAIRS, ids=[str(order) for order, _ in PAIRS])
def test_a_whole_order_and_a_whole_execution_are_read(placed_row: Document, filled_row: Document) -> None:
    order, execution = placed_row.exact, filled_row.exact

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("partial", order))
        dialer.links[0].receive(table("partial", execution, name="execution"))

    _, placed, filled = _play(act)

    assert isinstance(placed, OrderReport)
    assert isinstance(filled, OrderReport)
    assert (placed.state, placed.quantity) == (VenueState.NEW, order["orderQty"])
    assert (filled.state, filled.filled_quantity) == (VenueState.PARTIALLY_FILLED, execution["cumQty"])
    assert filled.fill is not None
    assert filled.fill.fee == Decimal(execution["execComm"]) / 10**8


def test_funding_and_unmapped_instruments_are_no_statements() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("partial", order_row(symbol="XBTU25_XBTZ25")))
        funding = {"execID": "f", "execType": "Funding", "symbol": "XBTUSD", "orderID": "", "side": ""}
        dialer.links[0].receive(table("partial", funding, name="execution"))
        dialer.links[0].receive(text({"table": "margin", "action": "partial", "keys": [], "data": []}))

    assert _play(act) == [StreamGap(None)]


@pytest.mark.parametrize(
    "frame",
    ["{", table("insert", order_row(ordStatus="Teleported")), table("insert", order_row(orderQty="many"))],
    ids=["no JSON", "unknown state", "no number"],
)
def test_a_statement_that_cannot_be_read_is_a_gap_because_it_may_have_been_ours(frame: str) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(table("partial"))
        dialer.links[0].receive(frame)

    assert [type(made) for made in _play(act)] == [StreamGap, StreamGap]


def test_after_a_reconnect_a_gap_comes_first_and_the_snapshot_begins_anew() -> None:
    seen: list[int] = []

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        first = dialer.links[0]
        first.receive(table("partial", order_row()))
        seen.append(loop.wall_ns())
        await asyncio.sleep(3)
        first.drop()
        second = await dialer.link(2)
        await settle()
        second.receive(table("update", {"orderID": ID, "ordStatus": "Canceled"}))
        second.receive(table("partial", order_row(ordStatus="PartiallyFilled", cumQty=10)))

    got = _play(act)

    assert [type(made) for made in got] == [StreamGap, OrderReport, StreamGap, OrderReport]
    assert got[2] == StreamGap(seen[0])
    assert isinstance(got[3], OrderReport)
    assert got[3].filled_quantity == Decimal(10)


def test_w11_a_refused_login_is_tried_at_most_once_in_half_a_minute() -> None:
    async def main(loop: VirtualLoop) -> None:
        refusal = {"status": 401, "error": "Invalid API Key.", "meta": {}, "request": {"op": "authKeyExpires"}}

        def plan(link: ScriptedLink) -> None:
            welcome(link)
            link.answers = lambda payload: [text(refusal)]

        dialer = ScriptedDialer(loop, plan)
        client = bitmex(loop, dialer)
        consumer = Consumer(BitMEXTrading(client).user_events())
        await asyncio.sleep(1800)

        assert dialer.most_in(30.0) == 1
        (status,) = client.streams.statuses()
        assert "Invalid API Key" in status.last_error
        assert consumer.got == []
        await consumer.stop()

    run_virtual(main)


def test_without_a_key_the_stream_says_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, welcome)
        client = bitmex(loop, dialer, key=False)
        consumer = Consumer(BitMEXTrading(client).user_events())
        await dialer.link(1)
        await settle()

        assert "no API key" in client.streams.statuses()[0].last_error
        await consumer.stop()

    run_virtual(main)


def test_nothing_is_lost_when_the_consumer_is_slow() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, welcome)
        stream = BitMEXTrading(bitmex(loop, dialer)).user_events()
        assert await anext(stream) == StreamGap(None)
        link = dialer.links[0]
        link.receive(table("partial", order_row(orderQty=10_000_000)))
        number = 0
        while link.reading:
            number += 1
            link.receive(table("update", {"orderID": ID, "cumQty": number, "ordStatus": "PartiallyFilled"}))
        filled: list[Decimal | None] = []
        while len(filled) <= number:
            report = await anext(stream)
            assert isinstance(report, OrderReport)
            filled.append(report.filled_quantity)

        assert filled == [Decimal(each) for each in range(number + 1)]
        await stream.aclose()  # type: ignore[attr-defined]

    run_virtual(main)


def test_a_keyed_table_is_bounded_and_forgets_what_changed_longest_ago() -> None:
    kept = KeyedTable()
    kept.apply(Frame("order", "partial", [], ("orderID",), None))
    for number in range(ROWS_MAX + 1):
        kept.apply(Frame("order", "insert", [{"orderID": str(number)}], (), None))

    assert kept.apply(Frame("order", "update", [{"orderID": "0"}], (), None)) == ([], 1)
    assert kept.apply(Frame("order", "update", [{"orderID": "1"}], (), None)) == ([{"orderID": "1"}], 0)


def test_the_stage_acknowledges_as_the_exchange_does() -> None:
    login = '{"op":"authKeyExpires","args":["k",1,"s"]}'

    assert json.loads(acknowledge(login)[0]) == {"success": True, "request": json.loads(login)}
