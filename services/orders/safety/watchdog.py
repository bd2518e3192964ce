"""Throw the kill switch by itself: when too much was lost, or when nobody knows the price of what is open."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Final

from clients.exchanges.model import Payout
from clients.exchanges.trading import Side
from services.orders.domain.order import ZERO
from services.orders.guards.filters import notional
from services.orders.guards.kill_switch import KillSwitch
from services.orders.guards.positions import Key
from services.orders.guards.prices import PriceGuard
from services.orders.journal.ledger import Change, OrderLedger
from services.orders.ports import Ports
from services.orders.venues import Venues
from services.runtime.errors import MidstreamError

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class Watchdog:
    """Counts what was executed since the start, at today's prices. Fees count where they are in quote currency."""

    def __init__(
        self,
        ledger: OrderLedger,
        venues: Venues,
        prices: PriceGuard,
        switch: KillSwitch,
        ports: Ports,
        *,
        loss_max: Decimal | None,
        stale_kill_s: float,
    ) -> None:
        self._ledger = ledger
        self._venues = venues
        self._prices = prices
        self._switch = switch
        self._ports = ports
        self._loss_max = loss_max
        self._stale_ns = round(stale_kill_s * 1e9)
        self._traded: dict[Key, tuple[Decimal, Decimal]] = {}
        self._priced_ns: dict[Key, int] = {}

    @property
    def needed(self) -> bool:
        """Whether there is anything to watch."""
        return self._loss_max is not None or self._stale_ns > 0

    def follow(self, change: Change) -> None:
        """Take the executions of one change; a listener of the ledger."""
        before = change.before
        quantity = change.order.fills_quantity - (before.fills_quantity if before is not None else ZERO)
        if not quantity:
            return
        value = change.order.fills_notional - (before.fills_notional if before is not None else ZERO)
        order = change.order
        sign = 1 if order.side is Side.BUY else -1
        key = (order.exchange, order.market, order.symbol)
        held, paid = self._traded.get(key, (ZERO, ZERO))
        self._traded[key] = (held + sign * quantity, paid + sign * value)

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await self.look()
            await self._ports.sleep(EVERY_S)

    async def look(self) -> None:
        """Look once."""
        loss = await self.loss()
        if self._loss_max is not None and loss is not None and loss >= self._loss_max:
            self._switch.trip(
                f"the loss since the start is {loss.normalize():f}, the limit is {self._loss_max:f}", "limits"
            )
        if self._stale_ns:
            await self._look_at_prices()

    async def loss(self) -> Decimal | None:
        """Return the loss since the start, negative for a gain; None while a price that it needs is missing."""
        total = ZERO
        for (exchange, _, symbol), (held, paid) in self._traded.items():
            venue = self._venues.get(exchange)
            if venue is None:
                continue
            try:
                instrument = await venue.instrument(symbol)
                price = await self._prices.fresh(venue, symbol)
            except MidstreamError:
                return None
            if instrument.payout in (Payout.SPOT, Payout.LINEAR):
                total += (paid - held * price) * instrument.contract_size
            elif instrument.payout is Payout.INVERSE and held:
                # Contracts are worth a fixed amount of quote currency; what is lost is the change of their price.
                entry = paid / held
                worth = notional(instrument, held, price) or ZERO
                total += worth * (entry - price) / entry
        return total

    async def _look_at_prices(self) -> None:
        now_ns = self._ports.monotonic_ns()
        wanted = {
            (order.exchange, order.market, order.symbol) for order in self._ledger.open_orders if not order.external
        }
        self._priced_ns = {key: at for key, at in self._priced_ns.items() if key in wanted}
        for key in wanted:
            venue = self._venues.get(key[0])
            if venue is None:
                continue
            try:
                await self._prices.fresh(venue, key[2])
            except MidstreamError as exc:
                since_ns = self._priced_ns.setdefault(key, now_ns)
                if now_ns - since_ns >= self._stale_ns:
                    self._switch.trip(
                        f"no usable price of {key[2]} for {self._stale_ns / 1e9:g} s: {exc.message}", "prices"
                    )
            else:
                self._priced_ns[key] = self._ports.monotonic_ns()
