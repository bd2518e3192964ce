"""S09 with a real server: a recorded request is never executed again, over kill -9, other keys of idempotency, and bent parts."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT, until
from tests.support.order_server import OrderServer
from tests.support.simulator_process import SimulatorProcess

PAGE = (ROOT / "docs" / "operating_orders.md").read_text(encoding="utf-8")
ORDER = {
    "exchange": "binance", "symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "quantity": "0.001",
}  # fmt: skip


def signer_of_the_page() -> Callable[..., dict[str, str]]:
    """Return the function that the page tells clients to use."""
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "signed_headers" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    found: Callable[..., dict[str, str]] = names["signed_headers"]
    return found


signed_headers = signer_of_the_page()


@dataclass(frozen=True)
class Request:
    """Bytes that somebody on the way could record."""

    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]

    def with_headers(self, **headers: str) -> Request:
        return replace(
            self, headers={**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServer]:
    directory = tmp_path_factory.mktemp("signed")
    simulator = SimulatorProcess("binance", directory)
    orders = OrderServer(directory, ("binance", simulator))
    orders.start()
    try:
        orders.wait_trading()
        yield orders
    finally:
        if orders.process is not None:
            orders.kill()
        simulator.kill()


def order(server: OrderServer, number: str, *, query: str = "") -> Request:
    """Return a signed order, as a client sends it."""
    body = json.dumps(ORDER).encode()
    headers = signed_headers(server.key, "POST", "/v1/orders", query, body, number)
    return Request("POST", "/v1/orders", query, body, {**headers, "Content-Type": "application/json"})


def send(server: OrderServer, request: Request) -> Answer:
    url = server.rest_url + request.path + (f"?{request.query}" if request.query else "")
    sent = urllib.request.Request(url, request.body or None, request.headers, method=request.method)
    try:
        with urllib.request.urlopen(sent, timeout=30) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as exc:
        return Answer(exc.code, exc.read().decode())


def placed(server: OrderServer) -> int:
    return len(server.orders())


def test_the_signature_of_the_page_is_taken_once(server: OrderServer) -> None:
    request, before = order(server, "once"), placed(server)

    assert send(server, request).status == 201
    again = send(server, request)
    assert (again.status, "used before" in again.text) == (401, True)
    assert send(server, request.with_headers(Idempotency_Key="other")).status == 401
    assert placed(server) == before + 1


def test_a_recorded_order_is_not_placed_again_by_a_server_that_was_killed(server: OrderServer) -> None:
    request, before = order(server, "recorded"), placed(server)
    assert send(server, request).status == 201
    server.kill()
    server.start()

    answers = [
        send(server, request),
        send(server, request.with_headers(Idempotency_Key="another")),
        send(server, request.with_headers(Idempotency_Key="third")),
    ]

    assert [answer.status for answer in answers] == [401, 401, 401]
    assert "before the server's start" in answers[0].text
    assert placed(server) == before + 1
    until(lambda: send(server, order(server, "after")).status in (201, 503), what="signing again")
    server.wait_trading()


def test_a_request_of_a_clock_that_is_ahead_is_not_placed_again_either(
    server: OrderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 4_000_000_000)
    request = order(server, "ahead")
    assert send(server, request).status == 201
    server.kill()
    server.start()

    assert send(server, request).status == 401
    assert send(server, request.with_headers(Idempotency_Key="ahead again")).status == 401


def test_a_server_that_dies_between_floor_and_answer_places_once_at_most(server: OrderServer) -> None:
    server.wait_trading()
    request, before = order(server, "torn"), placed(server)
    # The floor is durable, and nobody has accepted the request: what a crash there leaves behind.
    with closing(sqlite3.connect(server.database.removeprefix("sqlite:///"))) as database, database:
        database.execute(
            "UPDATE api_key_floors SET floor_ms = ?", (int(request.headers["X-Midstream-Timestamp"]) + 1000,)
        )
    server.kill()
    server.start()

    assert send(server, request).status == 401
    assert placed(server) == before


def test_an_earlier_signature_is_told_what_to_sign(server: OrderServer) -> None:
    request = order(server, "earlier")
    timestamp, nonce = request.headers["X-Midstream-Timestamp"], request.headers["X-Midstream-Nonce"]
    secret = server.key.split("_", 2)[2]
    text = "\n".join(("POST", "/v1/orders", timestamp, nonce, hashlib.sha256(request.body).hexdigest()))
    signature = hmac.new(hashlib.sha256(secret.encode()).hexdigest().encode(), text.encode(), hashlib.sha256)

    answer = send(server, request.with_headers(X_Midstream_Signature=signature.hexdigest()))

    assert answer.status == 401
    assert "midstream-signature-2, method, path, query" in answer.text


def test_a_header_that_is_there_twice_is_refused(server: OrderServer) -> None:
    request = order(server, "twice")
    host = server.rest_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest(request.method, request.path)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    connection.putheader("Idempotency-Key", "another")
    connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body)
    answer = connection.getresponse()

    assert answer.status == 400
    assert "more than once" in answer.read().decode()
    connection.close()


@pytest.mark.parametrize(
    "changed",
    [
        lambda request: replace(request, method="PATCH"),
        lambda request: replace(request, path="/v1/orders/cancel"),
        lambda request: replace(request, query="x=2"),
        lambda request: replace(request, body=request.body.replace(b"0.001", b"0.002")),
        lambda request: request.with_headers(Idempotency_Key="other"),
        lambda request: request.with_headers(X_Midstream_Timestamp=str(time.time_ns() // 1_000_000 + 1)),
        lambda request: request.with_headers(X_Midstream_Nonce="n" * 22),
        lambda request: request.with_headers(X_Midstream_Key="0" * 16),
        lambda request: request.with_headers(X_Midstream_Signature="0" * 64),
        lambda request: request.with_headers(X_Midstream_Signature=""),
    ],
    ids=["method", "path", "query", "body", "idempotency", "time", "nonce", "key", "signature", "none"],
)
def test_a_bent_request_is_refused(changed: Callable[[Request], Request], server: OrderServer) -> None:
    before = placed(server)

    answer = send(server, changed(order(server, "bent")))

    assert answer.status in (401, 405, 429), answer
    assert placed(server) == before


def test_the_files_of_the_server_hold_no_secret(server: OrderServer) -> None:
    secret = server.key.split("_", 2)[2]
    digest = hashlib.sha256(secret.encode()).hexdigest()

    for path in Path(server.directory).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert digest.encode() not in content, path
