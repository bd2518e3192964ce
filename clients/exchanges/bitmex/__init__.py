"""BitMEX: spot, perpetuals and dated futures."""

from collections.abc import Mapping

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import MarketBases
from clients.exchanges.bitmex import limits
from clients.exchanges.bitmex.client import BitMEXClient
from clients.exchanges.bitmex.endpoints import ENDPOINTS
from clients.exchanges.bitmex.settings import BitmexSettings
from clients.exchanges.bitmex.trading import BitMEXTrading
from clients.exchanges.client import ExchangeClient
from clients.exchanges.trading import TradingClient

__all__ = ["ENDPOINTS", "RULES", "SETTINGS", "BitMEXClient", "BitMEXTrading", "create_client", "create_trading"]

SETTINGS = BitmexSettings
RULES = (limits.RULES,)


def create_client(ports: ClientPorts, bases: Mapping[str, MarketBases]) -> ExchangeClient:
    """Return a client of BitMEX."""
    return BitMEXClient(ports, bases)


def create_trading(client: ExchangeClient) -> TradingClient:
    """Return order entry over such a client."""
    if not isinstance(client, BitMEXClient):
        raise TypeError(f"order entry at BitMEX needs a BitMEXClient, not a {type(client).__name__}")
    return BitMEXTrading(client)
