"""Events about what an account owns: balances of spot, balances and positions of the futures, as they are when they are told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.spelling import eight, plain
from services.simulators.venue.clearing import profit
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Event, Side

ALIAS = "SfsR"
"""Of the account, in the events of COIN-M."""


class AccountEvents:
    """Makes the events."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

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
        positions = [self._position(order.account, order.listing)]
        return self._update(order.account, order.listing, "ORDER", Decimal(0), positions, event.time_ns)

    def funded(self, account: str, listing: Listing, amount: Decimal, time_ns: int) -> dict[str, Any]:
        """Return the balance after a payment of funding; the position too where its margin is its own."""
        isolated = self._venue.settings.is_isolated(account, listing)
        positions = [self._position(account, listing)] if isolated else []
        return self._update(account, listing, "FUNDING_FEE", amount, positions, time_ns)

    def _update(
        self, account: str, listing: Listing, why: str, change: Decimal, positions: list[Any], time_ns: int
    ) -> dict[str, Any]:
        wallet = self._venue.clearing.holdings[account].balance(listing.market, listing.settle)
        balance = {
            "a": listing.settle,
            "wb": eight(wallet),
            "cw": eight(
                wallet - sum((self._isolated_margin(account, one) for one in self._beside(listing)), Decimal(0))
            ),
            "bc": plain(change),
        }
        at_ms = self._venue.shown_ms(time_ns)
        told = {"m": why, "B": [balance], "P": positions}
        made: dict[str, Any] = {"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms, "a": told}
        return {**made, "i": ALIAS} if listing.market == COINM else made

    def _position(self, account: str, listing: Listing) -> dict[str, Any]:
        position = self._venue.clearing.holdings[account].position(listing)
        entry = plain(round(position.entry, 8))
        gain = profit(listing, position.quantity, position.entry, self._venue.liquidity.mark(listing))
        return {
            "s": listing.symbol,
            "pa": plain(position.quantity),
            "ep": entry,
            "bep": entry,
            "cr": plain(round(position.realized, 8)),
            "up": eight(gain),
            "mt": "isolated" if self._venue.settings.is_isolated(account, listing) else "cross",
            "iw": eight(self._isolated_margin(account, listing)),
            "ps": "BOTH",
            "ma": listing.settle,
        }

    def _isolated_margin(self, account: str, listing: Listing) -> Decimal:
        if not self._venue.settings.is_isolated(account, listing):
            return Decimal(0)
        return self._venue.clearing.position_margin(account, listing)

    def _beside(self, listing: Listing) -> list[Listing]:
        """Return the listings that are margined in the same asset."""
        return [one for one in self._venue.listings(listing.market).values() if one.settle == listing.settle]

    def resting_values(self, event: Event) -> tuple[Decimal, Decimal]:
        """Return what the account's open buys and sells of a listing are worth."""
        order = event.order
        listing = order.listing
        found = {Side.BUY: Decimal(0), Side.SELL: Decimal(0)}
        for one in self._venue.engine.book.open_of(order.account, listing.market, listing.symbol):
            found[one.side] += listing.settlement_value(one.price or Decimal(0), one.remaining) if one.price else 0
        return found[Side.BUY], found[Side.SELL]
