"""Binance's book tickers: routes, subscriptions, order, silence, rotation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from clients.exchanges.binance.quote_stream import STREAMS_PER_CONNECTION, quote_url
from clients.exchanges.binance.stream_requests import STREAMS_PER_MESSAGE
from clients.exchanges.model import Quote
from tests.support.contracts import Document, documents, over
from tests.support.socket_links import FullDelay, NoJitter, ScriptedDialer, ScriptedLink
from tests.support.virtual_time import START_NS, VirtualLoop, run_virtual
from tests.unit.clients.streams.stage import BINANCE_BASES, Consumer, StagedBinance, binance, listed, settle, text


def acknowledge(payload: str) -> list[str]:
    """Answer a subscription."""
    return [text({"result": None, "id": json.loads(payload)["id"]})]


def accept(link: ScriptedLink) -> None:
    """Acknowledge every subscription."""
    link.answers = acknowledge


def ticker(update_id: int, symbol: str = "BTCUSDT", bid: str = "90000.10", **more: Any) -> str:
    """Return a spot book ticker."""
    return text({"u": update_id, "s": symbol, "b": bid, "B": "1.5", "a": "90000.20", "A": "2.5", **more})


def _play(symbols: list[str], act: Callable[[VirtualLoop, ScriptedDialer], Any]) -> list[Quote]:
    """Connect, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> list[Quote]:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer)
        consumer = Consumer(client.stream_quotes(symbols))
        await dialer.link(1)
        await settle()
        await act(loop, dialer)
        await settle()
        await consumer.stop()
        assert all(link.closed for link in dialer.links)
        assert not client.streams.statuses()
        return consumer.got

    return run_virtual(main)


SYMBOLS = {
    "BTCUSDT": ("BTC/USDT", "BTC/USDT:USDT"),
    "NKNUSDT": ("NKN/USDT", ""),
    "SUSHIUSDT": ("", "SUSHI/USDT:USDT"),
    "ETHUSDT": ("ETH/USDT", "ETH/USDT:USDT"),
    "BNBUSDT": ("", "BNB/USDT:USDT"),
    "BTCUSD_PERP": ("", "BTC/USD:BTC"),
    "ETHUSD_PERP": ("", "ETH/USD:ETH"),
    "BTCUSD_211231": ("", "BTC/USD:BTC-211231"),
    "BTCUSD_260626": ("", "BTC/USD:BTC-260626"),
}
"""What a frame's symbol means on spot, and on the market of futures that knows it."""


def _symbol(market: str, row: dict[str, Any]) -> str:
    return SYMBOLS[row["s"]][0 if market == "spot" else 1]


MARKETS = ("spot", "usdm", "coinm")
RUNS = [(market, document) for market in MARKETS for document in documents(f"binance/{market}/ticker_frames")]
SINGLE = [(market, document) for market in MARKETS for document in documents(f"binance/{market}/ticker_frame")]


@pytest.mark.quick
@pytest.mark.parametrize(("market", "document"), RUNS, ids=[f"{market}, {document}" for market, document in RUNS])
def test_a_run_of_frames_is_read_frame_by_frame(market: str, document: Document) -> None:
    """Combined streams."""
    frames = document.exact
    rows = [frame["data"] for frame in frames]
    symbol = _symbol(market, rows[0])

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        for frame in frames:
            dialer.links[0].receive(text(frame))
            await settle()

    got = _play([symbol], act)

    assert len(rows) > 20
    assert [(made.bid_price, made.bid_quantity, made.ask_price, made.ask_quantity) for made in got] == [
        tuple(Decimal(row[name]) for name in "bBaA") for row in rows
    ]
    assert [made.update_id for made in got] == [row["u"] for row in rows]
    # Spot has no event time: its age counts from the receipt.
    timed = market != "spot"
    assert [made.event_time_ns for made in got] == [row["E"] * 1_000_000 if timed else None for row in rows]
    assert all(made.receive_time_ns > START_NS and made.symbol == symbol for made in got)


@pytest.mark.parametrize(("market", "document"), SINGLE, ids=[f"{market}, {document}" for market, document in SINGLE])
def test_a_single_frame_is_read(market: str, document: Document) -> None:
    """Raw and combined envelopes, fields in any order, `st` and `ps` of 2026 ignored."""
    frame = document.exact
    row = frame.get("data", frame)

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text(frame))

    (quote,) = _play([_symbol(market, row)], act)

    assert (quote.bid_price, quote.ask_quantity) == (Decimal(row["b"]), Decimal(row["A"]))


@over("binance/spot/ticker_conversation", "binance/usdm/ticker_conversation")
def test_the_documented_conversation_is_ours(document: Document) -> None:
    talk = document.plain
    futures = "e" in talk["pushed"]["data"]

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        assert [json.loads(sent) for sent in dialer.links[0].sent] == [talk["sent"]]
        assert [json.loads(answer) for answer in acknowledge(dialer.links[0].sent[0])] == [talk["answered"]]

    _play(["BTC/USDT:USDT" if futures else "BTC/USDT"], act)


def test_each_market_has_its_own_connection_and_usdm_its_public_route() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        await dialer.link(3)
        assert [link.target.url for link in dialer.links] == [
            "wss://spot.invalid/ws",
            "wss://usdm.invalid/public/ws",
            "wss://coinm.invalid/ws",
        ]
        # The same name on two markets is two instruments.
        dialer.links[0].receive(ticker(1, bid="1"))
        dialer.links[1].receive(ticker(1, bid="2", e="bookTicker", E=1, T=1))

    got = _play(["BTC/USDT", "BTC/USDT:USDT", "ETH/USD:ETH", "BTC/USDT"], act)

    assert [(made.symbol, made.bid_price) for made in got] == [("BTC/USDT", Decimal(1)), ("BTC/USDT:USDT", Decimal(2))]
    assert quote_url("usdm", "ws://127.0.0.1:5070/fstream") == "ws://127.0.0.1:5070/fstream/public/ws"


def test_many_symbols_are_spread_over_connections_and_messages() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer)
        client.listing = [listed(f"S{number}/USDT", f"S{number}USDT", "spot") for number in range(450)]
        consumer = Consumer(client.stream_quotes([made.symbol for made in client.listing]))
        await dialer.link(3)
        await asyncio.sleep(2)

        subscribed = [
            [json.loads(sent)["params"] for sent in link.sent if "SUBSCRIBE" in sent] for link in dialer.links
        ]
        assert sorted(sum(map(len, messages)) for messages in subscribed) == [50, 200, 200]
        assert max(len(message) for messages in subscribed for message in messages) <= STREAMS_PER_MESSAGE
        assert sum(sum(map(len, messages)) for messages in subscribed) == 450
        assert STREAMS_PER_CONNECTION == 200
        await consumer.stop()

    run_virtual(main)


def test_an_older_update_is_dropped_and_after_a_reconnect_the_count_may_begin_anew() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        for update_id in (10, 12, 11, 12, 13):
            dialer.links[0].receive(ticker(update_id))
            await settle()
        dialer.links[0].drop()
        link = await dialer.link(2)
        await settle()
        link.receive(ticker(1))

    assert [made.update_id for made in _play(["BTC/USDT"], act)] == [10, 12, 12, 13, 1]


@pytest.mark.parametrize(
    "notice",
    [
        text({"e": "serverShutdown", "E": 1}),
        text({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}),
    ],
    ids=["raw", "combined"],
)
def test_a_server_that_announces_its_shutdown_is_left_at_once(notice: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, random=FullDelay())
        consumer = Consumer(client.stream_quotes(["BTC/USDT"]))
        link = await dialer.link(1)
        await asyncio.sleep(1)
        before_ns = loop.monotonic_ns()
        link.receive(notice)
        await dialer.link(2)

        assert loop.monotonic_ns() - before_ns < 10_000_000
        await consumer.stop()

    run_virtual(main)


def test_w03_a_misrouted_subscription_is_noticed_by_its_silence() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, random=NoJitter())
        consumer = Consumer(client.stream_quotes(["BTC/USDT:USDT"]))
        link = await dialer.link(1)
        await asyncio.sleep(31)
        assert client.streams.statuses()[0].stale
        await dialer.link(2)

        assert link.end == "no message for 120 s"
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize(
    "refusal",
    [
        {"error": {"code": 2, "msg": "Invalid request: unknown variant"}, "id": 1},
        {"code": 2, "msg": "Invalid request: unknown variant"},
        {"error": {"code": 2, "msg": "Invalid request: unknown variant"}, "id": None},
    ],
    ids=["with id", "bare", "null id"],
)
def test_a_refused_subscription_is_told(refusal: dict[str, Any]) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, lambda link: setattr(link, "answers", lambda payload: [text(refusal)]))
        client, _ = binance(loop, dialer)
        consumer = Consumer(client.stream_quotes(["BTC/USDT"]))
        await dialer.link(2)

        assert "2: Invalid request: unknown variant" in client.streams.statuses()[0].last_error
        await consumer.stop()

    run_virtual(main)


def test_an_acknowledgement_of_another_request_is_none_of_ours() -> None:
    async def main(loop: VirtualLoop) -> None:
        foreign = [text({"result": None, "id": 99}), text({"result": ["x"], "id": 1}), ticker(1), "{"]
        dialer = ScriptedDialer(loop, lambda link: setattr(link, "answers", lambda payload: foreign))
        client, _ = binance(loop, dialer)
        consumer = Consumer(client.stream_quotes(["BTC/USDT"]))
        await dialer.link(2)

        assert client.streams.statuses()[0].last_error == "no answer in time"
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "[" * 5000,
        "null",
        b"\xff",
        b"\x00",
        text({"stream": "x", "data": []}),
        text({"u": "x", "s": "BTCUSDT", "b": "1", "B": "1", "a": "1", "A": "1"}),
        text({"u": 5, "s": "BTCUSDT", "b": "1", "B": "1", "a": "NaN", "A": "1"}),
        text({"u": 5, "s": "BTCUSDT", "b": None, "B": "1", "a": "1", "A": "1"}),
        text({"u": 5, "s": "DOGEUSDT", "b": "1", "B": "1", "a": "1", "A": "1"}),
        text({"e": "aggTrade", "s": "BTCUSDT"}),
        '{"u": 5, "u": 6}',
        '{"u": 1' + "0" * 5000 + "}",
    ],
    ids=lambda frame: str(frame)[:40],
)
def test_w06_no_frame_ends_the_stream(frame: str | bytes) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame)
        dialer.links[0].receive(ticker(7))

    assert [made.update_id for made in _play(["BTC/USDT"], act)] == [7]


def test_an_empty_side_is_none() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text({"u": 1, "s": "BTCUSDT", "b": "0.00", "B": "0.00", "a": "2", "A": "1"}))

    (made,) = _play(["BTC/USDT"], act)

    assert (made.bid_price, made.bid_quantity, made.ask_price) == (None, None, Decimal(2))


@pytest.mark.parametrize("random", [NoJitter(), FullDelay(), Random(7)], ids=["latest", "earliest", "random"])
def test_a_connection_is_replaced_before_its_day_is_over_without_a_hole_or_an_older_quote(random: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, random=random, markets=["spot"])
        consumer = Consumer(client.stream_quotes(["BTC/USDT"]))
        await dialer.link(1)
        await settle()
        update_id = 0
        # Quotes come often enough to count as alive, and closely around the rotation.
        while len(dialer.links) < 2 or loop.monotonic_ns() < dialer.attempts_ns[1] + 10_000_000_000:
            await asyncio.sleep(110.0 if loop.monotonic_ns() < 22 * 3600 * 10**9 + 29 * 60 * 10**9 else 1.0)
            update_id += 1
            for link in dialer.links:
                if not link.closed:
                    link.receive(ticker(update_id))

        lived_s = (dialer.attempts_ns[1] - dialer.attempts_ns[0]) / 1e9
        assert 22.4 * 3600 <= lived_s <= 23.1 * 3600
        assert [link.closed for link in dialer.links] == [True, False]
        await settle()
        assert [made.update_id for made in consumer.got] == list(range(1, update_id + 1))
        await consumer.stop()

    run_virtual(main)


def test_an_unknown_symbol_is_refused_with_suggestions_before_anything_is_opened() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client: StagedBinance
        client, _ = binance(loop, dialer)

        with pytest.raises(Exception, match="did you mean BTC/USDT"):
            await anext(client.stream_quotes(["BTC/USDX"]))

        assert dialer.links == []

    run_virtual(main)


def test_the_bases_of_the_stage_are_the_three_markets() -> None:
    assert set(BINANCE_BASES) == {"spot", "usdm", "coinm"}
