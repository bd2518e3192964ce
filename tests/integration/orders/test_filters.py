"""A misspelled or impossible filter is refused by name, over both faces: it would list everything, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.orders.rest.gate import ROUTES
from services.orders.rest.query import ANYTHING
from tests.support.order_faces import Faces, RestFace, key_of, rest_order, serving_faces

AUTH = {"authorization": f"Bearer {key_of('admin')}"}


@pytest.fixture
async def faces() -> AsyncIterator[Faces]:
    async with serving_faces() as opened:
        yield opened


@pytest.fixture
async def rest(faces: Faces) -> AsyncIterator[RestFace]:
    face = RestFace(faces.rest_url)
    yield face
    await face.close()


def filled(template: str) -> str:
    """Return an address of a template."""
    return (
        template.replace("{order_id}", "nobody").replace("{symbol:path}", "BTC/USDT").replace("{exchange}", "binance")
    )


@pytest.mark.cases(4)
@pytest.mark.quick
@pytest.mark.parametrize(("method", "template"), [route for route in ROUTES.table if route[1] not in ANYTHING])
async def test_no_route_takes_a_parameter_that_it_does_not_have(method: str, template: str, rest: RestFace) -> None:
    answer = await rest.client.request(method, filled(template), params={"nonsense": "1"}, headers=AUTH)

    assert answer.status_code == 400
    assert answer.json()["field"] == "nonsense"
    assert f"no parameter of {method} {template}" in answer.json()["detail"]


@pytest.mark.cases(6)
@pytest.mark.quick
@pytest.mark.parametrize(
    ("address", "field", "says"),
    [
        ("/v1/orders?status=NEW", "status", "did you mean `state`?"),
        ("/v1/orders?State=NEW", "State", "did you mean `state`?"),
        ("/v1/orders?states=NEW", "states", "did you mean `state`?"),
        ("/v1/orders?created_from=1", "created_from", "did you mean `created_from_time_ns`?"),
        ("/v1/orders?status=", "status", "did you mean `state`?"),
        ("/v1/orders?state%5B%5D=NEW", "state[]", "did you mean `state`?"),
        ("/v1/orders?symbol=BTC/USDT&symbol=ETH/USDT", "symbol", "given 2 times"),
        ("/v1/orders?page_size=5&page_size=6", "page_size", "given 2 times"),
        ("/v1/orders?state=OPEN", "state.0", "NOT_PLACED"),
        ("/v1/orders?exchange=binanse", "exchange", "did you mean 'binance'?"),
        ("/v1/orders?symbol=btc/usdt", "symbol", "did you mean 'BTC/USDT'?"),
        ("/v1/orders?symbol=BTCUSDT", "symbol", "no unified symbol"),
        ("/v1/orders?created_from_time_ns=9&created_to_time_ns=9", "created_from_time_ns", "nothing can match"),
        ("/v1/orders/active?exchnage=binance", "exchnage", "did you mean `exchange`?"),
        ("/v1/orders/active?exchange=kraken", "exchange", "legal are"),
        ("/v1/orders/events?after=3", "after", "after_sequence"),
        ("/v1/orders/events?symbol=btc", "symbol", "no unified symbol"),
        ("/v1/orders/x?refesh=true", "refesh", "did you mean `refresh`?"),
        ("/v1/fills?order=1", "order", "did you mean `order_id`?"),
        ("/v1/fills?from_time_ns=5&to_time_ns=4", "from_time_ns", "nothing can match"),
        ("/v1/fills?exchange=nowhere", "exchange", "legal are"),
        ("/v1/positions?symbol=BTC/USDT", "symbol", "it takes exchange"),
        ("/v1/positions?exchange=nowhere", "exchange", "legal are"),
        ("/v1/instruments?kind=swap", "kind", "legal are spot, perpetual, delivery"),
        ("/v1/instruments?exchange=nowhere", "exchange", "legal are"),
        ("/v1/prices/BTC/USDT?exchnge=binance", "exchnge", "did you mean `exchange`?"),
        ("/v1/audit?after_sequenc=4", "after_sequenc", "did you mean `after_sequence`?"),
        ("/health?exchange=binance", "exchange", "it takes none"),
    ],
)
async def test_what_was_meant_is_named(address: str, field: str, says: str, rest: RestFace) -> None:
    answer = await rest.client.get(address, headers=AUTH)

    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert says in answer.json()["detail"]


async def test_strangers_are_told_nothing_about_parameters(rest: RestFace) -> None:
    assert (await rest.client.get("/v1/orders?status=NEW")).status_code == 401


async def test_right_filters_still_filter(rest: RestFace) -> None:
    await rest.place("admin", **rest_order(idempotency_key="k", symbol="BTC/USDT"))
    for query, count in (("exchange=Binance", 1), ("state=NEW&state=FILLED", 1), ("state=CANCELED", 0)):
        assert len((await rest.client.get(f"/v1/orders?{query}", headers=AUTH)).json()["orders"]) == count


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/v1/orders", b'{"quantity":"1","quantity":"2"}'),
        ("PATCH", "/v1/orders/x", b'{"quantity":"1","quantity":"1"}'),
        ("PUT", "/v1/kill-switch", b'{"engaged":true,"reason":"x","engaged":false}'),
        ("POST", "/v1/orders/cancel", b'{"all":false,"all":true}'),
    ],
)
async def test_a_member_may_be_named_once(method: str, path: str, content: bytes, faces: Faces, rest: RestFace) -> None:
    headers = {**AUTH, "idempotency-key": "k", "content-type": "application/json"}
    answer = await rest.client.request(method, path, content=content, headers=headers)

    assert answer.status_code == 400
    assert "is given 2 times" in answer.json()["detail"]
    assert faces.trading.venue.sent("place") == []


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("method", "request_", "says"),
    [
        ("ListOrders", pb.ListOrdersRequest(exchange="binanse"), "`exchange` is 'binanse'"),
        ("ListOrders", pb.ListOrdersRequest(symbol="btc/usdt"), "did you mean 'BTC/USDT'"),
        ("ListOrders", pb.ListOrdersRequest(created_from_time_ns=-1), "`created_from_time_ns` must be"),
        ("ListOrders", pb.ListOrdersRequest(created_from_time_ns=2, created_to_time_ns=1), "nothing can match"),
        ("ListActiveOrders", pb.ListActiveOrdersRequest(exchange="nowhere"), "legal are"),
        ("ListFills", pb.ListFillsRequest(to_time_ns=-5), "`to_time_ns` must be"),
        ("ListFills", pb.ListFillsRequest(symbol="BTC"), "no unified symbol"),
        ("ListPositions", pb.ListPositionsRequest(exchange="nowhere"), "legal are"),
        ("ListInstruments", pb.ListInstrumentsRequest(kind="swap"), "legal are spot, perpetual, delivery"),
        ("CancelOrders", pb.CancelOrdersRequest(all=True, exchange="nowhere"), "legal are"),
        ("CancelOrders", pb.CancelOrdersRequest(all=True, symbol="btcusdt"), "no unified symbol"),
        ("CancelOrders", pb.CancelOrdersRequest(order_ids=["x"], symbol="BTC/USDT"), "go with `all`"),
    ],
)
async def test_values_are_refused_over_grpc_too(method: str, request_: Any, says: str, faces: Faces) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await getattr(OrderServiceStub(channel), method)(
                request_, metadata=(("authorization", AUTH["authorization"]),), timeout=10
            )

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in str(refused.value.details())
