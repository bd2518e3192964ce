"""Every server at once, as Prometheus sees it: started on free ports, with an outside world, and scraped."""

from __future__ import annotations

import contextlib
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.cli import PATIENCE_S, ROOT
from tests.support.ports import free_port
from tests.support.serving import SERVERS, Serving, serving
from tests.support.waiting import wait_until

MONITORED: Final = ("replay", "control", "price", "health", "orders", "reporting", "power-listener", "power-etl")
"""Every server that has figures, as targets name it."""
WORLD: Final = ("sim-feed", "sim-binance", "sim-bitmex", "sim-bybit", "sim-power-exchange", "sim-market-data")
SAMPLE: Final = ROOT / "data" / "historical_sample.csv"
SPEED: Final = "0.03"
EXCHANGES: Final = ("binance", "bybit", "bitmex")
BESIDE: Final = "beside"
"""A session that is created beside the servers' own, as figures of created sessions are of nothing without one."""


@dataclass(frozen=True)
class Monitored:
    """Running servers, and where each has its figures."""

    servers: Serving
    metrics_ports: dict[str, int]

    def scrape(self, server: str) -> str:
        """Return the figures of one server as they came."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_ports[server]}/metrics", timeout=PATIENCE_S
        ) as answer:
            return str(answer.read().decode())

    def trade(self) -> None:
        """Place an order that rests and one that is executed, and ask for both, over REST."""
        created = self.servers.midstream("keys", "create", "--role", "trade", "--name", "monitored", "--json")
        assert created.code == 0, created.stderr
        key = json.loads(created.stdout)["key"]
        for number, changes in enumerate(({"type": "LIMIT", "price": "63000"}, {"type": "MARKET"})):
            body = {"exchange": "binance", "symbol": "BTC/USDT", "side": "BUY", "quantity": "0.001", **changes}
            if "price" in changes:
                body["time_in_force"] = "GTC"
            # The server has no price yet for a moment, and denies what it cannot judge.
            attempts = itertools.count(10 * number)
            wait_until(
                lambda body=body, attempts=attempts: self._rest("POST", "/v1/orders", key, body, next(attempts)),  # type: ignore[misc]
                timeout_s=PATIENCE_S,
                what="an order that is not denied",
            )
        self._rest("GET", "/v1/orders/active", key, None, 0)

    def create_session(self) -> None:
        """Create the session `BESIDE`, as slow as the servers' own, and wait until its engine and its sink run."""
        created = self.servers.midstream("session", "create", str(SAMPLE), "--name", BESIDE, "--speed", SPEED)
        assert created.code == 0, created.stderr
        for server, figure in (("replay", "replay_rows_total"), ("price", "price_mids_total")):
            drawn = f'midstream_session_{figure}{{session="{BESIDE}"}}'
            self._wait_drawn(server, drawn)

    def _wait_drawn(self, server: str, drawn: str) -> None:
        wait_until(lambda: drawn in self.scrape(server), timeout_s=PATIENCE_S, what=drawn)

    def _rest(self, method: str, path: str, key: str, body: dict[str, str] | None, number: int) -> bool:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"monitored-{number}"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{ready(self.servers.out, 'orders')['web_port']}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={**headers, "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return bool(answer.status < 300)
        except urllib.error.HTTPError as exc:
            if exc.code != 422:
                raise
            return False


@contextlib.contextmanager
def monitored(out: Path, **settings: str) -> Iterator[Monitored]:
    """Keep every server up for a block, replaying the sample at a thirtieth of its speed, trading against simulators.

    It lasts ten seconds, and whoever asks for figures of a replay wants to find one that goes on: five minutes.
    """
    # Simulators have to be known beforehand; what can be asked afterwards takes any port.
    ports = {name: free_port() for name in WORLD if name != "sim-feed"}
    chosen = {f"{_setting(name)}_PORT": str(port) for name, port in ports.items()}
    chosen |= {f"{_setting(name)}_PORT": "0" for name in MONITORED if name not in SERVERS}
    chosen |= {f"{_setting(name)}_METRICS_PORT": "0" for name in MONITORED}
    chosen |= {"ORDERS_WEB_PORT": "0", "REPORTING_WEB_PORT": "0"}
    chosen |= {f"{name.upper()}_URL": f"http://127.0.0.1:{ports[f'sim-{name}']}" for name in EXCHANGES}
    chosen |= {
        "TRADING": "simulator",
        "SPEED": SPEED,
        "DATABASE_URL": f"sqlite:///{out}/desk.db",
        "POWER_URL": f"ws://127.0.0.1:{ports['sim-power-exchange']}",
        "POWER_SPOOL": str(out / "spool"),
        "REFERENCE_URL": f"http://127.0.0.1:{ports['sim-market-data']}",
        "PRICE_EXCHANGES": ",".join(EXCHANGES),
    }
    with serving(out, (*WORLD, *MONITORED), **(chosen | settings)) as servers:
        yield Monitored(servers, {name: ready(out, name)["metrics_port"] for name in MONITORED})


def ready(out: Path, server: str) -> dict[str, Any]:
    """Return what a server says of itself: its ports."""
    found: dict[str, Any] = json.loads((out / ".midstream" / "ready" / f"{server}.json").read_text(encoding="utf-8"))
    return found


def _setting(server: str) -> str:
    return server.upper().replace("-", "_")
