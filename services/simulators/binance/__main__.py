"""Serve a simulated Binance: `python -m services.simulators.binance`."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from services.runtime.settings import load
from services.simulators.binance.exchange import DEMO_ACCOUNT, DEMO_ED25519
from services.simulators.binance.simulator import LIFETIME_S, SimulatedBinance
from services.simulators.venue.settings import VenueSettings, serve

PORT = 5070


class BinanceSimSettings(VenueSettings):
    """Settings of the simulator."""

    error_names: ClassVar[tuple[str, ...]] = SimulatedBinance.error_names

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias="MIDSTREAM_SIM_BINANCE_PORT")
    faults: str = Field(default="", validation_alias="MIDSTREAM_SIM_BINANCE_FAULTS")
    seed: int = Field(default=20251009, validation_alias="MIDSTREAM_SIM_BINANCE_SEED")
    step_s: float = Field(default=0.25, gt=0, le=60, validation_alias="MIDSTREAM_SIM_BINANCE_STEP")
    volatility: float = Field(default=1.0, ge=0, le=100, validation_alias="MIDSTREAM_SIM_BINANCE_VOLATILITY")
    depth: Decimal = Field(default=Decimal(1), gt=0, le=1000, validation_alias="MIDSTREAM_SIM_BINANCE_DEPTH")
    keys: str = Field(default="", repr=False, validation_alias="MIDSTREAM_SIM_BINANCE_KEYS")
    levers: Literal["here", "anywhere"] = Field(default="here", validation_alias="MIDSTREAM_SIM_BINANCE_LEVERS")
    socket_lifetime_s: float = Field(default=LIFETIME_S, gt=0, validation_alias="MIDSTREAM_SIM_BINANCE_SOCKET_LIFETIME")
    """Streams end after that many seconds; less than a day shows whether clients come back."""


def main() -> int:
    """Start the simulator; return the exit code."""
    settings = load(BinanceSimSettings)
    venue = SimulatedBinance(
        options=settings.options(),
        accounts=(*settings.accounts(DEMO_ACCOUNT), DEMO_ED25519),
        faults=settings.rules(),
        socket_lifetime_s=settings.socket_lifetime_s,
    )
    return serve(venue, settings)


if __name__ == "__main__":
    sys.exit(main())
