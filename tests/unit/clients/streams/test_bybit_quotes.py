"""Bybit's order book of depth 1: groups of topics, snapshots, deltas, heartbeats, silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bybit.book import LEVELS_MAX, Book
from clients.exchanges.bybit.stream_requests import PING, acknowledged, is_pong
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Quote
from clients.sockets import SubscriptionRefused
from tests.support.contracts import recorded
from tests.support.socket_links import ScriptedDialer, ScriptedLink
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.clients.bybit.stage import BTC_USDT, LINEAR, SPOT, contract, instrument
from tests.unit.clients.streams.stage import Consumer, bybit, settle, text

PONG = {"success": True, "ret_msg": "pong", "conn_id": "0970e817", "op": "ping"}


def acknowledge(payload: str) -> list[str]:
    """Answer as the exchange does."""
    request = json.loads(payload)
    if request["op"] == "ping":
        return [text(PONG)]
    answer = {"success": True, "ret_msg": "", "conn_id": "2324d924", "req_id": request["req_id"], "op": request["op"]}
    return [text(answer)]


def welcome(link: ScriptedLink) -> None:
    """Acknowledge everything."""
    link.answers = acknowledge


def frame(symbol: str = "BTCUSDT", *, kind: str = "snapshot", ts: int = 1_760_000_000_000, **changes: Any) -> str:
    """Return a frame of the book."""
    data = {"s": symbol, "b": [["64999.9", "1.5"]], "a": [["65000.1", "2"]], "u": 7, "seq": 100} | changes
    return text({"topic": f"orderbook.1.{symbol}", "type": kind, "ts": ts, "data": data, "cts": ts - 5})


def _play(
    act: Callable[[VirtualLoop, ScriptedDialer], Any], symbols: list[str] | None = None, plan: Any = welcome
) -> list[Quote]:
    """Connect, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> list[Quote]:
        dialer = ScriptedDialer(loop, plan)
        consumer = Consumer(bybit(loop, dialer).stream_quotes(symbols or ["BTC/USDT"]))
        await dialer.link(1)
        await settle()
        await act(loop, dialer)
        await settle()
        await consumer.stop()
        return consumer.got

    return run_virtual(main)


@pytest.mark.quick
def test_a_snapshot_is_a_quote() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        assert dialer.links[0].target.url == "wss://stream.bybit.invalid/v5/public/spot"
        assert dialer.links[0].sent == ['{"req_id":"1","op":"subscribe","args":["orderbook.1.BTCUSDT"]}']
        dialer.links[0].receive(frame())

    (quote,) = _play(act)

    assert (quote.bid_price, quote.bid_quantity) == (Decimal("64999.9"), Decimal("1.5"))
    assert (quote.ask_price, quote.ask_quantity) == (Decimal("65000.1"), Decimal(2))
    assert (quote.symbol, quote.market, quote.source, quote.update_id) == ("BTC/USDT", "spot", "stream", 100)
    assert quote.event_time_ns == 1_760_000_000_000_000_000


def test_the_same_symbol_of_two_markets_is_two_instruments_over_two_connections() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        await dialer.link(2)
        await settle()
        urls = {link.target.url.rpartition("/")[2]: link for link in dialer.links}
        urls["spot"].receive(frame(b=[["1", "1"]]))
        urls["linear"].receive(frame(b=[["2", "1"]]))

    got = _play(act, ["BTC/USDT", "BTC/USDT:USDT"])

    assert {(quote.symbol, quote.bid_price) for quote in got} == {
        ("BTC/USDT", Decimal(1)),
        ("BTC/USDT:USDT", Decimal(2)),
    }


def test_a_book_that_is_repeated_is_as_young_as_its_last_repetition() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame())
        await settle()
        dialer.links[0].receive(frame(ts=1_760_000_003_000))

    first, second = _play(act)

    assert second.event_time_ns is not None
    assert first.event_time_ns is not None
    assert second.event_time_ns - first.event_time_ns == 3_000_000_000


def test_an_empty_side_is_no_quote_on_that_side() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame(a=[]))

    (quote,) = _play(act)

    assert (quote.ask_price, quote.ask_quantity) == (None, None)
    assert quote.bid_price == Decimal("64999.9")


def test_deltas_are_merged_and_never_taken_for_whole_books() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        link.receive(frame(kind="delta", seq=99))
        link.receive(frame())
        await settle()
        link.receive(frame(kind="delta", seq=101, b=[], a=[["65000.1", "0"], ["65000.3", "4"]]))
        await settle()
        link.receive(frame(kind="delta", seq=102, b=[["65000.0", "1"], ["64999.9", "0"]], a=[]))

    got = _play(act)

    assert [(quote.bid_price, quote.ask_price, quote.ask_quantity) for quote in got] == [
        (Decimal("64999.9"), Decimal("65000.1"), Decimal(2)),
        (Decimal("64999.9"), Decimal("65000.3"), Decimal(4)),
        (Decimal("65000.0"), Decimal("65000.3"), Decimal(4)),
    ]


def test_a_service_that_began_anew_is_believed_whatever_it_numbers() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame(seq=1000))
        await settle()
        dialer.links[0].receive(frame(seq=900))
        await settle()
        dialer.links[0].receive(frame(seq=3, u=1, kind="delta"))

    assert [quote.update_id for quote in _play(act)] == [1000, 3]


def test_subscriptions_go_out_in_groups_of_ten_one_after_the_other() -> None:
    rows = [contract(f"C{number}USDT", "LinearPerpetual", f"C{number}", "USDT", "USDT") for number in range(25)]

    async def main(loop: VirtualLoop) -> list[dict[str, Any]]:
        dialer = ScriptedDialer(loop)
        client = bybit(loop, dialer, rows={"spot": [], "linear": rows, "inverse": []})
        consumer = Consumer(client.stream_quotes([instrument(row, "linear").symbol for row in rows]))
        link = await dialer.link(1)
        await settle()
        for _ in range(3):
            link.receive(acknowledge(link.sent[-1])[0])
            await settle()
        await consumer.stop()
        return [json.loads(sent) for sent in link.sent]

    requests = run_virtual(main)

    assert [len(request["args"]) for request in requests] == [10, 10, 5]
    assert [request["req_id"] for request in requests] == ["1", "2", "3"]
    assert sum(len(topic) for request in requests for topic in request["args"]) < 21_000


def _refusing(*topics: str) -> Callable[[ScriptedLink], None]:
    def answers(payload: str) -> list[str]:
        request = json.loads(payload)
        bad = [topic for topic in request.get("args", []) if topic in topics]
        if not bad:
            return acknowledge(payload)
        return [text({"success": False, "ret_msg": f"Invalid topic: {bad}", "conn_id": "c", "op": "subscribe"})]

    def plan(link: ScriptedLink) -> None:
        link.answers = answers

    return plan


def test_a_topic_that_is_refused_does_not_take_the_others_along() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame())

    got = _play(act, ["BTC/USDT:USDT", "ETH/USDT:USDT"], _refusing("orderbook.1.ETHUSDT"))

    assert [quote.symbol for quote in got] == ["BTC/USDT:USDT"]


def test_a_subscription_of_which_nothing_is_left_is_tried_again() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        await dialer.link(2)

    assert _play(act, None, _refusing("orderbook.1.BTCUSDT")) == []
    both = _refusing("orderbook.1.BTCUSDT", "orderbook.1.ETHUSDT")
    assert _play(act, ["BTC/USDT:USDT", "ETH/USDT:USDT"], both) == []


def test_a_feed_whose_pongs_come_and_whose_books_do_not_is_replaced_after_ten_seconds() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        link = dialer.links[0]
        for _ in range(30):
            link.receive(frame())
            await asyncio.sleep(3.0)
        pings = link.sent.count(PING)
        assert pings == 4
        await dialer.link(2)
        assert link.end == "no message for 10 s"

    _play(act)


def test_a_new_connection_begins_with_new_books() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame(seq=1000))
        await settle()
        dialer.links[0].drop()
        link = await dialer.link(2)
        await settle()
        link.receive(frame(kind="delta", seq=1001))
        link.receive(frame(seq=5))

    assert [quote.update_id for quote in _play(act)] == [1000, 5]


@pytest.mark.parametrize(
    "broken",
    [
        "no json",
        "[]",
        text({"topic": "orderbook.1.BTCUSDT", "type": "snapshot", "ts": 1}),
        frame(s="ETHUSDT"),
        frame(b=[["x", "1"]]),
        frame(a="x"),
        frame().replace("1760000000000", "null"),
    ],
    ids=str,
)
def test_a_frame_that_cannot_be_read_ends_nothing(broken: str) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(broken)
        dialer.links[0].receive(text({"topic": "tickers.BTCUSDT", "data": {}}))
        dialer.links[0].receive(text(PONG))
        dialer.links[0].receive(frame())

    assert len(_play(act)) == 1


def test_an_unknown_symbol_is_refused_before_anything_is_opened() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        with pytest.raises(CallerMustAct, match="no instrument"):
            await anext(aiter(bybit(loop, dialer).stream_quotes(["NOPE/USDT"])))
        assert dialer.links == []

    run_virtual(main)


@pytest.mark.needs("recordings")
def test_a_recorded_book_of_many_frames_stays_in_order() -> None:
    """Snapshot and deltas of depth 500: best bid below best ask after each, and as many levels as it may have."""
    made = instrument(contract("XRPUSDT", "LinearPerpetual", "XRP", "USDT", "USDT"), "linear")
    lines = recorded("bybit/ws/orderbook.500.XRPUSDT.2024-capture.jsonl").text.splitlines()
    book = Book(made)
    quotes = []
    for line in lines:
        message = json.loads(line)
        book.apply(message["data"], snapshot=message["type"] == "snapshot")
        quotes.append(book.quote(message["data"], message["ts"], receive_time_ns=1, source="stream"))

    assert len(quotes) > 40
    assert all(quote.bid_price and quote.ask_price and quote.bid_price < quote.ask_price for quote in quotes)
    numbers = [quote.update_id or 0 for quote in quotes]
    assert numbers == sorted(numbers)


@pytest.mark.needs("recordings")
def test_recorded_answers_of_every_form_are_recognised() -> None:
    folder = "bybit/ws/docs/websocket_wss-authentication"
    for number in (3, 4, 5, 6):
        assert is_pong(recorded(f"{folder}.{number}.json").text.encode())
    assert is_pong(recorded("bybit/ws/pong.private.2023-capture.json").text.encode())
    for number in (10, 11, 12):
        assert acknowledged("subscribe")(recorded(f"{folder}.{number}.json").text.encode()) is True
    with pytest.raises(SubscriptionRefused, match="Invalid topic"):
        acknowledged("subscribe")(recorded("bybit/ws/nautilus/ws_subscription_failure.json").text.encode())
    snapshot = recorded("bybit/ws/nautilus/ws_orderbook_snapshot.json")
    assert not is_pong(snapshot.text.encode())
    book = Book(instrument(BTC_USDT, "spot"))
    book.apply(snapshot.exact["data"], snapshot=True)
    quote = book.quote(snapshot.exact["data"], snapshot.exact["ts"], receive_time_ns=1, source="stream")
    assert (quote.bid_price, quote.ask_price) == (Decimal("27450.00"), Decimal("27451.00"))


def test_a_book_has_a_bound() -> None:
    book = Book(SPOT)
    levels = [[str(price), "1"] for price in range(1, LEVELS_MAX + 2)]

    with pytest.raises(MalformedAnswer, match="levels"):
        book.apply({"s": "BTCUSDT", "b": levels, "a": []}, snapshot=True)


def test_a_book_without_numbers_is_a_quote_without_one() -> None:
    book = Book(LINEAR)
    row = {"s": "BTCUSDT", "b": [["1", "1"]], "a": []}
    book.apply(row, snapshot=True)

    assert book.quote(row, 1, receive_time_ns=1, source="stream").update_id is None
