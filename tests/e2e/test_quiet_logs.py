"""A normal start, serving, a switch and a normal end hold nothing that somebody should look at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protos.common.v1.market_pb2 import MODE_LIVE
from tests.support.cli import midstream, until
from tests.support.ports import free_port
from tests.support.serving import SERVERS, Serving

NAMES = (
    *SERVERS, "orders", "reporting", "power-listener", "power-etl",
    "sim-feed", "sim-binance", "sim-power-exchange", "sim-market-data",
)  # fmt: skip
EVENT = "state-changing call"
STARVED = "limits are not shared"


@pytest.mark.long
def test_nothing_of_a_normal_life_is_a_warning(tmp_path: Path) -> None:
    ports = {
        f"MIDSTREAM_{name}": str(free_port())
        for name in (
            "ORDERS_PORT", "ORDERS_WEB_PORT", "REPORTING_PORT", "REPORTING_WEB_PORT", "POWER_LISTENER_PORT",
            "POWER_ETL_PORT", "SIM_BINANCE_PORT", "SIM_POWER_EXCHANGE_PORT", "SIM_MARKET_DATA_PORT",
        )
    }  # fmt: skip
    metrics = {f"MIDSTREAM_{name}_METRICS_PORT": "0" for name in ("ORDERS", "REPORTING", "POWER_LISTENER", "POWER_ETL")}
    servers = Serving(
        tmp_path / "out",
        environment={
            **ports,
            **metrics,
            "MIDSTREAM_LOG_LEVEL": "info",
            "MIDSTREAM_SPEED": "1",
            "MIDSTREAM_ORDERS_EXCHANGES": "binance",
            "MIDSTREAM_PRICE_EXCHANGES": "binance",
        },
        names=NAMES,
    )
    try:
        servers.wait_committed(1)
        with servers.control() as control:
            assert control.set_mode("live").mode == MODE_LIVE
            until(lambda: servers.state().get("live", {}).get("connected", True), what="the feed")
        assert midstream("status", environment=servers.environment).code == 0
    except BaseException:
        print(servers.log.read_text())  # noqa: T201  (shown when the test fails)
        servers.kill()
        raise
    assert servers.stop() == 0

    lines = [json.loads(line) for line in servers.log.read_text().splitlines() if line.startswith("{")]
    assert {line["server"] for line in lines} >= {*NAMES, "replay-engine"}
    # A dozen processes may starve each other at the start: a Redis that then answers late is worth its line.
    # The feed is not connected yet for a moment after the switch, which the health server may see.
    spared = [line for line in lines if line["event"] == STARVED or line.get("check") == "feed"]
    loud = [json.dumps(line) for line in lines if line["level"] not in ("debug", "info") and line not in spared]
    assert not loud, "\n".join(loud)
    assert {line["logger"] for line in lines if line["logger"].startswith("uvicorn")} == set()
    (asked,) = [line for line in lines if line["event"] == EVENT]
    (applied,) = [line for line in lines if line["event"] == "intent applied"]
    assert (asked["server"], asked["value"], asked["code"], asked["caller"]) == ("control", "live", "OK", "anyone")
    assert (applied["revision"], applied["mode"]) == (asked["revision"], "live")
    # Who switched the mode? The engine's line leads to the caller's.
    assert applied["correlation_id"] == asked["correlation_id"]
    texts = [line for line in servers.log.read_text().splitlines() if not line.startswith("{")]
    assert not [line for line in texts if "Traceback" in line or "code 0" in line]
