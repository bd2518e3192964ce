"""Every method and route of every server, by everybody: over real ports, all cells as the table says, and refusals that leave no trace."""

from __future__ import annotations

import http.client
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from protos.control.v1 import control_pb2
from protos.health.v1 import health_pb2
from protos.orders.v1 import orders_pb2
from protos.price.v1 import price_pb2
from protos.replay.v1 import replay_pb2
from protos.reporting.v1 import reporting_pb2
from services.orders.rest.gate import ROUTES as REST
from services.reporting.web.app import ROUTES as PAGES
from services.runtime.access import METHODS
from services.runtime.access.http import ANYONE, METRICS, Routes
from services.runtime.access.roles import any_covers
from tests.support.access_servers import Estate, Visitor, estate

FILES: Final = {
    "control": control_pb2, "health": health_pb2, "orders": orders_pb2, "price": price_pb2, "replay": replay_pb2,
    "reporting": reporting_pb2,
}  # fmt: skip
DENIED: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
CODES: Final = {
    0: grpc.StatusCode.UNAVAILABLE, 401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}  # fmt: skip
"""Statuses of HTTP, and 0 for a handshake that was refused."""
CALL_S: Final = 20.0
WAIT_S: Final = 0.5
"""What an admitted call gets that has nothing to answer."""


def services() -> dict[str, list[ServiceDescriptor]]:
    return {name: list(file.DESCRIPTOR.services_by_name.values()) for name, file in FILES.items()}


def methods() -> list[tuple[str, MethodDescriptor]]:
    return [(server, method) for server, found in services().items() for each in found for method in each.methods]


def path_of(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, redis_aof_url_module: str) -> Iterator[Estate]:
    with estate(tmp_path_factory.mktemp("matrix"), redis_aof_url_module) as opened:
        yield opened


@pytest.fixture(scope="module")
def redis_aof_url_module(shared_redis_aof: Any) -> str:
    return str(shared_redis_aof.url)


def called(channel: grpc.Channel, method: MethodDescriptor, visitor: Visitor, *, timeout_s: float) -> grpc.StatusCode:
    """Call a method with an empty request; a stream that begins is OK."""
    request = GetMessageClass(method.input_type)()
    path = f"/{path_of(method)}"
    serialize = type(request).SerializeToString
    try:
        if method.server_streaming:
            stream = channel.unary_stream(path, serialize)(request, metadata=visitor.metadata, timeout=timeout_s)
            next(stream)
            stream.cancel()
        else:
            channel.unary_unary(path, serialize)(request, metadata=visitor.metadata, timeout=timeout_s)
    except StopIteration:
        return grpc.StatusCode.OK
    except grpc.RpcError as exc:
        return exc.code()  # type: ignore[attr-defined,no-any-return]
    return grpc.StatusCode.OK


def expected(visitor: Visitor, row: str) -> grpc.StatusCode | None:
    """Return how a cell has to end; None where it is admitted."""
    if not visitor.reaches:
        return grpc.StatusCode.UNAVAILABLE
    if visitor.roles is None:
        return grpc.StatusCode.UNAUTHENTICATED
    return None if any_covers(visitor.roles, METHODS[row]) else grpc.StatusCode.PERMISSION_DENIED


def is_as_wanted(code: grpc.StatusCode, wanted: grpc.StatusCode | None) -> bool:
    if wanted is grpc.StatusCode.UNAUTHENTICATED:
        # After ten failures within a minute an address is told to wait with the next one; it has failed all the same.
        return code in (wanted, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return code not in DENIED if wanted is None else code is wanted


def test_every_method_of_every_proto_has_a_row() -> None:
    assert {path_of(method) for _, method in methods()} == METHODS.keys() - {METRICS}


def test_every_cell_of_methods_and_callers(desk: Estate, capsys: pytest.CaptureFixture[str]) -> None:
    visitors = desk.visitors()
    before = desk.state()
    wrong: list[str] = []
    cells: Counter[str] = Counter()

    def row(name: str, server: str, *, admitted: bool) -> list[tuple[str, grpc.StatusCode | None, grpc.StatusCode]]:
        visitor = visitors[name]
        with desk.channel(server, visitor) as channel:
            found = []
            for owner, method in methods():
                wanted = expected(visitor, path_of(method))
                if owner == server and (wanted is None) is admitted:
                    code = called(channel, method, visitor, timeout_s=WAIT_S if admitted else CALL_S)
                    found.append((f"{path_of(method)} by {name}", wanted, code))
            return found

    for admitted in (False, True):
        jobs = [(name, server) for name in visitors for server in FILES]
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda job: row(*job, admitted=admitted), jobs):  # noqa: B023  (ends within the loop)
                for cell, wanted, code in found:
                    cells["refused" if wanted is not None else "admitted"] += 1
                    if not is_as_wanted(code, wanted):
                        wrong.append(f"{cell}: {code.name}, not {wanted.name if wanted else 'admitted'}")
        if not admitted:
            # Whoever is refused has changed nothing.
            assert desk.state() == before

    with capsys.disabled():
        print(f" {cells.total()} cells: {cells['refused']} refused, {cells['admitted']} admitted", end="")  # noqa: T201
    assert wrong == []
    assert cells.total() == len(methods()) * len(visitors)


def asked(
    port: int, context: ssl.SSLContext, method: str, path: str, visitor: Visitor, *, timeout_s: float
) -> tuple[int, dict[str, str]]:
    """Send one request; return status and headers, 0 where TLS refuses. An event stream is left once it has begun."""
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=timeout_s)
    headers = {"authorization": visitor.authorization} if visitor.authorization else {}
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    except TimeoutError:
        # Admitted, and it waits for an exchange that is not there.
        return 504, {}
    except (ssl.SSLError, ConnectionError):
        return 0, {}
    finally:
        connection.close()


def filled(template: str) -> str:
    return template.replace(":path", "").format(order_id="x", symbol="BTC/USDT", exchange="binance", name="x.js")


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("server", "kind", "routes"),
    [
        ("orders", "web_port", REST),
        ("reporting", "web_port", PAGES),
        *((server, "metrics_port", Routes({("GET", "/metrics"): METRICS})) for server in FILES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_cell_of_routes_and_callers(
    desk: Estate, server: str, kind: str, routes: Routes, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.state()
    wrong: list[str] = []
    visitors = desk.visitors()
    names = visitors if kind == "web_port" else ("nobody", "key read", "key revoked", "certificate trade", "token read")
    scheme = "Bearer" if server == "orders" and kind == "web_port" else "Basic"

    def column(name: str) -> int:
        visitor, cells = visitors[name], 0
        context = desk.authority.trusting(visitor.pair.write(desk.directory, f"visitor {name}"))
        for (method, template), row in routes.table.items():
            wanted = None if row == ANYONE and visitor.reaches else expected(visitor, row or METRICS)
            if wanted is None and method != "GET":
                continue
            timeout_s = CALL_S if wanted is not None else 4 * WAIT_S
            status, headers = asked(
                desk.port(server, kind), context, method, filled(template), visitor, timeout_s=timeout_s
            )
            cells += 1
            code = CODES.get(status, grpc.StatusCode.OK)
            if not is_as_wanted(code, wanted):
                wrong.append(f"{method} {template} by {name}: {status}, not {wanted.name if wanted else 'admitted'}")
            if status == 401 and not headers["www-authenticate"].startswith(scheme):
                wrong.append(f"{method} {template} by {name}: www-authenticate: {headers['www-authenticate']}")
        return cells

    # Admitted calls wait for an exchange that is not there.
    with ThreadPoolExecutor(8) as pool:
        cells = sum(pool.map(column, names))

    with capsys.disabled():
        print(f" {cells} cells", end="")  # noqa: T201
    assert wrong == []
    assert desk.state() == before


def _over_grpc(desk: Estate, visitor: Visitor) -> Callable[[], str]:
    channel = desk.channel("orders", visitor)
    path, request = "/midstream.orders.v1.OrderService/WatchOrders", orders_pb2.WatchOrdersRequest()
    stream = channel.unary_stream(path, orders_pb2.WatchOrdersRequest.SerializeToString)(
        request, metadata=visitor.metadata, timeout=60.0
    )
    list(stream.initial_metadata())

    def ended() -> str:
        try:
            for _ in stream:
                pass
        except grpc.RpcError as exc:
            return str(exc.code().name)  # type: ignore[attr-defined]
        finally:
            channel.close()
        return "OK"

    return ended


def _over_sse(desk: Estate, server: str, path: str, visitor: Visitor) -> Callable[[], str]:
    cert, key = visitor.pair.write(desk.directory, f"sse-{server}")
    context = desk.authority.trusting((cert, key))
    connection = http.client.HTTPSConnection("localhost", desk.port(server, "web_port"), context=context, timeout=60.0)
    connection.request("GET", path, headers={"authorization": visitor.authorization})
    response = connection.getresponse()
    assert response.status == 200
    response.readline()

    def ended() -> str:
        text = response.read().decode()
        connection.close()
        last = text.strip("\n").rpartition("\n\n")[2].strip("\n")
        assert last.startswith("event: end\ndata: "), last
        return str(json.loads(last.partition("data: ")[2])["code"])

    return ended


def test_what_a_revoked_key_had_open_ends(desk: Estate) -> None:
    name = "read+trade"
    visitor = desk.visitors()[f"key {name}"]
    open_ones = [
        _over_grpc(desk, visitor),
        _over_sse(desk, "orders", "/v1/orders/events", visitor),
        _over_sse(desk, "reporting", "/events", visitor),
    ]

    desk.revoke(name)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda ended: ended(), open_ones)) == ["UNAUTHENTICATED"] * 3


def test_the_servers_logs_hold_no_key_and_no_token(desk: Estate) -> None:
    def secrets() -> list[str]:
        bearers = [visitor.authorization.removeprefix("Bearer ") for visitor in desk.visitors().values()]
        return [bearer[-20:] for bearer in bearers if bearer]

    logs = "".join(Path(server.log).read_text() for server in desk.servers.values())
    assert not [secret for secret in secrets() if secret in logs]
