"""Real servers that may open 1,024 files, and clients that hold more connections than that and ask for nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect

from protos.orders.v1 import orders_pb2 as pb
from services.runtime.descriptors import descriptor_budget
from services.runtime.web import WebLimits
from tests.support.attackers import (
    ANSWER_S,
    HALF_BODY,
    HALF_REQUEST,
    Attack,
    Cost,
    attack,
    first_words,
    timed_request,
)
from tests.support.cli import until
from tests.support.order_server import OrderServer, order_server
from tests.support.reporting_desk import fill, sqlite_url
from tests.support.server_process import SERVING, ServerProcess
from tests.support.simulator_process import simulator_process

FILES: Final = 1_024
BUDGET: Final = descriptor_budget(FILES)
HOLDERS: Final = 1_100
ROUNDS: Final = 5
QUIET_FILES: Final = 64
HEADER_S: Final = "2"
EVENTS: Final = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServer]:
    with order_server(tmp_path_factory.mktemp("orders"), LOG_LEVEL="warning") as (server, _):
        server.start(open_files=FILES, WEB_HEADER_TIMEOUT_S=HEADER_S, WEB_STALL_TIMEOUT_S="3", ORDERS_KEY_RATE="100000")
        server.wait_trading()
        yield server


@pytest.fixture
def quiet(orders: OrderServer) -> Cost:
    """What the orders server has open once nobody holds anything."""
    process = orders.process
    assert process is not None
    until(lambda: Cost.of(process.process.pid).files < QUIET_FILES, what="the end of what others held")
    return Cost.of(process.process.pid)


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("reporting")
    url = sqlite_url(directory)
    fill(url, [], now_ns=time.time_ns())
    settings = {
        "DATABASE_URL": url,
        "REPORTING_WEB_PORT": "0",
        "WEB_HEADER_TIMEOUT_S": HEADER_S,
        "LOG_LEVEL": "warning",
    }
    process = ServerProcess("reporting", directory, open_files=FILES, **settings)
    try:
        process.wait_health(SERVING)
        yield process
    finally:
        process.channel.close()
        process.kill()


def web_port(server: ServerProcess) -> int:
    return int(server.announcement["web_port"])


def stop_trading(orders: OrderServer) -> list[float]:
    """Throw the kill switch over both faces, ask for health over both, and release it; return how long each took."""
    process = orders.process
    assert process is not None
    headers = {"authorization": f"Bearer {orders.key}", "content-type": "application/json"}

    def thrown_over_rest() -> bool:
        body = json.dumps({"engaged": True, "reason": "under attack"})
        return timed_request(web_port(process), "PUT", "/v1/kill-switch", headers=headers, body=body)[0] == 200

    def released_over_grpc() -> bool:
        request = pb.SetKillSwitchRequest(engaged=False, reason="again")
        return not orders.call("SetKillSwitch", request, timeout_s=ANSWER_S).kill_switch.engaged

    def healthy_over_rest() -> bool:
        return timed_request(web_port(process), "GET", "/health")[0] == 200

    def healthy_over_grpc() -> bool:
        return process.health() == SERVING

    return [seconds_of(each) for each in (thrown_over_rest, released_over_grpc, healthy_over_rest, healthy_over_grpc)]


def seconds_of(call: Callable[[], bool]) -> float:
    started = time.monotonic()
    assert call()
    return time.monotonic() - started


def report(name: str, before: Cost, during: Cost, took: list[float], attackers: Attack) -> None:
    shown = " ".join(f"{seconds * 1000:.0f}" for seconds in took)
    print(f"{name}: held={len(attackers.held)} before={before} during={during} answers_ms={shown}")  # noqa: T201  (the figures)


@pytest.mark.cases(1)
@pytest.mark.parametrize("words", [HALF_REQUEST, HALF_BODY, b""], ids=["headers", "bodies", "nothing"])
def test_half_requests_keep_nobody_from_stopping_to_trade(orders: OrderServer, quiet: Cost, words: bytes) -> None:
    process = orders.process
    assert process is not None

    with attack(web_port(process), words, HOLDERS) as attackers:
        took: list[float] = []
        for _ in range(ROUNDS):
            attackers.drip()
            took += stop_trading(orders)
            held, _ = attackers.heard()
            # Who was put out comes again.
            attackers.open(HOLDERS - held)
        during = Cost.of(process.process.pid)
        report("half requests", quiet, during, took, attackers)

        assert during.files <= quiet.files + BUDGET.web
        assert during.threads <= quiet.threads + 2
        assert during.rss_mb < quiet.rss_mb + 64
        assert max(took) < ANSWER_S


def test_half_requests_end_after_the_time_of_a_header_and_hear_why(orders: OrderServer, quiet: Cost) -> None:
    process = orders.process
    assert process is not None
    told: list[bytes] = []

    with attack(web_port(process), HALF_REQUEST, 50) as attackers:

        def all_ended() -> bool:
            left, said = attackers.heard()
            told.extend(said)
            return left == 0

        until(all_ended, what="the end of 50 half requests")

    assert [said[: len(b"HTTP/1.1 408")] for said in told] == [b"HTTP/1.1 408"] * 50


def test_readers_of_a_dashboard_beyond_its_streams_are_told_and_silence_nothing(reporting: ServerProcess) -> None:
    pid = reporting.process.pid
    before = Cost.of(pid)

    with attack(web_port(reporting), EVENTS, HOLDERS) as attackers:
        words = first_words(attackers.held, len(b"HTTP/1.1 200"))
        sentence = timed_request(web_port(reporting), "GET", "/events")[:2]
        took = [
            seconds_of(lambda: timed_request(web_port(reporting), "GET", "/")[0] == 200),
            seconds_of(lambda: timed_request(reporting.announcement["metrics_port"], "GET", "/metrics")[0] == 200),
            seconds_of(lambda: reporting.health() == SERVING),
        ]
        during = Cost.of(pid)
        report("event streams", before, during, took, attackers)
        print(f"streams: {dict(words)}")  # noqa: T201  (the figures)

        assert words[b"HTTP/1.1 200"] == WebLimits.standard(BUDGET.web).streams
        assert (sentence[0], b"streams are open" in sentence[1]) == (503, True)
        assert words[b"HTTP/1.1 503"] >= BUDGET.web // 8
        assert during.files <= before.files + BUDGET.web
        assert max(took) < ANSWER_S

    until(lambda: Cost.of(pid).files <= before.files + 8, what="the places of readers that left")
    with attack(web_port(reporting), EVENTS, 1) as again:
        assert first_words(again.held, len(b"HTTP/1.1 200"))[b"HTTP/1.1 200"] == 1


def test_watchers_of_orders_beyond_the_streams_are_told_and_the_kill_switch_is_thrown(
    orders: OrderServer, quiet: Cost
) -> None:
    process = orders.process
    assert process is not None
    streams = WebLimits.standard(BUDGET.web).streams
    words = (
        b"GET /v1/orders/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n" % orders.key.encode()
    )

    with attack(web_port(process), words, 0) as attackers:
        heard: Counter[bytes] = Counter()
        # A few at a time: until its key has been looked at, a watcher is a request under way, of which there may be fewer.
        for count in (*[25] * (streams // 25), streams % 25, 50):
            attackers.open(count)
            heard += first_words(attackers.held[len(attackers.held) - count :], len(b"HTTP/1.1 200"))
        took = stop_trading(orders)
        during = Cost.of(process.process.pid)
        headers = {"authorization": f"Bearer {orders.key}"}
        status, sentence, _ = timed_request(web_port(process), "GET", "/v1/orders/events", headers=headers)
        report("watchers", quiet, during, took, attackers)

        assert heard == {b"HTTP/1.1 200": streams, b"HTTP/1.1 503": 50}
        assert (status, b"streams are open" in sentence) == (503, True)
        assert during.files <= quiet.files + BUDGET.web
        assert max(took) < ANSWER_S


def test_half_scrapes_take_neither_threads_nor_files(reporting: ServerProcess) -> None:
    pid, port = reporting.process.pid, int(reporting.announcement["metrics_port"])
    before = Cost.of(pid)

    with attack(port, HALF_REQUEST, 600) as attackers:
        took = []
        for _ in range(ROUNDS):
            attackers.drip()
            took.append(seconds_of(lambda: timed_request(port, "GET", "/metrics")[0] == 200))
        during = Cost.of(pid)
        report("half scrapes", before, during, took, attackers)

        assert during.threads <= before.threads + 4
        assert during.files <= before.files + BUDGET.metrics
        assert max(took) < ANSWER_S


def test_figures_are_bounded_and_say_nothing_of_orders(orders: OrderServer) -> None:
    process = orders.process
    assert process is not None
    order = orders.place("a-secret-key", valid_for_ms=10_000)

    for port in (int(process.announcement["metrics_port"]), web_port(process)):
        status, text, _ = timed_request(port, "GET", "/metrics")
        series = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
        print(f"series on {port}: {len(series)}")  # noqa: T201  (the figures)

        assert status == 200
        # Every value of a label that is known beforehand is there from the start; two exchanges and two faces make about 2,900.
        assert len(series) <= 4_000
        for secret in (order.order_id, order.venue_client_order_id, "a-secret-key", orders.key):
            assert secret not in text.decode()


@pytest.mark.parametrize("service", ["orders", "metrics"])
def test_no_listener_answers_under_a_name_of_somebody_else(orders: OrderServer, service: str) -> None:
    process = orders.process
    assert process is not None
    port, path = (
        (web_port(process), "/health")
        if service == "orders"
        else (int(process.announcement["metrics_port"]), "/metrics")
    )

    answers = {
        host: timed_request(port, "GET", path, headers={"host": host})
        for host in ("evil.example", "localhost", f"127.0.0.1:{port}")
    }

    assert [status for status, _, _ in answers.values()] == [421, 200, 200]
    assert b"MIDSTREAM_WEB_HOSTS" in answers["evil.example"][1]


def test_a_flood_of_websockets_leaves_the_exchange_to_others(tmp_path: Path) -> None:
    upgrade = (
        b"GET /ws/btcusdt@bookTicker HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    with simulator_process("binance", tmp_path, open_files=FILES) as simulator:
        pid = simulator.process.pid
        before = Cost.of(pid)
        with attack(simulator.port, upgrade, HOLDERS) as attackers:
            words = first_words(attackers.held, len(b"HTTP/1.1 101"))
            took = [seconds_of(lambda: timed_request(simulator.port, "GET", "/api/v3/ping")[0] == 200)]
            during = Cost.of(pid)
            report("websockets", before, during, took, attackers)
            print(f"websockets: {dict(words)}")  # noqa: T201  (the figures)

            # The exchange has a bound of its own, too.
            assert 0 < words[b"HTTP/1.1 101"] <= WebLimits.standard(BUDGET.alone).streams
            assert words[b"HTTP/1.1 503"] >= 8
            assert during.files <= before.files + BUDGET.alone
            assert max(took) < ANSWER_S


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["power_exchange", "feed"])
def test_half_handshakes_keep_nobody_from_a_simulated_feed(tmp_path: Path, name: str) -> None:
    with simulator_process(name, tmp_path, open_files=FILES) as simulator:
        pid = simulator.process.pid
        before = Cost.of(pid)
        with attack(simulator.port, HALF_REQUEST, HOLDERS) as attackers:
            for _ in range(ROUNDS):
                attackers.drip()
                asyncio.run(_listen(simulator.ws_url))
            during = Cost.of(pid)
            report(name, before, during, [], attackers)

            assert during.files <= before.files + BUDGET.alone
        status, answer = _foreign(simulator.port)
        assert (status, b"MIDSTREAM_WEB_HOSTS" in answer) == (421, True)


async def _listen(url: str) -> None:
    async with asyncio.timeout(ANSWER_S):
        # Without a goodbye: what the feed has sent until then need not be read first.
        (await connect(url)).transport.abort()


def _foreign(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/", headers={"host": "evil.example"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
