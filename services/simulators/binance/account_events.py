"""Events about what an account owns: balances of spot, balances and positions of the futures, as they are when they are told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.positions import Positions
from services.simulators.binance.spelling import eight, plain
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Event, Leg, Side

ALIAS = "SfsR"
"""Of the account, in the events of COIN-M."""


class AccountEvents:
    """Makes the events."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue
        self._positions = Positions(venue)

    def balances(self, event: Event) -> dict[str, Any]:
        """Return the balances that an event of a spot order may have changed."""
        order = event.order
        holdings = self._venue.clearing.holdings[order.account]
        orders = self._venue.engine.book.open_of(order.account, SPOT)
        rows = []
        for asset in (order.listing.base, order.listing.quote):
            locked = self._venue.clearing.reserved(SPOT, asset, orders)
            rows.append({"a": asset, "f": eight(holdings.balance(SPOT, asset) - locked), "l": eight(locked)})
        at_ms = self._venue.shown_ms(event.time_ns)
        return {"e": "outboundAccountPosition", "E": at_ms, "u": at_ms, "B": rows}

    def update(self, event: Event) -> dict[str, Any]:
        """Return balance and position after a fill of a futures' order."""
        order = event.order
        positions = [self._positions.told(order.account, order.listing, order.leg)]
        return self._update(order.account, order.listing, "ORDER", Decimal(0), positions, event.time_ns)

    def funded(self, account: str, listing: Listing, leg: Leg, amount: Decimal, time_ns: int) -> dict[str, Any]:
        """Return the balance after a payment of funding; the position too where its margin is its own."""
        isolated = self._venue.settings.is_isolated(account, listing)
        positions = [self._positions.told(account, listing, leg)] if isolated else []
        return self._update(account, listing, "FUNDING_FEE", amount, positions, time_ns)

    def _update(
        self, account: str, listing: Listing, why: str, change: Decimal, positions: list[Any], time_ns: int
    ) -> dict[str, Any]:
        wallet = self._venue.clearing.holdings[account].balance(listing.market, listing.settle)
        balance = {
            "a": listing.settle,
            "wb": eight(wallet),
            "cw": eight(wallet - self._positions.isolated_margins(account, listing.market, listing.settle)),
            "bc": plain(change),
        }
        at_ms = self._venue.shown_ms(time_ns)
        told = {"m": why, "B": [balance], "P": positions}
        made: dict[str, Any] = {"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms, "a": told}
        return {**made, "i": ALIAS} if listing.market == COINM else made

    def resting_values(self, event: Event) -> tuple[Decimal, Decimal]:
        """Return what the account's open buys and sells of a listing are worth."""
        order = event.order
        listing = order.listing
        found = {Side.BUY: Decimal(0), Side.SELL: Decimal(0)}
        for one in self._venue.engine.book.open_of(order.account, listing.market, listing.symbol):
            found[one.side] += listing.settlement_value(one.price or Decimal(0), one.remaining) if one.price else 0
        return found[Side.BUY], found[Side.SELL]
