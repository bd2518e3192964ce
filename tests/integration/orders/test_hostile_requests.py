"""Requests that no client of ours would send: each gets an answer that was meant, and never one of the fives."""

from __future__ import annotations

import json
import re
import socket
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.support.fuzz.mutate import Mutator
from tests.support.order_faces import ServedDesk, key_of

ORDER = {
    "exchange": "binance",
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "quantity": "0.01",
    "price": "100",
}
JSON = "application/json"
WAIT_S = 20.0
BODIES: dict[str, tuple[bytes, set[int]]] = {
    "too large": (b'{"a":"' + b"x" * 70_000 + b'"}', {413}),
    "deep": (b"[" * 30_000, {400, 422}),
    "deep and whole": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {400, 422}),
    "a name twice": (b'{"exchange":"binance","exchange":"bitmex"}', {400, 422}),
    "a name twice, inside": (b'{"exchange":{"a":1,"a":2}}', {400, 422}),
    "NUL in a text": (json.dumps({**ORDER, "symbol": "BTC\0USDT"}).encode(), {400, 404, 422}),
    "NUL bytes": (b"\0" * 100, {400, 422}),
    "a huge number": (json.dumps(ORDER).replace('"0.01"', "1" * 10_000).encode(), {400, 422}),
    "a huge exponent": (json.dumps({**ORDER, "quantity": "1e999999999"}).encode(), {400, 422}),
    "a huge exponent without quotes": (json.dumps(ORDER).replace('"0.01"', "1e999999999").encode(), {400, 422}),
    "half a character": (b'{"symbol":"\\ud800"}', {400, 422}),
    "half a character, everywhere": (json.dumps(ORDER).replace("BTC", "\\ud800").encode(), {400, 404, 422}),
    "no UTF-8": (b'{"symbol":"\xff\xfe"}', {400, 422}),
    "UTF-16": (json.dumps(ORDER).encode("utf-16"), {400, 422}),
    "infinity": (b'{"quantity":Infinity}', {400, 422}),
    "an array": (b"[]", {400, 422}),
    "nothing": (b"", {400, 422}),
    "null": (b"null", {400, 422}),
}
TARGETS: dict[str, tuple[str, set[int]]] = {
    "up and away": ("/v1/orders/../../health", {404}),
    "up and away, encoded": ("/v1/orders/%2e%2e/%2e%2e/health", {404}),
    # The gate judges the same, decoded, path that is then served.
    "a slash, encoded": ("/v1/orders%2factive", {200}),
    "two slashes": ("//v1/orders", {404}),
    "a slash behind": ("/v1/orders/", {404}),
    "NUL": ("/v1/orders/%00", {400, 404, 422}),
    "a line end": ("/v1/orders/%0d%0aX-Other:%201", {400, 404, 422}),
    "no UTF-8": ("/v1/orders/%ff%fe", {400, 404, 422}),
    "half a percent": ("/v1/orders/%", {400, 404, 422}),
    "dots": ("/v1/orders/..;/health", {404}),
    "a whole address": ("http://elsewhere.invalid/health", {200, 400, 404, 421}),
    "long": ("/v1/orders/" + "x" * 20_000, {400, 404, 414, 422, 431}),
    "a query without end": ("/v1/orders?" + "a=1&" * 5_000, {400, 414, 422, 431}),
    "a query that names nothing": ("/v1/orders?nonsense=1", {400, 422}),
    "a query twice": ("/v1/orders?page_size=1&page_size=2", {400, 422}),
    "a huge number": ("/v1/fills?page_size=-" + "9" * 400, {400, 422}),
    "a price of everything": ("/v1/prices/%2e%2e%2f%2e%2e%2fetc%2fpasswd", {400, 404, 422}),
}
METHODS = ("TRACE", "CONNECT", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "get", "X" * 3_000, "POST\0")
CONTENT_TYPES = (
    "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
    "application/json; charset=utf-16", "application/json\x01", "*/*", "application/problem+json",
)  # fmt: skip
FRAMINGS: dict[str, bytes] = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length that is none": b"Content-Length: 0x10\r\n\r\n{}",
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of no size": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunks without end": b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n{}",
    "a coding of nobody": b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a header without name": b": x\r\n\r\n",
    "a folded header": b"X-One: a\r\n b\r\n\r\n",
    "NUL in a header": b"X-One: a\0b\r\n\r\n",
    "two hosts": b"Host: a\r\nHost: b\r\n\r\n",
    "a thousand headers": b"".join(b"X-%d: y\r\n" % number for number in range(3_000)) + b"\r\n",
}
MEANT = {400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 417, 421, 422, 426, 429, 431}


def sent(desk: ServedDesk, raw: bytes, *, whole: bool = True) -> tuple[int, bytes]:
    """Send bytes on a connection of their own; return the status and the rest, 0 where the server hung up without a word.

    What may not be `whole` is ended by hanging up our half: its answer may get lost, as nobody would wait for it.
    """
    place = urlsplit(desk.url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 80), timeout=WAIT_S) as connection:
        try:
            connection.sendall(raw)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while more := connection.recv(1 << 16):
                answer += more
        except ConnectionError:
            # It was refused before all of it was there.
            return 0, b""
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]


def status_of(answer: bytes) -> int:
    if not answer:
        return 0
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found is not None, answer[:200]
    return int(found[1])


def request(
    method: str, target: str, body: bytes = b"", *, content_type: str = JSON, role: str = "admin", extra: str = ""
) -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {key_of(role)}\r\n{extra}"
    if body or method in ("POST", "PUT", "PATCH"):
        head += f"Content-Length: {len(body)}\r\n" + (f"Content-Type: {content_type}\r\n" if content_type else "")
    return head.encode("latin-1") + b"\r\n" + body


def still_serves(desk: ServedDesk) -> None:
    assert sent(desk, request("GET", "/v1/kill-switch"))[0] == 200


@pytest.mark.parametrize(("body", "statuses"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "route", ["POST /v1/orders", "POST /v1/orders/cancel", "PUT /v1/kill-switch", "PATCH /v1/orders/one"]
)
def test_a_body_that_nobody_meant_is_a_problem(
    served_desk: ServedDesk, route: str, body: bytes, statuses: set[int]
) -> None:
    method, _, target = route.partition(" ")

    status, answer = sent(served_desk, request(method, target, body, extra="Idempotency-Key: hostile-1\r\n"))

    assert status in statuses | ({404} if "one" in route else set()), answer[:300]
    problem = json.loads(answer)
    assert problem["status"] == status
    assert len(answer) < 4096
    still_serves(served_desk)


@pytest.mark.parametrize(("target", "statuses"), TARGETS.values(), ids=TARGETS)
def test_a_path_leads_where_it_says_or_nowhere(served_desk: ServedDesk, target: str, statuses: set[int]) -> None:
    status, answer = sent(served_desk, request("GET", target))

    assert status in statuses, answer[:300]
    assert len(answer) < 4096
    still_serves(served_desk)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["/v1/orders", "/v1/orders/active", "/health", "/nowhere", "*"])
def test_a_method_that_a_path_does_not_have_is_refused(served_desk: ServedDesk, method: str, target: str) -> None:
    status, answer = sent(served_desk, request(method, target))

    assert status in {400, 404, 405, 431}, answer[:300]
    still_serves(served_desk)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_body_of_another_type_is_no_order(served_desk: ServedDesk, content_type: str) -> None:
    body = b"--x\r\n\r\n" if "multipart" in content_type else b"exchange=binance&side=buy"

    status, answer = sent(
        served_desk, request("POST", "/v1/orders", body, content_type=content_type, extra="Idempotency-Key: h\r\n")
    )

    assert status in {400, 415, 422}, answer[:300]
    still_serves(served_desk)


@pytest.mark.parametrize("rest", FRAMINGS.values(), ids=FRAMINGS)
def test_a_request_whose_end_is_unclear_is_refused(served_desk: ServedDesk, rest: bytes) -> None:
    head = f"POST /v1/orders HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer {key_of('read')}\r\n".encode()
    hosted = rest if rest.startswith(b"Host") else b"Host: 127.0.0.1\r\n" + rest

    status, answer = sent(served_desk, head + hosted, whole=False)

    assert status in MEANT | {0}, answer[:300]
    still_serves(served_desk)


def mutated(desk: ServedDesk, seed: int, count: int) -> None:
    """Send mutated requests; of those that nobody mutated the statuses are anything but an error of ours."""
    corpus = [
        request("POST", "/v1/orders", json.dumps(ORDER).encode(), role="read", extra="Idempotency-Key: m\r\n"),
        request("GET", "/v1/orders?page_size=2&states=NEW"),
        request("PATCH", "/v1/orders/one", b'{"price":"1"}'),
        request("PUT", "/v1/kill-switch", b'{"engaged":true,"reason":"r"}', role="read"),
        request("GET", "/v1/prices/BTC%2FUSDT?exchange=binance"),
        request("GET", "/v1/fills?page_size=5&page_token=W10"),
        b"POST /v1/orders/cancel HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ]
    mutator = Mutator(
        corpus, (b"\r\n", b"\r\n\r\n", b"%00", b"HTTP/1.1", b": ", b"\0", b"Content-Length: 5", b"{", b'"')
    )
    for number in range(count):
        raw = mutator.make(Random(f"{seed}/{number}"))
        if b"/events" in raw:
            continue
        status, answer = sent(desk, raw, whole=False)
        assert status in MEANT | {0, 200}, (seed, number, status, raw[:500], answer[:300])
    still_serves(desk)


def test_mutated_requests_get_answers_that_were_meant(served_desk: ServedDesk) -> None:
    mutated(served_desk, seed=1, count=400)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_many_mutated_requests_get_answers_that_were_meant(served_desk: ServedDesk) -> None:
    mutated(served_desk, seed=2, count=20_000)
