"""BitMEX's `quote` topic: greeting, acknowledgements, snapshot, rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bitmex.parsing import parse_quote
from clients.exchanges.bitmex.stream_requests import CONNECTIONS_PER_HOUR
from clients.exchanges.bitmex.tables import parse_frame
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Quote
from tests.support.contracts import Document, over
from tests.support.socket_links import ScriptedDialer, ScriptedLink
from tests.support.virtual_time import START_NS, VirtualLoop, run_virtual
from tests.unit.clients.bitmex.stage import XBTUSDT, instrument
from tests.unit.clients.streams.stage import Consumer, bitmex, settle, text

WELCOME = {"info": "Welcome to the BitMEX Realtime API.", "version": "x", "limit": {"remaining": 39}}


def welcome(link: ScriptedLink, *, remaining: int = 39) -> None:
    """Greet, and acknowledge every topic."""
    link.receive(text(WELCOME | {"limit": {"remaining": remaining}}))
    link.answers = acknowledge


def acknowledge(payload: str) -> list[str]:
    """Answer as the exchange does: one frame per topic, each repeating the whole request."""
    if payload == "ping":
        return ["pong"]
    request = json.loads(payload)
    if request["op"] == "subscribe":
        return [text({"success": True, "subscribe": topic, "request": request}) for topic in request["args"]]
    return [text({"success": True, "request": request})]


def partial(symbol: str = "XBTUSD", **row: Any) -> str:
    """Return a snapshot of one instrument's quote."""
    return text(
        {
            "table": "quote",
            "action": "partial",
            "keys": [],
            "filter": {"symbol": symbol},
            "data": [quote(symbol, **row)],
        }
    )


def insert(*rows: dict[str, Any]) -> str:
    """Return new rows."""
    return text({"table": "quote", "action": "insert", "data": list(rows)})


def quote(symbol: str = "XBTUSD", **changes: Any) -> dict[str, Any]:
    """Return a row."""
    return {
        "timestamp": "2025-10-09T08:53:20.000Z",
        "symbol": symbol,
        "bidSize": 100,
        "bidPrice": 90000.5,
        "askPrice": 90001,
        "askSize": 200,
    } | changes


@pytest.mark.quick
@over("bitmex/conversation")
def test_a_conversation_is_read_in_order(document: Document) -> None:
    """Greeting, acknowledgements, snapshots and inserts."""
    frames = document.exact
    rows = [row for frame in frames if frame.get("table") == "quote" for row in frame["data"]]

    async def main(loop: VirtualLoop) -> list[Quote]:
        dialer = ScriptedDialer(loop, lambda link: link.receive(text(frames[0])))
        consumer = Consumer(bitmex(loop, dialer).stream_quotes(["BTC/USD:BTC"]))
        link = await dialer.link(1)
        await settle()
        assert link.sent == ['{"op":"subscribe","args":["quote:XBTUSD"]}']
        for frame in frames[1:]:
            link.receive(text(frame))
            await settle()
        await consumer.stop()
        return consumer.got

    got = run_virtual(main)

    assert len(rows) > 50
    # Of a frame with several rows a consumer gets the last one.
    last = [frame["data"][-1] for frame in frames if frame.get("table") == "quote"]
    assert [(made.bid_price, made.bid_quantity, made.ask_price, made.ask_quantity) for made in got] == [
        (row["bidPrice"], row["bidSize"], row["askPrice"], row["askSize"]) for row in last
    ]
    assert all(made.symbol == "BTC/USD:BTC" and made.source == "stream" for made in got)
    assert all(made.event_time_ns is not None and made.receive_time_ns > START_NS for made in got)


@over("bitmex/quote_frame", "bitmex/executions_frame", "bitmex/positions_frame")
def test_table_frames_are_recognised(document: Document) -> None:
    frame = parse_frame(json.dumps(document.plain).encode())

    assert frame is not None
    assert list(frame.rows) == document.exact["data"]


@over("bitmex/quote_conversation")
def test_the_documented_conversation_is_ours(document: Document) -> None:
    talk = document.plain

    assert talk["sent"] == {"op": "subscribe", "args": ["quote:ETH_USDT"]}
    assert talk["answered"] == json.loads(acknowledge(json.dumps(talk["sent"]))[0])
    frame = parse_frame(json.dumps(talk["pushed"]).encode())
    assert frame is not None
    assert frame.rows[0]["bidPrice"] == document.exact["pushed"]["data"][0]["bidPrice"]


@over("bitmex/quote_row")
def test_a_row_of_another_contract_is_read(document: Document) -> None:
    made = instrument(XBTUSDT | {"symbol": "BCHUSDT", "underlying": "BCH"})
    row = document.exact

    parsed = parse_quote(row, made, receive_time_ns=1, source="stream")

    assert (parsed.symbol, parsed.bid_price, parsed.ask_price) == ("BCH/USDT:USDT", row["bidPrice"], row["askPrice"])


def _play(act: Callable[[VirtualLoop, ScriptedLink], Any], symbols: list[str] | None = None) -> list[Quote]:
    """Connect, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> list[Quote]:
        dialer = ScriptedDialer(loop, welcome)
        consumer = Consumer(bitmex(loop, dialer).stream_quotes(symbols or ["BTC/USD:BTC"]))
        link = await dialer.link(1)
        await settle()
        await act(loop, link)
        await settle()
        await consumer.stop()
        assert all(link.closed for link in dialer.links)
        return consumer.got

    return run_virtual(main)


def test_rows_are_dropped_until_the_snapshot_of_their_instrument_has_come() -> None:
    async def act(loop: VirtualLoop, link: ScriptedLink) -> None:
        link.receive(insert(quote("XBTUSD", bidPrice=1), quote("XBTUSDT", bidPrice=2)))
        link.receive(partial("XBTUSD", bidPrice=3))
        await settle()
        link.receive(insert(quote("XBTUSD", bidPrice=4), quote("XBTUSDT", bidPrice=5)))

    got = _play(act, ["BTC/USD:BTC", "BTC/USDT:USDT"])

    assert [(made.symbol, made.bid_price) for made in got] == [("BTC/USD:BTC", Decimal(3)), ("BTC/USD:BTC", Decimal(4))]


def test_sizes_of_spot_come_in_base_currency() -> None:
    async def act(loop: VirtualLoop, link: ScriptedLink) -> None:
        link.receive(partial("XBT_USDT", bidSize=11_900))

    (made,) = _play(act, ["BTC/USDT"])

    assert made.bid_quantity == Decimal("0.000119")


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "[" * 5000,
        '{"table": 1, "action": "insert", "data": []}',
        '{"table": "quote", "action": "explode", "data": []}',
        '{"table": "quote", "action": "insert", "data": {}}',
        '{"table": "quote", "action": "insert", "data": [1]}',
        '{"table": "quote", "action": "insert", "data": [{"symbol": "XBTUSD", "bidPrice": NaN}]}',
        '{"table": "quote", "table": "quote"}',
        insert(quote(bidPrice="x")),
        insert(quote(timestamp=None)),
        b"\xff\xfe",
        b"\x00",
        '{"table": "quote", "action": "insert", "data": [{"symbol": "XBTUSD", "bidPrice": 1' + "0" * 5000 + "}]}",
    ],
    ids=lambda frame: str(frame)[:50],
)
def test_w06_no_frame_ends_the_stream(frame: str | bytes) -> None:
    async def act(loop: VirtualLoop, link: ScriptedLink) -> None:
        link.receive(partial())
        await settle()
        link.receive(frame)
        link.receive(insert(quote(bidPrice=7)))

    assert [made.bid_price for made in _play(act)] == [Decimal("90000.5"), Decimal(7)]


def test_frames_that_are_none_are_named() -> None:
    for payload in (b"[]", b'{"table": "quote"}', b'{"table":"q","action":"insert","data":[1]}'):
        with pytest.raises(MalformedAnswer):
            parse_frame(payload)
    assert parse_frame(text(WELCOME).encode()) is None


def test_a_slow_consumer_gets_the_newest_quote_of_each_symbol() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, welcome)
        stream = bitmex(loop, dialer).stream_quotes(["BTC/USD:BTC", "BTC/USDT:USDT"])

        async def begin() -> None:
            await anext(stream)

        begun = asyncio.create_task(begin())
        link = await dialer.link(1)
        await settle()
        for symbol in ("XBTUSD", "XBTUSDT"):
            link.receive(partial(symbol))
        await begun
        for number in range(5_000):
            link.receive(insert(quote("XBTUSD", bidPrice=number), quote("XBTUSDT", bidPrice=number)))
            if number % 100 == 0:
                await settle()
        await settle()

        newest = {made.symbol: made.bid_price for made in [await anext(stream), await anext(stream)]}

        assert newest == {"BTC/USD:BTC": Decimal(4999), "BTC/USDT:USDT": Decimal(4999)}
        await stream.aclose()  # type: ignore[attr-defined]

    run_virtual(main)


def test_w02_the_stream_survives_a_dead_peer_and_waits_for_the_snapshot_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            welcome(link)
            if link.number == 1:
                inner = link.answers
                link.answers = lambda payload: [] if payload == "ping" else inner(payload)

        dialer = ScriptedDialer(loop, plan)
        consumer = Consumer(bitmex(loop, dialer).stream_quotes(["BTC/USD:BTC"]))
        first = await dialer.link(1)
        await settle()
        first.receive(partial())
        before_ns = loop.monotonic_ns()
        second = await dialer.link(2)
        assert loop.monotonic_ns() - before_ns <= 15_000_000_000
        await settle()
        second.receive(insert(quote(bidPrice=1)))
        second.receive(partial(bidPrice=2))
        await settle()

        assert [made.bid_price for made in consumer.got] == [Decimal("90000.5"), Decimal(2)]
        await consumer.stop()

    run_virtual(main)


def test_a_refused_topic_is_told_and_tried_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        refusal = {"status": 400, "error": "Unknown table: qoute", "meta": {}, "request": {}}

        def plan(link: ScriptedLink) -> None:
            welcome(link)
            link.answers = lambda payload: [text(refusal)]

        dialer = ScriptedDialer(loop, plan)
        client = bitmex(loop, dialer)
        consumer = Consumer(client.stream_quotes(["BTC/USD:BTC"]))
        await dialer.link(3)
        await settle()

        (status,) = client.streams.statuses()
        assert "Unknown table: qoute" in status.last_error
        assert consumer.got == []
        await consumer.stop()
        assert list(client.streams.statuses()) == []

    run_virtual(main)


def test_a_used_up_connection_limit_holds_further_connections_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, lambda link: welcome(link, remaining=1 if link.number == 1 else 39))
        consumer = Consumer(bitmex(loop, dialer).stream_quotes(["BTC/USD:BTC"]))
        (await dialer.link(1)).receive(partial())
        await settle()
        dialer.links[0].drop()
        await dialer.link(2)

        assert (dialer.attempts_ns[1] - dialer.attempts_ns[0]) / 1e9 == pytest.approx(120.0, abs=1.0)
        await consumer.stop()

    run_virtual(main)


def test_a_refused_connection_frame_is_waited_out() -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            if link.number == 1:
                limited = {"status": 429, "error": "Rate limit exceeded", "meta": {"retryAfter": 45}}
                link.receive(text(limited))
            else:
                welcome(link)

        dialer = ScriptedDialer(loop, plan)
        consumer = Consumer(bitmex(loop, dialer).stream_quotes(["BTC/USD:BTC"]))
        await dialer.link(2)

        assert (dialer.attempts_ns[1] - dialer.attempts_ns[0]) / 1e9 >= 45.0
        await consumer.stop()

    run_virtual(main)


def test_all_streams_of_a_client_together_keep_within_the_connections_of_an_hour() -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            welcome(link)
            loop.call_later(40.0, link.drop)

        dialer = ScriptedDialer(loop, plan)
        client = bitmex(loop, dialer)
        consumers = [Consumer(client.stream_quotes(["BTC/USD:BTC"])) for _ in range(3)]
        await asyncio.sleep(3 * 3600)

        assert dialer.most_in(3600.0) <= CONNECTIONS_PER_HOUR
        for consumer in consumers:
            await consumer.stop()

    run_virtual(main)


def test_many_topics_go_out_in_several_messages() -> None:
    from clients.exchanges.bitmex.stream_requests import TOPICS_PER_MESSAGE, subscribe
    from clients.sockets import Session
    from tests.support.socket_links import Reader, scripted_socket

    async def main(loop: VirtualLoop) -> None:
        topics = [f"quote:S{number}" for number in range(2 * TOPICS_PER_MESSAGE + 1)]

        async def on_open(session: Session) -> None:
            await subscribe(session, topics)

        dialer = ScriptedDialer(loop, welcome)
        reader = Reader(scripted_socket(loop, dialer, on_open=on_open))
        link = await dialer.link(1)
        await settle()

        assert len(link.sent) == 3
        assert reader.kinds()[0] == "Connected"
        await reader.stop()

    run_virtual(main)
