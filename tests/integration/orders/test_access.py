"""S01, S02, S26 over real ports: every method and route with every role; one owner's orders do not exist for another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from protos.orders.v1 import orders_pb2 as pb
from services.orders.rest.gate import ROUTES
from services.runtime.access import METHODS as ALL_METHODS
from services.runtime.access import Role
from services.runtime.access.http import ANYONE, METRICS
from tests.support.order_faces import Faces, GrpcFace, RestFace, key_of, rest_order, serving_faces, until

SERVICE = pb.DESCRIPTOR.services_by_name["OrderService"]
METHODS = {name.rpartition("/")[2]: role for name, role in ALL_METHODS.items() if name.startswith(SERVICE.full_name)}
DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.fixture
async def faces() -> AsyncIterator[Faces]:
    async with serving_faces() as opened:
        yield opened


@pytest.fixture
async def over_grpc(faces: Faces) -> AsyncIterator[GrpcFace]:
    face = GrpcFace(faces.grpc_port)
    yield face
    await face.close()


@pytest.fixture
async def over_rest(faces: Faces) -> AsyncIterator[RestFace]:
    face = RestFace(faces.rest_url)
    yield face
    await face.close()


async def code_of(face: GrpcFace, method: str, key: str) -> grpc.StatusCode:
    """Call a method with an empty request; return what it answers, OK for a stream that is let in."""
    descriptor = SERVICE.methods_by_name[method]
    request: Message = GetMessageClass(descriptor.input_type)()
    metadata = (("authorization", f"Bearer {key_of(key)}"),) if key else ()
    call = getattr(face.stub, method)(request, metadata=metadata, timeout=1.0)
    try:
        if descriptor.server_streaming:
            async for _ in call:
                break
        else:
            await call
    except grpc.aio.AioRpcError as exc:
        return exc.code()
    return grpc.StatusCode.OK


async def test_every_cell_of_methods_and_roles(faces: Faces, over_grpc: GrpcFace) -> None:
    for method in METHODS:
        for key in ("", "read", "trade", "admin"):
            code = await code_of(over_grpc, method, key)
            if not key:
                assert code is grpc.StatusCode.UNAUTHENTICATED, method
            elif not Role(key).covers(METHODS[method]):
                assert code is grpc.StatusCode.PERMISSION_DENIED, (method, key)
            else:
                assert code not in DENIED, (method, key)
    assert faces.trading.venue.sent("place") == []


async def test_every_cell_of_routes_and_roles(faces: Faces, over_rest: RestFace) -> None:
    for (method, template), row in ROUTES.table.items():
        needed = None if row in (ANYONE, METRICS) else ALL_METHODS[row]
        path = template.replace(":path", "").format(order_id="x", symbol="BTC/USDT", exchange="binance")
        if template == "/v1/orders/events":
            continue
        for key in ("", "read", "trade", "admin"):
            headers = {"authorization": f"Bearer {key_of(key)}"} if key else {}
            status = (await over_rest.client.request(method, path, headers=headers)).status_code
            if needed is None:
                assert status == 200, path
            elif not key:
                assert status == 401, path
            elif not Role(key).covers(needed):
                assert status == 403, (path, key)
            else:
                assert status not in (401, 403), (path, key)
    assert faces.trading.venue.sent("place") == []


def test_every_method_has_a_route_and_what_is_open_is_known() -> None:
    named = {row for row in ROUTES.table.values() if row.startswith(SERVICE.full_name)}

    assert named == {f"{SERVICE.full_name}/{method}" for method in METHODS}
    assert {row for row in ROUTES.table.values() if row != ANYONE} <= ALL_METHODS.keys()
    assert {path for (_, path), row in ROUTES.table.items() if row == ANYONE} == {
        "/health", "/health/{exchange}", "/openapi.json",
    }  # fmt: skip


async def test_the_table_of_routes_is_the_description(faces: Faces, over_rest: RestFace) -> None:
    described = (await over_rest.client.get("/openapi.json")).json()["paths"]
    routes = {
        (method.upper(), path.replace("{symbol}", "{symbol:path}")) for path in described for method in described[path]
    }

    assert routes == ROUTES.table.keys() - {("GET", "/openapi.json")}


async def test_what_is_not_in_the_table_does_not_exist(faces: Faces, over_rest: RestFace) -> None:
    @faces.app._app.get("/v1/new")  # type: ignore[untyped-decorator]
    async def new() -> dict[str, str]:
        return {"secret": "of a route that nobody decided about"}

    for path, method, status in (
        ("/v1/new", "GET", 404), ("/docs", "GET", 404), ("/redoc", "GET", 404), ("/v1/orders/", "GET", 404),
        ("/v1/orders", "PUT", 405), ("/v1/kill-switch", "POST", 405), ("/health", "POST", 405),
    ):  # fmt: skip
        response = await over_rest.client.request(method, path, headers={"authorization": f"Bearer {key_of('admin')}"})
        assert response.status_code == status, path
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_another_owners_order_does_not_exist(kind: str, faces: Faces) -> None:
    face: Any = GrpcFace(faces.grpc_port) if kind == "grpc" else RestFace(faces.rest_url)
    try:
        placed = (await face.place("trade", **rest_order(client_order_id=f"mine-{kind}"))).body
        name = placed["order_id"]

        assert (await face.get("stranger", name)).code == "NOT_FOUND"
        assert (await face.amend("stranger", name, price="98")).code == "NOT_FOUND"
        assert (await face.cancel("stranger", name)).code == "NOT_FOUND"
        many = (await face.cancel_many("stranger", order_ids=[name])).body["results"]
        assert [(one["confirmed"], one["order"]) for one in many] == [(False, None)]
        assert (await face.cancel_many("stranger", all=True)).body["results"] == []
        assert (await face.find("stranger", order_ids=[name])).body["orders"] == []
        assert (await face.find("stranger", client_order_ids=[f"mine-{kind}"])).body["orders"] == []
        assert (await face.active("stranger")).body["orders"] == []
        assert (await face.get("read", name)).body["state"] == "NEW"
        assert (await face.get("admin", name)).body["order_id"] == name
        assert len(name) == 32, "128 random bits as hexadecimal digits"
    finally:
        await face.close()


async def test_fills_and_changes_are_their_owners_too(faces: Faces, over_grpc: GrpcFace) -> None:
    watching = over_grpc.stub.WatchOrders(
        pb.WatchOrdersRequest(), metadata=(("authorization", f"Bearer {key_of('stranger')}"),)
    )
    await watching.initial_metadata()
    await until(lambda: faces.trading.desk.feed.watchers > 0)
    await over_grpc.place("trade", **rest_order(type="MARKET", price=None))
    mine = (await over_grpc.place("stranger", **rest_order())).body

    first = await watching.read()

    assert first.order.order_id == mine["order_id"]
    assert (await over_grpc.fills("stranger")).body["fills"] == []
    assert len((await over_grpc.fills("trade")).body["fills"]) == 1
    watching.cancel()


async def test_errors_hold_nothing_of_the_inside(
    faces: Faces, over_rest: RestFace, over_grpc: GrpcFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("canary-secret at /root/path")

    monkeypatch.setattr(faces.trading.desk, "active", fails)
    answer = await over_rest.client.get("/v1/orders/active", headers={"authorization": f"Bearer {key_of('read')}"})
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await over_grpc.stub.ListActiveOrders(
            pb.ListActiveOrdersRequest(), metadata=(("authorization", f"Bearer {key_of('read')}"),)
        )

    assert answer.status_code == 500
    assert "canary" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-correlation-id"]
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "canary" not in (failed.value.details() or "")
