"""The README's lines about orders, typed as they stand there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import ROOT, clean_environment
from tests.support.pages import shell_lines
from tests.support.ports import free_port
from tests.support.serving import serving

NAMES = ("sim-binance", "sim-bybit", "sim-bitmex", "price", "orders")
LINE_S = 60


def lines_of_the_readme() -> list[str]:
    """The commands of the section, in order."""
    section = (ROOT / "README.md").read_text().split("\n## Orders\n", 1)[1].split("\n## ", 1)[0]
    return shell_lines(section)


@pytest.mark.needs("grpcurl")
def test_orders_can_be_placed_with_the_lines_of_the_readme(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("orders", "web", "price", "binance", "bybit", "bitmex")}
    settings = {
        "TRADING": "simulator",
        "ORDERS_PORT": str(ports["orders"]),
        "ORDERS_WEB_PORT": str(ports["web"]),
        "ORDERS_METRICS_PORT": "0",
        "ORDERS_DATABASE_URL": f"sqlite:///{tmp_path}/orders.db",
        "SIM_BINANCE_PORT": str(ports["binance"]),
        "BINANCE_URL": f"http://127.0.0.1:{ports['binance']}",
        "SIM_BYBIT_PORT": str(ports["bybit"]),
        "BYBIT_URL": f"http://127.0.0.1:{ports['bybit']}",
        "SIM_BITMEX_PORT": str(ports["bitmex"]),
        "BITMEX_URL": f"http://127.0.0.1:{ports['bitmex']}",
        "REDIS_URL": "",
    }
    *prepare, place, active, listed = lines_of_the_readme()
    with serving(tmp_path / "out", (*NAMES, "control"), **settings) as servers:
        script = "\n".join(["set -e", *prepare, place, "echo", active, "echo", listed])
        script = script.replace("localhost:8080", f"localhost:{ports['web']}").replace(
            "localhost:50055", f"localhost:{ports['orders']}"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=clean_environment(servers.environment),
            capture_output=True,
            text=True,
            timeout=LINE_S,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    placed, resting, over_grpc = (json.loads(part) for part in _documents(done.stdout))
    assert placed["state"] == "NEW", placed
    assert [order["order_id"] for order in resting["orders"]] == [placed["order_id"]]
    assert [order["order_id"] for order in over_grpc["orders"]] == [placed["order_id"]]


def _documents(text: str) -> list[str]:
    """Split what the three calls printed."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end])
        at = end
    return found
