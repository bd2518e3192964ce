"""What strangers can do to the gRPC port of a running server, and what it costs them and us.

The server is that of orders: its kill switch has to answer whatever happens beside it. Figures are printed (`-s` shows them).
"""

from __future__ import annotations

import contextlib
import gzip
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from tests.support.http2_raw import (
    END_HEADERS,
    HEADERS,
    RST_STREAM,
    Http2Client,
    call_headers,
    field,
    frame,
    header_frames,
    message_frames,
)
from tests.support.order_server import OrderServer, order_server
from tests.support.process_figures import MIB, Figures, Peak
from tests.support.waiting import wait_until

PLACE = "/midstream.orders.v1.OrderService/PlaceOrder"
HEALTH = "/grpc.health.v1.Health/Check"
SWITCH = "/midstream.orders.v1.OrderService/GetKillSwitch"
GROWTH_MAX = 32 * MIB
FLOOD = 20_000
"""Calls on one connection, sent as fast as the server takes them."""
ANSWER_S_MAX = 30.0
"""What an operator would wait for; far above what is printed, for machines that do other things as well."""
HANDSHAKE_S = 5.0
REQUEST_S = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServer]:
    directory: Path = tmp_path_factory.mktemp("orders")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    settings = {
        "TRADING": "dry-run",
        "AUTH": "keys",
        "GRPC_HANDSHAKE_TIMEOUT_S": str(HANDSHAKE_S),
        "GRPC_REQUEST_TIMEOUT_S": str(REQUEST_S),
        "GRPC_IDLE_TIMEOUT_S": "5",
    }
    with order_server(directory, "binance", **settings) as (running, _):
        running.start()
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Operator:
    """Somebody with a key and a new connection for each question; remembers how long the answers took."""

    def __init__(self, server: OrderServer) -> None:
        self._server = server
        self.answers_s: list[float] = []

    def asks(self) -> None:
        """Ask for health, then trip and reset the kill switch."""
        assert self._server.process is not None
        target = f"127.0.0.1:{self._server.process.announcement['port']}"
        begun_s = time.monotonic()
        with grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            assert channel.unary_unary(HEALTH)(b"", timeout=ANSWER_S_MAX)
            for engaged in (True, False):
                request = pb.SetKillSwitchRequest(engaged=engaged, reason="attack")
                channel.unary_unary(SWITCH.replace("Get", "Set"), request.SerializeToString)(
                    request, timeout=ANSWER_S_MAX, metadata=self._server.metadata
                )
        self.answers_s.append(time.monotonic() - begun_s)

    def __str__(self) -> str:
        return f"answers={len(self.answers_s)} slowest={max(self.answers_s) * 1000:.0f} ms"


@pytest.fixture
def operator(server: OrderServer) -> Operator:
    made = Operator(server)
    made.asks()
    return made


def _pid(server: OrderServer) -> int:
    assert server.process is not None
    return server.process.process.pid


def _port(server: OrderServer) -> int:
    assert server.process is not None
    return int(server.process.announcement["port"])


def _report(what: str, peak: Peak, operator: Operator) -> None:
    print(f"{what}: grown={peak.grown / MIB:.1f} MiB before: {peak.before} most: {peak.most} {operator}")  # noqa: T201


@contextlib.contextmanager
def _clients(port: int, count: int, *, preface: bool = True) -> Iterator[list[Http2Client]]:
    clients = [Http2Client(port, preface=preface) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def _keyless(port: int, path: str, message: bytes, *, connections: int, calls: int, **options: Any) -> Counter[str]:
    """Call without a key: on each of some connections several at once. Return how they ended."""
    codes: Counter[str] = Counter()

    def one(channel: grpc.Channel) -> None:
        try:
            channel.unary_unary(path)(message, timeout=60.0, **options)
            codes["OK"] += 1
        except grpc.RpcError as exc:
            codes[exc.code().name] += 1  # type: ignore[attr-defined]

    settings = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
    channels = [grpc.insecure_channel(f"127.0.0.1:{port}", options=settings) for _ in range(connections)]
    with ThreadPoolExecutor(connections * calls) as pool:
        list(pool.map(one, channels * calls))
    for channel in channels:
        channel.close()
    return codes


@pytest.mark.cases(1)
@pytest.mark.parametrize("path", [PLACE, HEALTH, SWITCH, "/midstream.orders.v1.OrderService/Nothing"])
def test_large_requests_without_a_key_cost_no_memory(server: OrderServer, operator: Operator, path: str) -> None:
    with Peak(_pid(server)) as peak:
        codes = _keyless(_port(server), path, bytes(15 * MIB), connections=20, calls=4)
        operator.asks()

    _report(f"80 calls of 15 MiB to {path}", peak, operator)
    assert codes.total() == 80
    assert codes["OK"] == 0
    assert peak.grown < GROWTH_MAX


def test_compressed_request_that_swells_costs_no_memory(server: OrderServer, operator: Operator) -> None:
    bomb = gzip.compress(bytes(48 * MIB), 9)
    start = header_frames(1, call_headers(HEALTH, ((b"grpc-encoding", b"gzip"),)))

    with Peak(_pid(server)) as peak, _clients(_port(server), 8) as clients:
        for client in clients:
            client.acknowledge()
            client.send(start + message_frames(1, bomb, compressed=True))
        told = [client.read_until(b"larger than max", timeout_s=20.0) for client in clients]
        operator.asks()

    _report(f"8 requests of {len(bomb)} bytes that are 48 MiB", peak, operator)
    assert all(told)
    assert peak.grown < GROWTH_MAX


def test_connections_that_never_speak_leave_room_and_are_closed(server: OrderServer, operator: Operator) -> None:
    with Peak(_pid(server)) as peak, _clients(_port(server), 1_100, preface=False) as clients:
        operator.asks()
        wait_until(lambda: all(client.is_closed() for client in clients), timeout_s=40.0, what="their end")
        operator.asks()

    _report("1,100 connections that say nothing", peak, operator)
    assert peak.most.descriptors >= 1_100
    assert peak.grown < GROWTH_MAX
    wait_until(lambda: Figures.of(_pid(server)).descriptors < 200, what="descriptors given back")


def test_calls_whose_request_never_comes_leave_room_and_end(server: OrderServer, operator: Operator) -> None:
    begun = frame(HEADERS, END_HEADERS, 1, call_headers(HEALTH))

    with Peak(_pid(server)) as peak, _clients(_port(server), 2_000) as clients:
        for client in clients:
            client.acknowledge()
            client.send(begun)
        for _ in range(3):
            operator.asks()
        # Health and what it answers are for everybody: the calls are told, and their connections closed once they are idle.
        wait_until(lambda: all(client.is_closed() for client in clients), timeout_s=40.0, what="their end")
        told = [client.calls_ended() == 1 for client in clients]

    _report("2,000 calls whose request never comes", peak, operator)
    assert all(told)
    assert peak.grown < 4 * GROWTH_MAX


def test_headers_without_end_and_headers_of_a_megabyte_end_their_connections(
    server: OrderServer, operator: Operator
) -> None:
    endless = frame(HEADERS, 0, 1, call_headers(HEALTH))
    huge = header_frames(1, call_headers(HEALTH, ((b"x-large", b"x" * MIB),))) + message_frames(1, b"")

    with Peak(_pid(server)) as peak, _clients(_port(server), 40) as clients:
        for client in clients[:20]:
            # Never acknowledges the server's settings, so that no limit of theirs binds it.
            client.send(endless + frame(9, 0, 1, field(b"x-a", b"a" * 16_000)) * 20)
        for client in clients[20:]:
            client.send(huge)
        operator.asks()
        wait_until(lambda: all(client.is_closed() for client in clients), timeout_s=40.0, what="their end")

    _report("40 clients with a megabyte of metadata", peak, operator)
    assert peak.grown < 2 * GROWTH_MAX
    # The library holds them to its limit, or our own does; nobody is served.
    assert not any(b"grpc-status\x010" in bytes(client.received) for client in clients)


@pytest.mark.parametrize("what", ["resets", "calls"])
def test_floods_of_calls_and_of_resets_do_not_keep_the_operator_out(
    server: OrderServer, operator: Operator, what: str
) -> None:
    headers = call_headers(PLACE)

    def flood() -> int:
        sent = 0
        with contextlib.closing(Http2Client(_port(server))) as client:
            client.acknowledge()
            for first in range(1, 2 * FLOOD, 400):
                streams = range(first, first + 400, 2)
                content = b"".join(
                    frame(HEADERS, END_HEADERS, stream, headers)
                    + (frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")) if what == "resets" else b"")
                    for stream in streams
                )
                if not client.send(content):
                    break
                sent += len(streams)
                client.is_closed()
        return sent

    with Peak(_pid(server)) as peak, ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(flood) for _ in range(16)]
        while not all(each.done() for each in floods):
            operator.asks()
    operator.asks()

    _report(f"{sum(each.result() for each in floods)} {what}", peak, operator)
    assert peak.grown < 8 * GROWTH_MAX


def test_as_many_fields_as_fit_cost_no_memory(server: OrderServer, operator: Operator) -> None:
    # An id of no characters takes two bytes: as many as the limit lets through, and then a million.
    fits = b"\x0a\x00" * (60 * 1024)

    with Peak(_pid(server)) as peak:
        refused = [_with_key(server, "ListOrders", message) for message in (fits, b"\x0a\x00" * 1_000_000)]
        operator.asks()

    _report("a million fields", peak, operator)
    assert refused == ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"]
    assert peak.grown < GROWTH_MAX


@pytest.mark.nightly
def test_more_watchers_than_there_may_be_are_told_and_keep_nobody_out(server: OrderServer, operator: Operator) -> None:
    path = "/midstream.orders.v1.OrderService/WatchOrders"
    headers = call_headers(path, tuple((k.encode(), v.encode()) for k, v in server.metadata))
    calls = 10_000

    # Nearly as many on each connection as it may have.
    with Peak(_pid(server)) as peak, _clients(_port(server), 100) as clients:
        for client in clients:
            client.acknowledge()
        for number in range(calls // len(clients)):
            stream = 2 * number + 1
            for client in clients:
                client.send(frame(HEADERS, END_HEADERS, stream, headers) + message_frames(stream, b""))
                client.is_closed()
        wait_until(
            lambda: (
                not any(client.is_closed() for client in clients)
                and sum(client.calls_ended() for client in clients) >= calls - 500
            ),
            timeout_s=60.0,
            what="refusals",
        )
        operator.asks()

    _report("10,000 watchers", peak, operator)
    assert peak.grown < 8 * GROWTH_MAX
    operator.asks()


def _with_key(server: OrderServer, method: str, message: bytes) -> str:
    target = f"127.0.0.1:{_port(server)}"
    with grpc.insecure_channel(target, options=(("grpc.max_send_message_length", -1),)) as channel:
        try:
            channel.unary_unary(f"/midstream.orders.v1.OrderService/{method}")(
                message, timeout=ANSWER_S_MAX, metadata=server.metadata
            )
        except grpc.RpcError as exc:
            return str(exc.code().name)  # type: ignore[attr-defined]
    return "OK"


@pytest.mark.long
def test_connections_and_streams_beyond_those_that_there_may_be_are_refused(tmp_path: Path) -> None:
    limits = {"GRPC_CONNECTIONS_MAX": "20", "GRPC_STREAMS_PER_CONNECTION": "5"}
    with order_server(tmp_path, "binance", TRADING="dry-run", **limits) as (server, _):
        server.start()
        with _clients(_port(server), 60, preface=False) as clients:
            wait_until(lambda: sum(client.is_closed() for client in clients) == 40, what="the end of 40")
            before = Figures.of(_pid(server)).descriptors
        wait_until(lambda: Figures.of(_pid(server)).descriptors <= before - 20, what="room again")
        assert server.switch()
        with _clients(_port(server), 1) as (client,):
            client.acknowledge()
            for stream in range(1, 20, 2):
                client.send(frame(HEADERS, END_HEADERS, stream, call_headers(HEALTH)))
            # The five that were too many are reset with REFUSED_STREAM.
            assert client.read_until(frame(RST_STREAM, 0, 19, (7).to_bytes(4, "big")), timeout_s=20.0)
            assert bytes(client.received).count((7).to_bytes(4, "big")) >= 5
