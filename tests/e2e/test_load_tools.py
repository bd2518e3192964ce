"""What strangers bring to see whether a server holds: ghz with more streams than a pool has places, and Kubernetes' prober."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.grpcurl import go_tool
from tests.support.serving import Serving, serving

CALLS, CALLERS, STREAMS = 2_000, 200, 500
STREAM_S = 5


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The sample, played to its end."""
    with serving(tmp_path_factory.mktemp("load") / "out") as running:
        running.wait_committed(running.state()["last_sequence"])
        yield running


def _ghz(address: str, method: str, message: dict[str, Any], *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(go_tool("ghz"), "--insecure", "--call", method, "-d", json.dumps(message), "--format", "json"),
            *(*options, address),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.nightly
@pytest.mark.needs("ghz")
@pytest.mark.parametrize(
    ("server", "method", "message"),
    [
        ("replay", "midstream.replay.v1.ReplayService/ListSessions", {}),
        ("control", "midstream.control.v1.ControlService/GetState", {}),
        ("price", "midstream.price.v1.PriceService/GetMidPrice", {"ticker": "BTC-USDT-SWAP@BINANCE"}),
    ],
    ids=["sessions", "state", "price"],
)
def test_two_hundred_callers_at_once_are_all_answered(
    servers: Serving, server: str, method: str, message: dict[str, Any]
) -> None:
    report = _ghz(f"127.0.0.1:{servers.ports[server]}", method, message, "-c", str(CALLERS), "-n", str(CALLS))

    assert report["statusCodeDistribution"] == {"OK": CALLS}, report["errorDistribution"]


@pytest.mark.nightly
@pytest.mark.needs("ghz")
@pytest.mark.parametrize(
    ("server", "method", "message"),
    [
        ("replay", "midstream.replay.v1.ReplayService/StreamTicks", {"after_sequence": "0"}),
        ("price", "midstream.price.v1.PriceService/StreamMidPrices", {"from_oldest": True}),
    ],
    ids=["ticks", "prices"],
)
def test_five_hundred_streams_at_once_are_all_served_until_their_readers_go(
    servers: Serving, server: str, method: str, message: dict[str, Any]
) -> None:
    several = ("-c", str(STREAMS), "-n", str(STREAMS), "--stream-call-duration", f"{STREAM_S}s", "--connections", "10")
    several = (*several, "--timeout", "20s")

    report = _ghz(f"127.0.0.1:{servers.ports[server]}", method, message, *several)

    # A stream has no end of its own: its reader leaves, after a while or, where nothing more comes, at its deadline.
    counted = report["statusCodeDistribution"]
    assert set(counted) <= {"Canceled", "DeadlineExceeded", "OK"}, report["errorDistribution"]
    assert sum(counted.values()) == STREAMS


@pytest.mark.cases(2)
@pytest.mark.needs("grpc-health-probe")
@pytest.mark.parametrize("server", ["replay", "control", "price", "health"])
def test_the_prober_of_kubernetes_finds_every_server_serving(servers: Serving, server: str) -> None:
    address = f"127.0.0.1:{servers.ports[server]}"

    well = _probe(f"-addr={address}")
    unknown = _probe(f"-addr={address}", "-service=no.such.Service")

    assert (well.returncode, "SERVING" in well.stderr + well.stdout) == (0, True)
    assert unknown.returncode != 0


def _probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [go_tool("grpc-health-probe"), *arguments], capture_output=True, text=True, timeout=30, check=False
    )
