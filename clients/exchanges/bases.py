"""Base URLs of the exchanges per environment and market, and which other URLs a setting may name."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final
from urllib.parse import urlsplit

from clients.exchanges.names import check_open


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


_PORTS: Final = frozenset({None, 443, 9443})


@dataclass(frozen=True)
class Places:
    """Where one exchange is, in every environment; the package of the exchange declares it."""

    exchange: str
    fixed: Mapping[Environment, Mapping[str, MarketBases]]
    """Testnet and production: bases by market. An exchange that has closed has neither: nobody knows whose its names will be."""
    hosts: Mapping[Environment, frozenset[str]]
    """Hosts that an override may name, of one environment only: it can never turn a testnet into production."""
    simulator: Mapping[str, MarketBases]
    """Paths by market behind the simulator's origin."""
    simulator_origin: str = ""
    """Where the simulator listens unless somebody says otherwise; empty where there is none of our own."""

    def bases(self, environment: Environment, *, simulator_origin: str = "") -> Mapping[str, MarketBases]:
        """Return the bases of all markets; raise ValueError where the exchange is not in this environment, or has closed."""
        if environment is not Environment.SIMULATOR:
            check_open((self.exchange,), environment)
            if environment not in self.fixed:
                raise ValueError(f"{self.exchange} has no {environment.value} environment")
            return self.fixed[environment]
        origin = simulator_origin or self.simulator_origin
        if not origin:
            raise ValueError(f"{self.exchange} has no simulator: MIDSTREAM_{self.exchange.upper()}_URL has to name one")
        socket = "ws" + origin.removeprefix("http")
        return {
            market: MarketBases(
                origin + paths.rest,
                socket + paths.stream,
                socket + paths.websocket_api if paths.websocket_api else "",
            )
            for market, paths in self.simulator.items()
        }

    def checked_url(self, environment: Environment, url: str, *, socket: bool = False) -> str:
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
        allowed = self.hosts.get(environment, frozenset())
        if host not in allowed or port not in _PORTS:
            raise ValueError(
                f"must name one of {self.exchange}'s {environment.value} hosts: {', '.join(sorted(allowed))}"
            )
        return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether a URL's host is this machine, in the usual spellings only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
