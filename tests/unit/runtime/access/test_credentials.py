"""What callers bring, read from real connections."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.runtime.access.credentials import connection_state, credentials_in, credentials_of, peer_address
from services.runtime.access.identity import Credentials
from tests.support.tls import Authority, Pair

NAMES = ("ops.internal", "OPS.Two", "spiffe://desk/Feed", "who@example.org", "10.0.0.7")
WRITTEN = ("dns:ops.internal", "dns:ops.two", "uri:spiffe://desk/Feed", "email:who@example.org")
END = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
END_NS = int(END.timestamp()) * 1_000_000_000


class Noting(health_aio.HealthServicer):  # type: ignore[misc]
    """Notes what each caller brought."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Credentials] = []

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        self.seen.append(credentials_of(context))
        return health_pb2.HealthCheckResponse(status=1)


async def over_grpc(
    authority: Authority | None, shown: Pair | None = None, *, metadata: tuple[tuple[str, str], ...] = ()
) -> Credentials:
    server = grpc.aio.server()
    noting = Noting()
    health_pb2_grpc.add_HealthServicer_to_server(noting, server)
    if authority is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    else:
        served = authority.pair("127.0.0.1")
        pairs = [(served.key, served.chain)]
        port = server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials(pairs, authority.pem if shown else None, shown is not None)
        )
        credentials = grpc.ssl_channel_credentials(
            authority.pem, shown.key if shown else None, shown.chain if shown else None
        )
        channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20, metadata=metadata)
    finally:
        await channel.close()
        await server.stop(0)
    return noting.seen[0]


async def over_http(authority: Authority, folder: Path, shown: Pair | None) -> dict[str, Any]:
    """Return the state of an ASGI connection whose client shows `shown`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair("127.0.0.1").write(folder, "served"))
    if shown is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem.decode())
    states: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def made(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        states.put_nowait(connection_state(writer.transport))
        writer.close()

    async with asyncio.timeout(20):
        server = await asyncio.start_server(made, "127.0.0.1", 0, ssl=context)
        try:
            client = authority.trusting(shown.write(folder, "shown") if shown else None)
            port = server.sockets[0].getsockname()[1]
            _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            state = await states.get()
            writer.close()
        finally:
            server.close()
    return state


def scope(headers: list[tuple[bytes, bytes]], state: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "http", "headers": headers, "client": ("192.0.2.7", 4711), "state": state or {}}


async def test_a_grpc_caller_without_anything_brings_its_address() -> None:
    assert await over_grpc(None) == Credentials(peer="127.0.0.1")


async def test_a_grpc_client_certificate_gives_its_names_and_its_end_and_never_its_common_name() -> None:
    authority = Authority()

    found = await over_grpc(authority, authority.pair(*NAMES, common_name="dns:boss", after=END))

    assert found == Credentials(None, WRITTEN, END_NS, "127.0.0.1")


async def test_a_certificate_with_a_common_name_alone_has_no_name() -> None:
    authority = Authority()

    found = await over_grpc(authority, authority.pair(common_name="ops.internal", after=END))

    assert found.certificate_names == ()


async def test_tls_without_client_certificates_names_nobody() -> None:
    assert await over_grpc(Authority()) == Credentials(peer="127.0.0.1")


@pytest.mark.parametrize("given", [("Bearer one",), ("Bearer one", "Bearer two")], ids=["once", "twice"])
async def test_the_authorization_header_is_as_it_was_sent_on_both_faces(given: tuple[str, ...]) -> None:
    metadata = tuple(("authorization", value) for value in given)

    grpc_found = await over_grpc(None, metadata=metadata)
    http_found = credentials_in(scope([(b"Authorization", value.encode()) for value in given]))

    assert grpc_found.authorization == http_found.authorization == ", ".join(given)


async def test_an_http_client_certificate_gives_the_same_as_over_grpc(tmp_path: Path) -> None:
    authority = Authority()

    state = await over_http(authority, tmp_path, authority.pair(*NAMES, common_name="boss", after=END))

    assert credentials_in(scope([], state)) == Credentials(None, WRITTEN, END_NS, "192.0.2.7")


async def test_an_http_connection_without_a_client_certificate_names_nobody(tmp_path: Path) -> None:
    state = await over_http(Authority(), tmp_path, None)

    assert credentials_in(scope([], state)) == Credentials(peer="192.0.2.7")


def test_headers_of_a_proxy_are_nobodys_credentials() -> None:
    forged = [
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-client-cert", b"URI=spiffe://desk/feed"),
        (b"midstream.certificate", b"dns:ops.internal"),
    ]

    assert credentials_in(scope(forged)) == Credentials(peer="192.0.2.7")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50123", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50123", "::1"),
        ("ipv6:[fe80::1%25eth0]:1", "fe80::1%eth0"),
        ("unix:/run/socket", "/run/socket"),
        ("", ""),
    ],
)
def test_a_peer_is_its_address_without_the_port(peer: str, address: str) -> None:
    assert peer_address(peer) == address
