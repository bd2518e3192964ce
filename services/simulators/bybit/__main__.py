"""Serve a simulated Bybit: `python -m services.simulators.bybit`."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from services.runtime.settings import load
from services.simulators.bybit.exchange import DEMO_ACCOUNT
from services.simulators.bybit.sightings import RowDelays
from services.simulators.bybit.simulator import SimulatedBybit
from services.simulators.venue.settings import VenueSettings, serve

PORT = 5090


class BybitSimSettings(VenueSettings):
    """Settings of the simulator."""

    error_names: ClassVar[tuple[str, ...]] = SimulatedBybit.error_names

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias="MIDSTREAM_SIM_BYBIT_PORT")
    faults: str = Field(default="", validation_alias="MIDSTREAM_SIM_BYBIT_FAULTS")
    seed: int = Field(default=20251009, validation_alias="MIDSTREAM_SIM_BYBIT_SEED")
    step_s: float = Field(default=0.25, gt=0, le=60, validation_alias="MIDSTREAM_SIM_BYBIT_STEP")
    volatility: float = Field(default=1.0, ge=0, le=100, validation_alias="MIDSTREAM_SIM_BYBIT_VOLATILITY")
    depth: Decimal = Field(default=Decimal(1), gt=0, le=1000, validation_alias="MIDSTREAM_SIM_BYBIT_DEPTH")
    keys: str = Field(default="", repr=False, validation_alias="MIDSTREAM_SIM_BYBIT_KEYS")
    levers: Literal["here", "anywhere"] = Field(default="here", validation_alias="MIDSTREAM_SIM_BYBIT_LEVERS")
    row_delay_s: float = Field(default=0.2, ge=0, le=60, validation_alias="MIDSTREAM_SIM_BYBIT_ROW_DELAY")
    """How long, at most, the row of an order takes after its acknowledgement; history takes up to two and a half times as long again."""

    def delays(self) -> RowDelays:
        """Return how long rows take, from a tenth of the most on."""
        most_s = self.row_delay_s
        return RowDelays(row_s=(most_s / 10, most_s), history_s=(most_s / 4, most_s * 2.5))


def main() -> int:
    """Start the simulator; return the exit code."""
    settings = load(BybitSimSettings)
    venue = SimulatedBybit(
        options=settings.options(),
        delays=settings.delays(),
        accounts=settings.accounts(DEMO_ACCOUNT),
        faults=settings.rules(),
    )
    return serve(venue, settings)


if __name__ == "__main__":
    sys.exit(main())
