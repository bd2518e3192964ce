"""What only HTTP has: idempotency headers, problems, events, sizes, the description."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.order_faces import OWNERS, SECRET, Faces, RestFace, key_of, rest_order, serving_faces, until

AUTH = {"authorization": f"Bearer {key_of('trade')}"}


@pytest.fixture
async def faces() -> AsyncIterator[Faces]:
    async with serving_faces() as opened:
        yield opened


@pytest.fixture
async def rest(faces: Faces) -> AsyncIterator[RestFace]:
    face = RestFace(faces.rest_url)
    yield face
    await face.close()


async def post(rest: RestFace, body: Any, *, key: str | None = "k", headers: dict[str, str] | None = None) -> Any:
    given = {**AUTH, **({"idempotency-key": key} if key is not None else {}), **(headers or {})}
    if isinstance(body, dict):
        return await rest.client.post("/v1/orders", json=body, headers=given)
    return await rest.client.post("/v1/orders", content=body, headers={**given, "content-type": "application/json"})


def body(**changes: Any) -> dict[str, Any]:
    made = rest_order(**changes)
    del made["idempotency_key"]
    return made


@pytest.mark.quick
async def test_the_rules_of_the_idempotency_key(faces: Faces, rest: RestFace) -> None:
    missing = await post(rest, body(), key=None)
    first = await post(rest, body())
    again = await post(rest, body())
    other = await post(rest, body(quantity="0.6"))

    assert (missing.status_code, missing.json()["field"]) == (400, "idempotency-key")
    assert "the header `Idempotency-Key` is required" in missing.json()["detail"]
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["order_id"] == again.json()["order_id"]
    assert first.headers["location"] == f"/v1/orders/{first.json()['order_id']}"
    assert other.json()["reason"] == "idempotency-key-reused"
    assert len(faces.trading.venue.sent("place")) == 1


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/fills"])
async def test_a_page_larger_than_the_largest_is_the_largest(rest: RestFace, path: str) -> None:
    large = await rest.client.get(path, params={"page_size": 2**31}, headers=AUTH)
    negative = await rest.client.get(path, params={"page_size": -1}, headers=AUTH)

    assert (large.status_code, large.json()["next_page_token"]) == (200, "")
    assert (negative.status_code, negative.json()["field"]) == (400, "page_size")


async def test_problems_are_problems(rest: RestFace) -> None:
    refused = await post(rest, body(quantity="0.0015"), headers={"x-correlation-id": "caller-17"})
    told = refused.json()

    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-correlation-id"] == "caller-17"
    assert {**told, "detail": ""} == {
        "type": "urn:midstream:problem:quantity-filter", "title": "Bad Request", "status": 400, "detail": "",
        "reason": "quantity-filter", "field": "quantity", "request_id": "caller-17",
    }  # fmt: skip
    assert "multiples of 0.001" in told["detail"]


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b'"x"', b'{"side":"BUY"', b"\xff\xfe", b'{"quantity": NaN}', b"[" * 5000, b'{"a":' * 2000,
     json.dumps(body(extra=1)).encode(), json.dumps(body(quantity=0.5)).encode(), json.dumps(body(side="HOLD")).encode(),
     json.dumps(body(quantity="1" * 100)).encode()],
    ids=lambda content: content[:12].decode("latin-1"),
)  # fmt: skip
async def test_garbage_is_a_problem_and_never_an_order(content: bytes, faces: Faces, rest: RestFace) -> None:
    answer = await post(rest, content)

    assert answer.status_code == 400
    assert answer.json()["reason"] == "bad-field"
    assert faces.trading.venue.sent("place") == []


@pytest.mark.cases(4)
@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "content_type", "says"),
    [
        (b'{"side":', "application/json", "the body is not JSON"),
        (b"", "application/json", "the body is required"),
        (b"[1]", "application/json", "the body must be a JSON object"),
        (b'{"side":"BUY"}', "application/x-www-form-urlencoded", "content-type: application/json"),
        (b'{"side":', "text/plain", "content-type: application/json"),
        (b'{"sid":"BUY"}', "application/json", "`exchange` is required"),
        (json.dumps(body(quantity=0.5)).encode(), "application/json", "`quantity` must be text in quotes"),
        (json.dumps(body(qty="1")).encode(), "application/json", "`qty` is no member of this body"),
    ],
)
async def test_what_is_wrong_with_a_body_is_said(
    content: bytes, content_type: str, says: str, faces: Faces, rest: RestFace
) -> None:
    headers = {**AUTH, "idempotency-key": "k", "content-type": content_type}
    answer = await rest.client.post("/v1/orders", content=content, headers=headers)

    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert "``" not in answer.json()["detail"]


async def test_the_same_amount_in_other_words_is_the_same_order(faces: Faces, rest: RestFace) -> None:
    first = await post(rest, body(quantity="0.5"))
    again = await post(rest, json.dumps(dict(reversed(list(body(quantity="0.50").items()))), indent=4).encode())

    assert (first.status_code, again.status_code) == (201, 200)
    assert len(faces.trading.venue.sent("place")) == 1


async def test_large_bodies_are_refused_while_they_come(rest: RestFace) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 1024

    announced = await post(rest, b"x" * 70_000)
    chunked = await rest.client.post("/v1/orders", content=parts(), headers=AUTH)

    assert announced.status_code == chunked.status_code == 413


async def test_malformed_bodies_of_strangers_are_not_even_parsed(rest: RestFace) -> None:
    answer = await rest.client.post("/v1/orders", content=b"{", headers={"content-type": "application/json"})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_signed_request_is_accepted_once(faces: Faces, rest: RestFace) -> None:
    content = json.dumps(body()).encode()
    index = list(OWNERS).index("trade")

    def signed(nonce: str, sent: bytes = content, target: str = "/v1/orders") -> dict[str, str]:
        stamp = str(time.time_ns() // 1_000_000)
        digest = hashlib.sha256(sent).hexdigest()
        text = "\n".join(("midstream-signature-2", "POST", target, "", digest, nonce, stamp, nonce))
        secret = hashlib.sha256(SECRET.encode()).hexdigest()
        return {
            "x-midstream-key": f"{index:016x}", "x-midstream-timestamp": stamp, "x-midstream-nonce": nonce,
            "x-midstream-signature": hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest(),
            "content-type": "application/json", "idempotency-key": nonce,
        }  # fmt: skip

    headers = signed("n" * 16)
    accepted = await rest.client.post("/v1/orders", content=content, headers=headers)
    replayed = await rest.client.post("/v1/orders", content=content, headers=headers)
    altered = await rest.client.post("/v1/orders", content=content + b" ", headers=signed("m" * 16))
    elsewhere = await rest.client.post("/v1/orders?x=1", content=content, headers=signed("o" * 16))

    assert [one.status_code for one in (accepted, replayed, altered, elsewhere)] == [201, 401, 401, 401]
    assert len(faces.trading.venue.sent("place")) == 1


async def events(rest: RestFace, count: int, **headers: str) -> list[dict[str, str]]:
    """Read so many events of the stream."""
    found: list[dict[str, str]] = []
    async with rest.client.stream("GET", "/v1/orders/events", headers={**AUTH, **headers}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        async for line in response.aiter_lines():
            if not line and event:
                found.append(event)
                event = {}
                if len(found) == count:
                    return found
            name, separator, value = line.partition(": ")
            if separator and name:
                event[name] = value
    return found


async def test_events_come_live_and_continue_where_a_reader_left(faces: Faces, rest: RestFace) -> None:
    reading = asyncio.create_task(events(rest, 2))
    await until(lambda: faces.trading.desk.feed.watchers > 0)
    await post(rest, body())
    live = await reading
    await post(rest, body(), key="k2")

    missed = await events(rest, 3, **{"last-event-id": live[0]["id"]})

    first = json.loads(live[0]["data"])
    assert (live[0]["event"], first["kind"], first["cause"]) == ("order", "intended", "caller")
    assert first["order"]["state"] == "UNKNOWN"
    assert json.loads(live[1]["data"])["order"]["state"] == "NEW"
    assert missed[0] == live[1]
    assert [int(one["id"]) for one in missed] == [2, 3, 4]


async def test_a_reader_that_is_gone_is_let_go(faces: Faces, rest: RestFace) -> None:
    await asyncio.gather(_left(rest), _left(rest))

    await until(lambda: faces.trading.desk.feed.watchers == 0)


async def _left(rest: RestFace) -> None:
    async with rest.client.stream("GET", "/v1/orders/events", headers=AUTH) as response:
        async for _ in response.aiter_lines():
            return


async def test_operations_tell_what_an_operator_needs(faces: Faces, rest: RestFace) -> None:
    await post(rest, body())
    await post(rest, body(quantity="0.0015"), key="k2")
    admin = {"authorization": f"Bearer {key_of('admin')}"}
    audit = await rest.client.get("/v1/audit", headers=admin)
    metrics = (await rest.client.get("/metrics")).text
    health = (await rest.client.get("/health/binance")).json()
    price = (await rest.client.get("/v1/prices/BTC/USDT:USDT", headers=AUTH)).json()
    unknown = await rest.client.get("/health/kraken")

    assert [json.loads(line)["kind"] for line in audit.text.splitlines()] == ["intended", "stated"]
    assert 'midstream_orders_denied_total{operation="place",reason="quantity-filter"} 1.0' in metrics
    assert 'midstream_orders_placements_total{exchange="binance",outcome="accepted"} 1.0' in metrics
    assert (health["reachable"], health["source"]) == (True, "stream")
    assert (price["price"], price["symbol"]) == ("100", "BTC/USDT:USDT")
    assert unknown.status_code == 404


async def test_the_health_says_when_the_journal_is_gone(faces: Faces, rest: RestFace) -> None:
    faces.trading.desk.ledger._refused = "the disk is full"

    answer = await rest.client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "down"
