"""Base URLs of BitMEX and the settings that may name others."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from clients.exchanges.bases import MarketBases, Places
from clients.exchanges.settings import ExchangeSettings

PLACES: Final = Places(
    exchange="bitmex",
    # It has closed: there is nowhere to go but the simulator.
    fixed={},
    hosts={},
    simulator={"bitmex": MarketBases("", "")},
    simulator_origin="http://127.0.0.1:5080",
)


class BitmexSettings(ExchangeSettings):
    """BitMEX: one API for everything. It has closed, so this is about its simulator."""

    places: ClassVar[Places] = PLACES

    bitmex_url: str = Field(default="", repr=False)
    """Origin of the simulator where it is not on port 5080; loopback only."""

    bitmex_rest_url: str = Field(default="", repr=False)
    """REST API of the simulator, where it is not on MIDSTREAM_BITMEX_URL; loopback only."""
    bitmex_stream_url: str = Field(default="", repr=False)
    """Streams of the simulator, where they are not on MIDSTREAM_BITMEX_URL; loopback only."""
