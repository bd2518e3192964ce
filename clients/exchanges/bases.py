"""Where the exchanges are: base URLs per environment and market, and which other URLs a setting may name."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final
from urllib.parse import urlsplit


@unique
class Environment(StrEnum):
    """Which exchanges everything talks to; one setting decides for all."""

    SIMULATOR = "simulator"
    TESTNET = "testnet"
    PROD = "prod"


@dataclass(frozen=True)
class MarketBases:
    """Roots without a final slash; the client adds paths (`/api/v3/...`, `/ws`, `/public`, `/realtime`)."""

    rest: str
    stream: str
    websocket_api: str = ""
    """Complete URL of the request API over a websocket; empty where there is none."""


SIMULATOR_ORIGINS: Final[Mapping[str, str]] = {
    "binance": "http://127.0.0.1:5070",
    "bitmex": "http://127.0.0.1:5080",
}

_BINANCE_TESTNET: Final = {
    "spot": MarketBases(
        "https://testnet.binance.vision",
        "wss://stream.testnet.binance.vision",
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    "usdm": MarketBases("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com"),
    "coinm": MarketBases("https://testnet.binancefuture.com", "wss://dstream.binancefuture.com"),
}
_BINANCE_PROD: Final = {
    "spot": MarketBases(
        "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3"
    ),
    "usdm": MarketBases("https://fapi.binance.com", "wss://fstream.binance.com"),
    "coinm": MarketBases("https://dapi.binance.com", "wss://dstream.binance.com"),
}

_FIXED: Final[Mapping[tuple[str, Environment], Mapping[str, MarketBases]]] = {
    ("binance", Environment.TESTNET): _BINANCE_TESTNET,
    ("binance", Environment.PROD): _BINANCE_PROD,
    ("bitmex", Environment.TESTNET): {
        "bitmex": MarketBases("https://testnet.bitmex.com", "wss://ws.testnet.bitmex.com"),
    },
    ("bitmex", Environment.PROD): {"bitmex": MarketBases("https://www.bitmex.com", "wss://ws.bitmex.com")},
}

ALLOWED_HOSTS: Final[Mapping[tuple[str, Environment], frozenset[str]]] = {
    ("binance", Environment.TESTNET): frozenset(
        {
            "testnet.binance.vision",
            "stream.testnet.binance.vision",
            "ws-api.testnet.binance.vision",
            "demo-api.binance.com",
            "demo-stream.binance.com",
            "demo-fapi.binance.com",
            "demo-fstream.binance.com",
            "demo-dapi.binance.com",
            "testnet.binancefuture.com",
            "fstream.binancefuture.com",
            "dstream.binancefuture.com",
        }
    ),
    ("binance", Environment.PROD): frozenset(
        {
            "api.binance.com",
            "api1.binance.com",
            "api2.binance.com",
            "api3.binance.com",
            "api4.binance.com",
            "api-gcp.binance.com",
            "data-api.binance.vision",
            "fapi.binance.com",
            "dapi.binance.com",
            "stream.binance.com",
            "data-stream.binance.vision",
            "fstream.binance.com",
            "dstream.binance.com",
            "ws-api.binance.com",
            "ws-fapi.binance.com",
            "ws-dapi.binance.com",
        }
    ),
    ("bitmex", Environment.TESTNET): frozenset({"testnet.bitmex.com", "ws.testnet.bitmex.com"}),
    ("bitmex", Environment.PROD): frozenset({"www.bitmex.com", "ws.bitmex.com"}),
}
"""Hosts of one environment only: an override can never turn a testnet into production."""

_PORTS: Final = frozenset({None, 443, 9443})


def default_bases(exchange: str, environment: Environment, *, simulator_origin: str = "") -> Mapping[str, MarketBases]:
    """Return the bases of all markets of an exchange."""
    if environment is not Environment.SIMULATOR:
        return _FIXED[exchange, environment]
    origin = simulator_origin or SIMULATOR_ORIGINS[exchange]
    socket = "ws" + origin.removeprefix("http")
    if exchange == "bitmex":
        return {"bitmex": MarketBases(origin, socket)}
    return {
        "spot": MarketBases(origin, socket, f"{socket}/ws-api/v3"),
        "usdm": MarketBases(origin, f"{socket}/fstream"),
        "coinm": MarketBases(origin, f"{socket}/dstream"),
    }


def checked_url(exchange: str, environment: Environment, url: str, *, socket: bool = False) -> str:
    """Return the URL as a base (no final slash); raise ValueError unless its host is loopback or one of the environment's own.

    Loopback may be plain text; everything else is TLS. No user, query, fragment or odd port; the simulator is loopback only.
    """
    secure, plain = ("wss", "ws") if socket else ("https", "http")
    if any(character.isspace() or not character.isprintable() for character in url) or "\\" in url or "%" in url:
        raise ValueError(f"must be a plain {secure}:// URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"must be a plain {secure}:// URL") from None
    host = parts.hostname or ""
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must hold no user, no query and no fragment")
    if ".." in parts.path.split("/"):
        raise ValueError("must hold no `..`")
    if is_loopback(host):
        if parts.scheme not in (secure, plain):
            raise ValueError(f"must begin with {plain}:// or {secure}://")
        return url.rstrip("/")
    if environment is Environment.SIMULATOR:
        raise ValueError("must be on this machine (127.0.0.1, ::1, localhost), as the simulators are")
    if parts.scheme != secure:
        raise ValueError(f"must begin with {secure}://")
    allowed = ALLOWED_HOSTS[exchange, environment]
    if host not in allowed or port not in _PORTS:
        raise ValueError(f"must name one of {exchange}'s {environment.value} hosts: {', '.join(sorted(allowed))}")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether a URL's host is this machine, in the usual spellings only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
