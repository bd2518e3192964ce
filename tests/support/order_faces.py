"""Both faces of one desk, on free ports, and clients that speak to either in the same words."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol

import grpc
import httpx2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub, add_OrderServiceServicer_to_server
from services.orders.auth import SERVICE, SignedRequests, orders_needs
from services.orders.auth.stamps import Stamps
from services.orders.errors import REASON_KEY
from services.orders.metrics import OrdersMetrics
from services.orders.ports import Ports
from services.orders.rest import orders_app
from services.orders.rest.plain import plain
from services.orders.servicer import DeskRoom, OrdersServicer
from services.runtime.access import Role
from services.runtime.access.build import Access
from services.runtime.access.key_shape import hashed
from services.runtime.access.keys import StoredKey
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.refusal_pace import RefusalPace
from services.runtime.web import WebFace
from tests.support.callers import key_access
from tests.support.exchange_rules import BINANCE, ExchangeRules
from tests.support.memory_floors import MemoryFloors
from tests.support.order_desk import Trading, trading
from tests.support.scripted_venue import ScriptedVenue

SECRET: Final = "s" * 43
OWNERS: Final = {"read": "desk", "trade": "desk", "admin": "desk", "stranger": "elsewhere"}
"""Name of a key -> whose orders it sees; the name is the role, `stranger` trades."""
CODES: Final = {
    200: "OK", 201: "OK", 202: "OK", 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    409: "ALREADY_EXISTS", 422: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip


def key_of(name: str) -> str:
    """Return a usable key by its name in OWNERS."""
    return f"mk_{list(OWNERS).index(name):016x}_{SECRET}"


def stored_keys() -> list[StoredKey]:
    """Return the keys as the database would have them."""
    return [
        StoredKey(
            f"{index:016x}",
            name,
            owner,
            frozenset({Role.TRADE if name == "stranger" else Role(name)}),
            hashed(SECRET),
            False,
            1,
        )
        for index, (name, owner) in enumerate(OWNERS.items())
    ]


@dataclass(frozen=True)
class Answer:
    """What a face says: a gRPC code's name, the word of a denial, and the body as plain values."""

    code: str
    reason: str
    body: Any


class Face(Protocol):
    """The operations of the desk."""

    async def place(self, key: str, **order: Any) -> Answer: ...

    async def amend(self, key: str, order_id: str, **target: Any) -> Answer: ...

    async def cancel(self, key: str, order_id: str) -> Answer: ...

    async def cancel_many(self, key: str, **wanted: Any) -> Answer: ...

    async def get(self, key: str, order_id: str) -> Answer: ...

    async def find(self, key: str, **wanted: Any) -> Answer: ...

    async def active(self, key: str) -> Answer: ...

    async def fills(self, key: str, **wanted: Any) -> Answer: ...

    async def instruments(self, key: str, **wanted: Any) -> Answer: ...

    async def switch(self, key: str, *, engaged: bool, reason: str) -> Answer: ...

    async def switch_state(self, key: str) -> Answer: ...


@dataclass
class Faces:
    """A desk that serves."""

    trading: Trading
    grpc_port: int
    rest_url: str
    registry: CollectorRegistry
    app: Any
    keys: list[StoredKey]
    """What the database would have; a test may take one away."""
    access: Access


async def real_ports(seed: int = 1) -> Ports:
    """Return the system's clock with ids that follow from a seed."""
    # Of their own: how often jitter is drawn depends on the machine.
    ids = Random(seed)
    return replace(Ports(), new_id=lambda: f"{ids.getrandbits(128):032x}")


@asynccontextmanager
async def serving_faces(
    *,
    seed: int = 1,
    venues: Sequence[ExchangeRules] = (BINANCE,),
    per_second: float = 1e6,
    pace: RefusalPace | None = None,
    **options: Any,
) -> AsyncIterator[Faces]:
    """Serve a desk over scripted exchanges in this process; `pace` is that of placements refused over REST."""
    ports = await real_ports(seed)
    exchanges = [ScriptedVenue(rules, ports, latency_s=0.0) for rules in venues]
    registry = CollectorRegistry()
    async with trading(ports, *exchanges, observer=OrdersMetrics(registry), **options) as desk:
        keys = stored_keys()

        async def load() -> list[StoredKey]:
            return list(keys)

        access = key_access(
            load, needs=orders_needs(per_second), wall_ns=ports.wall_ns, monotonic_ns=ports.monotonic_ns
        )
        assert access.keys is not None
        signatures = SignedRequests(
            access.gate,
            access.keys,
            access.costs,
            Stamps(MemoryFloors(), wall_ns=ports.wall_ns),
            wall_ns=ports.wall_ns,
        )
        servicer = OrdersServicer(ports)
        servicer.desk = desk.desk
        metrics = Metrics(registry)
        rooms = {f"/{SERVICE}/PlaceOrder": DeskRoom(servicer)}
        calls = CallInterceptor(metrics, rooms=rooms, knows=access.lately.knows_call)
        server = grpc.aio.server(interceptors=(calls, access.interceptor(calls)))
        add_OrderServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        access.start(metrics)
        app = orders_app(desk.desk, access.http, signatures, ports, registry=registry, pace=pace)
        face = WebFace(app, host="127.0.0.1", port=0, setting="TEST")
        web_port = await face.start()
        try:
            yield Faces(desk, port, f"http://127.0.0.1:{web_port}", registry, app, keys, access)
        finally:
            await server.stop(0)
            await face.stop()
            await access.stop()


class GrpcFace:
    """Speaks gRPC."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = OrderServiceStub(self._channel)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def call(self, key: str, method: str, request: Message) -> Answer:
        """Make one call."""
        metadata = (("authorization", f"Bearer {key_of(key)}"),) if key else ()
        try:
            response = await getattr(self.stub, method)(request, metadata=metadata, timeout=20.0)
        except grpc.aio.AioRpcError as exc:
            trailing = dict(exc.trailing_metadata() or ())
            return Answer(exc.code().name, str(trailing.get(REASON_KEY, "")), None)
        return Answer("OK", "", plain(response))

    async def place(self, key: str, **order: Any) -> Answer:
        answer = await self.call(key, "PlaceOrder", ParseDict(_prefixed(order), pb.PlaceOrderRequest()))
        return _part(answer, "order")

    async def amend(self, key: str, order_id: str, **target: Any) -> Answer:
        return _part(await self.call(key, "AmendOrder", pb.AmendOrderRequest(order_id=order_id, **target)), "order")

    async def cancel(self, key: str, order_id: str) -> Answer:
        return await self.call(key, "CancelOrder", pb.CancelOrderRequest(order_id=order_id))

    async def cancel_many(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "CancelOrders", pb.CancelOrdersRequest(**wanted))

    async def get(self, key: str, order_id: str) -> Answer:
        return _part(await self.call(key, "GetOrder", pb.GetOrderRequest(order_id=order_id)), "order")

    async def find(self, key: str, **wanted: Any) -> Answer:
        if "states" in wanted:
            wanted["states"] = [f"ORDER_STATE_{state}" for state in wanted["states"]]
        return await self.call(key, "ListOrders", pb.ListOrdersRequest(**wanted))

    async def active(self, key: str) -> Answer:
        return await self.call(key, "ListActiveOrders", pb.ListActiveOrdersRequest())

    async def fills(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "ListFills", pb.ListFillsRequest(**wanted))

    async def instruments(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "ListInstruments", pb.ListInstrumentsRequest(**wanted))

    async def switch(self, key: str, *, engaged: bool, reason: str) -> Answer:
        answer = await self.call(key, "SetKillSwitch", pb.SetKillSwitchRequest(engaged=engaged, reason=reason))
        return _part(answer, "kill_switch")

    async def switch_state(self, key: str) -> Answer:
        return await self.call(key, "GetKillSwitch", pb.GetKillSwitchRequest())


class RestFace:
    """Speaks HTTP."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.AsyncClient(base_url=url, timeout=20.0)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def call(self, key: str, method: str, path: str, **parts: Any) -> Answer:
        """Make one request."""
        headers = {**parts.pop("headers", {}), **({"authorization": f"Bearer {key_of(key)}"} if key else {})}
        response = await self.client.request(method, path, headers=headers, **parts)
        body = response.json()
        # A placement that came to nothing is an order all the same, as over gRPC.
        if response.status_code >= 400 and response.headers["content-type"] == "application/json":
            return Answer("OK", "", body)
        if response.status_code >= 400:
            return Answer(CODES[response.status_code], body["reason"], None)
        return Answer(CODES[response.status_code], "", body)

    async def place(self, key: str, **order: Any) -> Answer:
        headers = {"idempotency-key": order.pop("idempotency_key", "")}
        return await self.call(key, "POST", "/v1/orders", json=order, headers=headers)

    async def amend(self, key: str, order_id: str, **target: Any) -> Answer:
        return await self.call(key, "PATCH", f"/v1/orders/{order_id}", json=target)

    async def cancel(self, key: str, order_id: str) -> Answer:
        return await self.call(key, "DELETE", f"/v1/orders/{order_id}")

    async def cancel_many(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "POST", "/v1/orders/cancel", json=wanted)

    async def get(self, key: str, order_id: str) -> Answer:
        return await self.call(key, "GET", f"/v1/orders/{order_id}")

    async def find(self, key: str, **wanted: Any) -> Answer:
        names = {"order_ids": "order_id", "client_order_ids": "client_order_id", "states": "state"}
        parameters = [
            (names.get(name, name), one)
            for name, value in wanted.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        return await self.call(key, "GET", "/v1/orders", params=parameters)

    async def active(self, key: str) -> Answer:
        return await self.call(key, "GET", "/v1/orders/active")

    async def fills(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "GET", "/v1/fills", params=wanted)

    async def instruments(self, key: str, **wanted: Any) -> Answer:
        return await self.call(key, "GET", "/v1/instruments", params=wanted)

    async def switch(self, key: str, *, engaged: bool, reason: str) -> Answer:
        return await self.call(key, "PUT", "/v1/kill-switch", json={"engaged": engaged, "reason": reason})

    async def switch_state(self, key: str) -> Answer:
        return await self.call(key, "GET", "/v1/kill-switch")


def _part(answer: Answer, name: str) -> Answer:
    return replace(answer, body=answer.body[name]) if answer.body is not None else answer


def _prefixed(order: dict[str, Any]) -> dict[str, Any]:
    prefixes = {"side": "SIDE_", "type": "ORDER_TYPE_", "time_in_force": "TIME_IN_FORCE_"}
    return {name: prefixes.get(name, "") + value if isinstance(value, str) else value for name, value in order.items()}


_numbers = itertools.count(1)


def rest_order(**changes: Any) -> dict[str, Any]:
    """Return a well-formed order in the words of REST."""
    values: dict[str, Any] = {
        "idempotency_key": f"face-{next(_numbers)}", "exchange": "binance", "symbol": "BTC/USDT", "side": "BUY",
        "type": "LIMIT", "quantity": "0.5", "price": "99",
    }  # fmt: skip
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait until `condition()` holds; fail when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (what is waited for has no event of its own)
            await asyncio.sleep(0.005)


class ServedDesk:
    """A desk that serves in a thread of its own, for a client that blocks."""

    def __init__(self) -> None:
        self.url = ""
        self.grpc_port = 0
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        """Return once both faces answer."""
        self._thread.start()
        assert self._started.wait(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serving_faces() as faces:
            self.url, self.grpc_port = faces.rest_url, faces.grpc_port
            self._started.set()
            await self._stop.wait()

    def stop(self) -> None:
        """End it."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
