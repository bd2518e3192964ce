"""Serve a simulated Binance whose limits are out of the way: `python -m benchmarks.order_venue`.

The one that users start keeps the real exchange's limits, 6,000 of weight a minute, and so does a client that has read them: it
would be the limits that are measured. Everything else is as in `python -m services.simulators.binance`, its settings too.
"""

from __future__ import annotations

import sys
from typing import Final

from services.runtime.settings import load
from services.runtime.web import run_web
from services.simulators.binance.__main__ import BinanceSimSettings
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.venue.web import VenueApp

PLENTY: Final = 10_000_000
LIMITS: Final = LimitOptions(
    spot_weight=PLENTY,
    futures_weight=PLENTY,
    spot_orders_10s=PLENTY,
    spot_orders_day=PLENTY,
    futures_orders_10s=PLENTY,
    futures_orders_minute=PLENTY,
)


def main() -> int:
    """Start the simulator; return the exit code."""
    settings = load(BinanceSimSettings)
    venue = SimulatedBinance(options=settings.options(), limits=LIMITS)
    return run_web(
        "sim-binance", settings, VenueApp(venue), setting="MIDSTREAM_SIM_BINANCE_PORT", banner=str, date_header=False
    )


if __name__ == "__main__":
    sys.exit(main())
