"""Base URLs of BitMEX and the settings that may name others."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from clients.exchanges.bases import Environment, MarketBases, Places
from clients.exchanges.settings import ExchangeSettings

PLACES: Final = Places(
    exchange="bitmex",
    fixed={
        Environment.TESTNET: {"bitmex": MarketBases("https://testnet.bitmex.com", "wss://ws.testnet.bitmex.com")},
        Environment.PROD: {"bitmex": MarketBases("https://www.bitmex.com", "wss://ws.bitmex.com")},
    },
    hosts={
        Environment.TESTNET: frozenset({"testnet.bitmex.com", "ws.testnet.bitmex.com"}),
        Environment.PROD: frozenset({"www.bitmex.com", "ws.bitmex.com"}),
    },
    simulator={"bitmex": MarketBases("", "")},
    simulator_origin="http://127.0.0.1:5080",
)


class BitmexSettings(ExchangeSettings):
    """BitMEX: one API for everything."""

    places: ClassVar[Places] = PLACES

    bitmex_url: str = Field(default="", repr=False)
    """Origin of the simulator where it is not on port 5080; loopback only."""

    bitmex_rest_url: str = Field(default="", repr=False)
    """REST API, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    bitmex_stream_url: str = Field(default="", repr=False)
    """Streams, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
