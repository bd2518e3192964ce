"""Serve a simulated Binance: `python -m services.simulators.binance`."""

from __future__ import annotations

import sys
from decimal import Decimal

from pydantic import Field, field_validator

from services.runtime.settings import load
from services.runtime.web import run_web
from services.simulators.binance.exchange import DEMO_ACCOUNT
from services.simulators.binance.simulator import LIFETIME_S, SimulatedBinance
from services.simulators.binance.welcome import welcome_text
from services.simulators.venue.faults import parse_faults
from services.simulators.venue.settings import VenueSettings, read_keys
from services.simulators.venue.web import VenueApp

PORT = 5070


class BinanceSimSettings(VenueSettings):
    """Settings of the simulator."""

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias="MIDSTREAM_SIM_BINANCE_PORT")
    faults: str = Field(default="", validation_alias="MIDSTREAM_SIM_BINANCE_FAULTS")
    """What goes wrong, see services/simulators/venue/faults.py."""
    seed: int = Field(default=20251009, validation_alias="MIDSTREAM_SIM_BINANCE_SEED")
    """The same seed gives the same prices."""
    step_s: float = Field(default=0.25, gt=0, le=60, validation_alias="MIDSTREAM_SIM_BINANCE_STEP")
    """Seconds between two moves of the market."""
    volatility: float = Field(default=1.0, ge=0, le=100, validation_alias="MIDSTREAM_SIM_BINANCE_VOLATILITY")
    """Factor of how far prices move; 0 stands still."""
    depth: Decimal = Field(default=Decimal(1), gt=0, le=1000, validation_alias="MIDSTREAM_SIM_BINANCE_DEPTH")
    """Factor of the quantities in the simulated book."""
    keys: str = Field(default="", repr=False, validation_alias="MIDSTREAM_SIM_BINANCE_KEYS")
    """More accounts: name:key:secret,..."""

    socket_lifetime_s: float = Field(default=LIFETIME_S, gt=0, validation_alias="MIDSTREAM_SIM_BINANCE_SOCKET_LIFETIME")
    """Streams end after that many seconds; less than a day shows whether clients come back."""

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, value: str) -> str:
        parse_faults(value, errors=SimulatedBinance.error_names)
        return value

    @field_validator("keys")
    @classmethod
    def _check_keys(cls, value: str) -> str:
        read_keys(value)
        return value


def main() -> int:
    """Start the simulator; return the exit code."""
    settings = load(BinanceSimSettings)
    venue = SimulatedBinance(
        options=settings.options(),
        accounts=(DEMO_ACCOUNT, *read_keys(settings.keys)),
        faults=parse_faults(settings.faults, errors=SimulatedBinance.error_names),
        socket_lifetime_s=settings.socket_lifetime_s,
    )
    return run_web(
        "sim-binance",
        settings,
        VenueApp(venue),
        setting="MIDSTREAM_SIM_BINANCE_PORT",
        banner=lambda port: welcome_text(f"http://{settings.host}:{port}", DEMO_ACCOUNT),
        date_header=False,
    )


if __name__ == "__main__":
    sys.exit(main())
