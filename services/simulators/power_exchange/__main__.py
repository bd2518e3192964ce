"""Serve a simulated power exchange: `python -m services.simulators.power_exchange`."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import replace
from typing import Final

from services.runtime.addresses import reachable
from services.runtime.descriptors import announce_budget, descriptor_budget
from services.runtime.errors import StartRefused
from services.runtime.listening import run_listener, stop_on_signals
from services.runtime.log_fields import fields
from services.runtime.ready import ready_file
from services.runtime.settings import load
from services.runtime.web import WebLimits
from services.simulators.power_exchange.config import PowerExchangeSettings
from services.simulators.power_exchange.faults import parse_faults
from services.simulators.power_exchange.script import PowerExchangeScript
from services.simulators.power_exchange.server import PowerExchange

NAME: Final = "sim-power-exchange"
logger = logging.getLogger("services.simulators.power_exchange")


async def run(settings: PowerExchangeSettings) -> int:
    """Serve until SIGTERM or SIGINT."""
    options, now_ns = settings.script_options(), time.time_ns()
    exchange = PowerExchange(
        PowerExchangeScript(now_ns, options),
        replay=settings.replay,
        kind=settings.kind,
        faults=parse_faults(settings.faults),
        limits=WebLimits.of(settings, descriptor_budget().alone),
        hosts=settings.web_hosts,
    )
    # From a start of their own, so that no id comes twice.
    for deal in PowerExchangeScript(
        now_ns - 1, replace(options, gap_min_s=0, gap_max_s=0, revision_share=0, deals_max=settings.burst)
    ):
        exchange.publish(deal)
    try:
        port = await exchange.start(settings.host, settings.port)
    except OSError as exc:
        raise StartRefused(
            f"cannot listen on {settings.host}:{settings.port} ({os.strerror(exc.errno or 0)}): "
            "stop the other process or set MIDSTREAM_SIM_POWER_EXCHANGE_PORT"
        ) from exc
    stopping = stop_on_signals()
    announce_budget()
    logger.info("serving", extra=fields(url=f"ws://{settings.host}:{port}", replay=settings.replay))
    if sys.stderr.isatty():
        print(banner(settings, port), file=sys.stderr)  # noqa: T201  (for the person who started it by hand)
    with ready_file(settings.ready_file, NAME, port=port):
        await stopping.wait()
    await exchange.stop()
    return 0


def banner(settings: PowerExchangeSettings, port: int) -> str:
    """Return what a person wants to know."""
    shown = reachable(settings.host, port)
    return (
        f"\n  power exchange   ws://{shown}\n"
        f"  its deals        http://{shown}/deals\n"
        f"  a deal every     {settings.gap_min_s:g} to {settings.gap_max_s:g} s, "
        f"replay {'on' if settings.replay else 'off'}\n"
    )


def main() -> int:
    """Start the simulator; returns the exit code."""
    settings = load(PowerExchangeSettings)
    return run_listener(NAME, settings, run(settings))


if __name__ == "__main__":
    sys.exit(main())
