"""Serve a simulated market data provider: `python -m services.simulators.market_data`."""

from __future__ import annotations

import sys
import time
from typing import Final

from services.runtime.addresses import reachable
from services.runtime.settings import load
from services.runtime.web import run_web
from services.simulators.market_data.app import make_app
from services.simulators.market_data.config import ProviderSettings
from services.simulators.market_data.faults import parse_faults
from services.simulators.market_data.provider import ReferencePriceProvider
from services.simulators.market_data.quota import RequestCount

NAME: Final = "sim-market-data"


def main() -> int:
    """Start the simulator; returns the exit code."""
    settings = load(ProviderSettings)
    provider = ReferencePriceProvider(
        settings.schedule_options(),
        faults=parse_faults(settings.faults, time.time_ns()),
        quota=RequestCount(settings.per_minute, settings.per_hour, enforce=settings.quota),
        no_value=settings.no_value,
    )

    def banner(port: int) -> str:
        shown = reachable(settings.host, port)
        return (
            f"\n  market data      http://{shown}/reference-price?delivery_day=2023-05-12&delivery_hour=08-09\n"
            f"  quota            {settings.per_minute} a minute, {settings.per_hour:,} an hour"
            f"{'' if settings.quota else ' (not enforced)'}\n"
        )

    return run_web(NAME, settings, make_app(provider), setting="MIDSTREAM_SIM_MARKET_DATA_PORT", banner=banner)


if __name__ == "__main__":
    sys.exit(main())
