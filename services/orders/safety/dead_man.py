"""Keep the exchanges' own cancel-all timers running: our process may die, our orders must not outlive it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from clients.exchanges.model import Instrument
from clients.exchanges.trading import DeadManScope
from services.orders.journal.ledger import OrderLedger
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.venues import CLIENT_ERRORS, Venue
from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 60.0
REFRESH_S: Final = 15.0
"""A quarter of the timeout, so that three refreshes in a row may fail."""

Timer = tuple[DeadManScope, str, str]
"""One timer of an exchange: its scope, the market and the symbol that it covers; empty where it covers all of them."""


class DeadMan:
    """One exchange. Armed while orders of ours are open there, disarmed when none is left.

    It is left armed when the server ends with open orders: nobody watches them any more.
    """

    def __init__(self, venue: Venue, ledger: OrderLedger, ports: Ports, observer: DeskObserver) -> None:
        self._venue = venue
        self._ledger = ledger
        self._ports = ports
        self._observer = observer
        self._armed: dict[Timer, list[Instrument]] = {}
        """Timers that may be running, with the instruments that they were armed for."""

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except (*CLIENT_ERRORS, MidstreamError) as exc:
                logger.warning("dead-man timer not refreshed", extra=fields(exchange=self._venue.exchange, error=exc))
                self._observer.dead_man_refreshed(self._venue.exchange, False)
            await self._ports.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Arm or refresh where orders are open, disarm where none is any more."""
        wanted = await self._wanted()
        released = {timer: instruments for timer, instruments in self._armed.items() if timer not in wanted}
        # Before they are armed: with a lost answer they may run all the same, and have to be disarmed one day.
        self._armed |= wanted
        if wanted:
            await self._venue.trading.arm_dead_man(timeout_s=TIMEOUT_S, instruments=_all_of(wanted))
            self._observer.dead_man_refreshed(self._venue.exchange, True)
        if released:
            await self._venue.trading.arm_dead_man(timeout_s=0, instruments=_all_of(released))
        self._armed = wanted

    async def _wanted(self) -> dict[Timer, list[Instrument]]:
        """Return the timers that cover orders of ours, with those orders' instruments."""
        wanted: defaultdict[Timer, list[Instrument]] = defaultdict(list)
        ours = [one for one in self._ledger.open_orders if one.exchange == self._venue.exchange and not one.external]
        for symbol in dict.fromkeys(order.symbol for order in ours):
            instrument = await self._venue.instrument(symbol)
            scope = self._venue.trading.capabilities(instrument).dead_man
            if scope is not None:
                wanted[timer_of(scope, instrument)].append(instrument)
        return dict(wanted)


def timer_of(scope: DeadManScope, instrument: Instrument) -> Timer:
    """Return which timer of its exchange covers an instrument."""
    match scope:
        case DeadManScope.SYMBOL:
            return scope, instrument.market, instrument.symbol
        case DeadManScope.MARKET:
            return scope, instrument.market, ""
        case DeadManScope.ACCOUNT:
            return scope, "", ""


def _all_of(timers: Mapping[Timer, list[Instrument]]) -> list[Instrument]:
    return [instrument for instruments in timers.values() for instrument in instruments]
