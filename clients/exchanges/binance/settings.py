"""Base URLs of Binance and the settings that may name others."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from clients.exchanges.bases import Environment, MarketBases, Places
from clients.exchanges.settings import ExchangeSettings

PLACES: Final = Places(
    exchange="binance",
    fixed={
        Environment.TESTNET: {
            "spot": MarketBases(
                "https://testnet.binance.vision",
                "wss://stream.testnet.binance.vision",
                "wss://ws-api.testnet.binance.vision/ws-api/v3",
            ),
            "usdm": MarketBases("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com"),
            "coinm": MarketBases("https://testnet.binancefuture.com", "wss://dstream.binancefuture.com"),
        },
        Environment.PROD: {
            "spot": MarketBases(
                "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3"
            ),
            "usdm": MarketBases("https://fapi.binance.com", "wss://fstream.binance.com"),
            "coinm": MarketBases("https://dapi.binance.com", "wss://dstream.binance.com"),
        },
    },
    hosts={
        Environment.TESTNET: frozenset(
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
        Environment.PROD: frozenset(
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
    },
    simulator={
        "spot": MarketBases("", "", "/ws-api/v3"),
        "usdm": MarketBases("", "/fstream"),
        "coinm": MarketBases("", "/dstream"),
    },
    simulator_origin="http://127.0.0.1:5070",
)


class BinanceSettings(ExchangeSettings):
    """Binance: spot, USD-M, COIN-M."""

    places: ClassVar[Places] = PLACES

    binance_url: str = Field(default="", repr=False)
    """Origin of the simulator where it is not on port 5070; loopback only."""

    binance_spot_rest_url: str = Field(default="", repr=False)
    """REST API of spot, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_spot_stream_url: str = Field(default="", repr=False)
    """Streams of spot, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_spot_websocket_api_url: str = Field(default="", repr=False)
    """Websocket API of spot, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_usdm_rest_url: str = Field(default="", repr=False)
    """REST API of USD-M futures, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_usdm_stream_url: str = Field(default="", repr=False)
    """Streams of USD-M futures, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_coinm_rest_url: str = Field(default="", repr=False)
    """REST API of COIN-M futures, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
    binance_coinm_stream_url: str = Field(default="", repr=False)
    """Streams of COIN-M futures, where it is not the one of MIDSTREAM_EXCHANGES; only hosts of that environment, or loopback."""
