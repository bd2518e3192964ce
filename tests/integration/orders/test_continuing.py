"""Whoever continues where the journal has never been is told, instead of waiting in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from tests.support.order_faces import Faces, RestFace, key_of, rest_order, serving_faces, until

AUTH = {"authorization": f"Bearer {key_of('admin')}"}
BEYOND = [3, 10**12, (1 << 63) - 1]
NO_PLACES = [1 << 63, (1 << 64) - 1]


@pytest.fixture
async def faces() -> AsyncIterator[Faces]:
    """A desk whose journal holds two events."""
    async with serving_faces() as opened:
        face = RestFace(opened.rest_url)
        await face.place("admin", **rest_order(idempotency_key="first"))
        await face.close()
        yield opened


@pytest.fixture
async def rest(faces: Faces) -> AsyncIterator[RestFace]:
    face = RestFace(faces.rest_url)
    yield face
    await face.close()


async def refusal(faces: Faces, method: str, request: Any) -> grpc.aio.AioRpcError:
    """Return what ends a stream at once."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.grpc_port}") as channel:
        stream = getattr(OrderServiceStub(channel), method)(
            request, metadata=(("authorization", AUTH["authorization"]),), timeout=10
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.read()
        return refused.value


REQUESTS = {"WatchOrders": pb.WatchOrdersRequest, "ExportAudit": pb.ExportAuditRequest}


@pytest.mark.cases(2)
@pytest.mark.quick
@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("after", BEYOND)
async def test_streams_refuse_a_place_beyond_the_newest(method: str, after: int, faces: Faces) -> None:
    refused = await refusal(faces, method, REQUESTS[method](after_sequence=after))

    assert refused.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "beyond the newest event, 2" in str(refused.details())


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("after", NO_PLACES)
async def test_streams_refuse_what_is_no_place(method: str, after: int, faces: Faces) -> None:
    refused = await refusal(faces, method, REQUESTS[method](after_sequence=after))

    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "`after_sequence` must be from 0 to 9223372036854775807" in str(refused.details())


@pytest.mark.cases(3)
@pytest.mark.parametrize("path", ["/v1/orders/events", "/v1/audit"])
@pytest.mark.parametrize("after", [*BEYOND, *NO_PLACES])
async def test_addresses_refuse_it_too(path: str, after: int, rest: RestFace) -> None:
    answer = await rest.client.get(path, params={"after_sequence": after}, headers=AUTH)

    assert answer.status_code == (422 if after in BEYOND else 400)
    assert "after_sequence" in answer.json()["detail"]


@pytest.mark.parametrize("after", NO_PLACES)
async def test_an_event_id_that_is_none_is_refused(after: int, rest: RestFace) -> None:
    answer = await rest.client.get("/v1/orders/events", headers={**AUTH, "last-event-id": str(after)})

    assert (answer.status_code, answer.json()["reason"]) == (400, "bad-field")


@pytest.mark.quick
async def test_a_reader_that_comes_back_to_another_journal_is_reset_and_goes_on(faces: Faces, rest: RestFace) -> None:
    found: list[dict[str, str]] = []

    async def read() -> None:
        async with rest.client.stream("GET", "/v1/orders/events", headers={**AUTH, "last-event-id": "99"}) as response:
            assert response.status_code == 200
            event: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, separator, value = line.partition(": ")
                if separator and name:
                    event[name] = value
                elif event:
                    found.append(event)
                    event = {}
                    if len(found) == 2:
                        return

    reading = asyncio.create_task(read())
    await until(lambda: bool(found))
    await until(lambda: faces.trading.desk.feed.watchers > 0)
    other = RestFace(faces.rest_url)
    await other.place("admin", **rest_order(idempotency_key="second"))
    await other.close()
    await asyncio.wait_for(reading, 10)

    assert (found[0]["event"], found[0]["id"]) == ("reset", "2")
    assert json.loads(found[0]["data"])["asked"] == "99"
    assert (found[1]["event"], found[1]["id"]) == ("order", "3")


async def test_the_newest_place_is_no_trouble(faces: Faces, rest: RestFace) -> None:
    audit = await rest.client.get("/v1/audit", params={"after_sequence": 2}, headers=AUTH)

    assert (audit.status_code, audit.text) == (200, "")
