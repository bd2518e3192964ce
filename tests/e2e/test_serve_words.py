"""What `midstream serve` says when something that it needs is away, and on other addresses than the usual one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import ROOT, clean_environment, command, kill, midstream, until
from tests.support.ports import free_port

PORTS = ("REPLAY", "CONTROL", "PRICE", "HEALTH", "SIM_FEED", "SIM_BINANCE")


@contextmanager
def serve(out: Path, *names: str, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], Path, dict[str, str]]]:
    """Start the servers `names` on free ports; yields process, log and environment."""
    environment = {f"MIDSTREAM_{name}_PORT": str(free_port()) for name in PORTS}
    environment |= {f"MIDSTREAM_{name}_METRICS_PORT": "0" for name in PORTS[:4]}
    environment |= {"MIDSTREAM_OUT": str(out), **{f"MIDSTREAM_{name}": value for name, value in settings.items()}}
    out.mkdir()
    log = out / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command("serve", *names), cwd=ROOT, env=clean_environment(environment), stdout=file, stderr=file
        )
    try:
        yield process, log, environment
    finally:
        kill(process)


@pytest.mark.long
def test_without_its_redis_it_says_what_does_not_serve_and_ends_in_order(tmp_path: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    settings = {"REDIS_URL": away, "PRICE_EXCHANGES": ""}
    with serve(tmp_path / "out", "replay", "control", "price", **settings) as (process, log, _):
        until(lambda: "not serving yet" in log.read_text(), what="the announcement")
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
        said = log.read_text()

    assert code == 0
    assert "started, and not serving yet: replay, control, price. " in said
    assert f"Redis at {away} does not answer" in said
    assert "every server is up" not in said
    assert "Try:" not in said
    assert "Traceback" not in said
    # Ten seconds of trying: each says once that Redis is away.
    warnings = [json.loads(line) for line in said.splitlines() if line.startswith('{"') and '"warning"' in line]
    told = [(line["server"], line["event"]) for line in warnings]
    assert told.count(("price", "stream tail interrupted")) == 1
    assert told.count(("price-engine", "redis unavailable")) == 1


def has_ipv6() -> bool:
    """Tell whether this machine has an IPv6 loopback address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.long
@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here: it is for the machine's operator to switch on")
def test_on_ipv6_everything_finds_everything(tmp_path: Path) -> None:
    names = ("replay", "control", "price", "health", "sim-feed", "sim-binance")
    settings = {"HOST": "::1", "SPEED": "max", "PRICE_EXCHANGES": "binance", "SESSION": "desk"}
    with serve(tmp_path / "out", *names, **settings) as (process, log, environment):
        until(lambda: "every server is up" in log.read_text(), what="the start")
        price = midstream("price", "BTC/USDT", "--json", environment=environment)
        switched = midstream("mode", "live", environment=environment)
        until(
            lambda: json.loads(midstream("status", "--json", environment=environment).stdout)["live_connected"],
            what="the live feed",
        )
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
        said = log.read_text()

    assert code == 0
    assert price.code == 0, price.stderr
    assert switched.stdout.startswith("live (was historical)")
    assert f"grpc://[::1]:{environment['MIDSTREAM_CONTROL_PORT']}" in said
    assert "127.0.0.1" not in said.partition("every server is up")[2].partition("{")[0]
