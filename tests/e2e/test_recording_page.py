"""docs/recording.md as it is typed, and the logs of real servers on the same feed, live."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import PATIENCE_S, ROOT, clean_environment, command, kill, midstream, until
from tests.support.ports import free_port
from tests.support.serving import serving
from tests.support.simulator_process import SimulatorProcess

PAGE = (ROOT / "docs" / "recording.md").read_text(encoding="utf-8")
FEED = {
    "SPEED": "max",
    "BATCH": "3",
    "FAULTS": "garbage_every=50,close_after=400,drops=2",
}


@pytest.mark.long
def test_the_page_records_and_replays_what_real_servers_give_live(tmp_path: Path) -> None:
    [block] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    record, inspect, replay = [shlex.split(line)[1:] for line in block.splitlines()]
    assert (record[1], record[-2:]) == ("ws://127.0.0.1:5040", ["--duration", "3600"])
    # Each has a feed of its own, whose connections end at the same places; one address, so that rejections have one name.
    feed = SimulatorProcess("feed", tmp_path, **FEED)
    recorded = midstream("record", feed.ws_url, *record[2:-1], "5", "--json", cwd=tmp_path)
    port = feed.port
    assert feed.stop() == 0
    figures = json.loads(recorded.stdout)
    assert recorded.code == 0, recorded.stderr
    assert (figures["disconnects"], figures["reconnects"], figures["ended_by"]) == (2, 2, "duration")
    assert midstream(*inspect, cwd=tmp_path).code == 0
    replayed = midstream(*replay, cwd=tmp_path)
    assert replayed.code == 0, replayed.stderr
    # Closed segments may be gzipped.
    for path in (tmp_path / "day").iterdir():
        (tmp_path / f"{path.stem}.rec.gz").write_bytes(gzip.compress(path.read_bytes()))
    zipped = midstream("replay", "0*.rec.gz", "--out", "zipped", *replay[-2:], cwd=tmp_path)
    assert zipped.code == 0, zipped.stderr

    feed = SimulatorProcess("feed", tmp_path, **{**FEED, "PORT": str(port)})
    with serving(
        tmp_path / "live", ("replay", "control", "price", "health"), LIVE_URL=feed.ws_url, START_MODE="live"
    ) as servers:
        servers.wait_committed(figures["ticks"] + figures["rejected"] + 4)
    assert feed.stop() == 0

    for name in ("mid_prices.log", "errors.log"):
        live = (tmp_path / "live" / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == live
        assert (tmp_path / "zipped" / name).read_bytes() == live
    assert f"Rejected {feed.ws_url}".encode() in (tmp_path / "live" / "errors.log").read_bytes()


@pytest.mark.cases(1)
@pytest.mark.long
@pytest.mark.parametrize("exchange", ["binance", "bybit"])
def test_quotes_of_an_exchange_are_replayed_as_a_live_session_on_it_gave_them(tmp_path: Path, exchange: str) -> None:
    # Futures: their quotes have the exchange's time, so what two connections log is the same to the byte.
    url = f"{exchange}://BTC/USDT:USDT,ETH/USDT:USDT"
    name, port = exchange.upper(), str(free_port())
    at = {f"SIM_{name}_PORT": port, f"{name}_URL": f"http://127.0.0.1:{port}"}
    names = (f"sim-{exchange}", "replay", "control", "price")
    with serving(tmp_path / "live", names, LIVE_URL=url, START_MODE="live", **at) as servers:
        until(lambda: servers.sink().get("counts", {}).get("mids", 0) > 0, what="mids of the exchange")
        recorder = subprocess.Popen(
            command("record", url, "--out", "day", "--max-bytes", "4000"),
            cwd=tmp_path,
            env=clean_environment(servers.environment),
        )
        try:
            assert recorder.wait(timeout=PATIENCE_S) == 0
        finally:
            kill(recorder)
        # The recorder had its last quotes at the same time.
        servers.wait_committed(servers.sink()["sequence"] + 10)
    replayed = midstream("replay", "day/000001.rec", "--out", "again", "--latency-threshold-ms", "9e12", cwd=tmp_path)

    assert replayed.code == 0, replayed.stderr
    again, live = ((tmp_path / name / "mid_prices.log").read_bytes() for name in ("again", "live"))
    assert again.count(b"\n") > 15
    # A subscription to Bybit begins with a quote of each symbol for this subscriber alone.
    _, _, shared = again.split(b"\n", 2)
    assert live.find(b"\n" + shared) > 0
    assert (tmp_path / "again" / "errors.log").read_bytes() == b""
