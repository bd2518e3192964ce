"""The exchange's own timer that cancels everything when we stop refreshing it: our process may die, our orders must not outlive it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from clients.exchanges.model import Instrument
from services.orders.engine.ledger import Ledger
from services.orders.ports import Ports
from services.orders.venues import CLIENT_ERRORS, Venue
from services.runtime.errors import MidstreamError

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 60.0
REFRESH_S: Final = 15.0
"""A quarter of the timeout, so that three refreshes in a row may fail."""


class DeadMan:
    """One exchange. Armed while orders of ours are open there, disarmed when none is left.

    It is left armed when the server ends with open orders: nobody watches them any more.
    """

    def __init__(self, venue: Venue, ledger: Ledger, ports: Ports) -> None:
        self._venue = venue
        self._ledger = ledger
        self._ports = ports
        self._armed: dict[str, Instrument] = {}
        self.on_result: Callable[[str, bool], None] = lambda exchange, succeeded: None

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except (*CLIENT_ERRORS, MidstreamError) as exc:
                logger.warning("dead-man timer not refreshed: exchange=%s error=%s", self._venue.exchange, exc)
                self.on_result(self._venue.exchange, False)
            await self._ports.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Arm or refresh where orders are open, disarm where none is any more."""
        wanted: dict[str, Instrument] = {}
        for order in self._ledger.open_orders:
            if order.exchange == self._venue.exchange and not order.external and order.symbol not in wanted:
                instrument = await self._venue.instrument(order.symbol)
                if self._venue.trading.capabilities(instrument).dead_man:
                    wanted[order.symbol] = instrument
        released = [instrument for symbol, instrument in self._armed.items() if symbol not in wanted]
        if wanted:
            await self._venue.trading.arm_dead_man(timeout_s=TIMEOUT_S, instruments=list(wanted.values()))
            self.on_result(self._venue.exchange, True)
        if released and (not wanted or _per_symbol(released)):
            await self._venue.trading.arm_dead_man(timeout_s=0, instruments=released)
        self._armed = wanted


def _per_symbol(instruments: list[Instrument]) -> bool:
    """Whether the timer is one per symbol; BitMEX has one for the whole account, which must not be disarmed for one symbol."""
    return all(instrument.exchange != "bitmex" for instrument in instruments)
