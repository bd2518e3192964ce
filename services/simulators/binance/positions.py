"""Positions of the futures in Binance's words, for routes and events alike."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from services.simulators.binance.account_settings import NOTIONAL_MAX
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM
from services.simulators.binance.spelling import eight, plain
from services.simulators.venue.clearing import profit
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Leg


class Positions:
    """Tells of an account's positions; one each listing, or two where it holds long and short apart."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def rows(self, owner: str, listing: Listing) -> Iterator[dict[str, Any]]:
        """Yield a listing's positions as the routes tell them, flat ones too."""
        for leg in self._venue.settings.legs(owner, listing.market):
            yield self._row(owner, listing, leg)

    def told(self, owner: str, listing: Listing, leg: Leg) -> dict[str, Any]:
        """Return a position as an event tells it."""
        position = self._venue.clearing.holdings[owner].position(listing, leg)
        entry = plain(round(position.entry, 8))
        return {
            "s": listing.symbol,
            "pa": plain(position.quantity),
            "ep": entry,
            "bep": entry,
            "cr": plain(round(position.realized, 8)),
            "up": eight(self.unrealized(owner, listing, leg)),
            "mt": "isolated" if self._venue.settings.is_isolated(owner, listing) else "cross",
            "iw": eight(self._isolated_margin(owner, listing, leg)),
            "ps": leg,
            "ma": listing.settle,
        }

    def held(self, owner: str, market: str) -> Iterator[tuple[Listing, Leg]]:
        """Yield an account's positions on a market that are not flat."""
        for (its_market, symbol), leg, _ in list(self._venue.clearing.holdings[owner].held()):
            if its_market == market:
                yield self._venue.listing(market, symbol), leg

    def unrealized(self, owner: str, listing: Listing, leg: Leg) -> Decimal:
        """Return what a position gains at the mark price."""
        position = self._venue.clearing.holdings[owner].position(listing, leg)
        return profit(listing, position.quantity, position.entry, self._venue.liquidity.mark(listing))

    def isolated_margins(self, owner: str, market: str, asset: str) -> Decimal:
        """Return what positions with a margin of their own have of an asset."""
        own = ((listing, leg) for listing, leg in self.held(owner, market) if listing.settle == asset)
        return sum((self._isolated_margin(owner, listing, leg) for listing, leg in own), Decimal(0))

    def _isolated_margin(self, owner: str, listing: Listing, leg: Leg) -> Decimal:
        if not self._venue.settings.is_isolated(owner, listing):
            return Decimal(0)
        return self._venue.clearing.position_margin(owner, listing, leg)

    def _row(self, owner: str, listing: Listing, leg: Leg) -> dict[str, Any]:
        position = self._venue.clearing.holdings[owner].position(listing, leg)
        mark = self._venue.liquidity.mark(listing)
        value, gain = listing.settlement_value(mark, position.quantity), self.unrealized(owner, listing, leg)
        leverage = self._venue.clearing.leverage(owner, listing)
        isolated = self._venue.settings.is_isolated(owner, listing)
        margin = self._isolated_margin(owner, listing, leg)
        # Clients tell the markets by these names.
        worth = {"maxNotionalValue": str(NOTIONAL_MAX), "notional": eight(value)}
        if listing.market == COINM:
            worth = {"maxQty": str(NOTIONAL_MAX), "notionalValue": eight(value)}
        return {
            "symbol": listing.symbol,
            "positionAmt": plain(position.quantity),
            "entryPrice": plain(round(position.entry, 8)),
            "breakEvenPrice": plain(round(position.entry, 8)),
            "markPrice": eight(mark),
            "unRealizedProfit": eight(gain),
            "unrealizedProfit": eight(gain),
            "liquidationPrice": "0",
            "leverage": plain(leverage),
            "marginType": "isolated" if isolated else "cross",
            "marginAsset": listing.settle,
            "isolatedMargin": eight(margin + gain if isolated and position.quantity else Decimal(0)),
            "isolated": isolated,
            "isAutoAddMargin": "false",
            "positionSide": leg,
            **worth,
            "isolatedWallet": eight(margin),
            "initialMargin": eight(abs(value) / leverage),
            "maintMargin": eight(abs(value) / 40),
            "updateTime": self._venue.shown_ms(position.updated_ns) if position.updated_ns else 0,
        }
