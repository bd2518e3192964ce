"""Exchanges through the servers: prices in the terminal, health, and a live session on an exchange's own stream."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from protos.common.v1.market_pb2 import MODE_LIVE, Marker
from protos.health.v1.health_pb2 import GetReportRequest
from tests.support.cli import until
from tests.support.ports import free_port
from tests.support.serving import serving

SYMBOLS = ("BTC/USDT", "BTC/USDT:USDT")
CALL_S = 30.0


@pytest.mark.long
def test_live_runs_on_an_exchange_and_tells_when_it_was_lost(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "SIM_BINANCE_PORT": str(port),
        "LIVE_URL": f"binance://{','.join(SYMBOLS)}",
        "START_MODE": "live",
    }
    with serving(tmp_path / "out", ("sim-binance", "replay", "control", "price"), **settings) as servers:
        until(lambda: servers.sink().get("counts", {}).get("mids", 0) >= 20, what="mids of the exchange")
        os.kill(servers.server_pid("sim-binance"), signal.SIGKILL)
        before = servers.sink()["sequence"]
        until(lambda: servers.sink()["sequence"] > before + 10, what="quotes after the break")
        batches = servers.stream(after_sequence=0, to=servers.sink()["sequence"])

    assert {batch.mode for batch in batches} == {MODE_LIVE}
    named = {ticker for batch in batches for ticker in batch.tickers}
    assert named == {f"{symbol}@BINANCE" for symbol in SYMBOLS}
    kinds = [marker.kind for batch in batches for marker in batch.markers]
    assert Marker.KIND_DISCONNECTED in kinds
    assert kinds.index(Marker.KIND_RECONNECTED) > kinds.index(Marker.KIND_DISCONNECTED)
    sequences = [number for batch in batches for number in range(batch.first_sequence, batch.last_sequence + 1)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert (tmp_path / "out" / "errors.log").read_bytes() == b""


def test_prices_come_by_rest_then_by_stream_and_health_knows_the_exchange(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "SIM_BINANCE_PORT": str(port),
        "BINANCE_URL": f"http://127.0.0.1:{port}",
        "PRICE_EXCHANGES": "binance",
        "PRICE_FRESH_MS": "20000",
    }
    with serving(tmp_path / "out", ("sim-binance", "control", "price", "health"), **settings) as servers:
        first = servers.midstream("price", "BTC/USDT", "--exchange", "binance", "--json")
        assert first.code == 0, first.stderr
        streamed = until(
            lambda: next(
                (
                    each
                    for each in json.loads(servers.midstream("price", "BTC/USDT", "--json").stdout)["prices"]
                    if each["source"] == "streamed"
                ),
                None,
            ),
            what="a streamed price",
        )
        both = json.loads(servers.midstream("price", "BTC/USDT", "NOPE/USDT", "ETH/USDT", "--json").stdout)
        unknown = servers.midstream("price", "NOPE/USDT", "--exchange", "binance")
        elsewhere = servers.midstream("price", "BTC/USDT", "--exchange", "kraken")

        def market() -> object:
            report = servers.health.GetReport(GetReportRequest(), timeout=CALL_S).report
            return next(
                (each for each in report.exchanges if (each.target, each.group) == ("binance:spot", "market")), None
            )

        seen = until(market, what="the exchange in the health report")

    (answer,) = json.loads(first.stdout)["prices"]
    assert (answer["source"], answer["stale"], answer["basis"]) == ("asked for", False, "mid")
    assert float(answer["bid_price"]) < float(answer["price"]) < float(answer["ask_price"])
    assert streamed["market"] == "spot"
    assert [price["symbol"] for price in both["prices"]] == ["BTC/USDT", "ETH/USDT"]
    assert [error["symbol"] for error in both["errors"]] == ["NOPE/USDT"]
    assert "binance" in both["errors"][0]["message"]
    assert unknown.code == 2
    assert "binance does not list NOPE/USDT" in unknown.error_line
    assert elsewhere.code == 2
    assert "binance" in elsewhere.error_line
    assert seen.process == "price"
    assert seen.latency_p50_ms > 0
    assert seen.breaker_state == "closed"
