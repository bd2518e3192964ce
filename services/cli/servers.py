"""The servers there are, and where those of this machine are reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.addresses import ADMIN_HOST, host_and_port, reachable


@dataclass(frozen=True)
class Server:
    """One server: its module, its usual port and what speaks there; what it needs."""

    module: str
    port: int
    scheme: str = "grpc"
    redis: bool = True
    service: str = ""
    """Full name of its gRPC service; empty where it takes no calls."""
    web: int = 0
    """Usual port of its web face; 0 has none."""
    in_default: bool = True
    """Whether `midstream serve` without names starts it."""
    says_hello: bool = False
    """Whether its first page says how to use it."""


SERVERS: Mapping[str, Server] = {
    "replay": Server("services.replay", 50051, service="midstream.replay.v1.ReplayService"),
    "control": Server("services.control", 50052, service="midstream.control.v1.ControlService"),
    "price": Server("services.price", 50053, service="midstream.price.v1.PriceService"),
    "health": Server("services.health", 50054, service="midstream.health.v1.HealthService"),
    "orders": Server("services.orders", 50055, service="midstream.orders.v1.OrderService", web=8080),
    "reporting": Server(
        "services.reporting", 50056, redis=False, service="midstream.reporting.v1.ReportingService", web=8081
    ),
    "power-listener": Server("services.power.listener", 50057, redis=False, in_default=False),
    "power-etl": Server("services.power.etl", 50058, redis=False, in_default=False),
    "sim-feed": Server("services.simulators.feed", 5040, "ws", redis=False),
    "sim-binance": Server("services.simulators.binance", 5070, "http", redis=False, says_hello=True),
    "sim-bitmex": Server("services.simulators.bitmex", 5080, "http", redis=False, says_hello=True),
    "sim-bybit": Server("services.simulators.bybit", 5090, "http", redis=False, says_hello=True),
    "sim-power-exchange": Server("services.simulators.power_exchange", 5050, "ws", redis=False, in_default=False),
    "sim-market-data": Server("services.simulators.market_data", 5060, "http", redis=False, in_default=False),
}
"""By the name on the command line, in the order of starting; the first of those that do not only watch is stopped before the others."""
DEFAULT_PORTS = {name: server.port for name, server in SERVERS.items() if server.scheme == "grpc"}


def host() -> str:
    """Return the host that servers here listen on: the one place where commands read MIDSTREAM_HOST."""
    return os.environ.get("MIDSTREAM_HOST") or "127.0.0.1"


def admin_reached(port: object) -> str:
    """Return where the health of a server here is asked in plain text."""
    return reachable(os.environ.get("MIDSTREAM_ADMIN_HOST") or ADMIN_HOST, str(port))


def reached(port: object) -> str:
    """Return `host:port` of something that a server here listens on."""
    return reachable(host(), str(port))


def listens(port: object) -> str:
    """Return `host:port` as a server here was told to listen, which may be on every address."""
    return host_and_port(host(), str(port))


def environment_prefix(name: str) -> str:
    """Return what the names of a server's own settings begin with."""
    return f"MIDSTREAM_{name.upper().replace('-', '_')}"


def port_of(name: str) -> str:
    """Return the port of a server, as the environment or the table says."""
    return os.environ.get(f"{environment_prefix(name)}_PORT") or str(SERVERS[name].port)


def web_port_of(name: str) -> str:
    """Return the port of a server's web face."""
    return os.environ.get(f"{environment_prefix(name)}_WEB_PORT") or str(SERVERS[name].web)


def address_of(name: str) -> str:
    """Return where a server of this machine is reached."""
    return reached(port_of(name))
