"""What `serve` tells servers about each other, and people about the servers."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.cli import serve_command
from services.cli.serve_command import _where, serve_environment, simulated_places
from services.cli.servers import address_of, reached, web_port_of
from services.cli.serving_check import not_serving
from services.cli.supervisor import Supervisor
from services.runtime.errors import StartPostponed, StartRefused

SIMULATORS = ["sim-feed", "sim-binance", "sim-bitmex", "sim-bybit", "sim-power-exchange", "sim-market-data"]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "HOST",
        "LIVE_URL",
        "EXCHANGES",
        "BINANCE_URL",
        "BITMEX_URL",
        "BYBIT_URL",
        "POWER_URL",
        "REFERENCE_URL",
    ):
        monkeypatch.delenv(f"MIDSTREAM_{name}", raising=False)
    return iter([None])


@pytest.mark.parametrize(
    ("host", "shown"),
    [("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]")],
)
def test_everything_that_is_started_finds_the_simulators(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setenv("MIDSTREAM_HOST", host)
    monkeypatch.setenv("MIDSTREAM_SIM_BINANCE_PORT", "7")

    assert serve_environment()["MIDSTREAM_LIVE_URL"] == f"ws://{shown}:5040"
    assert simulated_places(SIMULATORS) == (
        {
            "MIDSTREAM_BINANCE_URL": f"http://{shown}:7",
            "MIDSTREAM_BITMEX_URL": f"http://{shown}:5080",
            "MIDSTREAM_BYBIT_URL": f"http://{shown}:5090",
            "MIDSTREAM_POWER_URL": f"ws://{shown}:5050",
            "MIDSTREAM_REFERENCE_URL": f"http://{shown}:5060",
        }
    )
    assert (address_of("control"), reached(web_port_of("orders"))) == (f"{shown}:50052", f"{shown}:8080")


@pytest.mark.parametrize(
    ("host", "shown"),
    [("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "0.0.0.0"), ("::", "[::]")],
)
@pytest.mark.parametrize("tls", ["", "server.pem"], ids=["plain", "TLS"])
def test_what_is_announced_is_where_a_server_listens(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str, tls: str
) -> None:
    monkeypatch.setenv("MIDSTREAM_HOST", host)
    monkeypatch.setenv("MIDSTREAM_TLS_CERT", tls)
    admin = {"admin_port": 3} if tls else {}
    s = "s" if tls else ""

    line = _where("orders", {"port": 1, "metrics_port": 2, **admin})

    assert line == (
        f"grpc{s}://{shown}:1   http{s}://{shown}:8080   metrics http{s}://{shown}:2/metrics"
        + ("   health grpc://127.0.0.1:3" if tls else "")
    )
    # Simulators are plain, whatever the servers are.
    assert _where("sim-feed", {"port": 5}) == f"ws://{shown}:5"


def test_places_that_are_set_or_not_started_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_POWER_URL", "wss://elsewhere.example")

    assert simulated_places(["control", "sim-power-exchange"]) == {}


@pytest.mark.parametrize(("setting", "value"), [("MIDSTREAM_HOST", "10.1.2.3"), ("MIDSTREAM_EXCHANGES", "testnet")])
def test_clients_of_exchanges_are_not_sent_where_they_must_not_go(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)

    assert simulated_places(["sim-binance"]) == {}


@asynccontextmanager
async def server(status: int) -> AsyncIterator[str]:
    """A server that says how it is."""
    running = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    await servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield f"127.0.0.1:{port}"
    await running.stop(0)


async def test_only_what_serves_is_called_up() -> None:
    async with server(SERVING) as one, server(NOT_SERVING) as two:
        addresses = {"control": one, "price": two, "orders": "127.0.0.1:1"}

        assert await not_serving({"control": one}, wait_s=5.0, engine=lambda: True) == []
        assert await not_serving(addresses, wait_s=0.3, engine=lambda: True) == ["price", "orders"]
        assert await not_serving({"replay": one}, wait_s=0.3, engine=lambda: False) == ["replay"]


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 75),
        (StartPostponed("the disk is away"), 75),
        (PermissionError(errno.EACCES, "Permission denied"), 2),
        (StartRefused("another Redis wrote this"), 2),
    ],
    ids=["full disk", "postponed", "no right", "refused"],
)
def test_what_keeps_redis_from_starting_is_trouble_or_a_refusal(
    trouble: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []

    def build(self: serve_command.Fleet) -> Supervisor:
        tries.append(1)
        raise trouble

    monkeypatch.setattr(serve_command.Fleet, "build", build)
    monkeypatch.setattr(serve_command, "AGAIN_S", 0.0)
    # Trouble that passes is waited for: here until the patience is at its end.
    monkeypatch.setattr(serve_command, "PATIENCE_S", 0.2 if code == 75 else 60.0)

    ended = serve_command.run_serve(["control"])

    said = capsys.readouterr().err.splitlines()
    assert ended == code
    assert (len(tries) > 1) is (code == 75)
    assert ("cannot start yet" in said[0]) is (code == 75)
    assert said[-1].startswith("midstream serve: ")
