"""Servers on another address, watched as on another machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.rpc.channel import ChannelSettings
from protos.health.v1 import health_pb2 as pb
from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK
from protos.health.v1.health_pb2_grpc import HealthServiceStub
from services.health.checks import Finding
from services.health.config import HealthSettings
from services.health.elsewhere import ElsewhereCheck, channel_settings
from services.runtime.health import HealthBoard
from tests.support.cli import until
from tests.support.redis_server import RedisForTests
from tests.support.server_process import server_process
from tests.support.tls import Authority, Pair

HOST = "127.0.0.2"
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def reached(
    tmp_path: Path, authority: Authority | None, own: Pair | None = None, *, mutual: bool = False
) -> ChannelSettings:
    """Return how a health server with these files reaches others."""
    given: dict[str, Any] = {"watch_ca": authority.write(tmp_path)} if authority is not None else {}
    if own is not None:
        given["tls_cert"], given["tls_key"] = own.write(tmp_path, "own")
    if mutual:
        given["tls_client_ca"] = given["watch_ca"]
    return channel_settings(HealthSettings(redis_url="redis://127.0.0.1:1/0", **given))


@contextlib.asynccontextmanager
async def served(
    pair: Pair | None, *, client_ca: bytes | None = None, port: int = 0
) -> AsyncIterator[tuple[str, HealthBoard]]:
    """Keep a server up on another address; give where it is."""
    board = HealthBoard(["a.A"])
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    board.register(server)
    if pair is None:
        bound = server.add_insecure_port(f"{HOST}:{port}")
    else:
        credentials = grpc.ssl_server_credentials([(pair.key, pair.chain)], client_ca, client_ca is not None)
        bound = server.add_secure_port(f"{HOST}:{port}", credentials)
    board.set("a.A", True)
    await board.start()
    await server.start()
    try:
        yield f"{HOST}:{bound}", board
    finally:
        await server.stop(0)


async def found(address: str, settings: ChannelSettings) -> Finding:
    check = ElsewhereCheck(address, settings, timeout_s=TIMEOUT_S)
    try:
        return await check()
    finally:
        await check.close()


async def until_found(check: ElsewhereCheck, status: int) -> Finding:
    while (finding := await check()).status != status:
        pass
    return finding


async def test_a_server_with_tls_is_ok_down_once_it_stopped_and_ok_again(tmp_path: Path, authority: Authority) -> None:
    pair = authority.pair(HOST)
    async with served(pair) as (address, _):
        check = ElsewhereCheck(address, reached(tmp_path, authority), timeout_s=TIMEOUT_S)
        assert await check() == Finding(STATUS_OK, f"{address}: serving")

    assert await check() == Finding(STATUS_DOWN, f"{address}: unavailable")

    async with served(pair, port=int(address.rpartition(":")[2])):
        assert (await until_found(check, STATUS_OK)).detail == f"{address}: serving"
        await check.close()


async def test_one_that_does_not_serve_is_degraded_with_its_reason(tmp_path: Path, authority: Authority) -> None:
    async with served(authority.pair(HOST)) as (address, board):
        check = ElsewhereCheck(address, reached(tmp_path, authority), timeout_s=TIMEOUT_S)
        board.set("a.A", False, "Redis does not answer")

        finding = await until_found(check, STATUS_DEGRADED)

        assert finding.detail == f"{address}: not serving (Redis does not answer)"
        await check.close()


PAST = datetime.now(UTC) - timedelta(hours=1)

TROUBLE: dict[str, tuple[Callable[[Authority], Pair | None], bool, str]] = {
    "another authority": (
        lambda _: Authority().pair(HOST),
        True,
        "is of an authority that is not among {ca} (unable to get local issuer certificate): "
        "use MIDSTREAM_HEALTH_WATCH_CA FILE with the one that signed it)",
    ),
    "another name": (
        lambda authority: authority.pair("replay.internal", "127.0.0.3"),
        True,
        f"is not for '{HOST}', it is for replay.internal, 127.0.0.3: use MIDSTREAM_HEALTH_WATCH with one of these)",
    ),
    "expired": (lambda authority: authority.pair(HOST, after=PAST), True, "has expired (it is "),
    "plain text there": (
        lambda _: None,
        True,
        "speaks plain text: use MIDSTREAM_TLS_CERT there, or leave out MIDSTREAM_HEALTH_WATCH_CA, ",
    ),
    "plain text here": (
        lambda authority: authority.pair(HOST),
        False,
        "speaks TLS: use MIDSTREAM_HEALTH_WATCH_CA FILE with the authority of its certificate (or MIDSTREAM_TLS_CERT))",
    ),
}


@pytest.mark.parametrize("case", TROUBLE)
async def test_a_certificate_that_is_not_believed_is_down_with_the_reason(
    case: str, tmp_path: Path, authority: Authority
) -> None:
    pair, tls, said = TROUBLE[case]
    settings = reached(tmp_path, authority if tls else None)

    async with served(pair(authority)) as (address, _):
        finding = await found(address, settings)

    assert finding.status == STATUS_DOWN
    assert finding.detail.startswith(f"{address}: unavailable (the ")
    assert said.format(ca=settings.ca) in finding.detail


async def test_in_plain_text_where_there_is_no_tls(tmp_path: Path) -> None:
    async with served(None) as (address, _):
        assert await found(address, reached(tmp_path, None)) == Finding(STATUS_OK, f"{address}: serving")


async def test_where_clients_show_certificates_it_shows_its_own(tmp_path: Path, authority: Authority) -> None:
    own = authority.pair("health.internal")
    async with served(authority.pair(HOST), client_ca=authority.pem) as (address, _):
        assert (await found(address, reached(tmp_path, authority, own, mutual=True))).status == STATUS_OK

        refused = await found(address, reached(tmp_path, authority, own))
        assert refused.status == STATUS_DOWN
        assert "wants a client certificate: use MIDSTREAM_TLS_CERT FILE and MIDSTREAM_TLS_KEY FILE" in refused.detail


async def test_an_authority_that_changes_is_read_again_and_half_of_one_is_not(
    tmp_path: Path, authority: Authority
) -> None:
    settings = reached(tmp_path, authority)
    assert settings.ca is not None
    async with served(authority.pair(HOST)) as (address, _):
        check = ElsewhereCheck(address, settings, timeout_s=TIMEOUT_S)
        assert (await check()).status == STATUS_OK

        settings.ca.write_bytes(authority.pem[:100])
        half = await check()
        assert half.status == STATUS_OK
        assert half.detail.startswith(f"{address}: serving; MIDSTREAM_HEALTH_WATCH_CA {settings.ca} cannot be used (")

        settings.ca.write_bytes(Authority().pem)
        assert "is of an authority that is not among" in (await until_found(check, STATUS_DOWN)).detail

        settings.ca.write_bytes(authority.pem)
        assert (await until_found(check, STATUS_OK)).detail == f"{address}: serving"
        await check.close()


async def test_one_that_takes_connections_and_says_nothing_is_down_in_time(
    tmp_path: Path, authority: Authority
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        address = f"{HOST}:{silent.getsockname()[1]}"
        check = ElsewhereCheck(address, reached(tmp_path, authority), timeout_s=0.5)

        assert await check() == Finding(STATUS_DOWN, f"{address}: no answer within 0.3 s")
        await check.close()


async def test_a_name_that_leads_nowhere_is_down_and_says_so(tmp_path: Path, authority: Authority) -> None:
    finding = await found("replay.invalid:50051", reached(tmp_path, authority))

    assert finding == Finding(
        STATUS_DOWN,
        "replay.invalid:50051: unavailable (its name is not known: it is not up, or MIDSTREAM_HEALTH_WATCH has another)",
    )


def test_a_control_server_elsewhere_comes_and_goes_in_the_report(
    new_redis: Callable[..., RedisForTests], tmp_path: Path, authority: Authority
) -> None:
    redis = new_redis()
    ca = authority.write(tmp_path)
    cert, key = authority.pair(HOST).write(tmp_path, "control")
    files = {"TLS_CERT": str(cert), "TLS_KEY": str(key), "CONTROL_ADMIN_PORT": "0"}
    with server_process("control", tmp_path, REDIS_URL=redis.url, HOST=HOST, **files) as control:
        address = f"{HOST}:{control.announcement['port']}"
        settings = {"HEALTH_INTERVAL": "0.05", "HEALTH_WATCH": f"control={address}", "HEALTH_WATCH_CA": str(ca)}
        with server_process("health", tmp_path, REDIS_URL=redis.url, **settings) as server:
            stub = HealthServiceStub(server.channel)

            def seen() -> pb.Check:
                report = stub.GetReport(pb.GetReportRequest(), timeout=TIMEOUT_S).report
                return next(check for check in report.checks if check.name == "control")

            until(lambda: seen().status == STATUS_OK, what="control is there")
            assert seen().detail == f"{address}: serving"

            redis.kill()
            until(lambda: seen().status == STATUS_DEGRADED, what="control has no Redis")
            assert seen().detail.startswith(f"{address}: not serving (")

            redis.restart()
            until(lambda: seen().status == STATUS_OK, what="control has Redis again")

            ca.write_bytes(Authority().pem)
            until(lambda: seen().status == STATUS_DOWN, what="control is not believed")
            until(lambda: "is of an authority that is not among" in seen().detail, what="and why")

            ca.write_bytes(authority.pem)
            until(lambda: seen().status == STATUS_OK, what="control is believed again")

            control.kill()
            until(lambda: seen().detail == f"{address}: unavailable", what="control is gone")
            assert seen().status == STATUS_DOWN
