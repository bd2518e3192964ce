"""From the name of an exchange to its client, its order entry and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import MarketBases
from clients.exchanges.client import ExchangeClient
from clients.exchanges.endpoints import Endpoints
from clients.exchanges.names import EXCHANGES
from clients.exchanges.settings import ExchangeSettings
from clients.exchanges.trading import TradingClient
from clients.resilience.limiter import ScopeRules

NO_ENDPOINTS: Final = Endpoints((), {})


class ExchangePackage(Protocol):
    """What the `__init__.py` of an exchange's package offers."""

    @property
    def SETTINGS(self) -> type[ExchangeSettings]:
        """Where it is, and which variables say otherwise."""
        ...

    @property
    def RULES(self) -> Sequence[ScopeRules]:
        """The limits that it keeps, by scope."""
        ...

    @property
    def ENDPOINTS(self) -> Endpoints:
        """What it may be asked, so that its figures are there before the first call; a package may leave this out."""
        ...

    def create_client(self, ports: ClientPorts, bases: Mapping[str, MarketBases]) -> ExchangeClient: ...

    def create_trading(self, client: ExchangeClient) -> TradingClient:
        """Return order entry over a client that `create_client` made; a package for prices only leaves this out."""
        ...


class NoOrderEntry(LookupError):
    """The exchange can be read, and not traded on. Says which one."""


def exchange_package(name: str) -> ExchangePackage:
    """Return the package of an exchange; an unknown name is a ValueError that lists the known ones."""
    if name not in EXCHANGES:
        raise ValueError(f"no exchange {name[:32]!r}; there are {', '.join(EXCHANGES)}")
    return cast(ExchangePackage, import_module(EXCHANGES[name]))


def settings_class(name: str) -> type[ExchangeSettings]:
    """Return the settings of an exchange; making one reads the environment."""
    return exchange_package(name).SETTINGS


def endpoints(name: str) -> Endpoints:
    """Return what an exchange may be asked; nothing where its package does not say: its figures then begin with the first call."""
    found: Endpoints = getattr(exchange_package(name), "ENDPOINTS", NO_ENDPOINTS)
    return found


def limit_scopes(name: str) -> Sequence[ScopeRules]:
    """Return the limits that an exchange keeps: what a limiter for it is made of."""
    return exchange_package(name).RULES


def create_client(name: str, ports: ClientPorts, bases: Mapping[str, MarketBases]) -> ExchangeClient:
    """Return a client of the exchange; the caller closes it, and keeps transport and executor open until then."""
    return exchange_package(name).create_client(ports, bases)


def create_trading(name: str, client: ExchangeClient) -> TradingClient:
    """Return order entry over a client of the same exchange; raise NoOrderEntry where its package has none."""
    package = exchange_package(name)
    if not hasattr(package, "create_trading"):
        raise NoOrderEntry(f"{name} is there for its prices only: its package has no `create_trading`")
    return package.create_trading(client)
