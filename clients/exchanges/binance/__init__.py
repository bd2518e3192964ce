"""Binance: spot, USD-M and COIN-M."""

from collections.abc import Mapping

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import MarketBases
from clients.exchanges.binance.client import BinanceClient
from clients.exchanges.binance.endpoints import ENDPOINTS
from clients.exchanges.binance.settings import BinanceSettings
from clients.exchanges.binance.trading import BinanceTrading
from clients.exchanges.binance.weights import RULES
from clients.exchanges.client import ExchangeClient
from clients.exchanges.trading import TradingClient

__all__ = ["ENDPOINTS", "RULES", "SETTINGS", "BinanceClient", "BinanceTrading", "create_client", "create_trading"]

SETTINGS = BinanceSettings


def create_client(ports: ClientPorts, bases: Mapping[str, MarketBases]) -> ExchangeClient:
    """Return a client of Binance."""
    return BinanceClient(ports, bases)


def create_trading(client: ExchangeClient) -> TradingClient:
    """Return order entry over such a client."""
    if not isinstance(client, BinanceClient):
        raise TypeError(f"order entry at Binance needs a BinanceClient, not a {type(client).__name__}")
    return BinanceTrading(client)
