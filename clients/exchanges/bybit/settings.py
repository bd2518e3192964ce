"""Base URLs of Bybit and the settings that may name others."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from clients.exchanges.bases import Environment, MarketBases, Places
from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.settings import ExchangeSettings

_REGIONS: Final = ("nl", "tr", "kz", "ae", "eu", "id")
"""An account that was opened at one of these has to use it."""

PLACES: Final = Places(
    exchange="bybit",
    fixed={
        Environment.TESTNET: dict.fromkeys(
            MARKETS, MarketBases("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com")
        ),
        Environment.PROD: dict.fromkeys(MARKETS, MarketBases("https://api.bybit.com", "wss://stream.bybit.com")),
    },
    # Its demo accounts are left out: they trade by the prices of production, which no host of a testnet streams.
    hosts={
        Environment.TESTNET: frozenset({"api-testnet.bybit.com", "stream-testnet.bybit.com"}),
        Environment.PROD: frozenset(
            {
                "api.bybit.com",
                "api.bytick.com",
                "stream.bybit.com",
                "api.bybitgeorgia.ge",
                "stream.bybitgeorgia.ge",
                "api.manepa.jp",
                "stream.manepa.jp",
                *(f"{kind}.bybit.{region}" for kind in ("api", "stream") for region in _REGIONS),
            }
        ),
    },
    simulator=dict.fromkeys(MARKETS, MarketBases("", "")),
    simulator_origin="http://127.0.0.1:5090",
)


class BybitSettings(ExchangeSettings):
    """Bybit: spot, linear and inverse behind one API."""

    places: ClassVar[Places] = PLACES

    bybit_url: str = Field(default="", repr=False)
    """Origin of the simulator where it is not on port 5090; loopback only."""

    bybit_rest_url: str = Field(default="", repr=False)
    """REST API, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    bybit_stream_url: str = Field(default="", repr=False)
    """Streams, where they are not those of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
