"""Which clients the TLS ports of real servers take: gRPC, REST, dashboard and metrics alike."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.handshakes import PATIENCE_S, Callers, old, refused
from tests.support.server_process import SERVING, ServerProcess

PORTS = ("port", "metrics_port", "web_port")
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
BAD = ("no certificate", "a foreign authority", "expired", "not yet valid")


@dataclass(frozen=True)
class Desk:
    """Two servers with mTLS, and who calls them."""

    callers: Callers
    servers: dict[str, ServerProcess]

    def port(self, name: str) -> int:
        server, _, which = name.partition(" ")
        return int(self.servers[server].announcement[which])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("tls")
    callers = Callers(folder)
    database = f"sqlite:///{folder / 'desk.db'}"
    common = {**callers.settings(), "DATABASE_URL": database}
    servers = {}
    try:
        servers["orders"] = ServerProcess("orders", folder, **common, ORDERS_WEB_PORT="0", ORDERS_ADMIN_PORT="0")
        servers["reporting"] = ServerProcess("reporting", folder, **common, REPORTING_WEB_PORT="0")
        yield Desk(callers, servers)
    finally:
        for server in servers.values():
            server.channel.close()
            server.kill()


LISTENERS = [f"{server} {which}" for server in ("orders", "reporting") for which in PORTS]


@pytest.mark.cases(2)
@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_of_the_authority_is_taken(desk: Desk, listener: str) -> None:
    assert refused(desk.port(listener), desk.callers.context(desk.callers.good)) == ""


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("listener", LISTENERS)
def test_other_clients_are_refused_in_the_handshake(desk: Desk, listener: str, bad: str) -> None:
    assert refused(desk.port(listener), desk.callers.context(desk.callers.bad[bad])) != ""


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_sees_when_the_name_is_another(desk: Desk, listener: str) -> None:
    context = desk.callers.context(desk.callers.good)

    assert "Hostname mismatch" in refused(desk.port(listener), context, server_name="elsewhere.internal")


@pytest.mark.parametrize("version", OLD, ids=lambda version: str(version.name))
@pytest.mark.parametrize("listener", LISTENERS)
def test_versions_before_1_2_are_refused_by_the_server(desk: Desk, listener: str, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = old(desk.callers.context(desk.callers.good), version)

        reason = refused(desk.port(listener), context)

    # An alert of the server's, or its hanging up; not a client that would not even ask.
    assert reason in {"TLSV1_ALERT_PROTOCOL_VERSION", "ConnectionResetError", "UNEXPECTED_EOF_WHILE_READING"}


@pytest.mark.parametrize("listener", LISTENERS)
def test_1_2_and_1_3_are_spoken(desk: Desk, listener: str) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = desk.callers.context(desk.callers.good)
        context.minimum_version = context.maximum_version = version

        assert refused(desk.port(listener), context) == ""


@pytest.mark.parametrize("listener", LISTENERS)
def test_plain_text_gets_no_answer(desk: Desk, listener: str) -> None:
    with socket.create_connection(("127.0.0.1", desk.port(listener)), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
        try:
            answer = plain.recv(4096)
        except ConnectionResetError:
            answer = b""

    assert b"HTTP" not in answer


@pytest.mark.parametrize("server", ["orders", "reporting"])
def test_health_is_in_plain_text_on_loopback_and_nothing_else_is(desk: Desk, server: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{desk.port(f'{server} admin_port')}") as channel:
        status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/midstream.orders.v1.OrderService/ListActiveOrders")(b"", timeout=PATIENCE_S)

    assert status == SERVING
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_logs_hold_no_key_and_no_traceback(desk: Desk) -> None:
    for server in desk.servers.values():
        log = server.log.read_text()
        assert "PRIVATE KEY" not in log
        assert "Traceback" not in log


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"TLS_KEY": ""}, "MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY go together: set MIDSTREAM_TLS_KEY, too"),
        ({"TLS_CERT": "/no/such/file.pem"}, "TLS: /no/such/file.pem cannot be read (No such file or directory)"),
        ({"AUTH": "certificates"}, "MIDSTREAM_AUTH=certificates gives nobody a role: set MIDSTREAM_TLS_ROLES"),
        ({"TLS_ROLES": "a=admin"}, "MIDSTREAM_TLS_ROLES does nothing by itself: add `certificates` to MIDSTREAM_AUTH"),
        ({"AUTH": "certificates", "TLS_ROLES": "a=boss"}, "names no role; there are read, control, trade, admin"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_an_unusable_set_is_refused_in_one_line(tmp_path: Path, change: dict[str, str], told: str) -> None:
    callers = Callers(tmp_path)
    settings = {**callers.settings(), "DATABASE_URL": f"sqlite:///{tmp_path / 'desk.db'}", **change}
    if not settings["TLS_KEY"]:
        del settings["TLS_KEY"]

    with pytest.raises(AssertionError) as caught:
        ServerProcess("reporting", tmp_path, **settings, REPORTING_WEB_PORT="0")

    lines = [line for line in str(caught.value).splitlines() if told in line]
    assert len(lines) == 1
    assert "Traceback" not in str(caught.value)
