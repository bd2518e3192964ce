"""Serve a simulated BitMEX: `python -m services.simulators.bitmex`."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from services.runtime.settings import load
from services.simulators.bitmex.exchange import DEMO_ACCOUNT
from services.simulators.bitmex.simulator import SimulatedBitmex
from services.simulators.venue.settings import VenueSettings, serve

PORT = 5080


class BitmexSimSettings(VenueSettings):
    """Settings of the simulator."""

    error_names: ClassVar[tuple[str, ...]] = SimulatedBitmex.error_names

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias="MIDSTREAM_SIM_BITMEX_PORT")
    faults: str = Field(default="", validation_alias="MIDSTREAM_SIM_BITMEX_FAULTS")
    seed: int = Field(default=20251009, validation_alias="MIDSTREAM_SIM_BITMEX_SEED")
    step_s: float = Field(default=0.25, gt=0, le=60, validation_alias="MIDSTREAM_SIM_BITMEX_STEP")
    volatility: float = Field(default=1.0, ge=0, le=100, validation_alias="MIDSTREAM_SIM_BITMEX_VOLATILITY")
    depth: Decimal = Field(default=Decimal(1), gt=0, le=1000, validation_alias="MIDSTREAM_SIM_BITMEX_DEPTH")
    keys: str = Field(default="", repr=False, validation_alias="MIDSTREAM_SIM_BITMEX_KEYS")
    levers: Literal["here", "anywhere"] = Field(default="here", validation_alias="MIDSTREAM_SIM_BITMEX_LEVERS")


def main() -> int:
    """Start the simulator; return the exit code."""
    settings = load(BitmexSimSettings)
    venue = SimulatedBitmex(
        options=settings.options(),
        accounts=settings.accounts(DEMO_ACCOUNT),
        faults=settings.rules(),
    )
    return serve(venue, settings)


if __name__ == "__main__":
    sys.exit(main())
