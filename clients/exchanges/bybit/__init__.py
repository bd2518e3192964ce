"""Bybit: spot, linear and inverse."""

from collections.abc import Mapping

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import MarketBases
from clients.exchanges.bybit import limits
from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.endpoints import ENDPOINTS
from clients.exchanges.bybit.settings import BybitSettings
from clients.exchanges.bybit.trading import BybitTrading
from clients.exchanges.client import ExchangeClient
from clients.exchanges.trading import TradingClient

__all__ = ["ENDPOINTS", "RULES", "SETTINGS", "BybitClient", "BybitTrading", "create_client", "create_trading"]

SETTINGS = BybitSettings
RULES = (limits.RULES,)


def create_client(ports: ClientPorts, bases: Mapping[str, MarketBases]) -> ExchangeClient:
    """Return a client of Bybit."""
    return BybitClient(ports, bases)


def create_trading(client: ExchangeClient) -> TradingClient:
    """Return order entry over such a client."""
    if not isinstance(client, BybitClient):
        raise TypeError(f"order entry at Bybit needs a BybitClient, not a {type(client).__name__}")
    return BybitTrading(client)
