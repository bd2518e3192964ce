"""Binance's user data: spot over the request API, futures by listen key."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from clients.exchanges.binance.user_stream import UserStream
from clients.exchanges.instrument_cache import InstrumentCache
from clients.exchanges.trading import OrderReport, Side, StreamGap, VenueState
from clients.resilience.outcome import Outcome
from tests.support.contracts import Document, documents, made, over
from tests.support.exchange_stage import Reply, Seen
from tests.support.socket_links import NoJitter, ScriptedDialer, ScriptedLink
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.clients.streams.stage import BINANCE_KEY, Consumer, binance, settle, text

Got = list[OrderReport | StreamGap]


def accept(link: ScriptedLink) -> None:
    """Accept the subscription of the request API."""
    link.answers = lambda payload: [
        text({"id": json.loads(payload)["id"], "status": 200, "result": {"subscriptionId": 0}})
    ]


class Keys:
    """Hands out listen keys as the futures do."""

    def __init__(self) -> None:
        self.made = 0
        self.fail: dict[str, Reply] = {}

    def __call__(self, seen: Seen) -> Reply:
        if seen.method in self.fail:
            return self.fail[seen.method]
        if seen.method == "POST":
            self.made += 1
        return Reply({"listenKey": f"key{self.made}"})


def _play(market: str, act: Callable[[VirtualLoop, ScriptedDialer], Any]) -> Got:
    """Connect one market, let `act` be the exchange, and return what the consumer got."""

    async def main(loop: VirtualLoop) -> Got:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, Keys(), random=NoJitter())
        consumer = Consumer(UserStream(client, [market]).events())
        await dialer.link(1)
        await settle()
        await act(loop, dialer)
        await settle()
        await consumer.stop()
        assert all(link.closed for link in dialer.links)
        return consumer.got

    return run_virtual(main)


@pytest.mark.quick
def test_the_spot_subscription_is_signed_over_its_sorted_parameters() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        (link,) = dialer.links
        assert link.target.url == "wss://api.invalid/ws-api/v3"
        (sent,) = (json.loads(payload) for payload in link.sent)
        parameters = sent["params"]
        signed = f"apiKey={BINANCE_KEY.key_id}&timestamp={parameters['timestamp']}"
        expected = hmac.new(BINANCE_KEY.reveal().encode(), signed.encode(), hashlib.sha256).hexdigest()
        assert sent["method"] == "userDataStream.subscribe.signature"
        assert parameters["signature"] == expected
        assert abs(parameters["timestamp"] - loop.wall_ns() // 1_000_000) < 100

    assert _play("spot", act) == [StreamGap(None)]


@over("binance/spot/user_conversation")
def test_the_documented_spot_conversation_is_ours(document: Document) -> None:
    talk = document.plain
    documented, event = talk["sent"], talk["pushed"]["event"]
    answer = json.dumps(talk["answered"] | {"id": "user"})

    async def main(loop: VirtualLoop) -> Got:
        dialer = ScriptedDialer(loop, lambda link: setattr(link, "answers", lambda payload: [answer]))
        client, _ = binance(loop, dialer)
        consumer = Consumer(UserStream(client, ["spot"]).events())
        link = await dialer.link(1)
        await settle()
        sent = json.loads(link.sent[0])
        assert (set(sent), set(sent["params"])) == (set(documented), set(documented["params"]))
        assert sent["method"] == documented["method"]
        link.receive(text(talk["pushed"]))
        await settle()
        await consumer.stop()
        return consumer.got

    _, report = run_virtual(main)

    assert isinstance(report, OrderReport)
    symbol = {"ETHBTC": "ETH/BTC", "ETHUSDT": "ETH/USDT"}[event["s"]]
    assert (report.symbol, report.exchange_order_id, report.state) == (symbol, str(event["i"]), VenueState.NEW)


SPOT_REPORTS = {
    "report_wrapped": VenueState.NEW,
    "report_new": VenueState.NEW,
    "report_new_streamed": VenueState.NEW,
    "report_partly_filled": VenueState.PARTIALLY_FILLED,
    "report_filled": VenueState.FILLED,
    "report_canceled": VenueState.CANCELED,
    "report_canceled_streamed": VenueState.CANCELED,
    # It was filled in part before.
    "report_pending_cancel": VenueState.PARTIALLY_FILLED,
}
SPOT_EVENTS = [(name, document) for name in SPOT_REPORTS for document in documents(f"binance/spot/{name}")]


@pytest.mark.parametrize(
    ("name", "document"), SPOT_EVENTS, ids=[f"{name}, {document}" for name, document in SPOT_EVENTS]
)
def test_an_execution_report_is_read(name: str, document: Document) -> None:
    """Raw, wrapped in `event`, wrapped in `data`."""
    frame = document.plain

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text(frame))

    _, report = _play("spot", act)

    assert isinstance(report, OrderReport)
    event = frame.get("data", frame.get("event", frame))
    assert (report.state, report.raw_state) == (SPOT_REPORTS[name], event["X"])
    assert report.filled_quantity == Decimal(event["z"])
    assert report.client_order_id == event["c"]
    assert report.exchange_order_id == str(event["i"])
    assert report.update_time_ns == event["T"] * 1_000_000
    assert report.create_time_ns == event["O"] * 1_000_000
    assert (report.fill is not None) == (event["x"] == "TRADE")
    if report.fill is not None:
        assert report.fill.trade_id == str(event["t"])
        assert (report.fill.quantity, report.fill.price) == (Decimal(event["l"]), Decimal(event["L"]))
        assert (report.fill.fee, report.fill.fee_currency) == (Decimal(event["n"]), event["N"])
        assert report.average_price == Decimal(event["Z"]) / Decimal(event["z"])


def test_on_a_spot_cancel_the_orders_id_is_the_original_one() -> None:
    """`c` is the cancel's own there, `C` the order's."""
    frame = made("binance/spot/report_canceled").plain

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text(frame | {"c": "the cancel's own", "C": "ours-1"}))

    _, report = _play("spot", act)

    assert isinstance(report, OrderReport)
    assert report.client_order_id == "ours-1"


@over("binance/usdm/update_new", "binance/usdm/update_new_streamed", "binance/usdm/update_partly_filled")
def test_an_order_update_of_the_futures_is_read(document: Document) -> None:
    frame = document.plain

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text(frame))

    _, report = _play("usdm", act)

    assert isinstance(report, OrderReport)
    order = frame.get("data", frame)["o"]
    symbol = {"BTCUSDT": "BTC/USDT:USDT", "ETHUSDT": "ETH/USDT:USDT"}[order["s"]]
    assert (report.symbol, report.state, report.side) == (symbol, VenueState(order["X"]), Side.BUY)
    assert (report.filled_quantity, report.client_order_id) == (Decimal(order["z"]), order["c"])
    if order["x"] == "TRADE":
        assert report.fill is not None
        assert (report.fill.trade_id, report.fill.fee) == (str(order["t"]), Decimal(order["n"]))
        assert report.average_price == Decimal(order["ap"])
    else:
        assert report.fill is None


@over("binance/usdm/trade_lite")
def test_the_thin_notice_of_a_fill_says_nothing_that_the_update_does_not(document: Document) -> None:
    frame = document.plain

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text(frame))
        dialer.links[0].receive(text({"e": "ACCOUNT_UPDATE", "E": 1, "a": {}}))
        dialer.links[0].receive(text({"id": 1, "result": None}))

    assert _play("usdm", act) == [StreamGap(None)]


@pytest.mark.parametrize(
    ("market", "url"), [("usdm", "wss://usdm.invalid/private/ws/key1"), ("coinm", "wss://coinm.invalid/ws/key1")]
)
def test_futures_are_read_by_listen_key_on_their_route(market: str, url: str) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        assert dialer.links[0].target.url == url
        assert "key1" not in repr(dialer.links[0].target)

    assert _play(market, act) == [StreamGap(None)]


def test_a_listen_key_is_kept_alive_and_renewed_when_it_is_gone() -> None:
    async def main(loop: VirtualLoop) -> None:
        keys = Keys()
        dialer = ScriptedDialer(loop)
        client, transport = binance(loop, dialer, keys, random=NoJitter())
        consumer = Consumer(UserStream(client, ["usdm"]).events())
        await dialer.link(1)
        await asyncio.sleep(5401)
        assert len(transport.of("/fapi/v1/listenKey", "PUT")) == 3
        assert len(transport.of("/fapi/v1/listenKey", "POST")) == 1
        assert all(seen.headers["X-MBX-APIKEY"] == BINANCE_KEY.key_id for seen in transport.of("/listenKey"))
        assert len(dialer.links) == 1

        # Trouble is tried again soon; a key that is gone makes a new one and a new connection.
        keys.fail["PUT"] = Reply({"code": -1001, "msg": "Internal error"}, 503)
        await asyncio.sleep(1900)
        assert len(transport.of("/listenKey", "PUT")) == 5
        keys.fail["PUT"] = Reply({"code": -1125, "msg": "This listenKey does not exist."}, 400)
        second = await dialer.link(2)
        await settle()

        assert second.target.url.endswith("/key2")
        assert dialer.links[0].end == "the listen key has expired"
        assert [type(made) for made in consumer.got] == [StreamGap, StreamGap]
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize(
    ("market", "event"),
    [
        ("usdm", {"e": "listenKeyExpired", "E": 1, "listenKey": "key1"}),
        ("usdm", {"stream": "listenKeyExpired", "data": {"e": "listenKeyExpired", "E": 1}}),
        ("spot", {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}}),
        ("spot", {"e": "serverShutdown", "E": 1}),
    ],
    ids=str,
)
def test_a_stream_that_is_ended_by_the_exchange_is_opened_again_at_once(market: str, event: dict[str, Any]) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        before_ns = loop.monotonic_ns()
        dialer.links[0].receive(text(event))
        await dialer.link(2)
        assert loop.monotonic_ns() - before_ns < 10_000_000

    assert [type(made) for made in _play(market, act)] == [StreamGap, StreamGap]


def test_a_gap_says_since_when() -> None:
    seen: list[int] = []
    frame = text(
        {"e": "ORDER_TRADE_UPDATE", "o": {"s": "BTCUSDT", "c": "a", "S": "BUY", "X": "NEW", "x": "NEW", "i": 1, "T": 1}}
    )

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame)
        seen.append(loop.wall_ns())
        await asyncio.sleep(7)
        dialer.links[0].drop()
        await dialer.link(2)

    assert _play("coinm", act)[-1] == StreamGap(seen[0])


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        text({"e": "executionReport", "s": "BTCUSDT", "X": "TELEPORTED", "S": "BUY", "i": 1, "T": 1}),
        text({"e": "executionReport", "s": "BTCUSDT", "X": "NEW", "S": "HOLD", "i": 1, "T": 1}),
        text({"e": "executionReport", "s": "BTCUSDT", "X": "NEW", "S": "BUY", "i": "x", "T": 1}),
        text({"e": "executionReport", "s": "BTCUSDT", "S": "BUY", "i": 1, "T": 1}),
        text({"e": "ORDER_TRADE_UPDATE", "o": []}),
    ],
    ids=lambda frame: frame[:60],
)
def test_a_statement_that_cannot_be_read_is_a_gap_because_it_may_have_been_ours(frame: str) -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(frame)

    assert [type(made) for made in _play("spot", act)] == [StreamGap, StreamGap]


def test_an_instrument_that_is_not_mapped_is_no_statement() -> None:
    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        dialer.links[0].receive(text({"e": "executionReport", "s": "DOGEUSDT", "X": "NEW"}))

    assert _play("spot", act) == [StreamGap(None)]


@pytest.mark.parametrize(
    "answer",
    [
        {
            "id": "user",
            "status": 401,
            "error": {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        },
        {"id": "user", "status": 400, "error": {"code": -1022, "msg": "Signature for this request is not valid."}},
    ],
    ids=["key", "signature"],
)
def test_w11_a_refused_spot_subscription_is_tried_at_most_once_in_half_a_minute(answer: dict[str, Any]) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, lambda link: setattr(link, "answers", lambda payload: [text(answer)]))
        client, _ = binance(loop, dialer, random=NoJitter())
        consumer = Consumer(UserStream(client, ["spot"]).events())
        await asyncio.sleep(1800)

        assert dialer.most_in(30.0) == 1
        assert str(answer["error"]["code"]) in client.streams.statuses()[0].last_error
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize(
    ("reply", "gap_s"),
    [
        (Reply({"code": -2015, "msg": "Invalid API-key"}, 401), 30.0),
        (Reply({"code": -1003, "msg": "Too many requests"}, 429, {"retry-after": "75"}), 75.0),
        (Reply({"code": -1001, "msg": "Internal error"}, 503), 0.0),
        (Reply({"unexpected": 1}), 0.0),
        (Reply({"listenKey": "../../etc"}), 0.0),
    ],
    ids=["key refused", "limited", "unavailable", "no key in it", "no key at all"],
)
def test_a_listen_key_that_cannot_be_had_is_asked_for_again_in_due_time(reply: Reply, gap_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        keys = Keys()
        keys.fail["POST"] = reply
        dialer = ScriptedDialer(loop)
        asked: list[float] = []

        def answer(seen: Seen) -> Reply:
            asked.append(loop.time())
            return keys(seen)

        client, _ = binance(loop, dialer, answer, random=NoJitter())
        consumer = Consumer(UserStream(client, ["usdm"]).events())
        await asyncio.sleep(300)

        gaps = [b - a for a, b in pairwise(asked)]
        assert len(asked) >= 3
        assert min(gaps) >= gap_s - 0.001
        assert dialer.links == []
        keys.fail.clear()
        await dialer.link(1)
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_without_a_key_the_stream_says_so(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        client, transport = binance(loop, ScriptedDialer(loop, accept), Keys(), key=False)
        consumer = Consumer(UserStream(client, [market]).events())
        await asyncio.sleep(5)

        assert "no API key" in client.streams.statuses()[0].last_error
        assert transport.of("/listenKey") == []
        await consumer.stop()

    run_virtual(main)


def test_all_markets_are_merged_and_each_has_its_own_gap() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, Keys())
        consumer = Consumer(UserStream(client).events())
        await dialer.link(3)
        await settle()

        assert consumer.got == [StreamGap(None)] * 3
        assert len(client.streams.statuses()) == 3
        await client.close()
        await consumer.stop()
        assert all(link.closed for link in dialer.links)

    run_virtual(main)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_instruments_that_cannot_be_had_are_asked_for_again_like_a_connection(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, Keys())
        tries = 0

        async def load() -> Any:
            nonlocal tries
            tries += 1
            if tries < 4:
                raise client.fail(client.clock_probe("spot"), Outcome.RETRYABLE, "it is away")
            return client.listing

        client.instruments = InstrumentCache("binance", {market: load}, monotonic_ns=loop.monotonic_ns)
        consumer = Consumer(UserStream(client, [market]).events())
        await dialer.link(4)
        await settle()

        assert consumer.got == [StreamGap(None)]
        await consumer.stop()

    run_virtual(main)


def test_a_market_that_is_away_does_not_keep_the_others_statements_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, accept)
        client, _ = binance(loop, dialer, Keys())

        async def spot() -> Any:
            return [made for made in client.listing if made.market == "spot"]

        async def away() -> Any:
            raise client.fail(client.clock_probe("coinm"), Outcome.RETRYABLE, "it is away")

        loads = {"spot": spot, "coinm": away}
        client.instruments = InstrumentCache("binance", loads, monotonic_ns=loop.monotonic_ns)
        consumer = Consumer(UserStream(client, ["spot", "coinm"]).events())
        await asyncio.sleep(60)

        assert consumer.got == [StreamGap(None)]
        spot_status, coinm_status = client.streams.statuses()
        assert (spot_status.state.value, spot_status.last_error) == ("open", "")
        assert "it is away" in coinm_status.last_error
        await consumer.stop()

    run_virtual(main)
